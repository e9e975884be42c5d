"""The bytes of a pickle, from some position on, go in; numbers, texts and other constants of its opcodes come out.

The layout of arguments is that of CPython's Lib/pickletools.py, protocols 0 to 5.
"""

import codecs
from collections.abc import Callable
from struct import unpack
from typing import Any

from resnets.weights.source import DamagedError, Source

MAX_LINE = 1 << 16  # bytes of a text that ends with its line
SHORT_LINE = 1 << 8  # which most have: no more is copied for these
MAX_DIGITS = 1000  # of a number that is written out


class Reader:
    """Bytes in their order, and the values that they stand for."""

    def __init__(self, source: Source, at: int) -> None:
        self.source, self.position = source, at

    def take(self, count: int) -> bytes:
        found = self.source.at(self.position, count)
        self.position += count
        return found

    def number(self, form: str, size: int) -> Any:
        return unpack(form, self.take(size))[0]

    def sized(self, form: str, size: int) -> bytes:
        """Bytes behind their length."""
        return self.take(self.number(form, size))

    def line(self) -> bytes:
        for most in (SHORT_LINE, MAX_LINE):
            ahead = self.source.at(self.position, min(most, self.source.size - self.position))
            end = ahead.find(b"\n")
            if end >= 0:
                break
        else:
            raise DamagedError(f"the line at byte {self.position:,} of its pickle does not end")
        self.position += end + 1
        return ahead[:end]

    def quoted(self) -> str:
        text = self.line().strip()
        if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
            raise DamagedError(f"the text before byte {self.position:,} of its pickle has no quotes")
        return old_text_of(codecs.escape_decode(text[1:-1])[0])

    def whole(self) -> int | bool:
        """A number as text; `00` and `01` are how protocol 0 writes False and True."""
        text = self.line().strip().removesuffix(b"L")
        if text in (b"00", b"01"):
            return text == b"01"
        if len(text) > MAX_DIGITS:
            raise DamagedError(f"a number of {len(text):,} digits stands in its pickle")
        return int(text)

    def long(self, form: str, size: int) -> int:
        return int.from_bytes(self.sized(form, size), "little", signed=True)


def text_of(data: bytes) -> str:
    """A string of Python 3."""
    return str(data, "utf-8", "surrogatepass")


def old_text_of(data: bytes) -> str:
    """A string of Python 2, which has bytes of any meaning."""
    return str(data, "utf-8", "surrogateescape")


CONSTANTS: dict[bytes, Callable[[Reader], Any]] = {  # opcode: the value that it puts on the stack
    b"N": lambda r: None,
    b"\x88": lambda r: True,
    b"\x89": lambda r: False,
    b"I": Reader.whole,
    b"L": Reader.whole,
    b"J": lambda r: r.number("<i", 4),
    b"K": lambda r: r.number("<B", 1),
    b"M": lambda r: r.number("<H", 2),
    b"\x8a": lambda r: r.long("<B", 1),
    b"\x8b": lambda r: r.long("<I", 4),
    b"F": lambda r: float(r.line()),
    b"G": lambda r: r.number(">d", 8),
    b"S": Reader.quoted,
    b"T": lambda r: old_text_of(r.sized("<I", 4)),
    b"U": lambda r: old_text_of(r.sized("<B", 1)),
    b"V": lambda r: str(r.line(), "raw-unicode-escape"),
    b"X": lambda r: text_of(r.sized("<I", 4)),
    b"\x8c": lambda r: text_of(r.sized("<B", 1)),
    b"\x8d": lambda r: text_of(r.sized("<Q", 8)),
    b"B": lambda r: r.sized("<I", 4),
    b"C": lambda r: r.sized("<B", 1),
    b"\x8e": lambda r: r.sized("<Q", 8),
    b"\x96": lambda r: r.sized("<Q", 8),
    b"]": lambda r: [],
    b")": lambda r: (),
    b"}": lambda r: {},
    b"\x8f": lambda r: [],  # a set is a list here: what cannot be hashed stays harmless
}
LOOK: dict[bytes, Callable[[Reader], Any]] = {  # reads the number of a memo
    b"g": Reader.whole,
    b"h": lambda r: r.number("<B", 1),
    b"j": lambda r: r.number("<I", 4),
}
KEEP = {b"p": LOOK[b"g"], b"q": LOOK[b"h"], b"r": LOOK[b"j"]}
REFUSED = {
    b"\x82": "an extension code", b"\x83": "an extension code", b"\x84": "an extension code",
    b"\x97": "a buffer outside the pickle", b"\x98": "a buffer outside the pickle",
}  # fmt: skip
