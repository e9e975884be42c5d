"""Bytes of a protobuf message go in, its fields come out, and back: the wire format alone, without the onnx package.

https://protobuf.dev/programming-guides/encoding/ describes it. Nothing is copied and nothing is allocated by a length
that the bytes claim, and the number of fields is bounded, so that a hostile file costs no more than its size.
"""

from collections.abc import Iterator
from typing import overload

import numpy as np

from resnets.weights.source import DamagedError, Source

Span = tuple[int, int]
Value = int | Span  # a number, or where the bytes lie
MAX_FIELDS = 2_000_000  # ten times those of 1,202 layers: about two seconds of reading
MAX_TEXT = 32 << 20  # bytes of one text
MAX_TAG = 5  # bytes: a tag has 32 bits
NUMBER, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
PAGE = 1 << 14  # bytes of a file at a time, where there are large arrays between what is wanted


class Pages:
    """The bytes of a file, read a few at a time: for structure between arrays that are not wanted as bytes."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._page, self._begin = b"", 0

    def __len__(self) -> int:
        return self.source.size

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> bytes: ...
    def __getitem__(self, at: int | slice) -> int | bytes:
        if isinstance(at, slice):
            return self._bytes(at.start, at.stop - at.start)
        if not 0 <= at - self._begin < len(self._page):
            self._turn(at)
        return self._page[at - self._begin]

    def _bytes(self, begin: int, count: int) -> bytes:
        if count > PAGE:
            return self._read(begin, count)
        if not (self._begin <= begin and begin + count <= self._begin + len(self._page)):
            self.source.check(begin, count)
            self._turn(begin)
        return self._page[begin - self._begin : begin - self._begin + count]

    def _turn(self, begin: int) -> None:
        self._page, self._begin = self._read(begin, min(PAGE, len(self) - begin)), begin

    def _read(self, begin: int, count: int) -> bytes:
        """Not by `Source.at`, which reads more at a time: what follows is an array as a rule."""
        return self.source.array(np.uint8, (count,), begin).tobytes()


Buffer = bytes | Pages


class Reader:
    """One pass over the bytes, counting fields."""

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self.left = MAX_FIELDS

    def fields(self, span: Span) -> Iterator[tuple[int, int, Value]]:
        """(number, wire type, value) of each field of the message that lies at `span`. Raises DamagedError."""
        at, end = span
        while at < end:
            self.count()
            begin = at
            tag, at = self.varint(at, end)
            number, wire = tag >> 3, tag & 7
            # Of a longer tag parsers keep the low 32 bits, some of them in silence: they would see another field.
            if number == 0 or tag >> 32 or at - begin > MAX_TAG:
                raise DamagedError(f"byte {begin:,} is not the beginning of a field")
            if wire == NUMBER:
                value, at = self.varint(at, end)
                yield number, wire, value
                continue
            if wire == BYTES:
                length, at = self.varint(at, end)
            elif wire in (FIXED32, FIXED64):
                length = 4 if wire == FIXED32 else 8
            else:
                raise DamagedError(f"byte {begin:,} is not the beginning of a field")
            if length > end - at:
                raise DamagedError(f"a field at byte {at:,} claims {length:,} bytes, and {end - at:,} are left")
            yield number, wire, (at, at + length)
            at += length

    def count(self) -> None:
        """One more field or number has been seen."""
        self.left -= 1
        if self.left < 0:
            raise DamagedError(f"it has more than {MAX_FIELDS:,} fields")

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """The number that begins at `at`, and where the next thing begins."""
        if at < end and self.buffer[at] < 0x80:  # most have one byte
            return self.buffer[at], at + 1
        value = shift = 0
        while at < end and shift < 70:
            byte = self.buffer[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at
            shift += 7
        raise DamagedError(f"a number at byte {at:,} does not end")

    def text(self, value: Value) -> str:
        """A field's bytes as text."""
        start, end = span(value)
        if end - start > MAX_TEXT:
            raise DamagedError(f"a text has {end - start:,} bytes")
        try:
            return str(bytes(self.buffer[start:end]), "utf-8")
        except UnicodeDecodeError:
            raise DamagedError(f"the text at byte {start:,} is not UTF-8") from None

    def packed(self, value: Value) -> Iterator[int]:
        """The numbers of a repeated field, of which `value` is one, or all in a row."""
        if isinstance(value, int):
            yield value
            return
        at, end = value
        while at < end:
            self.count()
            one, at = self.varint(at, end)
            yield one


def whole(value: Value) -> int:
    """A field's value where a number is due."""
    if not isinstance(value, int):
        raise DamagedError("a text stands in place of a number")
    return value


def span(value: Value) -> Span:
    """A field's value where bytes are due."""
    if isinstance(value, int):
        raise DamagedError("a number stands in place of a text")
    return value


def put(number: int, value: int | str | bytes) -> bytes:
    """One field, encoded."""
    if isinstance(value, int):
        return _varint(number << 3 | NUMBER) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return b"".join((head(number, len(data)), data))


def head(number: int, length: int, kind: int = BYTES) -> bytes:
    """What stands before so many bytes of a field."""
    tag = _varint(number << 3 | kind)
    return tag + _varint(length) if kind == BYTES else tag


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
