"""Files that appear whole or not at all: written under a temporary name, flushed to the disk, renamed."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from resnets.errors import ResNetsError


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


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises ResNetsError as `whole` does."""
    with whole(path) as file:
        file.write(data)


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write, that takes `path`'s name when the block ends well and vanishes when it does not.

    Raises ResNetsError as `place` does, and where the folder cannot be written or the disk is full; what stood at
    `path` is then untouched.
    """
    path = place(path)
    # One name per target, not per process: what a killed run left behind is written over by the next.
    temporary = path.with_name(f".{path.name}.part")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold the existing file `path` against other processes while the block runs; the system lets go of it at any end.

    Raises ResNetsError where another process holds it. Does nothing on systems without flock.
    """
    try:
        import fcntl
    except ModuleNotFoundError:
        yield
        return
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ResNetsError(
                f"Another process is at work in {what}.", "Wait until it has ended, or stop it."
            ) from error
        yield


def unwritable(path: Path, error: OSError) -> ResNetsError:
    """The error for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResNetsError(
            f"The disk is full: {path} was not written.", "Free some space, then run the same command again."
        )
    return ResNetsError(
        f"{path} cannot be written ({error.strerror or error}).", "Choose another place, or mend its permissions."
    )


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # Windows cannot open a folder; the rename stands there all the same
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
