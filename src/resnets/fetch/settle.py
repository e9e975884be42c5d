"""A file that has arrived goes in; its model under its final name, with a receipt, comes out, or why it is refused."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from resnets import files
from resnets.errors import ResNetsError
from resnets.fetch import cache, sources, unpack, verify
from resnets.fetch import receipt as receipts
from resnets.fetch.receipt import Kept, Receipt
from resnets.published.row import Published


class RejectedError(Exception):
    """The file is not the row's: a clause that says in what. `pin`: the sha256 of an earlier one speaks against it."""

    def __init__(self, why: str, pin: bool = False) -> None:
        super().__init__(why)
        self.pin = pin


# A row, the path of a file and what it will be called: why that is no model of the row's network, a clause; or empty.
Look = Callable[[Published, Path, Path], str]


@dataclass(frozen=True)
class Arrived:
    """A file to be judged: where it lies, where it came from (empty: put there by hand), bytes, digests.

    `checksum`: the text with its MD5, None where that could not be had, and then why in `missing`.
    """

    path: Path
    url: str
    size: int
    digests: dict[str, str]
    checksum: str | None = None
    missing: str = ""


def judged(row: Published, arrived: Arrived) -> str:
    """What a file was checked against, a phrase. Raises RejectedError where it is not the row's."""
    wrong = verify.mismatches(row, arrived.digests, arrived.size)
    md5 = None
    try:
        md5 = verify.md5_told(arrived.checksum or "", row.file)
        if md5 is not None and arrived.digests["md5"] != md5:
            wrong.append(f"{verify.differs('md5', arrived.digests['md5'], md5)} ({sources.checksum_file(row)})")
    except verify.UnclearError as error:
        wrong.append(f"of {sources.checksum_file(row)} {error}")
    if wrong:
        raise RejectedError(" and ".join(wrong))
    pinned = None if row.digests else cache.recorded(row)
    if pinned is not None and pinned.sha256 != arrived.digests["sha256"]:
        differs = verify.differs("sha256", arrived.digests["sha256"], pinned.sha256)
        raise RejectedError(f"{differs}, which was pinned by {pinned.date[:10]}", pin=True)
    note = ""
    if row.checksum_url and md5 is None:
        why = "tells no MD5 of it" if arrived.checksum is not None else f"could not be had ({arrived.missing})"
        note = f"; {sources.checksum_file(row)} {why}"
    return ("the sha256 that was pinned" if pinned and md5 is None else verify.checked(row, md5)) + note


def settle(row: Published, arrived: Arrived, say: Callable[[str], None], look: Look | None = None) -> Path:
    """Judge a file, give it its final name and a receipt; the path of its model. To be called under the row's lock.

    `look` is asked where no digest can tell what file it is. Raises RejectedError where it is not the row's, which
    leaves what was there, and OSError or ResNetsError of the disk.
    """
    checked = judged(row, arrived)
    home = cache.home(row)
    _sweep(home)
    if row.member is None:
        _looked_at(row, arrived.path, cache.place(row), look)
        kept = _named(row, arrived)
        model = row.file
    else:
        kept, model = _unpacked(row, row.member, arrived, look)
    if arrived.checksum is not None and verify.md5_told(arrived.checksum, row.file):
        kept += _text(home / sources.checksum_file(row), arrived)
    made = Receipt(
        row.name,
        sources.shown(arrived.url),
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        row.file,
        arrived.size,
        arrived.digests["sha256"],
        checked,
        kept,
        model,
    )
    if row.member is None:
        _record(home, made, say)
    else:
        receipts.write(home, made)  # nothing else tells what the files of an archive must be, which now goes
        arrived.path.unlink()
    return home / model


def _outdated(row: Published, arrived: Arrived) -> None:
    """Remove the receipt of files that are about to be replaced by others."""
    old = cache.recorded(row)
    if old is not None and old.sha256 != arrived.digests["sha256"]:
        (cache.home(row) / receipts.NAME).unlink()


def _named(row: Published, arrived: Arrived) -> tuple[Kept, ...]:
    """The file under its final name, outlasting a power cut."""
    place = cache.place(row)
    if arrived.path != place:
        _flush(arrived.path)
        os.replace(arrived.path, place)
        files.sync_folder(place.parent)
    return (receipts.kept(place.parent, row.file, arrived.digests["sha256"]),)


def _looked_at(row: Published, path: Path, called: Path, look: Look | None) -> None:
    """Raises RejectedError where a file that no digest vouches for is no model, or has another network than its row."""
    why = look(row, path, called) if look and not row.digests else ""
    if why:
        raise RejectedError(why)


def _unpacked(row: Published, suffix: str, arrived: Arrived, look: Look | None) -> tuple[tuple[Kept, ...], str]:
    """The files of an archive in a folder called as it is, and which of them is the model."""
    home = cache.home(row)
    place = cache.unpacked(row)
    fresh = home / f"{_FRESH}{os.urandom(4).hex()}"
    fresh.mkdir()
    try:
        model = unpack.unpack(arrived.path, fresh, suffix)
        wrong = verify.mismatches(row, verify.digests(model, verify.algorithms(row, member=True)), member=True)
        if wrong:
            raise RejectedError(f"of {model.name} inside it: {' and '.join(wrong)}")
        _looked_at(row, model, model, look)
        files_inside = sorted(path for path in fresh.rglob("*") if path.is_file())
        for path in files_inside:
            _flush(path)
        for folder in {path.parent for path in files_inside}:
            files.sync_folder(folder)
        _outdated(row, arrived)
        if place.is_dir():
            place.rename(home / f"{_OLD}{os.urandom(4).hex()}")
        fresh.rename(place)
        files.sync_folder(home)
    except unpack.UnpackError as error:
        raise RejectedError(str(error)) from error
    finally:
        _sweep(home)
    found = [(place / path.relative_to(fresh)).relative_to(home).as_posix() for path in files_inside]
    kept = tuple(receipts.kept(home, path, verify.digests(home / path)["sha256"]) for path in found)
    return kept, (place / model.relative_to(fresh)).relative_to(home).as_posix()


_FRESH, _OLD = ".unpack.", ".old."  # folders of one process, which holds the row's lock while they are there


def _sweep(home: Path) -> None:
    """Remove what killed processes left of unpacking."""
    for path in home.iterdir():
        if path.name.startswith((_FRESH, _OLD)):
            with suppress(OSError):
                files.discard(path)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _text(place: Path, arrived: Arrived) -> tuple[Kept, ...]:
    """The text with the MD5 beside its file; one that was put there by hand stays as it is."""
    if arrived.url or not place.is_file():
        files.write_whole(place, (arrived.checksum or "").encode(), links=False)
    return (receipts.kept(place.parent, place.name, verify.digests(place)["sha256"]),)


def renewed(row: Published, say: Callable[[str], None]) -> Path:
    """The model of files that changed in size or time since they were checked, if they are still the same.

    Raises ResNetsError where they are not.
    """
    found = cache.recorded(row)
    assert found is not None
    home = cache.home(row)
    changed = cache.check(row)
    if changed:
        raise ResNetsError(
            f"{home} was changed since it was checked on {found.date[:10]}: {'; '.join(changed)}.",
            f"`resnets fetch {row.name} --again` downloads it once more.",
        )
    _record(home, replace(found, kept=tuple(receipts.kept(home, one.path, one.sha256) for one in found.kept)), say)
    return home / found.model


def _record(home: Path, receipt: Receipt, say: Callable[[str], None]) -> None:
    """Write a receipt where that is possible: without it the file is checked again each time it is used."""
    try:
        receipts.write(home, receipt)
    except ResNetsError as error:
        say(f"{receipt.name}: {error.problem} It is checked again when it is used next.")
