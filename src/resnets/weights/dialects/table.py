"""Arrays under the names of some framework go in; the network that those names imply and its arrays come out, and back.

A dialect is a name table: what each canonical array is called there. Its names imply a network (torchvision's: stride
in the 3x3 convolution); what they do not say at all has to be given.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.catalog import Architecture
from resnets.network import Shape

FLOATS = ("float32", "float16", "bfloat16", "float64")


@dataclass(frozen=True)
class Dialect:
    """One framework's names.

    `names`: Architecture → canonical name: their name, for every array of the network. Raises ResNetsError where the
    dialect has no name for a part of that network.
    `implied`: their names and shapes → the network they imply, or None where these are not this dialect's names. Raises
    ResNetsError where they are, but leave open which network it is, or are those of a network that resnets has not.
    `extras`: their names that are none of the network's arrays and may be ignored, such as `num_batches_tracked`.
    `says`: what the names imply beyond the shapes of that network, for the card and the report.
    """

    name: str
    names: Callable[[Architecture], dict[str, str]]
    implied: Callable[[Mapping[str, Shape]], Architecture | None]
    says: Callable[[Architecture], str]
    extras: Callable[[str], bool] = lambda name: False


@dataclass(frozen=True, eq=False)
class Stored:
    """An array in a file. `kind` names its element type, `size` is its bytes there; `read` gives it as float32."""

    shape: Shape
    kind: str
    size: int
    read: Callable[[], NDArray[np.float32]]


def as_float32(array: NDArray[Any], kind: str) -> NDArray[np.float32]:
    """An array of one of FLOATS, those of bfloat16 as 16-bit integers, as contiguous float32: exact but for float64,
    which is rounded, to infinity where it is too large."""
    if kind == "bfloat16":
        return (np.ascontiguousarray(array, np.uint32) << np.uint32(16)).view(np.float32)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)
