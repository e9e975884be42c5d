"""A file of MXNet's goes in, its named arrays come out: a list of its own kind, or, from MXNet 2 on, NumPy's .npz."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.errors import ResNetsError, plain, some
from resnets.weights.mxnet import lists, npz
from resnets.weights.mxnet.lists import Stored
from resnets.weights.source import Source


def stored(source: Source) -> dict[str, Stored]:
    """What the file holds, by name, in its order; no array is read. Raises DamagedError."""
    return npz.stored(source) if npz.begins(source) else lists.stored(source)


def array(one: Stored) -> NDArray[Any]:
    """One dense array, in memory of its own, as it is stored; bfloat16, which NumPy lacks, becomes float32, exactly."""
    if one.kind == "bfloat16":
        upper = one.within.array("<u2", one.shape, one.at)
        return (upper.astype(np.uint32) << 16).view(np.float32)
    return one.within.array(f"<{one.kind}" if one.kind != "?" else "?", one.shape, one.at)


def refuse_sparse(found: Iterable[Stored], source: str) -> None:
    """Raises ResNetsError that names every sparse array."""
    odd = [f"{plain(one.name)} ({one.kind})" for one in found if one.kind and not one.dense]
    if odd:
        raise ResNetsError(
            f"{source} holds sparse arrays, and a network's are dense: {some(odd)}.",
            "Turn them into dense ones in MXNet with `tostype('default')`.",
        )
