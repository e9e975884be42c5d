"""A stored Torch7 module tree and images go in, its logits come out: module by module as Torch computes, in float64.

Nothing here knows what a residual network is: it follows nn's own code (nn/*.lua, THNN/generic/*.c), so that a network
that was converted can be held against its source. In-place modules change their input, as they do in Torch.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from resnets.errors import ResNetsError
from resnets.weights.torch7 import modules
from resnets.weights.torch7.forward import LAYERS, Array
from resnets.weights.torch7.modules import MAX_DEPTH, MAX_MODULES, OddModuleError
from resnets.weights.torch7.objects import Object

Value = Array | list[Array]  # of a ConcatTable: one of each child


def run(module: Object, x: Array, precision: type[np.floating[Any]] = np.float64) -> Array:
    """Logits [n, classes] of normalised images [n, channels, height, width], with running statistics.

    `precision` float32 shows how far single precision alone leads away from double, in this very network. A SoftMax is
    passed over, so that a tree that ends in one gives logits too. Raises ResNetsError for a module that cannot be run.
    """
    return outputs(module, x, precision)[0]


def outputs(module: Object, x: Array, precision: type[np.floating[Any]] = np.float64) -> tuple[Array, Array]:
    """Logits, and the features: what the last Linear reads [n, features]."""
    seen = _Seen()
    value = _module(module, "", np.array(x, precision), 0, seen)
    if isinstance(value, list) or seen.features is None:
        raise _refused("the network does not end in one value behind a Linear")
    return value, seen.features


@dataclass
class _Seen:
    """What the last Linear has read so far, and how many modules have been run."""

    features: Array | None = None
    modules: int = 0


def _refused(why: str) -> ResNetsError:
    return ResNetsError(f"The module tree cannot be run: {why}.", "Convert a network that Torch itself can run.")


def _module(module: Object, path: str, value: Value, depth: int, seen: _Seen) -> Value:
    name = modules.kind(module)
    seen.modules += 1
    if depth >= MAX_DEPTH or seen.modules > MAX_MODULES:
        raise _refused(f"its modules are too many, or inside each other more than {MAX_DEPTH} times, at {path[:72]}...")
    try:
        if name in ("Sequential", "DataParallelTable", "ConcatTable", "Concat"):
            children = [(child, modules.inside(path, i)) for i, child in enumerate(modules.children(module), 1)]
            if name in ("Sequential", "DataParallelTable"):
                for child, at in children:
                    value = _module(child, at, value, depth + 1, seen)
                return value
            found = [_module(child, at, value, depth + 1, seen) for child, at in children]
            values = [one for way in found for one in (way if isinstance(way, list) else [way])]
            return values if name == "ConcatTable" else np.concatenate(values, modules.whole(module, "dimension") - 1)
        if name == "CAddTable":
            return _add(module, value)
        if name not in LAYERS:
            raise OddModuleError("it is of a class that resnets does not run")
        if isinstance(value, list):
            raise OddModuleError("it reads the values of a ConcatTable")
        if name == "Linear":
            seen.features = value
        return LAYERS[name](module, value)
    except (OddModuleError, ValueError) as error:  # NumPy's: shapes that do not fit
        raise _refused(f"{path or 'it'} ({module.name}): {error}") from error


def _add(module: Object, value: Value) -> Array:
    if not isinstance(value, list):
        raise OddModuleError("it adds a single value")
    total = value[0] if modules.flag(module, "inplace") else value[0].copy()
    for one in value[1:]:
        total += one
    return total
