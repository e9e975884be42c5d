"""A layer of a stored Torch7 tree and its input go in, its output comes out: a table by class.

What nn computes in evaluation mode (nn/*.lua, THNN/generic/*.c), in the input's precision, with the windows and views
that are stored. In-place layers change their input.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from resnets.weights.torch7 import modules
from resnets.weights.torch7.modules import OddModuleError, Window
from resnets.weights.torch7.objects import Object

Array = NDArray[np.floating[Any]]
CHUNK = 1 << 21  # numbers of an image's patches that are laid out at a time: 16 MiB


def _floats(module: Object, field: str, x: Array) -> Array | None:
    tensor = modules.tensor(module, field)
    return None if tensor is None else tensor.array().astype(x.dtype)


def _needed(module: Object, field: str, x: Array) -> Array:
    found = _floats(module, field, x)
    if found is None:
        raise OddModuleError(f"its field {field} is missing")
    return found


def _across(numbers: Array) -> Array:
    """One number a channel, to go with [n, channels, h, w]."""
    return numbers.reshape(1, -1, 1, 1)


def _conv(module: Object, x: Array) -> Array:
    window = modules.window(module)
    groups = modules.whole(module, "groups", 1) if modules.library(module) == "cudnn" else 1
    out = modules.whole(module, "nOutputPlane")
    weight = _needed(module, "weight", x).reshape(groups, out // groups, -1)
    bias = _floats(module, "bias", x)
    padded = _padded(x, window, 0.0)
    patches = sliding_window_view(padded, window.kernel, (2, 3))[:, :, :: window.stride[0], :: window.stride[1]]
    n, channels, high, wide = patches.shape[:4]
    result = np.empty((n, groups, out // groups, high, wide), x.dtype)
    rows = max(1, CHUNK // (channels * prod(window.kernel) * wide))
    for image in range(n):
        for top in range(0, high, rows):
            part = patches[image, :, top : top + rows].transpose(0, 3, 4, 1, 2)
            columns = np.ascontiguousarray(part).reshape(groups, weight.shape[2], -1)
            result[image, :, :, top : top + rows] = (weight @ columns).reshape(groups, out // groups, -1, wide)
    found = result.reshape(n, out, high, wide)
    if bias is not None:
        found += _across(bias)
    return found


def _padded(x: Array, window: Window, fill: float) -> Array:
    high, wide = window.padding
    if not (high or wide):
        return x
    return np.pad(x, ((0, 0), (0, 0), (high, high), (wide, wide)), constant_values=fill)


def _batch_norm(module: Object, x: Array) -> Array:
    std = _floats(module, "running_std", x) if _floats(module, "running_var", x) is None else None
    if std is None:
        std = 1 / np.sqrt(_needed(module, "running_var", x) + modules.number(module, "eps"))
    weight, bias = _floats(module, "weight", x), _floats(module, "bias", x)
    found = x - _across(_needed(module, "running_mean", x))
    found *= _across(std if weight is None else std * weight)
    if bias is not None:
        found += _across(bias)
    return found


def _affine(module: Object, x: Array) -> Array:
    found = x if modules.flag(module, "inplace") else x.copy()
    found *= _across(_needed(module, "a", x))
    found += _across(_needed(module, "b", x))
    return found


def _relu(module: Object, x: Array) -> Array:
    own = modules.library(module) != "cudnn"  # whose class knows no threshold
    threshold, fill = (modules.number(module, f) if own and module[f] else 0.0 for f in ("threshold", "val"))
    found = x if modules.flag(module, "inplace") else x.copy()
    if threshold == fill == 0:
        np.maximum(found, 0, out=found)
        return found
    found[found <= threshold] = fill
    return found


def _lengths(x: Array, module: Object, window: Window) -> list[int]:
    """Height and width of a pooling's output: THNN/generic/SpatialMaxPooling.c."""
    ceil = modules.flag(module, "ceil_mode") or modules.library(module) == "inn"
    found = []
    for size, kernel, stride, padding in zip(x.shape[2:], window.kernel, window.stride, window.padding, strict=True):
        over = size - kernel + 2 * padding
        count = (-(-over // stride) if ceil else over // stride) + 1
        if (count - 1) * stride >= size + padding:  # nn's last window begins inside the image, if there is padding
            if not padding or modules.library(module) == "cudnn":
                raise OddModuleError(f"its last window {window} lies outside a map of {x.shape[2]}x{x.shape[3]}")
            count -= 1
        if count < 1:
            raise OddModuleError(f"its window {window} is larger than a map of {x.shape[2]}x{x.shape[3]}")
        found.append(count)
    return found


def _windows(x: Array, window: Window, lengths: list[int], fill: float) -> list[Array]:
    """For each place in the window, what stands there in all windows: [n, channels, *lengths]."""
    (high, wide), (down, right) = window.kernel, window.stride
    reach = [(count - 1) * step + side for count, step, side in zip(lengths, window.stride, window.kernel, strict=True)]
    ends = [(pad, max(0, far - size - pad)) for pad, far, size in zip(window.padding, reach, x.shape[2:], strict=True)]
    padded = np.pad(x, ((0, 0), (0, 0), *ends), constant_values=fill) if any(map(any, ends)) else x
    return [
        padded[:, :, i : i + (lengths[0] - 1) * down + 1 : down, j : j + (lengths[1] - 1) * right + 1 : right]
        for i in range(high)
        for j in range(wide)
    ]


def _max_pool(module: Object, x: Array) -> Array:
    window = modules.window(module)
    first, *others = _windows(x, window, _lengths(x, module, window), -np.inf)
    found = first.copy()
    for one in others:
        np.maximum(found, one, out=found)
    return found


def _average_pool(module: Object, x: Array) -> Array:
    window = modules.window(module)
    lengths = _lengths(x, module, window)
    total: Array = sum(_windows(x, window, lengths, 0.0), np.zeros((*x.shape[:2], *lengths), x.dtype))
    library, counted = modules.library(module), modules.counts_padding(module)
    if library == "cudnn" and counted:
        return total / prod(window.kernel)
    found: Array = total / _there(x, window, lengths, padded=counted)
    if library == "nn" and not modules.flag(module, "divide"):  # as files older than that field have it
        found *= prod(window.kernel)
    return found


def _mean(x: Array) -> Array:
    found: Array = x.mean((2, 3), keepdims=True)
    return found


def _there(x: Array, window: Window, lengths: list[int], *, padded: bool) -> Array:
    """How many numbers of each window lie in the image, or with `padded` in the image and its padding."""
    counts = []
    for side in (0, 1):
        size, pad = x.shape[2 + side], window.padding[side]
        begin = np.arange(lengths[side]) * window.stride[side] - pad
        end = np.minimum(begin + window.kernel[side], size + pad)
        counts.append(end - begin if padded else np.minimum(end, size) - np.maximum(begin, 0))
    return np.outer(counts[0], counts[1]).astype(x.dtype)


def _adaptive(module: Object, x: Array) -> Array:
    if (modules.whole(module, "H"), modules.whole(module, "W")) != (1, 1):
        raise OddModuleError("it pools to more than one number a channel")
    return _mean(x)


def _view(module: Object, x: Array) -> Array:
    """nn/View.lua: what does not fit into the size that it is given becomes rows of the batch."""
    size, rank = modules.sizes(module, "size"), x.ndim
    inner = rank if module["numInputDims"] is None else modules.whole(module, "numInputDims")
    count = prod(n for n in size if n != -1)
    if inner > rank or not count or prod(x.shape[rank - inner :]) % count:
        raise OddModuleError(f"it makes {size} of {x.shape[1:]}")
    rows = 1 if -1 in size else prod(x.shape[rank - inner :]) // count
    rows *= prod(x.shape[: rank - inner])
    if rows == 1 and (module["numInputDims"] is None or rank <= inner):
        return x.reshape(size)
    return x.reshape(rows, *size)


def _reshape(module: Object, x: Array) -> Array:
    """nn/Reshape.lua: the first dimension stays, unless it is told otherwise or the whole batch is of that size."""
    size, batch = modules.sizes(module, "size"), module["batchMode"]
    alone = batch is False or (batch is None and x.size == prod(size) and len(x) != 1)
    return x.reshape(size) if alone else x.reshape(len(x), *size)


def _linear(module: Object, x: Array) -> Array:
    if x.ndim > 2:
        raise OddModuleError(f"it reads {x.shape[1:]} of each image, not a vector")
    bias = _floats(module, "bias", x)
    found: Array = x @ _needed(module, "weight", x).T
    return found if bias is None else found + bias


def _same(module: Object, x: Array) -> Array:
    return x


def _dropout(module: Object, x: Array) -> Array:
    found = x if modules.flag(module, "inplace") else x.copy()
    if not modules.flag(module, "v2"):
        found *= 1 - modules.number(module, "p")
    return found


def _times(module: Object, x: Array) -> Array:
    if not modules.flag(module, "inplace"):
        x = x.copy()
    x *= modules.number(module, "constant_scalar")
    return x


def _padding(module: Object, x: Array) -> Array:
    nominal = module["nInputDim"]
    axis = modules.whole(module, "dim") - (1 if nominal is None or nominal == x.ndim else 0)
    count = int(modules.number(module, "pad"))
    if not -modules.MAX_NUMBER <= count <= modules.MAX_NUMBER or module["index"] not in (None, 1.0):
        raise OddModuleError("it pads inside the value")
    ends = [(0, 0)] * x.ndim
    ends[axis] = (max(-count, 0), max(count, 0))
    return np.pad(x, ends, constant_values=modules.number(module, "value"))


LAYERS: dict[str, Callable[[Object, Array], Array]] = {
    "SpatialConvolution": _conv,
    "SpatialConvolutionMM": _conv,
    "SpatialBatchNormalization": _batch_norm,
    "ConstAffine": _affine,
    "ReLU": _relu,
    "Threshold": _relu,
    "SpatialMaxPooling": _max_pool,
    "SpatialAveragePooling": _average_pool,
    "SpatialAdaptiveAveragePooling": _adaptive,
    "View": _view,
    "Reshape": _reshape,
    "Linear": _linear,
    "Identity": _same,
    "Copy": _same,
    "Contiguous": _same,
    "Dropout": _dropout,
    "MulConstant": _times,
    "Padding": _padding,
    "SoftMax": _same,
    "LogSoftMax": _same,
}
