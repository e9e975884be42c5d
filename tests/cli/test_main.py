"""The command line as a whole: its help, its exit statuses, what it says to a wrong word."""

import signal
import subprocess
import sys

import click
import pytest

from resnets.cli import main as cli
from resnets.errors import ResNetsError

MAIN = "from resnets.cli.main import main; main()"


def resnets(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", MAIN, *arguments], capture_output=True, text=True, timeout=120)


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


def test_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert resnets("--version").stdout == f"resnets {version('resnets')}\n"
