"""The bytes of MXNet's list of named arrays go in, where each one lies comes out; arrays go in, the bytes come out.

The layout is that of `NDArray::Save` and `NDArray::Load` in MXNet's src/ndarray/ndarray.cc, little-endian: arrays, then
names. Every array begins with the version of its record, and all versions that MXNet has written are read.
"""

import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.errors import plain, some
from resnets.weights.model import MAX_NAME, absurd
from resnets.weights.source import DamagedError, Source

LIST_MAGIC = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA  # what stands there in place of V0's number of dimensions
DTYPES = ("f4", "f8", "f2", "u1", "i4", "i1", "i8", "?", "i2", "u2", "u4", "u8", "bfloat16")  # by mshadow's type flag
SPARSE = {1: ("row_sparse", 1), 2: ("csr", 2)}  # storage type: name, number of index arrays beside the values
DENSE = (0, -1)  # -1 is what an array without data may have
MAX_ARRAYS = 1 << 17  # fifteen times those of 1,202 layers
CPU = (1, 0)  # kind and number of the device that MXNet notes with each array


@dataclass(frozen=True)
class Stored:
    """Where one array lies in a file.

    `kind` is its element type; the storage type of a sparse array; empty for an array without data. `at`: its first
    byte in `within`.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    at: int
    within: Source

    @property
    def dense(self) -> bool:
        return self.kind in DTYPES


class _Cursor:
    """A place in the file that moves on with every number read."""

    def __init__(self, source: Source) -> None:
        self.source, self.at = source, 0

    def numbers(self, kind: str, count: int = 1) -> tuple[int, ...]:
        size = struct.calcsize(f"<{count}{kind}")
        self.at += size
        return struct.unpack(f"<{count}{kind}", self.source.at(self.at - size, size))

    def number(self, kind: str) -> int:
        return self.numbers(kind)[0]

    def pass_over(self, count: int) -> None:
        self.source.check(self.at, count)
        self.at += count

    def dimensions(self, count: int, kind: str) -> tuple[int, ...]:
        """A shape of that many dimensions, negative where it is unknown."""
        if count <= 0:
            return ()
        if count > 32:
            raise DamagedError(f"an array at byte {self.at:,} has {count:,} dimensions")
        shape = self.numbers(kind, count)
        if min(shape) < 0 or absurd(shape):
            raise DamagedError(f"an array at byte {self.at:,} has the shape {shape}")
        return shape


def stored(source: Source) -> dict[str, Stored]:
    """What the file holds, by name, in its order. Arrays of a file without names are called 0, 1, 2, ...

    Nothing is read but the descriptions. Raises DamagedError unless the whole file is accounted for.
    """
    cursor = _Cursor(source)
    magic, _, count = cursor.numbers("Q", 3)
    if magic != LIST_MAGIC:
        raise DamagedError("it does not begin with the number of MXNet's lists of arrays")
    if count > MAX_ARRAYS:
        raise DamagedError(f"it should hold {count:,} arrays")
    records = [_record(cursor) for _ in range(count)]
    names = _names(cursor, count)
    if cursor.at != source.size:
        raise DamagedError(f"{source.size - cursor.at:,} bytes follow its last name")
    found = {name: Stored(name, *record, source) for name, record in zip(names, records, strict=True)}
    if len(found) != count:
        twice = [plain(name) for name, times in Counter(names).items() if times > 1]
        raise DamagedError(f"more than one array is called {some(twice)}")
    return found


def _record(cursor: _Cursor) -> tuple[str, tuple[int, ...], int]:
    """Element type, shape and place of the array that begins here; the cursor goes to the next one."""
    version = cursor.number("I")
    if version not in (V2, V3):  # V0 has 32-bit sizes, and begins with their number
        shape = cursor.dimensions(cursor.number("i"), "q") if version == V1 else cursor.dimensions(version, "I")
        return _values(cursor, shape) if shape else ("", (), cursor.at)
    storage = cursor.number("i")
    if storage not in DENSE and (storage not in SPARSE or version == V3):
        raise DamagedError(f"an array at byte {cursor.at:,} has the storage type {storage}")
    if storage in SPARSE:
        return _sparse(cursor, *SPARSE[storage])
    rank = cursor.number("i")
    shape = cursor.dimensions(rank, "q")
    if rank < 0 or (rank == 0 and version == V2):  # with NumPy's shapes, V3, no dimension is a scalar
        return "", (), cursor.at
    return _values(cursor, shape)


def _values(cursor: _Cursor, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...], int]:
    kind = _kind(cursor.numbers("i", 3)[2])  # before it, which device the array lay on
    at = cursor.at
    cursor.pass_over(prod(shape) * _itemsize(kind))
    return kind, shape, at


def _sparse(cursor: _Cursor, name: str, indices: int) -> tuple[str, tuple[int, ...], int]:
    """A sparse array is passed over, so that it can be named."""
    values = cursor.dimensions(cursor.number("i"), "q")
    shape = cursor.dimensions(cursor.number("i"), "q")
    if shape:
        kinds, sizes = [_kind(cursor.numbers("i", 3)[2])], [prod(values)]
        for _ in range(indices):
            kinds.append(_kind(cursor.number("i")))
            sizes.append(prod(cursor.dimensions(cursor.number("i"), "q")))
        cursor.pass_over(sum(size * _itemsize(kind) for kind, size in zip(kinds, sizes, strict=True)))
    return name, shape, cursor.at


def _kind(flag: int) -> str:
    if not 0 <= flag < len(DTYPES):
        raise DamagedError(f"an array has the element type {flag}")
    return DTYPES[flag]


def _itemsize(kind: str) -> int:
    return 2 if kind == "bfloat16" else np.dtype(kind).itemsize


def _names(cursor: _Cursor, count: int) -> list[str]:
    named = cursor.number("Q")
    if named == 0:
        return [str(number) for number in range(count)]
    if named != count:
        raise DamagedError(f"it has {count:,} arrays and {named:,} names")
    return [_name(cursor) for _ in range(count)]


def _name(cursor: _Cursor) -> str:
    length = cursor.number("Q")
    if length > MAX_NAME:
        raise DamagedError(f"a name at byte {cursor.at:,} has {length:,} bytes")
    cursor.pass_over(length)
    try:
        return str(cursor.source.at(cursor.at - length, length), "utf-8")
    except UnicodeDecodeError:
        raise DamagedError(f"the name at byte {cursor.at - length:,} is not UTF-8") from None


def write_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The whole file, with V2 records, as MXNet 1.x writes it. Raises ValueError for what such a record cannot hold."""
    parts: list[bytes | memoryview] = [struct.pack("<3Q", LIST_MAGIC, 0, len(arrays))]
    for values in arrays.values():
        kind = values.dtype.str[1:].replace("b1", "?")
        if kind not in DTYPES or not values.ndim:
            raise ValueError(f"{values.dtype} of {values.ndim} dimensions")
        parts.append(struct.pack(f"<Iii{values.ndim}q", V2, 0, values.ndim, *values.shape))
        parts.append(struct.pack("<3i", *CPU, DTYPES.index(kind)))
        parts.append(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data)
    parts.append(struct.pack("<Q", len(arrays)))
    for name in arrays:
        text = name.encode()
        parts += (struct.pack("<Q", len(text)), text)
    return b"".join(parts)
