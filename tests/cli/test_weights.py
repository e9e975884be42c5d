"""list and fetch, from a server on this machine: what they print, where, and how they end."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from tests.cli.mirrored import BODY, RESNET18, RESNET34

from resnets import samples
from resnets.cli.main import run
from resnets.fetch import cache
from resnets.published.row import Digest
from resnets.published.table import PUBLISHED
from resnets.samples import Sample
from resnets.weights import names


@pytest.fixture(autouse=True)
def no_cache_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "none"))


def test_a_list_is_of_both_kinds_or_of_one(capsys):
    def listed(*arguments: str) -> tuple[list[str], list[str]]:
        assert run(["list", *arguments, "--json", "-"]) == 0
        value = json.loads(capsys.readouterr().out)
        assert list(value) == ["architectures", "published"]
        return [row["name"] for row in value["architectures"]], [row["name"] for row in value["published"]]

    networks, weights = listed("resnet18*")
    assert networks[:2] == ["resnet18", "resnet18-v1"]
    assert {"resnet18.fb", "resnet18.tv1", "resnet18-v2.zoo7"} <= set(weights)
    assert listed("resnet18")[0] == ["resnet18"]
    assert "resnet18.tv1" in listed("resnet18")[1]
    assert listed("resnet18*", "--architectures") == (networks, [])
    assert listed("resnet18*", "--published") == ([], weights)
    assert listed("*.fb")[0] == []
    assert listed("preresnet18")[1] == []
    assert set(listed()[1]) == set(PUBLISHED)


def test_a_list_for_people_has_both_tables_and_says_what_its_figures_are(capsys):
    assert run(["list", "resnet18"]) == 0
    text = capsys.readouterr().out
    assert "11,689,512" in text
    assert "69.758/89.078  30.24/10.92 " in text
    assert "resnets show NAME" in text


def test_a_pattern_that_nothing_answers_to_is_an_error(capsys):
    for command in (["list", "resnet50.tv9"], ["list", "resnet50.tv9", "--cached"]):
        assert run(command) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "Did you mean 'resnet50.tv" in said.err
    assert run(["list", "*.fb", "--architectures"]) == 2
    capsys.readouterr()
    assert run(["list", "fb"]) == 2
    assert "17 names have it in the middle or at an end: `resnets list '*fb*'`." in capsys.readouterr().err
    assert run(["list", "fb", "--architectures"]) == 2
    assert "'*fb*'" not in capsys.readouterr().err


def test_a_list_of_what_is_here(mirror, capsys):
    assert run(["list", "--cached"]) == 0
    assert capsys.readouterr().out == f"No published weights are in the cache ({cache.folder()}).\n"
    assert run(["list", "--cached", "*.fb"]) == 0
    assert capsys.readouterr().out.startswith("No published weights that match '*.fb' are in the cache (")
    assert run(["fetch", "resnet18.fb"]) == 0
    capsys.readouterr()
    assert run(["list", "--cached"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:2]] == ["resnet18.fb"]


def test_a_list_goes_to_a_file_as_well(tmp_path, capsys):
    assert run(["list", "resnet18", "--json", str(tmp_path / "rows.json")]) == 0
    assert "11,689,512" in capsys.readouterr().out
    assert json.loads((tmp_path / "rows.json").read_text())["architectures"][0]["depth"] == 18


def test_stdout_of_fetch_is_paths_alone(mirror, capsys):
    assert run(["fetch", "resnet-18.t7", "resnet34.f?"]) == 0
    said = capsys.readouterr()
    paths = [cache.place(PUBLISHED[name]) for name in ("resnet18.fb", "resnet34.fb")]
    assert said.out.splitlines() == [str(path) for path in paths]
    assert [path.read_bytes() for path in paths] == [BODY, BODY[::-1]]
    assert "2 of 2 to download: 2 of a size that is not stated" in said.err
    assert run(["fetch", "resnet18.fb", "resnet34.fb"]) == 0
    assert "all are in the cache" in capsys.readouterr().err
    cache.remove(PUBLISHED["resnet34.fb"])
    assert run(["fetch", "--quiet", "resnet18.fb"]) == 0
    assert capsys.readouterr() == (f"{paths[0]}\n", "")
    assert [request.path for request in mirror.requests] == [RESNET18, RESNET34]
    assert run(["fetch", "--quiet", "--again", "resnet18.fb", "--json", str(paths[0].with_name("rows.json"))]) == 0
    assert capsys.readouterr() == (f"{paths[0]}\n", "")
    assert json.loads(paths[0].with_name("rows.json").read_text())[0]["bytes"] == len(BODY)
    assert [request.path for request in mirror.requests] == [RESNET18, RESNET34, RESNET18]


def test_one_that_fails_does_not_stop_the_others(mirror, capsys):
    assert run(["fetch", "resnet50.tv9", "resnet50.fb", "resnet18.fb"]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(cache.place(PUBLISHED["resnet18.fb"]))]
    assert "Did you mean 'resnet50.tv" in said.err
    assert "error: resnet50.fb could not be downloaded" in said.err
    assert said.err.splitlines()[-1] == "1 of 3 fetched; failed: resnet50.tv9, resnet50.fb"
    assert run(["fetch", "resnet50.fb", "resnet18.fb"]) == 1
    assert "1 of 2 to download: 1 of a size" in capsys.readouterr().err
    assert run(["fetch", "resnet50.fb", "--json", "-"]) == 2
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], "could not be downloaded" in found["error"]) == ("resnet50.fb", True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18", " and 7 more: `resnets list resnet18 --published`"),
        ("resnet20-cifar", "`resnets create resnet20-cifar resnet20-cifar.onnx` makes fresh ones"),
        ("zebra*", "No published weights are called 'zebra*'"),
        ("hf:nothing", "names no repository of the Hub"),
    ],
)
def test_names_of_nothing(name, message, capsys):
    assert run(["fetch", name]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err


def test_a_pattern_is_told_before_anything_is_fetched(mirror, capsys):
    assert run(["fetch", "resnet18*.zoo7*"]) == 2
    said = capsys.readouterr().err
    assert said.index("4 of 4 to download: 181 MB") < said.index("error: ")


def test_samples_of_an_archive_are_run_and_tell(mirror, tmp_path, monkeypatch, capsys):
    name, path = "resnet18-v1.zoo7-tar", tmp_path / "m.onnx"
    path.write_bytes(b"")
    monkeypatch.setattr("resnets.fetch.fetch.fetch", lambda *_, **__: path)
    good = Sample("test_data_set_0", 2e-6, holds=True)
    for bad, status, what in ((good, 0, "within the zoo's 0.001"), (replace(good, holds=False), 1, "BEYOND")):
        monkeypatch.setattr(samples, "run", lambda _, bad=bad: [good, bad])
        assert run(["fetch", name]) == status
        said = capsys.readouterr()
        assert said.out == f"{path}\n"
        assert f"{name}: test_data_set_0: largest difference 2e-06, {what}" in said.err.splitlines()[-1]
        assert run(["fetch", name, "--quiet"]) == status
        assert ("BEYOND" in capsys.readouterr().err) == (status == 1)
    assert run(["fetch", name, "--json", "-"]) == 1
    assert [one["holds"] for one in json.loads(capsys.readouterr().out)[0]["samples"]] == [True, False]
    assert run(["fetch", "resnet50-v1.zoo12-int8-tar"]) == 0
    assert "top-1 agreement 100% (int8 outputs depend on the processor)" in capsys.readouterr().err


def test_a_model_with_samples_that_cannot_be_read_is_there(mirror, tmp_path, monkeypatch, capsys):
    """Its digest was right: the path is told, and what is wrong with the samples."""
    path = tmp_path / "m.onnx"
    (tmp_path / "test_data_set_0").mkdir()
    (tmp_path / "test_data_set_0" / "input_0.pb").write_bytes(b"\x0a\xff")
    shutil.copy(names.resolve(None), path)
    monkeypatch.setattr("resnets.fetch.fetch.fetch", lambda *_, **__: path)
    for row in ("resnet18-v1.zoo7-tar", "resnet50-v1.zoo12-int8-tar"):
        assert run(["fetch", row]) == 1
        said = capsys.readouterr()
        assert said.out == f"{path}\n"
        assert f"{row}: the model is verified and there; its sample test data cannot be run" in said.err
        assert re.search(r"error: .*test_data_set_0/input_0.pb is truncated, damaged", said.err)
    assert run(["fetch", "resnet18-v1.zoo7-tar", "--json", "-"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["path"], found["holds"], "truncated" in found["error"]) == (str(path), False, True)


def test_again_is_told_to_the_hub(monkeypatch, tmp_path, capsys):
    asked = []

    def fetched(name, **how):
        asked.append((name, how["again"], how["quiet"]))
        return tmp_path / "model.onnx"

    monkeypatch.setattr("resnets.fetch.hub.fetch", fetched)
    assert run(["fetch", "hf:me/mine"]) == run(["fetch", "hf:me/mine", "--again", "--quiet"]) == 0
    assert asked == [("hf:me/mine", False, False), ("hf:me/mine", True, True)]
    assert capsys.readouterr().out == f"{tmp_path / 'model.onnx'}\n" * 2


def test_a_model_is_fetched_by_name_and_quiet_says_nothing(mirror, tiny_model, photos, monkeypatch, capsys):
    sha256 = Digest("sha256", hashlib.sha256(tiny_model.read_bytes()).hexdigest(), "a test")
    row = replace(PUBLISHED["resnet18.fb"], name="resnet18.tiny", file="tiny.onnx", also=("tiny",), digests=(sha256,))
    monkeypatch.setitem(PUBLISHED, row.name, row)
    mirror.put("/resnet18.tiny/tiny.onnx", tiny_model.read_bytes())
    photo = str(photos["cat"])
    assert run(["classify", photo, "-m", "tiny", "--quiet", "--format", "csv"]) == 0
    assert capsys.readouterr().err == ""
    assert len(mirror.requests) == 1
    cache.remove(row)
    assert run(["classify", photo, "-m", "resnet18.tiny", "--format", "csv"]) == 0
    assert "resnet18.tiny: downloading tiny.onnx" in capsys.readouterr().err
    out = cache.folder() / "copy.onnx"
    assert run(["card", "set", "resnet18.tiny", str(out), "--temperature", "2"]) == 0
    assert run(["convert", "resnet18.tiny", str(out), "--quiet"]) == 0
    before, place = cache.place(row).read_bytes(), str(cache.place(row))
    capsys.readouterr()
    for command in (["classify", photo, "--format", "csv", "-o", place], ["evaluate", "x", "--json", place]):
        assert run([*command, "-m", "resnet18.tiny"]) == 2
        assert "would be written over" in capsys.readouterr().err
    assert run(["show", "resnet18.tiny", "--json", place]) == 2
    assert cache.place(row).read_bytes() == before


def test_show_downloads_nothing_where_a_folder_has_the_name(mirror, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("resnet18.fb", "cifar10"):
        (tmp_path / name).mkdir()
    assert run(["show", "resnet18.fb"]) == 0
    assert "here       no; it would lie at" in capsys.readouterr().out
    assert not mirror.requests
    assert run(["show", "cifar10"]) == 0


def test_names_are_not_looked_up_to_classify_with_a_file(tiny_model, photos):
    code = """
import sys
from resnets.cli.main import run
assert run(sys.argv[1:]) == 0
assert not [m for m in sys.modules if m.startswith(("resnets.published", "resnets.fetch", "http", "urllib.request"))]
"""
    for arguments in (["--help"], ["fetch", "--help"], ["classify", str(photos["cat"]), "-m", str(tiny_model)]):
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
