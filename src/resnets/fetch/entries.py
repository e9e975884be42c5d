"""The folder of the cache goes in; what lies in it comes out, folder by folder, with the row that each is of."""

import os
from dataclasses import dataclass
from pathlib import Path

from resnets.errors import ResNetsError
from resnets.fetch import cache
from resnets.fetch.cache import State
from resnets.published.row import Published
from resnets.published.table import PUBLISHED


@dataclass(frozen=True)
class Entry:
    """A folder of the cache: all that lies in it in `bytes`, and its row and state; None where no row has that name."""

    name: str
    path: Path
    bytes: int
    row: Published | None = None
    state: State | None = None


def entries() -> list[Entry]:
    """Every folder of the cache by name, a row's lock by itself left out; none where there is no such folder.

    Those that no row knows are named, and nothing here touches them. Raises ResNetsError where it cannot be read.
    """
    folder = cache.folder()
    try:
        with os.scandir(folder) as found:
            # A link may lead to where nobody may look: os.path tells that it is no folder, the entry would raise.
            names = sorted(one.name for one in found if one.is_dir(follow_symlinks=False) or os.path.isdir(one))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ResNetsError(
            f"{folder} cannot be read ({error.strerror or error}).",
            "Mend its permissions, or name another folder in RESNETS_CACHE.",
        ) from error
    named = [(folder / name, PUBLISHED.get(name)) for name in names]
    rows = [(path, row) for path, row in named if row is None or _holds(path)]
    return [Entry(path.name, path, cache.weight(path), row, cache.state(row) if row else None) for path, row in rows]


def _holds(home: Path) -> bool:
    """Whether a row's folder holds more than the lock that a failed download leaves."""
    try:
        return any(name != cache.LOCK for name in os.listdir(home))
    except OSError:
        return True
