"""argv goes in; one verb's room is opened, its lines are printed, an exit status comes out."""

import errno
import importlib
import io
import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

import click

from resnets.errors import ResNetsError, did_you_mean, plain

# verb → (module, one line of help). A module is imported when its verb is used, never to list it.
VERBS: dict[str, tuple[str, str]] = {
    "classify": ("resnets.cli.predict", "Name what images show."),
    "evaluate": ("resnets.cli.predict", "Measure the error of a model on labelled images."),
    "train": ("resnets.cli.train", "Train a network from scratch on folders of images."),
    "create": ("resnets.cli.models", "Write a freshly initialised model."),
    "convert": ("resnets.cli.models", "Move a model from one format to another, and prove it."),
    "list": ("resnets.cli.weights", "List architectures and published weights."),
    "fetch": ("resnets.cli.weights", "Download published weights, resumed and checked, into the cache."),
    "cache": ("resnets.cli.cache", "List what has been downloaded, check it again, or remove it."),
    "show": ("resnets.cli.models", "Show what a model file holds, or what a name stands for."),
    "card": ("resnets.cli.models", "Change a model's labels, recipe or temperature in a copy."),
    "plot": ("resnets.cli.train", "Draw the convergence chart of one or several runs."),
}
ALIASES = {"predict": "classify", "val": "evaluate", "export": "convert"}


class Verbs(click.Group):
    """A click group that knows its verbs from the table above and imports none of them to print its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        verb = ALIASES.get(name, name)
        if verb not in VERBS:
            return None
        command = getattr(importlib.import_module(VERBS[verb][0]), f"{verb}_command")
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS and args[0] not in ALIASES and not args[0].startswith("-"):
            hint = did_you_mean(args[0], [*VERBS, *ALIASES], "Run `resnets --help` for the verbs.")
            raise ResNetsError(f"There is no verb {args[0]!r}.", hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])
        with formatter.section("Also known as"):
            formatter.write_dl(list(ALIASES.items()))


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"resnets {version('resnets')}")
        ctx.exit()


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Print the version."
)
def cli() -> None:
    """Train, measure, convert and use residual networks for image classification.

    \b
    resnets classify photo.jpg         # the bundled model, offline, without torch
    resnets classify photo.jpg -m resnet50.tv2   # published weights, fetched once
    resnets train DATA --preset quick-photos     # DATA/train/LABEL/, DATA/val/LABEL/
    """


class _Terminated(BaseException):
    """SIGTERM arrived: unwinds like Ctrl-C does, so that temporary files go."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def run(arguments: list[str] | None = None) -> int:
    """Run one command line and return its exit status: 0 done, 1 something failed, 2 nothing was done."""
    signal.signal(signal.SIGTERM, _terminate)
    _open_streams()
    try:
        result: Any = cli.main(arguments, prog_name="resnets", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except ResNetsError as error:
        click.echo(f"error: {plain(error.problem)}\n{plain(error.remedy)}", err=True)
        return error.status
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return 130
    except _Terminated:
        return 143
    except (BrokenPipeError, SystemExit):
        # The reader of our output has gone (`| head`): nothing is wrong. Click exits by itself for this one reason.
        _forget_output()
        return 0
    except OSError as error:
        problem = _of_the_system(error)
        if problem is None:
            raise
        click.echo(f"error: {plain(problem.problem)}\n{plain(problem.remedy)}", err=True)
        return problem.status


def _open_streams() -> None:
    """Put something in the place of streams that are closed, so that no file takes their number and their bytes.

    What is written to stderr is lost; to use the others is an error, as it is for other programs. An unbuffered stdout
    (PYTHONUNBUFFERED) gets its buffer back: without one, Python says nothing where the system takes half of the bytes.
    """
    for name, flags, mode in (("stdin", os.O_WRONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.open(os.devnull, flags), mode))  # noqa: SIM115
    out = sys.stdout
    if isinstance(getattr(out, "buffer", None), io.RawIOBase):
        sys.stdout = open(out.fileno(), "w", encoding=out.encoding, errors=out.errors, closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that is no UTF-8 must not end a command


def _forget_output() -> None:
    """Send what is still to be written to stdout nowhere: it would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _of_the_system(error: OSError) -> ResNetsError | None:
    """What a user can mend of the system's errors: a name that is too long, and stdout that takes no more."""
    if error.errno == errno.ENAMETOOLONG:
        return ResNetsError(f"The name {error.filename} is too long for this system.", "Give a shorter one.")
    if error.filename is None and error.errno in (errno.EBADF, errno.EFBIG, errno.ENOSPC, errno.EDQUOT, errno.EIO):
        _forget_output()
        return ResNetsError(
            f"Standard output cannot be written ({error.strerror}).", "Send it elsewhere, or free some space there."
        )
    return None


def main() -> None:
    """The `resnets` command. Leaves without taking the interpreter apart: all files are whole or temporary by now.

    No thread inside a library meets its end so, and a cold classify is a tenth faster.
    """
    status = run()
    with suppress(OSError):  # told already, or no longer of interest
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)
