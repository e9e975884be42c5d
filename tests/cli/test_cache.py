"""cache: what lies there is listed, read again and removed; what no row knows is left alone."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.mirrored import at_a_terminal

from resnets.cli.main import run
from resnets.fetch import cache
from resnets.fetch.fetch import fetch
from resnets.published.table import PUBLISHED

UNTOLD = "nothing here tells whether it is the published file; it is checked when it is used"


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A cache with one file that has been checked, one that has not, a partial download, and what no row knows."""
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    for name, size in (("resnet18.fb", 2_000_000), ("resnet34.fb", 3_000_000)):
        cache.home(PUBLISHED[name]).mkdir(parents=True)
        cache.place(PUBLISHED[name]).write_bytes(bytes(size))
    fetch(PUBLISHED["resnet18.fb"], quiet=True)
    cache.home(PUBLISHED["resnet50.tv2"]).mkdir()
    cache.part(PUBLISHED["resnet50.tv2"]).write_bytes(bytes(1_000_000))
    (tmp_path / "cache" / "mine").mkdir()
    (tmp_path / "cache" / "mine" / "notes").write_bytes(bytes(500_000))
    return tmp_path / "cache"


def test_what_lies_there_is_listed(folder, capsys):
    assert run(["cache"]) == 0
    text = capsys.readouterr().out
    assert run(["cache", "list"]) == 0
    assert capsys.readouterr().out == text
    rows = {line.split()[0]: line.split()[1:3] for line in text.splitlines()[3:-2]}
    assert rows == {
        "mine": ["unknown", "0.5"],
        "resnet18.fb": ["cached", "2.0"],
        "resnet34.fb": ["unchecked", "3.0"],
        "resnet50.tv2": ["partial", "1.0"],
    }
    assert text.startswith(f"{folder}\n")
    assert "nothing: sha256 pinned" in text
    assert "6.5 MB in 4; unknown: 1 that no published weights are called, left alone" in text
    assert run(["cache", "--json", "-"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [one["state"] for one in value["entries"]] == ["unknown", "cached", "unchecked", "partial"]
    assert value["entries"][1]["receipt"]["checked"].startswith("nothing")
    assert value["folder"] == str(folder)


def test_the_folder_need_not_be_there(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "none"))
    assert run(["cache", "path"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'none'}\n"
    for command in (["cache"], ["cache", "check"], ["cache", "clear", "--all"]):
        assert run(command) == 0
    assert "nothing is there" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_files_are_read_again(folder, capsys):
    assert run(["cache", "check"]) == 0
    said = capsys.readouterr()
    assert said.out == "1 of 2 unchanged\n"
    assert said.err == f"resnet34.fb: {UNTOLD}\n"
    place = cache.place(PUBLISHED["resnet18.fb"])
    time = place.stat().st_mtime_ns
    place.write_bytes(b"\1" + bytes(1_999_999))
    os.utime(place, ns=(time, time))
    assert cache.state(PUBLISHED["resnet18.fb"]).kind == "cached"
    assert run(["cache", "check", "--json", "-"]) == 1
    said = capsys.readouterr()
    assert [(one["name"], one["holds"]) for one in json.loads(said.out)] == [
        ("resnet18.fb", False),
        ("resnet34.fb", None),
    ]
    assert "resnet18.fb: resnet-18.t7: its sha256 is " in said.err
    assert "`resnets fetch resnet18.fb --again` downloads it once more" in said.err
    assert run(["cache", "check", "resnet34*"]) == 0
    assert run(["cache", "check", "resnet34.fb", "resnet50.tv2"]) == 1
    assert run(["cache", "check", "resnet50.tv2"]) == 2


def listed(capsys) -> tuple[dict[str, str], list[str]]:
    """The states by name, and the lines below the table."""
    assert run(["cache", "list"]) == 0
    blocks = capsys.readouterr().out.split("\n\n")
    return {row.split()[0]: row.split()[1] for row in blocks[1].splitlines()[1:]}, "".join(blocks[3:]).splitlines()


ROW = PUBLISHED["resnet18.fb"]


@pytest.mark.parametrize(
    ("damage", "state", "clause"),
    [
        (lambda: cache.place(ROW).unlink(), "damaged", "resnet-18.t7 is missing"),
        (
            lambda: cache.place(ROW).write_bytes(b"short"),
            "damaged",
            "resnet-18.t7 has 5 bytes where 2,000,000 are expected",
        ),
        (lambda: cache.place(ROW).write_bytes(b"1" * 2_000_000), "changed", ""),
    ],
)
def test_what_is_not_as_it_was_looks_so_and_fails(folder, damage, state, clause, capsys):
    damage()
    states, lines = listed(capsys)
    assert states["resnet18.fb"] == state
    advice = "`resnets fetch resnet18.fb --again` downloads it once more"
    assert lines == ([f"resnet18.fb: {clause}: {advice}"] if clause else [])
    for command in (["cache", "check"], ["cache", "check", "resnet18.fb"]):
        assert run(command) == 1
        said = capsys.readouterr()
        (line,) = [line for line in said.err.splitlines() if line.startswith("resnet18.fb: ")]
        assert line.startswith(f"resnet18.fb: {'resnet-18.t7 is missing' if 'missing' in clause else 'resnet-18.t7: '}")
        assert line.endswith(f": {advice}")
    assert said.out == "0 of 1 unchanged\n"


def test_a_file_put_there_by_hand_must_have_the_size_that_is_known(folder, capsys):
    row = PUBLISHED["resnet50-v1.zoo7"]
    cache.home(row).mkdir()
    cache.place(row).write_bytes(b"short")
    states, lines = listed(capsys)
    assert states[row.name] == "damaged"
    assert f"has 5 bytes where {row.size:,} are expected" in lines[0]
    assert run(["cache", "check", row.name]) == 1


def test_what_was_compared_with_nothing_is_not_called_unchanged(folder, capsys):
    packed, beside = PUBLISHED["resnet18-v1.gluon"], PUBLISHED["resnet18-v1.zoo-s3"]
    for row in (packed, beside):
        cache.home(row).mkdir()
        cache.place(row).write_bytes(b"garbage")
    assert run(["cache", "check", packed.name, beside.name]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines() == [f"{row.name}: {UNTOLD}" for row in (packed, beside)]
    assert said.out == "0 of 2 unchanged\n"
    text = cache.home(beside) / "resnet18v1-md5.txt"
    text.write_text(hashlib.md5(b"garbage").hexdigest())
    assert run(["cache", "check", beside.name]) == 0
    assert capsys.readouterr() == ("1 of 1 unchanged\n", "")
    text.write_text("0" * 32)
    assert run(["cache", "check", beside.name]) == 1
    said = capsys.readouterr()
    assert "but the expected one is 00000000000000000000000000000000 (resnet18v1-md5.txt)" in said.err
    assert said.out == "0 of 1 unchanged\n"


UNREADABLE = """
import locale, os, sys
from resnets import listing
from resnets.cli import cache, main
from resnets.fetch import entries
if os.geteuid() == 0:
    os.setgroups([])
    os.setuid(65534)  # root may read everywhere
sys.exit(main.run(sys.argv[1:]))
"""


def test_a_folder_that_cannot_be_read_is_told_and_the_others_are_listed():
    with tempfile.TemporaryDirectory() as top:  # tmp_path is for its owner alone
        folder = Path(top)
        folder.chmod(0o755)
        for name in ("resnet18.fb", "resnet34.fb"):
            (folder / name).mkdir()
            (folder / name / PUBLISHED[name].file).write_bytes(b"model")
        environment = {**os.environ, "RESNETS_CACHE": top}

        def said(*arguments: str) -> tuple[int, str, str]:
            command = [sys.executable, "-c", UNREADABLE, "cache", *arguments]
            done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
            assert "Traceback" not in done.stderr
            return done.returncode, done.stdout, done.stderr

        line = "resnet18.fb: it cannot be read (Permission denied): mend its permissions"
        for mode in (0, 0o444, 0o111):
            (folder / "resnet18.fb").chmod(mode)
            status, out, _ = said("list", "--json", "-")
            states = {one["name"]: one["state"] for one in json.loads(out)["entries"]}
            readable = "unchecked" if mode == 0o111 else "unreadable"
            assert (status, states) == (0, {"resnet18.fb": readable, "resnet34.fb": "unchecked"})
            assert (line in said()[1].splitlines()) == (mode != 0o111)
            status, out, err = said("check")
            assert (status, out) == (int(mode != 0o111), "0 of 2 unchanged\n")
            assert (line in err.splitlines()) == (mode != 0o111)
        folder.chmod(0o300)
        remedy = "Mend its permissions, or name another folder in RESNETS_CACHE."
        for arguments in ((), ("check",), ("clear", "--all", "--yes")):
            assert said(*arguments) == (2, "", f"error: {top} cannot be read (Permission denied).\n{remedy}\n")
        folder.chmod(0o755)
        (folder / "resnet18.fb").chmod(0o755)


def test_a_file_of_another_name_is_told_and_which_is_expected(folder, capsys):
    cache.home(PUBLISHED["resnet50.fb"]).mkdir()
    (cache.home(PUBLISHED["resnet50.fb"]) / "resnet50.t7").write_bytes(b"model")
    states, lines = listed(capsys)
    line = "resnet50.fb: resnet-50.t7 is expected there, and there is resnet50.t7: rename it"
    assert (states["resnet50.fb"], lines) == ("absent", [line])
    assert run(["cache", "check"]) == 1
    said = capsys.readouterr()
    assert line in said.err.splitlines()
    assert said.out == "1 of 3 unchanged\n"


def test_brackets_in_what_a_file_was_checked_against_go_in_pairs(folder, monkeypatch, capsys):
    receipt = cache.recorded(ROW)
    assert receipt is not None
    why = "nothing: no digest is known, so its sha256 is pinned; a-md5.txt could not be had (127.0.0.1 (a (b) c))"
    monkeypatch.setattr(cache, "recorded", lambda row: replace(receipt, checked=why) if row is ROW else None)
    assert run(["cache", "list"]) == 0
    assert "nothing: sha256 pinned; a-md5.txt could not be had\n" in capsys.readouterr().out


def test_all_is_asked_about_at_a_terminal(folder, monkeypatch):
    before = sorted(folder.rglob("*"))
    status, shown, _ = at_a_terminal("cache", "clear", "--all", answer="n\n")
    assert (status, sorted(folder.rglob("*"))) == (2, before)
    assert f"Remove the 3 models in {folder}? [y/N]" in shown
    assert "nothing is removed" in shown
    assert at_a_terminal("cache", "clear", "--all", "--partial", answer="y\n")[0] == 0
    assert not cache.home(PUBLISHED["resnet50.tv2"]).exists()
    assert at_a_terminal("cache", "clear", "--all", "--yes")[0] == 0
    assert [path.name for path in folder.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "Nothing says what to remove"),
        (["resnet18.fb", "--all"], 2, "--all leaves nothing to be named"),
        (["resnet101.fb"], 2, "`resnets cache` lists what is there"),
        (["resnet18.fbb"], 2, "Did you mean 'resnet18.fb'"),
        (["foo"], 2, "`resnets cache` lists what is there"),
        (["mine"], 2, "No weights in the cache are called 'mine'."),
        (["resnet101.fb"], 2, "Nothing of resnet101.fb is in the cache."),
        (["resnet18.fb", "--partial"], 2, "No interrupted download of resnet18.fb is in the cache."),
    ],
)
def test_nothing_is_removed_that_is_not_named(folder, arguments, status, message, capsys):
    before = sorted(folder.rglob("*"))
    assert run(["cache", "clear", *arguments]) == status
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert sorted(folder.rglob("*")) == before


def test_weights_are_removed_by_name_and_pattern(folder, capsys):
    assert run(["cache", "clear", "resnet-18.t7"]) == 0
    assert capsys.readouterr().out == f"resnet18.fb: 2.0 MB removed\n2.0 MB removed from {folder}\n"
    assert run(["cache", "clear", "resnet3*", "zebra"]) == 1
    assert {path.name for path in folder.iterdir()} == {"mine", "resnet50.tv2"}


def test_all_is_all_that_a_row_knows(folder, capsys):
    cache.part(PUBLISHED["resnet18.fb"]).write_bytes(bytes(1_000_000))
    assert run(["cache", "clear", "--all", "--partial"]) == 0
    assert "2.0 MB removed from" in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {"mine", "resnet18.fb", "resnet34.fb"}
    assert cache.state(PUBLISHED["resnet18.fb"]).kind == "cached"
    assert run(["cache", "clear", "--all"]) == 0
    said = capsys.readouterr()
    assert "5.0 MB removed from" in said.out
    assert f"{folder / 'mine'} is left alone" in said.err
    assert [path.name for path in folder.rglob("*")] == ["mine", "notes"]


@pytest.mark.parametrize("verb", ["", "path", "list", "check", "clear"])
def test_every_verb_has_an_example(verb, capsys):
    assert run(["cache", *verb.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert f"resnets cache {verb}".rstrip() in text
    assert "..." not in text.replace("NAME...", "").replace("ARGS]...", "")
