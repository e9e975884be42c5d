"""kill -9 at any moment: the file in the cache is whole or not there, and the next process goes on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "kill_downloads.py"


def said(*arguments: str) -> str:
    environment = dict(os.environ)
    if os.access("/dev/shm", os.W_OK):  # no disk to wait for
        environment["TMPDIR"] = "/dev/shm"
    command = [sys.executable, str(SCRIPT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_killed_at_random_moments():
    found = said("--kills", "6", "--size", "2000000")
    assert found.startswith("6 killed, ")
    assert re.search(r"[1-9]\d* found a part of the file", found)


def test_killed_before_each_thing_that_is_done_to_the_cache():
    steps = [int(n) for n in re.findall(r"killed at each of (\d+) steps", said("--steps", "--size", "100000"))]
    assert len(steps) == 2
    assert min(steps) > 10  # the folder, the lock, the part and its state, the name, the receipt


@pytest.mark.matrix
def test_a_hundred_kills():
    assert said("--kills", "100").startswith("100 killed, ")
