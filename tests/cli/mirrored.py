"""Two files as a mirror has them, and the command in a process of its own: what tests of downloads share."""

import subprocess
import sys

MAIN = "from resnets.cli.main import main; main()"
RESNET18, RESNET34 = "/resnet18.fb/resnet-18.t7", "/resnet34.fb/resnet-34.t7"
BODY = bytes(range(256)) * 20_000


def resnets(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", MAIN, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
