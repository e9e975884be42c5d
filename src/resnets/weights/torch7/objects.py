"""What a Torch7 file is made of: the values of Lua as Python has them, and the places where arrays lie.

A Lua number is a float, a string a str (UTF-8, other bytes as surrogate escapes, so that it goes back as it came), nil
is None, a boolean a bool. Tables, objects, tensors, storages and functions are compared by identity, as in Lua: two
references to one of them are one Python object.
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.weights.source import DamagedError, Source

# Element type of torch.XStorage and torch.XTensor in a file with 8-byte longs; the CUDA twins have the same bytes.
ELEMENTS = {
    "Byte": "u1", "Char": "i1", "Short": "i2", "Int": "i4", "Long": "i8", "Float": "f4", "Double": "f8", "Half": "f2",
    "Cuda": "f4", "CudaByte": "u1", "CudaChar": "i1", "CudaShort": "i2", "CudaInt": "i4", "CudaLong": "i8",
    "CudaDouble": "f8", "CudaHalf": "f2",
}  # fmt: skip
UNVERSIONED = -1  # the version of an object without one: files older than Torch's version numbers
MAX_REPEATS = 64  # a view may show each element of its storage so many times: an expanded one could claim any size
FEW = 1 << 20  # elements that any view may have


@dataclass(eq=False, slots=True)
class Table:
    """A Lua table: (key, value) in the order of the file."""

    pairs: list[tuple[Any, Any]] = field(default_factory=list, repr=False)

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


@dataclass(eq=False, slots=True)
class Object:
    """An object of a torch class that is neither tensor nor storage: `nn.Sequential`.

    `value` is what its class wrote: for nearly all a Table of fields, for torch.Generator bytes. `ahead` is what some
    write before it: the GPUs of nn.DataParallelTable.
    """

    name: str
    version: int
    value: Any = field(repr=False)
    ahead: tuple[Any, ...] = field(default=(), repr=False)

    def __getitem__(self, key: str) -> Any:
        """A field; None where there is none."""
        return self.value[key] if isinstance(self.value, Table) else None


@dataclass(eq=False, slots=True)
class Storage:
    """`torch.FloatStorage`: `count` elements. Those of a binary file are read from it on demand, others are here."""

    name: str
    count: int
    version: int = 1
    elements: NDArray[Any] | None = field(default=None, repr=False)
    source: Source | None = field(default=None, repr=False)
    offset: int = 0  # byte of the file
    dtype: str = ""  # of the elements in the file, with its byte order: "<f4"

    def read(self, first: int, count: int) -> NDArray[Any]:
        """Elements [first, first + count) as an array [count] of its own memory, of the type that ELEMENTS says."""
        if self.elements is not None:
            return np.array(self.elements[first : first + count])
        assert self.source is not None
        width = np.dtype(self.dtype).itemsize
        found = self.source.array(self.dtype, (count,), self.offset + first * width)
        return found.astype(elements_of(self.name), copy=False)


@dataclass(eq=False, slots=True)
class Tensor:
    """`torch.FloatTensor`: a view of a storage. `stride` in elements, `offset` of the first element, from 0."""

    name: str
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: Storage | None
    version: int = 1

    def array(self) -> NDArray[Any]:
        """The elements, contiguous, in memory of their own: only those that the view spans are read.

        Raises DamagedError for a view that shows the few elements of its storage so often that it is absurd.
        """
        if self.storage is None or not self.size:
            return np.empty(self.size or (0,), elements_of(self.name))
        if prod(self.size) > max(FEW, MAX_REPEATS * self.storage.count):
            shape = " x ".join(str(n) for n in self.size)
            raise DamagedError(f"a tensor of {shape} is a view of {self.storage.count:,} elements")
        flat = self.storage.read(self.offset, self.spread)
        # The stride of a dimension of one element means nothing, and may be any number.
        steps = tuple(step * flat.itemsize if n > 1 else 0 for n, step in zip(self.size, self.stride, strict=True))
        return np.ascontiguousarray(np.lib.stride_tricks.as_strided(flat, self.size, steps))

    @property
    def spread(self) -> int:
        """How many elements of the storage lie between its first and its last one, with both."""
        return sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True)) + 1 if self.size else 0


@dataclass(eq=False, slots=True)
class Function:
    """A Lua function: bytecode that is kept and never run. `kind` is its type code in the file: 6, 7 or 8."""

    kind: int
    code: bytes = field(repr=False)
    upvalues: Any = field(repr=False)


def elements_of(name: str) -> str | None:
    """`torch.FloatTensor` or `torch.FloatStorage` → `f4`; None for the name of any other class."""
    stem = name.removeprefix("torch.")
    for suffix in ("Tensor", "Storage"):
        if len(stem) < len(name) and stem.endswith(suffix):
            return ELEMENTS.get(stem.removesuffix(suffix))
    return None


def tensor(array: NDArray[Any], kind: str = "Float") -> Tensor:
    """An array as a contiguous tensor over a storage of its own: `tensor(weight, "Cuda")` is a torch.CudaTensor.

    An array without elements is the tensor without dimensions, for Torch has no sizes of 0.
    """
    flat = np.ascontiguousarray(array, ELEMENTS[kind]).reshape(-1)
    if not flat.size:
        return Tensor(f"torch.{kind}Tensor", (), (), 0, None)
    stride = tuple(prod(array.shape[i + 1 :]) for i in range(array.ndim))
    return Tensor(f"torch.{kind}Tensor", array.shape, stride, 0, Storage(f"torch.{kind}Storage", flat.size, 1, flat))
