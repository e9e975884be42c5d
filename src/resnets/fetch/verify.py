"""A file's digests and the row that it should be go in; what contradicts, and what it was checked against, come out."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from resnets.published.row import Digest, Published

CHUNK = 1 << 20
PINNED = "no digest is known, so its sha256 is pinned"


def digests(path: Path, algorithms: Iterable[str] = ("sha256",)) -> dict[str, str]:
    """The digests of a file by algorithm, in lower-case hexadecimal. Raises OSError."""
    running = {name: hashlib.new(name, usedforsecurity=False) for name in {"sha256", *algorithms}}
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            for one in running.values():
                one.update(chunk)
    return {name: one.hexdigest() for name, one in running.items()}


def algorithms(row: Published, member: bool = False) -> tuple[str, ...]:
    """Those that are to be computed of a row's download, or of the model inside it."""
    beside = {"md5"} if row.checksum_url and not member else set()
    return tuple(sorted({"sha256", *beside, *(digest.algorithm for digest in row.digests if digest.member == member)}))


def mismatches(row: Published, found: dict[str, str], size: int | None = None, member: bool = False) -> list[str]:
    """What of a file contradicts its row, a clause each: its size where that is given, and every digest."""
    wrong = []
    if size is not None and row.size is not None and size != row.size:
        wrong.append(f"it has {size:,} bytes where {row.size:,} are expected")
    return wrong + [
        f"{differs(digest.algorithm, found[digest.algorithm], digest.value)} ({digest.source})"
        for digest in row.digests
        if digest.member == member and not found[digest.algorithm].startswith(digest.value)
    ]


def differs(algorithm: str, found: str, expected: str) -> str:
    """The clause for a digest that is not the expected one, which may be its first digits alone."""
    begins = "begins with" if len(expected) < len(found) else "is"
    return f"its {algorithm} is {found}, but the expected one {begins} {expected}"


class UnclearError(Exception):
    """A text holds MD5s of which none can be told to be of the file: a clause."""


def md5_told(text: str, file: str) -> str | None:
    """The MD5 that a checksum file tells of `file`, in lower case; None where no MD5 stands in it.

    It counts where it shares a line with the file's name, or where it is the only one and no other file is named.
    Raises UnclearError otherwise: nothing may pass unchecked for the way in which its MD5 is written.
    """
    named: set[str] = set()  # MD5s that share a line with the file's name
    found: set[str] = set()
    other = False
    for line in text.splitlines():
        there = {str(value).lower() for value in _MD5.findall(line)}
        words = _MD5.sub(" ", line)
        ours = re.search(rf"(?<![\w.-]){re.escape(file)}(?![\w-]|\.\w)", words) is not None
        named |= there if ours else set()
        found |= there
        other |= not ours and (
            _FILE.search(words) is not None or (bool(there) and _named(line) not in ("", "-", "stdin"))
        )
    if len(named) == 1:
        return named.pop()
    if not named and len(found) == 1 and not other:
        return found.pop()
    if found:
        raise UnclearError(f"it cannot be told which MD5 of {len(found)} in it is that of {file}")
    return None


_MD5 = re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{32}(?![0-9A-Za-z])")
_FILE = re.compile(r"\w\.[A-Za-z]\w*|[/\\]")  # a name with a suffix, or a path


def _named(line: str) -> str:
    """What a line of `md5sum`, HEX  name, or of BSD's `md5`, MD5 (name) = HEX, is about; empty for other lines."""
    found = re.search(rf"^\W*{_MD5.pattern}\s+\*?(.+)$|\bMD5 ?\((.*)\) ?= ?", line.strip())
    return (found[1] or found[2] or "").strip() if found else ""


def checked(row: Published, md5: str | None) -> str:
    """What a file without mismatches was checked against, a phrase."""
    said = [_said(digest) for digest in row.digests]
    if md5 is not None:
        said.append("the MD5 beside the file")
    if said:
        return "; ".join(said)
    return f"its size alone: {PINNED}" if row.size is not None else f"nothing: {PINNED}"


def _said(digest: Digest) -> str:
    first = "" if len(digest.value) == digest.whole else f"the first {len(digest.value)} digits of "
    inside = " of the model inside" if digest.member else ""
    return f"{first}the {digest.algorithm}{inside} ({digest.source})"
