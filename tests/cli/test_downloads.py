"""What is told and asked before a download, and copies of what it brought."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.mirrored import BODY, RESNET18, at_a_terminal, resnets

from resnets.cli import downloads
from resnets.cli.main import run
from resnets.errors import ResNetsError
from resnets.fetch import cache
from resnets.published.table import PUBLISHED

ROW = PUBLISHED["resnet18.fb"]


@pytest.mark.parametrize(
    ("sizes", "asked"),
    [([], False), ([5_000_000_000], False), ([5_000_000_000, 1], True), ([None], True), ([1, None], True)],
)
def test_much_and_what_nobody_knows_is_asked_about(sizes, asked, monkeypatch):
    rows = [replace(ROW, size=size) for size in sizes]
    questions = []
    monkeypatch.setattr("click.confirm", lambda question, **_: questions.append(question))
    assert downloads.agreed(rows), "nobody can be asked"
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    assert bool(downloads.agreed(rows)) is not asked
    assert len(questions) == asked


def test_a_copy_is_a_link_where_that_can_be_and_whole_where_not(tmp_path, monkeypatch):
    model, folder = tmp_path / "blob", tmp_path / "there"
    model.write_bytes(b"model")
    (tmp_path / "model.t7").symlink_to(model)
    folder.mkdir()
    assert downloads.copied(tmp_path / "model.t7", folder) == folder / "model.t7"
    assert (folder / "model.t7").samefile(model)
    assert not (folder / "model.t7").is_symlink()
    (folder / "model.t7").unlink()

    def refused(*_):
        raise OSError

    monkeypatch.setattr(os, "link", refused)
    assert downloads.copied(tmp_path / "model.t7", folder).read_bytes() == b"model"
    assert not (folder / "model.t7").samefile(model)
    downloads.copied(tmp_path / "model.t7", folder)  # which is there already
    assert os.listdir(folder) == ["model.t7"]


def test_a_copy_takes_no_other_files_place(tmp_path):
    (tmp_path / "model.t7").write_bytes(b"model")
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "model.t7").write_bytes(b"other")
    with pytest.raises(ResNetsError, match="is there already, and is not the same file"):
        downloads.copied(tmp_path / "model.t7", folder)
    assert (folder / "model.t7").read_bytes() == b"other"
    (folder / "model.t7").unlink()
    (folder / "model.t7").symlink_to("nowhere")
    with pytest.raises(ResNetsError, match="is there already"):
        downloads.copied(tmp_path / "model.t7", folder)


def test_the_files_with_an_onnx_models_arrays_come_along(tmp_path, tiny_model):
    import onnx

    proto = onnx.load(tiny_model)
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    folder = downloads.target(tmp_path / "a" / "b")
    downloads.copied(tmp_path / "m.onnx", folder)
    assert sorted(os.listdir(folder)) == ["m.data", "m.onnx"]


def test_files_go_to_a_folder_too(mirror, tmp_path, capsys):
    folder = tmp_path / "a" / "models"
    assert run(["fetch", "resnet18.fb", "resnet34.fb", "-o", str(folder)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(folder / "resnet-18.t7"), str(folder / "resnet-34.t7")]
    assert (folder / "resnet-18.t7").read_bytes() == BODY
    assert said.err.splitlines()[-1] == "2 of 2 fetched"
    assert run(["fetch", "resnet18.fb", "-o", str(folder), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["path"] == str(folder / "resnet-18.t7")
    (tmp_path / "file").write_bytes(b"")
    assert run(["fetch", "resnet18.fb", "-o", str(tmp_path / "file")]) == 2


def test_a_pattern_that_brings_much_is_asked_about_at_a_terminal(mirror):
    def fetch(*arguments: str, answer: str = "") -> tuple[int, str, str]:
        return at_a_terminal("fetch", "--quiet", *arguments, answer=answer)

    status, shown, out = fetch("resnet[13]?.fb", answer="n\n")
    assert (status, out) == (2, "")
    assert "Download 2 files (2 of a size that is not stated)? [y/N]" in shown
    assert "nothing is downloaded" in shown
    assert not mirror.requests
    assert fetch("resnet[1]?.fb", answer="y\n")[0] == 0
    assert fetch("resnet3?.fb", "--yes")[0] == 0
    assert fetch("resnet[13]?.fb", "resnet18.fb")[2].count("\n") == 2, "what is there is not asked about"


def interrupted(mirror, after: int, *command: str) -> tuple[int, str, str]:
    """Ctrl-C once so many bytes have been sent."""
    mirror.once(RESNET18, after=after, then="stall")
    with resnets(*command) as process:
        until = time.monotonic() + 60
        while not (
            mirror.requests and mirror.requests[-1].sent >= after and cache.home(PUBLISHED["resnet18.fb"]).exists()
        ):
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                pytest.fail(process.stderr.read())
            time.sleep(0.02)
        time.sleep(0.5)  # what was sent is written
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    return process.returncode, out, err


@pytest.mark.parametrize("verb", ["fetch", "classify", "evaluate", "convert"])
def test_ctrl_c_keeps_what_has_come_and_the_same_command_goes_on(verb, mirror, photos):
    photo = str(photos["cat"])
    command = {
        "fetch": ("fetch", "resnet18.fb"),
        "classify": ("classify", photo, "-m", "resnet18.fb"),
        "evaluate": ("evaluate", photo, "-m", "resnet18.fb"),
        "convert": ("convert", "resnet18.fb", "never.onnx"),
    }[verb]
    status, out, err = interrupted(mirror, 4_000_000, *command)
    assert (status, out) == (130, "")
    kept = "what has come of resnet18.fb is kept: the same command goes on from there"
    assert err.split("\n")[-4:] == [kept, "", "interrupted", ""]
    if verb == "fetch":
        size = cache.part(PUBLISHED["resnet18.fb"]).stat().st_size
        with resnets(*command) as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert Path(out.strip()).read_bytes() == BODY
        assert mirror.requests[-1].range == f"bytes={size}-"


def test_where_nothing_has_come_nothing_is_kept(mirror):
    status, _, err = interrupted(mirror, 0, "fetch", "resnet18.fb")
    assert status == 130
    assert "is kept" not in err
