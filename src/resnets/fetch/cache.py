"""A row of the table goes in; where its files lie on this machine, and in what state, comes out.

FOLDER/NAME holds one row: the download under its publisher's name or what was unpacked from it, `receipt.json` once it
has been checked, and while it is on its way `.FILE.part`. A file without a receipt has been put there by hand, or by a
process that was killed in time: it is checked before it is used.
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from resnets import files
from resnets.errors import ResNetsError, plain, some
from resnets.fetch import receipt as receipts
from resnets.fetch import verify
from resnets.fetch.announce import say
from resnets.fetch.partial import state_file
from resnets.fetch.receipt import Kept, Receipt
from resnets.published.row import Published
from resnets.published.table import PUBLISHED

LOCK = ".lock"


def folder() -> Path:
    """Where downloads are kept: RESNETS_CACHE, or the user's folder for caches on this system.

    Raises ResNetsError where it lies in a user's folder and that cannot be told.
    """
    given = os.environ.get("RESNETS_CACHE")
    if given:
        found = os.path.expanduser(given)
    else:
        from platformdirs import user_cache_dir

        try:
            found = user_cache_dir("resnets")
        except RuntimeError:  # as newer versions of it say that there is no HOME; older ones leave the ~
            found = "~"
    if found.startswith("~"):
        raise ResNetsError(
            f"The folder for downloads cannot be told: there is no folder of a user for {plain(given or '~')}.",
            "Name another one in RESNETS_CACHE, or set HOME.",
        )
    return Path(found)


def home(row: Published) -> Path:
    """The folder of one row."""
    return folder() / row.name


def place(row: Published) -> Path:
    """Where its download lies once it is whole, and where a file that was fetched by hand is to be put."""
    return home(row) / row.file


def part(row: Published) -> Path:
    """What has arrived of its download; what is known of it lies beside, with .json at its end."""
    return home(row) / f".{row.file}.part"


def row_of(path: Path) -> Published | None:
    """The row whose file that path is, through links as well; None for a path outside the cache."""
    found = _inside(path)
    return found and found[0]


def verified(path: Path) -> tuple[Published, Receipt, Kept] | None:
    """The row, the receipt and the entry of it whose file that path is, if its size and time are still as in it.

    None for every other path, for a file without a receipt, and for one that was changed. Nothing is read of the file.
    """
    found = _inside(path)
    if found is None:
        return None
    row, name = found
    receipt = recorded(row)
    entry = next((one for one in receipt.kept if one.path == name), None) if receipt else None
    return (row, receipt, entry) if receipt and entry and entry.stands(home(row)) else None


def _inside(path: Path) -> tuple[Published, str] | None:
    """The row in whose folder a path is, and what it is called there with / between; None where that cannot be told."""
    try:
        where = folder()
        # A link from elsewhere leads to its file; one in the cache that leads out of it keeps its name there.
        for there, top in ((os.path.realpath(path), os.path.realpath(where)), (path.absolute(), where.absolute())):
            if Path(there).is_relative_to(top) and ".." not in (parts := Path(there).relative_to(top).parts):
                row = PUBLISHED.get(parts[0]) if len(parts) > 1 else None
                if row is not None:
                    return row, "/".join(parts[1:])
    except (OSError, ValueError, ResNetsError):  # no such user, a working folder that is gone
        return None
    return None


def recorded(row: Published) -> Receipt | None:
    """The receipt of a row; None where there is none, none that can be read, or one of another file than the row's."""
    found = receipts.read(home(row))
    if found is None or (found.name, found.file) != (row.name, row.file) or row.size not in (None, found.size):
        return None
    model = next(one for one in found.kept if one.path == found.model)
    if row.member is None and (model.path, model.size, model.sha256) != (row.file, found.size, found.sha256):
        return None
    told = {False: found.sha256, True: model.sha256}
    for digest in row.digests:
        if digest.algorithm == "sha256" and not told[digest.member].startswith(digest.value):
            return None
    return found


@dataclass(frozen=True)
class State:
    """`kind`: absent, partial, unchecked or cached. `bytes` of it on the disk. `model`: its file, once cached.

    Unchecked is what was put there by hand, and what was changed since it was checked.
    """

    kind: str
    bytes: int = 0
    model: Path | None = None


def state(row: Published) -> State:
    """What of a row is there, told from receipt, sizes and times alone: no model is read."""
    found = recorded(row)
    if found is not None and all(os.path.isfile(home(row) / one.path) for one in found.kept):
        size = sum(_size(home(row) / one.path) for one in found.kept)
        if all(one.stands(home(row)) for one in found.kept):
            return State("cached", size, home(row) / found.model)
        return State("unchecked", size)
    if os.path.isfile(place(row)):
        return State("unchecked", _size(place(row)))
    if os.path.isfile(part(row)) and _size(part(row)):
        return State("partial", _size(part(row)))
    return State("absent")


def check(row: Published) -> list[str]:
    """Read every file of a row again: what contradicts its receipt, or the table; a clause each.

    An empty list says that nothing contradicts, which is little unless it is `comparable`; nothing is written. Raises
    ResNetsError where nothing of it is there to be checked, or where it cannot be read.
    """
    found = recorded(row)
    try:
        if found is not None and not anew(row, found):
            return [clause for one in found.kept for clause in _changed(row, one, one.path == found.model)]
        if os.path.isfile(place(row)):
            digests = verify.digests(place(row), verify.algorithms(row))
            wrong = verify.mismatches(row, digests, place(row).stat().st_size)
            if found is not None and not row.digests and digests["sha256"] != found.sha256:
                wrong.append(f"{verify.differs('sha256', digests['sha256'], found.sha256)} (its receipt)")
            wrong += _beside(row, digests)
            return [f"{row.file}: {clause}" for clause in wrong]
    except OSError as error:
        raise ResNetsError(
            f"{home(row)} cannot be read ({error.strerror or error}).",
            "Mend its permissions, or clear it and fetch again.",
        ) from error
    raise ResNetsError(f"{row.name} is not in the cache.", f"`resnets fetch {row.name}` downloads it.")


def comparable(row: Published) -> bool:
    """Whether a receipt, a digest of the download or the MD5 beside it tells what `check` should find."""
    found = recorded(row)
    if found is not None and not (row.digests and anew(row, found)):
        return True
    return any(not digest.member for digest in row.digests) or _md5(row) is not None


def _beside(row: Published, digests: dict[str, str]) -> list[str]:
    """What the checksum text beside a download says against it."""
    try:
        md5 = _md5(row)
    except verify.UnclearError as error:
        return [f"of {_checksum(row)} {error}"]
    if md5 is None or md5 == digests["md5"]:
        return []
    return [f"{verify.differs('md5', digests['md5'], md5)} ({_checksum(row)})"]


def _md5(row: Published) -> str | None:
    """The MD5 in the text that lies beside a download; None where there is none. Raises UnclearError."""
    text = home(row) / _checksum(row)
    if not os.path.isfile(text):
        return None
    with suppress(OSError), text.open("rb") as file:
        return verify.md5_told(file.read(4096).decode("utf-8", "replace"), row.file)
    return None


def _checksum(row: Published) -> str:
    return (row.checksum_url or "").rpartition("/")[2]


def anew(row: Published, receipt: Receipt) -> bool:
    """Whether the download was put there by hand, in the place of files that are gone, to be checked as if new."""
    if all(one.stands(home(row)) for one in receipt.kept):
        return False
    gone = not all(os.path.isfile(home(row) / one.path) for one in receipt.kept)
    return (gone or row.member is not None) and os.path.isfile(place(row))


def _changed(row: Published, one: Kept, model: bool) -> list[str]:
    """What of a kept file contradicts its receipt, or if it is the `model`, the table."""
    path, member = home(row) / one.path, row.member is not None
    if not os.path.isfile(path):
        return [f"{one.path} is missing"]
    found = verify.digests(path, verify.algorithms(row, member=member))
    if found["sha256"] != one.sha256:
        return [f"{one.path}: {verify.differs('sha256', found['sha256'], one.sha256)}"]
    size = None if member else path.stat().st_size
    wrong = verify.mismatches(row, found, size, member=member) if model else []
    return [f"{one.path}: {clause}" for clause in wrong]


def remove(row: Published, *, partial: bool = False) -> int:
    """Remove what was downloaded of a row, or its `partial` download alone; how many bytes that was.

    No link is followed, and what else lies in its folder is left there, which a line on stderr says. Raises
    ResNetsError while another process downloads it, where its folder is a link, and where it cannot be removed.
    """
    where = home(row)
    if not os.path.lexists(where):
        return 0
    if os.path.islink(where):
        raise ResNetsError(
            f"{where} is a link, and what it leads to is left alone.", "Remove the link, or what it leads to, yourself."
        )
    try:
        with files.alone(where / LOCK, str(where)):
            found = [path for path in _arrived(row) if os.path.lexists(path)] if partial else _ours(row)
            size = sum(map(weight, found))
            for path in found:
                files.discard(path)
            others = sorted(path.name for path in where.iterdir() if path.name != LOCK)
            if not (others and partial):
                size += _size(where / LOCK)
                (where / LOCK).unlink()
        if others and not partial:
            say(f"{where}: {some(others)} left alone: not what was downloaded of {row.name}")
        with suppress(OSError):  # files of other kinds are left, or another process has begun to fetch it anew
            where.rmdir()
    except OSError as error:
        raise ResNetsError(
            f"{where} cannot be removed ({error.strerror or error}).", "Mend its permissions, or remove it yourself."
        ) from error
    return size


def unpacked(row: Published) -> Path:
    """The folder with the files of an archive."""
    return home(row) / row.file.removesuffix(".gz").rpartition(".")[0]


def _arrived(row: Published) -> tuple[Path, Path]:
    return part(row), state_file(part(row))


def _ours(row: Published) -> list[Path]:
    """What this package has put into a row's folder or looks for there, its lock left out; folders with all in them."""
    where, receipt = home(row), receipts.read(home(row))
    known = {row.file, receipts.NAME, *(path.name for path in _arrived(row))} | ({_checksum(row)} - {""})
    known |= {unpacked(row).name} if row.member else set()
    temporary = re.compile(rf"\.({'|'.join(map(re.escape, known))})\.[0-9a-f]{{8}}\.part|\.(unpack|old)\.[0-9a-f]{{8}}")
    found = [path for path in where.iterdir() if path.name in known or temporary.fullmatch(path.name)]
    listed = [where / one.path for one in receipt.kept] if receipt else []
    real = os.path.realpath(where)
    # Of a folder that the receipt of an earlier version lists, the files alone, where no link leads to them.
    return found + [
        path
        for path in listed
        if path.relative_to(where).parts[0] not in known
        and os.path.realpath(path.parent) == os.path.join(real, *path.relative_to(where).parts[:-1])
        and os.path.isfile(path)
    ]


def weight(path: Path) -> int:
    """The bytes of a file, or of all files below a folder; of those that can be seen."""
    if os.path.islink(path) or not os.path.isdir(path):
        return _size(path)
    return sum(_size(Path(where) / name) for where, _, names in os.walk(path) for name in names)


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size if path.is_symlink() else path.stat().st_size
    except OSError:
        return 0
