"""A tensor of an ONNX file goes in, the array that it holds comes out: a view of bytes in memory, or its own memory."""

from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from resnets.weights.protobuf import wire
from resnets.weights.protobuf.scan import FLOAT, RAW, Tensor
from resnets.weights.protobuf.wire import Buffer
from resnets.weights.source import DamagedError

# TensorProto.DataType: how raw_data holds one number
TYPES = {FLOAT: "<f4", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8"}
SIZES = {kind: np.dtype(name).itemsize for kind, name in TYPES.items()}
_ROWS = {(4, FLOAT): "<f4", (10, 11): "<f8"}  # float_data and double_data have the bytes of raw_data
_VARINTS = {5: (6, 9), 7: (7,)}  # int32_data and int64_data with the types that they hold
MAX_VARINTS = 64  # axes, shapes and pads; arrays of a network stand in raw_data


class Beside(Protocol):
    """The bytes of another file than the model's: `external` has them."""

    def array(self, dtype: DTypeLike, shape: tuple[int, ...], offset: int) -> NDArray[Any]: ...

    def part(self, start: int, end: int) -> bytes: ...


Placed = tuple[Buffer | Beside, Tensor]  # what holds the bytes of a whole file, and where in it a tensor lies


def array(buffer: Buffer | Beside, tensor: Tensor) -> NDArray[Any] | None:
    """The array; None for a type that no array of a network has. Raises DamagedError where bytes lack.

    Of bytes in memory it is a view, read-only; of a file it has its own memory.
    """
    if tensor.kind not in TYPES:
        return None
    count, (start, end) = prod(tensor.shape), tensor.data
    if tensor.field == RAW or (tensor.field, tensor.kind) in _ROWS or not tensor.field:
        if end - start != count * SIZES[tensor.kind]:
            raise DamagedError(f"a tensor has {end - start:,} bytes for the shape {tensor.shape}")
        if not count:
            return np.empty(tensor.shape, TYPES[tensor.kind])
        if isinstance(buffer, bytes):
            return np.frombuffer(buffer, TYPES[tensor.kind], count, start).reshape(tensor.shape)
        held = buffer.source if isinstance(buffer, wire.Pages) else buffer
        return held.array(TYPES[tensor.kind], tensor.shape, start)
    if tensor.kind not in _VARINTS.get(tensor.field, ()) or count > MAX_VARINTS:
        return None
    assert isinstance(buffer, Buffer)  # in other files all is raw
    reader = wire.Reader(buffer)
    numbers = [n - (1 << 64) if n >> 63 else n for n in reader.packed(tensor.data)]
    if len(numbers) != count:
        raise DamagedError(f"a tensor has {len(numbers):,} numbers for the shape {tensor.shape}")
    kind = np.dtype(TYPES[tensor.kind])
    if any(not -(2**31) <= n < 2**31 for n in numbers) and tensor.kind == 6:
        raise DamagedError("a tensor of 32-bit numbers has larger ones")
    return np.array(numbers, np.int64).astype(kind).reshape(tensor.shape)
