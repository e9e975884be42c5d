"""A zip archive goes in, its entries by name come out, each checked; or entries go in and an archive comes out.

Only what torch.save and re-packing tools write is read (PKWARE's APPNOTE.TXT 6.3.10: one disk, no encryption, stored or
deflated). The directory at the end is the truth, and an entry's own header has to agree with it when it is opened.
"""

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray

from resnets.weights.source import DamagedError, Source

MAX_ENTRIES = 1 << 17
MAX_UNPACKED = 16  # times the size of the file: weights hardly deflate
ALIGNMENT = 64  # bytes: where torch.save begins arrays
STORED, DEFLATED = 0, 8
_END, _END64, _LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_ENTRY, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"
_CHUNK = 1 << 18
_DATE = 0x21  # 1 January 1980: equal models are equal files


@dataclass(frozen=True)
class Entry:
    """One file of the archive. `size` in bytes, unpacked; `packed` as it lies there; `end`: where the next begins."""

    name: bytes
    flags: int
    method: int
    crc: int | None
    packed: int
    size: int
    at: int
    end: int


@dataclass(frozen=True)
class Place:
    """Where the bytes of an entry lie, unpacked: at `offset` of `source`. `crc` is their CRC-32 where it is known."""

    source: Source
    offset: int
    size: int
    crc: int | None

    def check(self) -> None:
        """Raises DamagedError unless the bytes have their CRC-32. They are read, some at a time, and not kept."""
        if self.crc is None:
            return
        found = 0
        for at in range(0, self.size, _CHUNK):
            found = zlib.crc32(self.source.at(self.offset + at, min(_CHUNK, self.size - at)), found)
        self.compare(found)

    def check_array(self, array: NDArray[Any]) -> None:
        """The same for bytes that have been read as they lie there."""
        if self.crc is not None:
            self.compare(zlib.crc32(array.reshape(-1).data.cast("B")) if array.size else 0)

    def compare(self, found: int) -> None:
        """Raises DamagedError where another CRC-32 has been found than is written down."""
        if self.crc is not None and found != self.crc:
            raise DamagedError(
                f"the {self.size:,} bytes at byte {self.offset:,} do not have the checksum that it gives"
            )


def entries(source: Source) -> dict[str, Entry]:
    """The entries by name, in the order of the directory. Raises DamagedError where the archive is broken."""
    count, size, at = _directory(source)
    if count > MAX_ENTRIES or count * 46 > size:
        raise DamagedError(f"its directory of {size:,} bytes should have {count:,} entries")
    text = source.at(at, size)
    found: list[Entry] = []
    position = 0
    for _ in range(count):
        entry, position = _entry(text, position)
        found.append(entry)
    if position != size:
        raise DamagedError(f"{size - position:,} bytes of its directory are no entry")
    if sum(entry.size for entry in found) > MAX_UNPACKED * source.size:
        raise DamagedError(f"unpacked it would be more than {MAX_UNPACKED} times as large")
    return _apart(found, at)


def _apart(found: list[Entry], directory: int) -> dict[str, Entry]:
    """The entries by name, each with the place where the next begins."""
    by_name: dict[str, Entry] = {}
    ordered = sorted(found, key=lambda entry: entry.at)
    ends = {id(a): b.at for a, b in pairwise(ordered)}
    unchecked = not any(entry.crc for entry in found)  # torch.serialization.set_crc32_options(False) writes zeros
    for entry in found:
        end = ends.get(id(entry), directory)
        name = entry.name.decode("utf-8", "surrogateescape")
        if entry.at + 30 + len(entry.name) + entry.packed > end:
            raise DamagedError(f"its entry {name!r} overlaps what follows it")
        if name in by_name:
            raise DamagedError(f"it has two entries called {name!r}")
        by_name[name] = replace(entry, end=end, crc=None if unchecked else entry.crc)
    return by_name


def _directory(source: Source) -> tuple[int, int, int]:
    """Number of entries, bytes, and first byte of the directory."""
    length = min(source.size, 22 + 0xFFFF)
    begin = source.size - length
    tail = source.at(begin, length)
    found = tail.rfind(_END)
    if found < 0 or len(tail) - found < 22:
        raise DamagedError("it has no directory of its entries at its end")
    disk, first, here, count, size, at, comment = struct.unpack_from("<4H2IH", tail, found + 4)
    end = begin + found
    if end + 22 + comment != source.size:
        raise DamagedError("something follows its directory")
    if end >= 20 and source.at(end - 20, 4) == _LOCATOR64:  # torch writes it for small archives too
        end = struct.unpack("<4sIQI", source.at(end - 20, 20))[2]
        signature, _, _, _, disk, first, here, count, size, at = struct.unpack("<4sQ2H2I4Q", source.at(end, 56))
        if signature != _END64:
            raise DamagedError("it has no directory of the kind for large archives")
    if (disk, first) != (0, 0) or here != count or at + size != end:
        raise DamagedError(f"its directory should lie at byte {at:,}, and does not")
    return count, size, at


def _entry(text: bytes, at: int) -> tuple[Entry, int]:
    """The entry at that place of the directory, and the place of the next."""
    if len(text) - at < 46 or text[at : at + 4] != _ENTRY:
        raise DamagedError(f"byte {at:,} of its directory is not the beginning of an entry")
    flags, method = struct.unpack_from("<2H", text, at + 8)
    crc, packed, size, name, extra, comment = struct.unpack_from("<3I3H", text, at + 16)
    (offset,) = struct.unpack_from("<I", text, at + 42)
    after = at + 46 + name
    end = after + extra + comment
    if end > len(text):
        raise DamagedError(f"the entry at byte {at:,} of its directory does not end")
    if 0xFFFFFFFF in (size, packed, offset):
        size, packed, offset = _large(text[after : after + extra], size, packed, offset)
    if flags & 1:
        raise DamagedError("it is encrypted")
    if method not in (STORED, DEFLATED) or (method == STORED and packed != size):
        raise DamagedError(f"an entry of it is packed in a way (method {method}) that torch never uses")
    return Entry(text[at + 46 : after], flags, method, crc, packed, size, offset, 0), end


def _large(extra: bytes, *numbers: int) -> tuple[int, ...]:
    """Sizes and places of more than 32 bits, which stand in an extra field of their own."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1 and length == 8 * numbers.count(0xFFFFFFFF) and at + 4 + length <= len(extra):
            long = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            return tuple(next(long) if number == 0xFFFFFFFF else number for number in numbers)
        at += 4 + length
    raise DamagedError("an entry of it is too large for the directory that it has")


def opened(source: Source, entry: Entry) -> Place:
    """Where the bytes of an entry lie. One that is packed is unpacked, into as many bytes as it says."""
    header = source.at(entry.at, 30)
    flags, method = struct.unpack_from("<2H", header, 6)
    crc, packed, size, name, extra = struct.unpack_from("<3I2H", header, 14)
    same = header[:4] == _LOCAL and (flags, method) == (entry.flags, entry.method)
    known = (
        flags & 8 or 0xFFFFFFFF in (packed, size) or (crc, packed, size) == (entry.crc or 0, entry.packed, entry.size)
    )
    if not same or not known or source.at(entry.at + 30, name) != entry.name:
        raise DamagedError(f"the header at byte {entry.at:,} and the directory say different things")
    at = entry.at + 30 + name + extra
    if at + entry.packed > entry.end:
        raise DamagedError(f"the entry at byte {entry.at:,} overlaps what follows it")
    if entry.method == STORED:
        return Place(source, at, entry.size, entry.crc)
    return Place(Source.of(_inflated(source.at(at, entry.packed), entry.size), source.name), 0, entry.size, entry.crc)


def _inflated(packed: bytes, size: int) -> bytes:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        found = stream.decompress(packed, size + 1)
    except zlib.error as error:
        raise DamagedError("an entry of it cannot be unpacked") from error
    if len(found) != size or not stream.eof or stream.unused_data:
        raise DamagedError(f"an entry of it unpacks to other than {size:,} bytes")
    return found


def content(source: Source, entry: Entry) -> bytes:
    """All bytes of an entry, checked."""
    place = opened(source, entry)
    found = place.source.at(place.offset, place.size)
    place.compare(zlib.crc32(found))
    return found


def write(files: Mapping[str, bytes | memoryview]) -> bytes:
    """An archive of these files in this order, stored, each at a multiple of 64 bytes, all of the same date."""
    return b"".join(_parts(files.items()))


def _parts(files: Iterable[tuple[str, bytes | memoryview]]) -> Iterable[bytes | memoryview]:
    at, directory, count = 0, b"", 0
    for name, data in files:
        text, size, crc = name.encode(), len(data), zlib.crc32(data)
        padding = -(at + 30 + len(text) + 4) % ALIGNMENT
        extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding  # torch's own filling
        numbers = struct.pack("<HI3IH", STORED, _DATE << 16, crc, size, size, len(text))
        yield _LOCAL + struct.pack("<2H", 20, 0) + numbers + struct.pack("<H", len(extra)) + text + extra
        yield data
        directory += _ENTRY + struct.pack("<3H", 20, 20, 0) + numbers + struct.pack("<4H2I", 0, 0, 0, 0, 0, at) + text
        at += 30 + len(text) + len(extra) + size
        count += 1
    yield directory + _END + struct.pack("<4H2IH", 0, 0, count, count, len(directory), at, 0)
