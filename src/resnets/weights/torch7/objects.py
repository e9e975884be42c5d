"""What a Torch7 file is made of: the values of Lua as Python has them, and frozen places where arrays lie.

A Lua number is a float, a string a str (UTF-8, other bytes as surrogate escapes, so that it goes back as it came), nil is
None, a boolean a bool. Tables, tensors, storages and functions are compared by identity, as in Lua: two references
to one of them are one Python object.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.weights.source import Source

# Element type of torch.XStorage and torch.XTensor in a file with 8-byte longs; the CUDA twins have the same bytes.
ELEMENTS = {
    "Byte": "u1", "Char": "i1", "Short": "i2", "Int": "i4", "Long": "i8", "Float": "f4", "Double": "f8", "Half": "f2",
    "Cuda": "f4", "CudaByte": "u1", "CudaChar": "i1", "CudaShort": "i2", "CudaInt": "i4", "CudaLong": "i8",
    "CudaDouble": "f8", "CudaHalf": "f2",
}  # fmt: skip


@dataclass(eq=False)
class Table:
    """A Lua table: (key, value) in the order of the file."""

    pairs: list[tuple[Any, Any]] = field(default_factory=list)

    def __getitem__(self, key: Any) -> Any:
        """The value of a string, number or boolean; None where there is none, as in Lua."""
        return next((value for name, value in self.pairs if type(name) is type(key) and name == key), None)

    def items(self) -> list[Any]:
        """The values of 1, 2, 3, ..., up to the first that is missing."""
        numbered = {key: value for key, value in self.pairs if type(key) is float}
        found: list[Any] = []
        while float(len(found) + 1) in numbered:
            found.append(numbered[float(len(found) + 1)])
        return found


@dataclass(eq=False)
class Object:
    """An object of a torch class that is neither tensor nor storage: `nn.Sequential`. `version` 0: none was written."""

    name: str
    version: int
    value: Any  # what its class wrote: for nearly all a Table of fields

    def __getitem__(self, key: str) -> Any:
        """A field; None where there is none."""
        return self.value[key] if isinstance(self.value, Table) else None


@dataclass(eq=False)
class Storage:
    """`torch.FloatStorage`: `count` elements. Those of a binary file are read from it on demand, others are here."""

    name: str
    count: int
    version: int = 1
    elements: NDArray[Any] | None = None
    source: Source | None = None
    offset: int = 0  # byte of the file
    dtype: str = ""  # of the elements in the file, with its byte order: "<f4"

    def read(self, first: int, count: int) -> NDArray[Any]:
        """Elements [first, first + count) as an array [count] of its own memory."""
        if self.elements is not None:
            return np.array(self.elements[first : first + count])
        assert self.source is not None
        width = np.dtype(self.dtype).itemsize
        return self.source.array(self.dtype, (count,), self.offset + first * width)


@dataclass(eq=False)
class Tensor:
    """`torch.FloatTensor`: a view of a storage. `stride` in elements, `offset` of the first element, from 0."""

    name: str
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: Storage | None
    version: int = 1

    def array(self) -> NDArray[Any]:
        """The elements, contiguous, in memory of their own: only those that the view spans are read."""
        if self.storage is None or not self.size or 0 in self.size:
            kind = ELEMENTS[self.name.removeprefix("torch.").removesuffix("Tensor")]
            return np.empty(self.size if self.size else (0,), kind)
        spread = sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True)) + 1
        flat = self.storage.read(self.offset, spread)
        steps = tuple(step * flat.itemsize for step in self.stride)
        return np.ascontiguousarray(np.lib.stride_tricks.as_strided(flat, self.size, steps))


@dataclass(eq=False)
class Function:
    """A Lua function: bytecode that is kept and never run. `kind` is its type code in the file: 6, 7 or 8."""

    kind: int
    code: bytes
    upvalues: Any
