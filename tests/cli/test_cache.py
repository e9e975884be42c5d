"""cache: what lies there is listed, read again and removed; what no row knows is left alone."""

import json
import os

import pytest

from resnets.cli.main import run
from resnets.fetch import cache
from resnets.fetch.fetch import fetch
from resnets.published.table import PUBLISHED


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
    assert capsys.readouterr().out == "2 of 2 are as they were\n"
    place = cache.place(PUBLISHED["resnet18.fb"])
    time = place.stat().st_mtime_ns
    place.write_bytes(b"\1" + bytes(1_999_999))
    os.utime(place, ns=(time, time))
    assert cache.state(PUBLISHED["resnet18.fb"]).kind == "cached"
    assert run(["cache", "check", "--json", "-"]) == 1
    said = capsys.readouterr()
    assert [(one["name"], one["holds"]) for one in json.loads(said.out)] == [
        ("resnet18.fb", False),
        ("resnet34.fb", True),
    ]
    assert "resnet18.fb: resnet-18.t7: its sha256 is " in said.err
    assert "`resnets fetch --again resnet18.fb`" in said.err
    assert run(["cache", "check", "resnet34*"]) == 0
    assert run(["cache", "check", "resnet34.fb", "resnet50.tv2"]) == 1
    assert run(["cache", "check", "resnet50.tv2"]) == 2


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "Nothing says what to remove"),
        (["resnet18.fb", "--all"], 2, "--all leaves nothing to be named"),
        (["resnet101.fb"], 2, "`resnets cache` lists what is there"),
        (["resnet18.fbb"], 2, "Did you mean 'resnet18.fb'"),
        (["mine"], 2, "nothing of that kind called 'mine'"),
        (["resnet18.fb", "--partial"], 2, "nothing of that kind"),
    ],
)
def test_nothing_is_removed_that_is_not_named(folder, arguments, status, message, capsys):
    before = sorted(folder.rglob("*"))
    assert run(["cache", "clear", *arguments]) == status
    assert message in capsys.readouterr().err
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
