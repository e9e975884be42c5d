"""What is said while bytes arrive."""

import pytest

from resnets import progress
from resnets.errors import ResNetsError
from resnets.fetch import announce
from resnets.fetch.announce import Announced


def test_lines_of_a_download_that_goes_on_and_begins_anew(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with Announced("x", tmp_path, quiet=False) as told:
        told(34_100_000, 102_600_000)
        told(50_000_000, 102_600_000)
        told(0, None)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "x: going on at 34 MB"
    assert any(line.startswith("x: 50.0 of 102.6 MB, ") and line.endswith("left") for line in lines)
    assert lines[-1].startswith("x: 0.0 MB, ")


def test_a_line_about_the_download_stands_before_the_bar_that_goes_on(tmp_path, capsys):
    with Announced("x", tmp_path, False, "HOST") as told:
        told(0, 2_000_000)
        told(1_000_000, 2_000_000)
        told.noticed("the line broke")
        told(1_500_000, 2_000_000)
        told(2_000_000, 2_000_000)
    assert capsys.readouterr().err.splitlines() == ["x: HOST: the line broke", "x: going on at 1.5 MB"]
    with Announced("x", tmp_path, quiet=True) as told:
        told.noticed("the line broke")
    assert capsys.readouterr().err == ""


def test_room_is_asked_for_all_copies_before_the_first_byte(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1_500_000}))
    Announced("x", tmp_path, quiet=True)(0, 1_000_000)
    with pytest.raises(ResNetsError, match=r"x needs 2\.0 MB more in .*, which has 1\.5 MB"):
        Announced("x", tmp_path, quiet=True, copies=2)(0, 1_000_000)
    Announced("x", tmp_path, quiet=True, copies=2)(600_000, 1_000_000)


def test_what_a_server_says_reaches_no_terminal_raw(capsys):
    announce.say("\x1b[2Jhello")
    assert capsys.readouterr().err == "\\x1b[2Jhello\n"
