"""The bytes of a Torch7 file, binary or ASCII, go in; whole numbers, doubles, texts and storages come out, one by one.

Original: lib/TH/THDiskFile.c of torch7. Both kinds read the same things in the same order, so that the walk over the
objects (read.py) knows nothing of bytes. `at` is the byte that is read next.
"""

import re
import warnings
from contextlib import suppress
from struct import Struct, error
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.weights.source import DamagedError, Source
from resnets.weights.torch7.objects import Storage

WINDOW = 1 << 16  # bytes at a time: what lies between two storages is seldom more
_RAW = ("u1", "i1")  # bytes stand as they are even in ASCII
_WHOLE = re.compile(rb"(-?[0-9]{1,20})\n")
_LONGS = re.compile(rb"(-?[0-9]{1,20}(?: -?[0-9]{1,20})*)\n")
_LONG = re.compile(rb"[0-9]{20}")  # more digits than a whole number has
_NUMBER = re.compile(rb"([-+.0-9A-Za-z]{1,64})\n")


class Binary:
    """`order` "<" or ">"; `long` 8, or 4 where Torch ran on Windows or on 32 bits."""

    least = 4  # bytes of the shortest object, nil

    def __init__(self, source: Source, order: str, long: int) -> None:
        self.source, self.order, self.long = source, order, long
        self._base = self._next = 0  # the byte at which the window begins, and what has been read of it
        self._window = b""
        self._int, self._double = Struct(f"{order}i"), Struct(f"{order}d")

    @property
    def at(self) -> int:
        return self._base + self._next

    @property
    def left(self) -> int:
        return self.source.size - self.at

    def whole(self) -> int:
        """A C int."""
        try:
            (value,) = self._int.unpack_from(self._window, self._next)
        except error:
            self._refill(4)
            (value,) = self._int.unpack_from(self._window)
        self._next += 4
        found: int = value
        return found

    def double(self) -> float:
        try:
            (value,) = self._double.unpack_from(self._window, self._next)
        except error:
            self._refill(8)
            (value,) = self._double.unpack_from(self._window)
        self._next += 8
        found: float = value
        return found

    def longs(self, count: int) -> tuple[int, ...]:
        """C longs in a row."""
        return Struct(f"{self.order}{count}{'q' if self.long == 8 else 'i'}").unpack(self.raw(count * self.long))

    def raw(self, count: int) -> bytes:
        """Bytes as they are."""
        end = self._next + count
        if count < 0 or end > len(self._window):
            self.source.check(self.at, count)
            if count > WINDOW:
                found = self.source.at(self.at, count)
                self._next = end
                return found
            self._refill(count)
            end = count
        found = self._window[self._next : end]
        self._next = end
        return found

    def storage(self, name: str, version: int, dtype: str) -> Storage:
        """The count and the elements of a storage, of which none is read."""
        (count,) = self.longs(1)
        kind = f"{self.order}{'i4' if dtype == 'i8' and self.long == 4 else dtype}"
        width = np.dtype(kind).itemsize
        if count < 0:
            raise DamagedError(f"a storage at byte {self.at:,} has {count:,} elements")
        self.source.check(self.at, count * width)
        found = Storage(name, count, version, source=self.source, offset=self.at, dtype=kind)
        self._next += count * width
        return found

    def _refill(self, count: int) -> None:
        self.source.check(self.at, count)
        self._base, self._next = self.at, 0
        self._window = self.source.at(self._base, min(WINDOW, self.source.size - self._base))


class Ascii:
    """Numbers as text: those of one array on a line, with spaces between."""

    least = 2
    long = 8

    def __init__(self, source: Source) -> None:
        self.source, self.data, self.at = source, source.whole(), 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def whole(self) -> int:
        return int(self._match(_WHOLE))

    def double(self) -> float:
        text = self._match(_NUMBER)
        try:
            return float(text)
        except ValueError:
            raise DamagedError(f"{text.decode()!r} before byte {self.at:,} is no number") from None

    def longs(self, count: int) -> tuple[int, ...]:
        if not count:
            return ()
        line = self._match(_LONGS)
        if line.count(b" ") + 1 != count:
            raise DamagedError(f"{count:,} numbers should stand before byte {self.at:,}")
        return tuple(int(n) for n in line.split(b" "))

    def raw(self, count: int) -> bytes:
        self.source.check(self.at, count)
        begin = self.at
        self._pass(count)
        return self.data[begin : begin + count]

    def storage(self, name: str, version: int, dtype: str) -> Storage:
        """The count and the elements of a storage; bytes stay in the file, numbers are read."""
        (count,) = self.longs(1)
        if count < 0 or count * (1 if dtype in _RAW else 2) > self.left:
            raise DamagedError(f"a storage at byte {self.at:,} has {count:,} elements, and {self.left:,} bytes follow")
        if dtype in _RAW:
            found = Storage(name, count, version, source=self.source, offset=self.at, dtype=dtype)
            self._pass(count)
            return found
        return Storage(name, count, version, self._numbers(dtype, count) if count else np.empty(0, dtype))

    def _match(self, pattern: re.Pattern[bytes]) -> bytes:
        found = pattern.match(self.data, self.at)
        if not found:
            raise DamagedError(f"a number should stand at byte {self.at:,}")
        self.at = found.end()
        return found[1]

    def _pass(self, count: int) -> None:
        """Past that many raw bytes, which a line's end follows."""
        end = self.at + count
        if count and self.data[end : end + 1] != b"\n":
            raise DamagedError(f"a line should end at byte {end:,}")
        self.at = end + (count > 0)

    def _numbers(self, dtype: str, count: int) -> NDArray[Any]:
        """The numbers of a line, which are as many and fit into their type."""
        begin, end = self.at, self.data.find(b"\n", self.at) + 1
        line = self.data[begin:end]
        self.at = end or begin
        wide, whole = dtype[0] + "8", dtype[0] == "i"
        # np.fromstring passes over what it does not know with no more than a warning, but it needs little memory.
        if line.count(b" ") + 1 == count and not (whole and _LONG.search(line)):
            with suppress(ValueError, DeprecationWarning), warnings.catch_warnings():
                warnings.simplefilter("error")
                found = np.fromstring(line, wide, sep=" ")
                with np.errstate(over="ignore"):
                    narrow = found.astype(dtype)
                fits = (found == narrow) if whole else (np.isinf(found) == np.isinf(narrow))  # fractions are rounded
                if len(found) == count and fits.all():
                    return narrow
        raise DamagedError(f"{count:,} numbers should stand at byte {begin:,}")
