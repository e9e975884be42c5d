"""A file, or bytes in memory, goes in; its bytes by position come out, and arrays read straight into their own memory.

Readers see a model file through this alone: what they do not ask for is never read, so a file's gradients cost nothing,
and no length that a file claims is allocated before it is known that the file has so many bytes.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

# A pipe under a model's name would block for ever. Not all systems have all flags.
READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
WINDOW = 1 << 18  # bytes read at a time where a reader asks for a few
Stamp = tuple[int, int, int, int]  # device, file, size, time of the last change


class DamagedError(Exception):
    """The bytes contradict themselves; the message says how, to follow the file's name."""


def small(path: Path, most: int) -> bytes | None:
    """All bytes of a regular file of at most so many; None where there is none. Raises OSError for any other."""
    try:
        handle = os.open(path, READ)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            raise OSError(errno.EINVAL, f"it is no regular file of at most {most >> 20} MB", str(path))
        return file.read(most)


@dataclass(eq=False)
class Source:
    """`name` is what errors call it, and for a file its path. `size` in bytes.

    Held open by `files.opened`; `Source.of` is the same over bytes in memory. `stamp` says which file it is: another
    file under that name, or other contents, have another.
    """

    name: str
    size: int
    file: FileIO | None = None
    stamp: Stamp | None = None
    _window: bytes = field(default=b"", repr=False)
    _begin: int = 0

    @staticmethod
    def of(data: bytes, name: str) -> "Source":
        """Bytes in memory under that name."""
        return Source(name, len(data), _window=bytes(data))

    @property
    def path(self) -> Path:
        return Path(self.name)

    def at(self, offset: int, count: int) -> bytes:
        """Those bytes. Raises DamagedError where the file ends before."""
        self.check(offset, count)
        start = offset - self._begin
        if start < 0 or start + count > len(self._window):
            if self.file is None or count > WINDOW:
                return self._read(offset, count)
            self._window, self._begin, start = self._read(offset, min(WINDOW, self.size - offset)), offset, 0
        return self._window[start : start + count]

    def array(self, dtype: DTypeLike, shape: tuple[int, ...], offset: int) -> NDArray[Any]:
        """An array of its own memory, aligned and writeable, whose elements lie in a row from `offset` on.

        `dtype` says the byte order in the file; the array has the machine's. Raises DamagedError where the file ends
        before.
        """
        kind = np.dtype(dtype)
        self.check(offset, prod(shape) * kind.itemsize)
        found = np.empty(shape, kind)
        if found.nbytes:
            self._into(memoryview(found.reshape(-1).view(np.uint8).data), offset)
        return found.astype(kind.newbyteorder("="), copy=False)

    def whole(self) -> bytes:
        """All bytes."""
        return self._window if self.file is None else self._read(0, self.size)

    def chunks(self) -> Iterator[bytes]:
        """All bytes, some at a time."""
        for offset in range(0, self.size, 1 << 20):
            yield self._read(offset, min(1 << 20, self.size - offset))

    def digests(self, *kinds: str) -> tuple[str, ...]:
        """Digests of all bytes by their names in hashlib, as hexadecimal, in one pass."""
        found = [hashlib.new(kind, usedforsecurity=False) for kind in kinds]
        for chunk in self.chunks():
            for digest in found:
                digest.update(chunk)
        return tuple(digest.hexdigest() for digest in found)

    def sha256(self) -> str:
        """What a file is known by."""
        return self.digests("sha256")[0]

    def check(self, offset: int, count: int) -> None:
        """Raises DamagedError unless the file has `count` bytes from `offset` on."""
        if count < 0 or offset < 0 or offset + count > self.size:
            left = max(self.size - max(offset, 0), 0)
            raise DamagedError(f"{count:,} bytes should stand at byte {offset:,}, and {left:,} are there")

    def _read(self, offset: int, count: int) -> bytes:
        if self.file is None:
            return self._window[offset : offset + count]
        found = bytearray(count)
        self._into(memoryview(found), offset)
        return bytes(found)

    def _into(self, target: memoryview, offset: int) -> None:
        if self.file is None:
            target[:] = self._window[offset : offset + len(target)]
            return
        self.file.seek(offset)
        while len(target):
            done = self.file.readinto(target)
            if not done:  # it was cut after it had been opened
                raise DamagedError(f"{len(target):,} bytes are missing at its end")
            target = target[done:]
