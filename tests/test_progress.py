"""Progress: plain lines where there is no terminal, a bar where there is one, nothing when quiet."""

import os
import pty
import re
import subprocess
import sys

import pytest

from resnets import progress

JOB = """
import time
from resnets.progress import Progress
with Progress("reading", 40, "images") as p:
    for _ in range(40):
        time.sleep(0.02)
        p.advance(note="loss 0.5")
"""

LATE = """
import time
from resnets import progress
progress.WAITING = 0.5
with progress.Progress("x", None, "MB", size=1_000_000) as p:
    for _ in range(10):
        time.sleep(0.05)
        p.total = 100_000_000
        p.advance(5_000_000)
    time.sleep(1)
"""


class Clock:
    """Stands in for time.monotonic."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


def test_a_line_tells_count_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with progress.Progress("epoch 1", 5000, quiet=True, done=1000) as shown:
        clock.now += 2
        shown.advance(200, "loss 1.5")
        assert shown.line() == "epoch 1: 1,200 of 5,000 images, 100 images/s, 0:38 left, loss 1.5"


def test_rate_and_time_left_are_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten megabytes a second, nothing for a minute, then one a second."""
    clock = Clock(monkeypatch)

    def arrive(seconds: float, rate: int) -> None:
        for _ in range(round(seconds * 100)):
            clock.now += 0.01
            shown.advance(rate // 100)

    with progress.Progress("x", 1_000_000_000, "MB", quiet=True, size=1_000_000) as shown:
        arrive(30, 10_000_000)
        assert shown.line() == "x: 300.0 of 1,000.0 MB, 10.0 MB/s, 1:10 left"
        clock.now += 4
        assert shown.line().endswith("left")
        clock.now += 2
        assert shown.line().endswith("MB/s, waiting")
        clock.now += 60
        arrive(3, 1_000_000)
        assert shown.line() == "x: 303.0 of 1,000.0 MB, 1.0 MB/s, 11:37 left"
        arrive(20, 2_000_000)
        assert re.fullmatch(r"x: 343.0 of 1,000.0 MB, 2.0 MB/s, 5:2[89] left", shown.line())


def test_slow_steps_are_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with progress.Progress("epoch 1", 1000, quiet=True) as shown:
        for _ in range(5):
            clock.now += 30
            shown.advance(60)
        assert shown.line() == "epoch 1: 300 of 1,000 images, 2 images/s, 5:50 left"
        clock.now += 40
        assert shown.line().endswith("left")
        clock.now += 40
        assert shown.line().endswith("waiting")


def test_plain_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress.Progress("reading", 2) as shown:
        shown.advance()
        shown.advance()
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(" images")[0] for line in err.splitlines()] == ["reading: 1 of 2", "reading: 2 of 2"]


def test_quiet_prints_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress.Progress("reading", 1, quiet=True) as shown:
        shown.advance()
    assert capsys.readouterr() == ("", "")


def on_a_terminal(job: str) -> str:
    """What a Python program writes to a stderr that is a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", job], stderr=slave, env={**os.environ, "TERM": "xterm"})
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the other end has closed
            break
        if not part:
            break
        shown += part
    os.close(master)
    assert process.wait(timeout=60) == 0
    return shown.decode()


def test_a_terminal_gets_a_bar() -> None:
    text = on_a_terminal(JOB)
    assert "reading" in text
    assert "40 images  " in text
    assert "images/s  " in text
    assert "loss 0.5" in text
    assert "━" in text


def test_a_bar_has_the_total_that_is_told_later_and_goes_on_where_nothing_comes() -> None:
    text = on_a_terminal(LATE)
    assert re.search(r"50\.0/100\.0 MB  \S+ MB/s  0:", text)
    assert "50.0/100.0 MB" in text.rpartition("waiting")[0]
    *_, last = re.findall(r"━+", re.sub(r"\x1b\[[0-9;]*m", " ", text))
    assert 15 <= len(last) <= 25, "half of the bar's 40"
