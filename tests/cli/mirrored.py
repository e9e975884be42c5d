"""Two files as a mirror has them, and the command in a process of its own: what tests of downloads share."""

import hashlib
import os
import pty
import subprocess
import sys

RESNET18, RESNET34 = "/resnet18.fb/resnet-18.t7", "/resnet34.fb/resnet-34.t7"
BODY = bytes(range(256)) * 20_000
# They are no models: what no digest vouches for would be opened before it is kept.
SHA256 = {"resnet18.fb": hashlib.sha256(BODY).hexdigest(), "resnet34.fb": hashlib.sha256(BODY[::-1]).hexdigest()}
MAIN = f"""
from dataclasses import replace
from resnets.cli.main import main
from resnets.published.row import Digest
from resnets.published.table import PUBLISHED
for name, value in {SHA256}.items():
    PUBLISHED[name] = replace(PUBLISHED[name], digests=(Digest("sha256", value, "a test"),))
main()
"""


def resnets(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", MAIN, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def at_a_terminal(*arguments: str, answer: str = "") -> tuple[int, str, str]:
    """Exit status, what the terminal showed where something was typed there, and stdout, which is a pipe."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", MAIN, *arguments]
    with subprocess.Popen(command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, text=True) as process:
        os.close(theirs)
        os.write(ours, answer.encode())
        out, _ = process.communicate(timeout=60)
    shown = os.read(ours, 65536).decode() if answer else ""
    os.close(ours)
    return process.returncode, shown, out
