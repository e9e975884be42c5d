"""The command line as a whole: its help, its exit statuses, what it says to a wrong word."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from resnets.cli import main as cli
from resnets.errors import ResNetsError

MAIN = "from resnets.cli.main import main; main()"


def resnets(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 120, **options}
    return subprocess.run([sys.executable, "-c", MAIN, *arguments], **options)


def test_every_verb_of_the_table_is_a_command_with_its_own_help() -> None:
    for verb, (_, line) in cli.VERBS.items():
        command = cli.cli.get_command(click.Context(cli.cli), verb)
        assert command is not None
        assert command.name == verb
        assert line.endswith(".")


def test_aliases_open_the_verb_that_they_stand_for() -> None:
    context = click.Context(cli.cli)
    for alias, verb in cli.ALIASES.items():
        assert cli.cli.get_command(context, alias) is cli.cli.get_command(context, verb)


def test_a_wrong_verb_is_two_sentences_and_status_2() -> None:
    done = resnets("clasify")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: There is no verb 'clasify'.\nDid you mean 'classify'?\n"


def test_a_wrong_option_is_status_2() -> None:
    done = resnets("classify", "--tpo", "3", "x.jpg")
    assert done.returncode == 2
    assert "--top" in done.stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ResNetsError("It is broken.", "Mend it."), 2),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (cli._Terminated(), 143),
    ],
)
def test_how_a_command_ends_is_its_exit_status(
    error: BaseException, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cli.cli, "main", fail)
    try:
        assert cli.run([]) == status
    finally:
        signal.signal(signal.SIGTERM, before)
    if status == 2:
        assert capsys.readouterr().err == "error: It is broken.\nMend it.\n"


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cli.cli, "main", fail)
    try:
        with pytest.raises(ZeroDivisionError):
            cli.run([])
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_name_that_is_too_long_is_two_sentences() -> None:
    for arguments in (["classify", "x.jpg", "-m"], ["evaluate"], ["plot"], ["train", "--preset", "quick-photos"]):
        done = resnets(*arguments, 300 * "x")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 2), done.stderr


def test_what_is_said_of_names_from_anywhere_does_not_reach_the_terminal(tmp_path: Path) -> None:
    done = resnets("evaluate", str(tmp_path / "\x1b[31mred"))
    assert done.returncode == 2
    assert "There is no folder" in done.stderr
    assert "\\x1b[31mred.\n" in done.stderr
    done = resnets("create", "resnet20-cifar", str(tmp_path / "\x1b[31m\udcff.onnx"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\x1b[31m\\udcff.onnx: resnet20-cifar, 10 classes" in done.stdout


@pytest.mark.parametrize("number", [0, 1])
def test_a_closed_stream_is_an_error_where_it_is_used(number: int) -> None:
    for used, arguments in enumerate((["classify", "-"], ["list"])):
        done = resnets(*arguments, preexec_fn=lambda: os.close(number))
        if used == number:
            words = f"error: Standard {('input', 'output')[number]} cannot be "
            assert (done.returncode, done.stderr[: len(words)], done.stderr.count("\n")) == (2, words, 2)
    assert not done.stdout if number == 1 else done.returncode == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_stdout_that_takes_no_more_is_an_error(unbuffered: str, tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as file:
        done = resnets(
            "list",
            stdout=file,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)),
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: Standard output cannot be written (File too large).\n")
    assert done.stderr.count("\n") == 2


def test_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert resnets("--version").stdout == f"resnets {version('resnets')}\n"
