"""Lua objects go in, the bytes of a .t7 file come out: binary, little endian, longs of 8 bytes, as torch.save does.

Original: File.lua of torch7. Tables, torch objects and functions are numbered as they are met; where one of them is met
again, its number stands for it. Numbers, texts and booleans are written each time.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from struct import pack
from typing import Any

import numpy as np

from resnets.weights.torch7.objects import UNVERSIONED, Function, Object, Storage, Table, Tensor, elements_of
from resnets.weights.torch7.read import BOOLEAN, FUNCTION, HASHES, NIL, NUMBER, TABLE, TEXT, TORCH, VECTORS

Buffer = bytes | memoryview
EXACT = 2**53  # whole numbers up to here are doubles


def write(objects: Sequence[Any]) -> bytes:
    """A file of those objects, one after another. Raises TypeError for what Lua does not know."""
    return b"".join(parts(objects))


def parts(objects: Sequence[Any]) -> Iterator[Buffer]:
    """The file piece by piece; what lies in storages is not copied. What is begun waits in a list, at any depth."""
    numbers: dict[int, int] = {}  # Python's identity of an object → its index
    begun: list[Iterator[Any]] = [iter(objects)]
    while begun:
        for value in begun[-1]:
            pieces, inner = _begin(value, numbers)
            yield from pieces
            if inner is not None:
                begun.append(iter(inner))
                break
        else:
            begun.pop()


def _begin(value: Any, numbers: dict[int, int]) -> tuple[Iterable[Buffer], Iterable[Any] | None]:
    """What stands before the objects that belong to a value, and those objects; None where there are none."""
    if value is None:
        return (pack("<i", NIL),), None
    if isinstance(value, bool):
        return (pack("<ii", BOOLEAN, value),), None
    if isinstance(value, (int, float)):
        if isinstance(value, int) and abs(value) > EXACT:
            raise ValueError(f"{value} is no number of Lua")
        return (pack("<id", NUMBER, value),), None
    if isinstance(value, str):
        return (pack("<i", TEXT), _text(value)), None
    if isinstance(value, Function) and value.kind == FUNCTION:  # it has no number
        return (pack("<i", FUNCTION), _text(value.code)), (value.upvalues,)
    code = TABLE if isinstance(value, Table) else value.kind if isinstance(value, Function) else TORCH
    known = id(value) in numbers
    head = pack("<ii", code, numbers.setdefault(id(value), len(numbers) + 1))
    if known:
        return (head,), None
    if isinstance(value, Table):
        return (head, pack("<i", len(value.pairs))), chain.from_iterable(value.pairs)
    if isinstance(value, Function):
        return (head, _text(value.code)), (value.upvalues,)
    if isinstance(value, (Tensor, Storage, Object)):
        pieces, inner = _torch(value)
        return (head, _header(value.name, value.version), *pieces), inner
    raise TypeError(f"a {type(value).__name__} is no value of Lua")


def _torch(value: Tensor | Storage | Object) -> tuple[Iterable[Buffer], Iterable[Any] | None]:
    """What an object's class writes, and the objects that follow it."""
    if isinstance(value, Tensor):
        rank = len(value.size)
        sizes = (*value.size, *value.stride, value.offset + 1)
        return (pack(f"<i{2 * rank + 1}q", rank, *sizes),), (value.storage,)
    if isinstance(value, Storage):
        elements = value.read(0, value.count) if value.elements is None else value.elements
        if len(elements) != value.count:
            raise ValueError(f"a {value.name} of {value.count:,} elements holds {len(elements):,}")
        data = np.ascontiguousarray(elements, f"<{elements_of(value.name)}")
        return (pack("<q", value.count), data.reshape(-1).view(np.uint8).data), None
    if isinstance(value.value, bytes):
        return (value.value,), None
    if value.name in HASHES:
        pairs = value.value.pairs
        return (pack("<q", len(pairs)),), chain.from_iterable(pairs)
    if value.name in VECTORS:
        return (pack("<q", len(value.value.pairs)),), (one for _, one in value.value.pairs)
    return (), (*value.ahead, value.value)


def _header(name: str, version: int) -> bytes:
    return (b"" if version == UNVERSIONED else _text(f"V {version}")) + _text(name)


def _text(value: str | bytes) -> bytes:
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return pack("<i", len(data)) + data
