"""Files that appear whole or not at all: written under a temporary name, flushed to the disk, renamed."""

import errno
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from resnets.errors import ResNetsError

POLL = 0.1  # seconds between two looks at a lock that another process holds


def place(path: Path) -> Path:
    """Where a file of that name is to be written: the end of its links. To be asked before hours of work, too.

    Raises ResNetsError where its folder is missing, and where something stands there that is no file: a rename would
    put a file in the place of a device or a pipe.
    """
    place = Path(os.path.realpath(path))
    if not place.parent.is_dir():
        raise ResNetsError(f"The folder {path.parent} does not exist.", f"Make it first: mkdir -p {path.parent}")
    try:
        mode = os.stat(place).st_mode
    except FileNotFoundError:
        return place
    except OSError as error:
        raise unwritable(path, error) from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
        raise ResNetsError(f"{path} is {kind}, not a file.", "Give the name of a file; standard output is called -.")
    return place


def write_whole(path: Path, data: bytes, *, links: bool = True) -> None:
    """Write a file whole or not at all. Raises ResNetsError as `whole` does."""
    with whole(path, links=links) as file:
        file.write(data)


@contextmanager
def whole(path: Path, *, links: bool = True) -> Iterator[BinaryIO]:
    """A file to write, that takes `path`'s name when the block ends well and vanishes when it does not.

    A link at `path` is followed, or without `links` replaced. Raises ResNetsError as `place` does, and where the folder
    cannot be written or the disk is full; what stood at `path` is then untouched.
    """
    path = place(path) if links else path
    try:
        file = _temporary(path)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name != "nt":  # renamed while it is held, so that nobody takes it for a leftover; Windows cannot
                os.replace(file.name, path)
        if os.name == "nt":
            os.replace(file.name, path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(file.name)
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise


def _temporary(path: Path) -> BinaryIO:
    """A new file beside `path`, of this writer alone and held as long as it is open. Leftovers of the dead go."""
    _sweep(path)
    while True:
        file = open(path.with_name(f".{path.name}.{os.urandom(4).hex()}.part"), "xb")  # noqa: SIM115
        if _hold(file.fileno()) is not False and os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # swept by another process between its making and its holding


def _sweep(path: Path) -> None:
    """Remove what killed processes left of `path`: temporary files that nobody holds."""
    left = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.part")
    with suppress(OSError):
        for name in filter(left.fullmatch, os.listdir(path.parent)):
            with suppress(OSError), open(path.with_name(name), "rb") as file:
                if _hold(file.fileno()):
                    os.unlink(file.name)


def _hold(handle: int) -> bool | None:
    """Hold an open file until it is closed: False where another does, None where the system has no such locks."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ModuleNotFoundError, OSError):  # Windows; some network file systems
        return None
    return True


@contextmanager
def alone(path: Path, what: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the file `path`, made where it is missing, against other processes while the block runs.

    The system lets go of it at any end. Where another process holds it: raises ResNetsError, or calls `waiting` once
    and waits. Raises OSError where it can be neither opened nor made. Holds nothing on systems without flock.
    """
    told = False
    while True:
        handle = os.open(path, os.O_RDONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            if _hold(handle) is False:
                if waiting is None:
                    raise ResNetsError(f"Another process is at work in {what}.", "Wait until it has ended, or stop it.")
                if not told:
                    waiting()
                told = True
                time.sleep(POLL)
                continue
            if not os.fstat(handle).st_nlink:  # who held it before has removed it: hold the one that is there now
                continue
            yield
            return
        finally:
            os.close(handle)


def discard(path: Path) -> None:
    """Remove a file, a folder with all that is in it, or a link without what it leads to. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def unwritable(path: Path, error: OSError) -> ResNetsError:
    """The error for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResNetsError(
            f"The disk is full: {path} was not written.", "Free some space, then run the same command again."
        )
    return ResNetsError(
        f"{path} cannot be written ({error.strerror or error}).", "Choose another place, or mend its permissions."
    )


def sync_folder(folder: Path) -> None:
    """Have the names in a folder outlast a power cut, where the system can do so."""
    with suppress(OSError):  # Windows cannot open a folder; the rename stands there all the same
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
