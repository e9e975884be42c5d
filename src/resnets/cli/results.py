"""A verb's result goes in; text for people, or JSON where `--json` says, comes out."""

import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from resnets.errors import ResNetsError, plain


def _placed(_: click.Context, __: click.Parameter, target: str | None) -> str | None:
    """Refuse a place that cannot be written before the work is done, not after it."""
    if target is not None and target != "-":
        from resnets.files import place

        place(Path(target))
    return target


def apart(written: str | None, *read: object) -> None:
    """Raises ResNetsError where a result would be written over a file that the command reads, or writes too."""
    if written is None or written == "-":
        return
    for path in (str(name) for name in read if name is not None):
        if os.path.realpath(path) == os.path.realpath(written) or (
            os.path.exists(path) and os.path.exists(written) and os.path.samefile(path, written)
        ):
            raise ResNetsError(f"The result would be written over {path}.", "Give it another name.")


# card.RECIPES, which is not imported to print a help text.
RECIPES = "resnets, torchvision, fb, zoo-readme, zoo-notebook, caffe2, gluoncv, timm or cifar"

JSON = click.option(
    "--json", "json_to", metavar="FILE", callback=_placed, help="Write the result as JSON; - is stdout, without text."
)


def told(error: ResNetsError) -> dict[str, str]:
    """An error that does not end the command, told on stderr; the fields that --json has for it."""
    click.echo(f"error: {plain(error.problem)}\n{plain(error.remedy)}", err=True)
    return {"error": error.problem, "remedy": error.remedy}


def terminal_width() -> int | None:
    """The columns of the terminal that stdout is; None for a pipe or a file, where lines stay whole."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _finite(value: Any) -> Any:
    """The value with null for what JSON has no number for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def show(value: Any, text: str, json_to: str | None) -> None:
    """`text` on stdout, or in its place the value as JSON; with a file's name both."""
    # File names are bytes of any kind: what is not UTF-8 in them is written as an escape.
    data = (json.dumps(_finite(value), allow_nan=False, ensure_ascii=False, indent=2) + "\n").encode(
        "utf-8", "backslashreplace"
    )
    if json_to == "-":
        sys.stdout.buffer.write(data)
        return
    if json_to is not None:
        from resnets.files import write_whole

        write_whole(Path(json_to), data)
    if text:
        click.echo(text.encode("utf-8", "surrogateescape"))  # names of files keep their bytes
