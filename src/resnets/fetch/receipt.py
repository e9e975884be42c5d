"""A Receipt goes in, receipt.json comes out, and back: what was fetched from where, and what it was checked against."""

import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from resnets import files

NAME = "receipt.json"
FORMAT = 1
MOST = 1 << 20  # bytes of a receipt: one of 200 files has some 40,000


@dataclass(frozen=True)
class Kept:
    """A file that was checked: its path in the row's folder with / between, bytes, sha256, and when it was written."""

    path: str
    size: int
    sha256: str
    mtime_ns: int

    def stands(self, home: Path) -> bool:
        """Whether a file of that size and time is there still. Nothing is read."""
        try:
            found = (home / self.path).stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.mtime_ns)


@dataclass(frozen=True)
class Receipt:
    """`name` of the row; `url` it came from, empty for a file that was put there by hand; `date`, UTC.

    `file`, `size` and `sha256` are of the download; `checked`: what it was checked against, a phrase; `kept`: what lies
    in the row's folder; `model`: which of these is the model.
    """

    name: str
    url: str
    date: str
    file: str
    size: int
    sha256: str
    checked: str
    kept: tuple[Kept, ...]
    model: str


def kept(home: Path, path: str, sha256: str) -> Kept:
    """The file at `path` in a row's folder as it is now."""
    found = (home / path).stat()
    return Kept(path, found.st_size, sha256, found.st_mtime_ns)


def write(home: Path, receipt: Receipt) -> None:
    """Put it into the row's folder, whole or not at all. Raises ResNetsError where it cannot be written."""
    text = json.dumps({"format": FORMAT, **asdict(receipt)}, indent=1)
    files.write_whole(home / NAME, text.encode(), links=False)


def read(home: Path) -> Receipt | None:
    """The receipt in a row's folder; None where there is none, or none that can be understood."""
    try:
        with (home / NAME).open("rb") as file:
            text = file.read(MOST + 1)
        values = json.loads(text) if len(text) <= MOST else None
        return _receipt(values)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _receipt(values: Any) -> Receipt | None:
    if values["format"] != FORMAT:
        return None
    stored = tuple(Kept(**_typed(Kept, one)) for one in values["kept"])
    found = Receipt(**{**_typed(Receipt, values), "kept": stored})
    whole = all(_inside(one.path) and _digest(one.sha256) and one.size >= 0 for one in stored) and _digest(found.sha256)
    return found if whole and found.model in {one.path for one in stored} else None


def _typed(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """The fields of that kind, each of its type. Raises KeyError or TypeError otherwise."""
    found = {field.name: values[field.name] for field in fields(kind)}
    for field in fields(kind):
        wanted = field.type if field.type in (str, int) else list
        if type(found[field.name]) is not wanted:
            raise TypeError(field.name)
    return found


def _inside(path: str) -> bool:
    """Whether a path stays in the folder that it starts from."""
    return (
        path.isprintable()
        and bool(path)
        and not path.startswith("/")
        and not {"", ".", ".."} & set(re.split(r"[/\\]", path))
    )


def _digest(text: str) -> bool:
    return re.fullmatch("[0-9a-f]{64}", text) is not None
