"""Progress: plain lines where there is no terminal, a bar where there is one, nothing when quiet."""

import os
import pty
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


def test_a_line_tells_count_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 100.0, 102.0, 102.0, 102.0, 102.0, 102.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.Progress("epoch 1", 5000, quiet=True, done=1000) as shown:
        shown.advance(200, "loss 1.5")
        assert shown.line() == "epoch 1: 1,200 of 5,000 images, 100 images/s, 0:38 left, loss 1.5"


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


def test_a_terminal_gets_a_bar() -> None:
    master, slave = pty.openpty()
    job = subprocess.Popen([sys.executable, "-c", JOB], stderr=slave, env={**os.environ, "TERM": "xterm"})
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
    assert job.wait(timeout=60) == 0
    text = shown.decode()
    assert "reading" in text
    assert "images/s loss 0.5" in text
    assert "━" in text
