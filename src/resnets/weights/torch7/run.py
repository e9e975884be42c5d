"""A stored Torch7 module tree and images go in, its logits come out: module by module as Torch computes, in float64.

Nothing here knows what a residual network is: it follows nn's own code (nn/*.lua, THNN/generic/*.c), so that a network
that was converted can be held against its source. In-place modules change their input, and windows and views are those
that are stored, so that a network runs on images of the size that it was made for (cover.py) and perhaps no other.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from resnets.errors import ResNetsError
from resnets.weights.torch7 import fields, modules
from resnets.weights.torch7.forward import LAYERS, Array
from resnets.weights.torch7.modules import MAX_DEPTH, OddModuleError, TooManyError
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
    return tuple(_rows(one, len(x)) for one in (value, seen.features))  # type: ignore[return-value]


def _rows(value: Array, images: int) -> Array:
    """One row an image: nn.View makes a vector of a single image, and several rows of a map that it finds too large."""
    rows = 1 if value.ndim == 1 else len(value)
    if rows != images:
        raise _refused(f"it makes {rows:,} rows of answers of {images:,} images of this size")
    return value.reshape(rows, -1)


@dataclass
class _Seen:
    """What the last Linear has read so far, the first SoftMax, and how many modules have been looked at."""

    features: Array | None = None
    softmax: str = ""
    modules: int = 0

    def children(self, module: Object) -> list[Object]:
        self.modules += modules.entries(module)
        if self.modules > modules.MAX_MODULES:
            raise TooManyError
        return modules.children(module)


def _refused(why: str) -> ResNetsError:
    return ResNetsError(f"The module tree cannot be run: {why}.", "Convert a network that Torch itself can run.")


def _module(module: Object, path: str, value: Value, depth: int, seen: _Seen) -> Value:
    if depth >= MAX_DEPTH:
        raise _refused(f"its modules are inside each other more than {MAX_DEPTH} times, at {path[:72]}...")
    try:
        if oddity := fields.odd(module):
            raise OddModuleError(f"it is one {oddity}")
        return _followed(module, path, value, depth, seen)
    except TooManyError as error:
        raise _refused(f"its modules are too many, at {path[:72]}...") from error
    except (OddModuleError, ValueError) as error:  # NumPy's: shapes that do not fit
        raise _refused(f"{path or 'it'} ({module.name}): {error}") from error


def _followed(module: Object, path: str, value: Value, depth: int, seen: _Seen) -> Value:
    name = modules.kind(module)
    if name in ("Sequential", "DataParallelTable", "ConcatTable", "Concat"):
        children = [(child, modules.inside(path, i)) for i, child in enumerate(seen.children(module), 1)]
        if name in ("Sequential", "DataParallelTable"):
            for child, at in children:
                value = _module(child, at, value, depth + 1, seen)
            return value
        found = [_module(child, at, value, depth + 1, seen) for child, at in children]
        values = [one for one in found if not isinstance(one, list)]
        if len(values) < len(found):
            raise OddModuleError("it joins the values of another ConcatTable")
        return values if name == "ConcatTable" else np.concatenate(values, modules.whole(module, "dimension") - 1)
    if name == "CAddTable":
        return _add(module, value)
    if name not in LAYERS:
        raise OddModuleError("it is of a class that resnets does not run")
    if isinstance(value, list):
        raise OddModuleError("it reads the values of a ConcatTable")
    if seen.softmax and "SoftMax" not in name:
        raise OddModuleError(f"it follows {seen.softmax}, which is passed over")
    if "SoftMax" in name:
        seen.softmax = seen.softmax or path
    if name == "Linear":
        seen.features = value
    return LAYERS[name](module, value)


def _add(module: Object, value: Value) -> Array:
    if not isinstance(value, list):
        raise OddModuleError("it adds a single value")
    if len({one.shape for one in value}) > 1:
        raise OddModuleError(f"it adds values of the shapes {', '.join(str(one.shape[1:]) for one in value)}")
    total = value[0] if modules.flag(module, "inplace") else value[0].copy()
    for one in value[1:]:
        total += one
    return total
