"""A row of the table goes in; where its files lie on this machine, and in what state, comes out.

FOLDER/NAME holds one row: the download under its publisher's name or what was unpacked from it, `receipt.json` once it
has been checked, and while it is on its way `.FILE.part`. A file without a receipt has been put there by hand, or by a
process that was killed in time: it is checked before it is used.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from resnets.published.row import Published
from resnets.published.table import PUBLISHED


def folder() -> Path:
    """Where downloads are kept: RESNETS_CACHE, or the user's folder for caches on this system."""
    given = os.environ.get("RESNETS_CACHE")
    if given:
        return Path(given).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("resnets")


def home(row: Published) -> Path:
    """The folder of one row."""
    return folder() / row.name


def place(row: Published) -> Path:
    """Where its download lies once it is whole, and where a file that was fetched by hand is to be put."""
    return home(row) / row.file


def row_of(path: Path) -> Published | None:
    """The row whose file that path is; None for a path outside the cache."""
    try:
        parts = path.absolute().relative_to(folder().absolute()).parts
    except ValueError:
        return None
    return PUBLISHED.get(parts[0]) if len(parts) > 1 else None


@dataclass(frozen=True)
class State:
    """`kind`: absent, partial, unchecked (put there by hand) or cached. `bytes` on the disk. `model` once cached."""

    kind: str
    bytes: int = 0
    model: Path | None = None


def state(row: Published) -> State:
    """What of a row is there."""
    if place(row).is_file():
        return State("cached", place(row).stat().st_size, place(row))
    return State("absent")
