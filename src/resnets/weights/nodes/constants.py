"""A node that reads no image, and the arrays that it reads, go in; the array that it computes comes out.

Only what exporters leave in front of weights, axes and shapes: everything else is no constant, and has no place in a
network that is recognised.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.weights.model import absurd
from resnets.weights.nodes.read import Node
from resnets.weights.protobuf import tensors
from resnets.weights.protobuf.scan import Tensor
from resnets.weights.protobuf.wire import Buffer
from resnets.weights.source import DamagedError

SPARE = 64 << 20  # bytes that constants may take which do not lie in the file, besides twice its size
_OPSET_1 = {"FLOAT": 1, "INT32": 6, "INT64": 7, "DOUBLE": 11}  # Cast's `to` before opset 6


class Folder:
    """Computes constants of one file. `buffer` is what the tensors in attributes lie in."""

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._most = self._left = SPARE + 2 * len(buffer)

    def fold(self, node: Node, reads: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
        """The array that the node writes; None where it is no such node. Raises DamagedError."""
        match node.operator, reads:
            case "Constant", []:
                return self._constant(node)
            case "Identity", [array]:
                return array
            case "ConstantOfShape", [shape]:
                return self._filled(node, shape)
            case "Cast", [array]:
                return self._cast(node, array)
            case "Transpose", [array]:
                axes = node.attributes.get("perm", tuple(reversed(range(array.ndim))))
                if isinstance(axes, tuple) and sorted(axes) == list(range(array.ndim)):
                    return array.transpose(axes)
            case "Reshape" | "Unsqueeze" | "Squeeze" | "Flatten", [array, *_]:
                found = _shaped(node, array, reads[1] if len(reads) == 2 else None)
                if found is not None and found.base is None:
                    self._charge(found.nbytes)
                return found
        return None

    def _charge(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise DamagedError(f"its constants take more than {self._most:,} bytes")

    def _constant(self, node: Node) -> NDArray[Any] | None:
        match node.attributes:
            case {"value": Tensor() as tensor}:
                return None if tensor.outside else tensors.array(self._buffer, tensor)
            case {"value_float": float(number)}:
                return np.array(number, np.float32)
            case {"value_floats": tuple(numbers)}:
                return np.array(numbers, np.float32)
            case {"value_int": int(number)}:
                return np.array(number, np.int64)
            case {"value_ints": tuple(numbers)}:
                return np.array(numbers, np.int64)
        return None

    def _filled(self, node: Node, shape: NDArray[Any]) -> NDArray[Any] | None:
        value: NDArray[Any] | None = np.zeros(1, np.float32)
        given = node.attributes.get("value")
        if isinstance(given, Tensor):
            value = tensors.array(self._buffer, given)
        sizes = whole_numbers(shape)
        if value is None or value.size != 1 or sizes is None:
            return None
        if any(n < 0 for n in sizes) or absurd(sizes):
            raise DamagedError(f"a constant should have the shape {sizes}")
        self._charge(prod(sizes) * value.itemsize)  # it takes none yet, but what is made of it will
        return np.broadcast_to(value.reshape(()), sizes)

    def _cast(self, node: Node, array: NDArray[Any]) -> NDArray[Any] | None:
        to = node.attributes.get("to")
        kind = tensors.TYPES.get(_OPSET_1.get(to, 0) if isinstance(to, str) else to if isinstance(to, int) else 0)
        if kind is None:
            return None
        if np.dtype(kind) != array.dtype:
            self._charge(array.size * np.dtype(kind).itemsize)
        with np.errstate(invalid="ignore", over="ignore"):
            return array.astype(kind, copy=False)


def whole_numbers(array: NDArray[Any] | None) -> tuple[int, ...] | None:
    """A short row of whole numbers, such as axes or a shape, as a tuple; None for any other array."""
    if array is None or array.dtype.kind != "i" or array.ndim > 1 or array.size > tensors.MAX_VARINTS:
        return None
    return tuple(int(n) for n in array.reshape(-1))


def _shaped(node: Node, array: NDArray[Any], given: NDArray[Any] | None) -> NDArray[Any] | None:
    """The same numbers in another shape, as weights of a classifier are stored by some."""
    if node.operator == "Reshape":
        shape = node.attributes.get("shape", whole_numbers(given))
    elif node.operator == "Flatten" and node.attributes.get("axis", 1) == 1 and array.ndim:
        shape = (array.shape[0], -1)
    elif node.operator == "Squeeze" and node.attributes.get("axes", whole_numbers(given)) is None:
        shape = tuple(n for n in array.shape if n != 1)
    elif node.operator == "Unsqueeze" and node.attributes.get("axes", whole_numbers(given)) == (0,):
        shape = (1, *array.shape)
    else:
        return None
    if not isinstance(shape, tuple) or 0 in shape or not array.size:
        return None
    try:
        return array.reshape(shape)
    except (ValueError, OverflowError):
        raise DamagedError(f"an array of shape {array.shape} cannot have the shape {shape}") from None
