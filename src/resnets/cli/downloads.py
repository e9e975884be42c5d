"""Published weights go in; what is told and asked before they are downloaded, and copies of their files, come out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resnets.errors import ResNetsError, plain

if TYPE_CHECKING:
    from resnets.published.row import Published

MUCH = 5_000_000_000  # bytes that a pattern brings only after a question


def announcement(rows: Sequence[Published], coming: Sequence[Published]) -> str:
    """What is about to be downloaded of the rows, line by line, and how much that is."""
    from resnets.listing import megabytes, standing, table

    cells = [(row.name, megabytes(row.size) if row.size else "-", standing(row)) for row in rows]
    lines = table(("weights", "MB", "here"), cells, {0, 2})
    if not coming:
        return f"{lines}\nall are in the cache"
    return f"{lines}\n{len(coming)} of {len(rows)} to download: {_size(coming)}"


def coming(rows: Sequence[Published], again: bool) -> list[Published]:
    """Those of the rows that are not in the cache, or all of them where they are to be fetched again."""
    from resnets.fetch import cache

    return [row for row in rows if again or cache.state(row).kind != "cached"]


def _size(rows: Sequence[Published]) -> str:
    from resnets.listing import megabytes

    known = sum(row.size or 0 for row in rows)
    unknown = sum(row.size is None for row in rows)
    parts = [f"{megabytes(known)} MB"] * bool(known) + [f"{unknown} of a size that is not stated"] * bool(unknown)
    return " and ".join(parts)


def agreed(rows: Sequence[Published]) -> bool:
    """Whether a user at a terminal wants that much; without asking where it is little, or where nobody is there."""
    if not rows or (all(row.size for row in rows) and sum(row.size or 0 for row in rows) <= MUCH):
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    files = "1 file" if len(rows) == 1 else f"{len(rows)} files"
    return click.confirm(f"Download {files} ({_size(rows)})?", err=True)


@contextmanager
def resumable(name: str | None) -> Iterator[None]:
    """Where the download of weights of that name is interrupted, say that what has come of it is kept."""
    try:
        yield
    except Exception:
        raise
    except BaseException:
        if name is not None:
            _tell_kept(name)
        raise


def _tell_kept(name: str) -> None:
    from resnets.fetch import cache
    from resnets.published.table import find

    row = find(name)
    if row is not None and cache.state(row).kind == "partial":
        click.echo(f"what has come of {row.name} is kept: the same command goes on from there", err=True)


def target(folder: Path) -> Path:
    """A folder for copies, made where it is missing. Raises ResNetsError, before any work, where it takes none."""
    from resnets.files import unwritable

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ResNetsError(f"{folder} cannot be written.", "Choose another place, or mend its permissions.")
    return folder


def copied(model: Path, folder: Path) -> Path:
    """The model's file, and those that hold some of its arrays, under the same names in a folder; the model's path.

    Links to the same bytes where the disk has such, whole copies elsewhere. Raises ResNetsError where another file of
    that name is there.
    """
    for path in (model, *_beside(model)):
        _copy(path, folder / path.name)
    return folder / model.name


def _beside(model: Path) -> list[Path]:
    if model.suffix != ".onnx":
        return []
    from resnets.weights import files

    with files.opened(model) as source:
        return files.beside(source)


def _copy(path: Path, place: Path) -> None:
    import filecmp
    import shutil

    from resnets.files import whole

    if os.path.lexists(place):
        if place.is_file() and filecmp.cmp(path, place, shallow=False):
            return
        raise ResNetsError(
            f"{plain(str(place))} is there already, and is not the same file.",
            "Name another folder, or move it away: what was fetched is in the cache.",
        )
    try:
        os.link(os.path.realpath(path), place)  # the Hub's are links to files of other names
    except OSError:  # another disk, or one without links
        with path.open("rb") as file, whole(place) as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
