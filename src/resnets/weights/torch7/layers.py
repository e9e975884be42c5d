"""One layer of a stored Torch7 tree goes in, its step with keys of its arrays comes out: a table by class."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from resnets.network import INPUT
from resnets.weights.torch7 import fields, modules
from resnets.weights.torch7.modules import OddModuleError, Window
from resnets.weights.torch7.objects import Object
from resnets.weights.torch7.steps import At, Cover, Tree

AFFINE_EPS = 1e-5  # what a batch norm adds to the variance, taken off again where there is no variance


def _conv(tree: Tree, module: Object, path: str, at: At) -> At:
    window = modules.window(module)
    inputs, out = modules.whole(module, "nInputPlane"), modules.whole(module, "nOutputPlane")
    groups = modules.whole(module, "groups", 1) if modules.library(module) == "cudnn" else 1
    if not groups or inputs % groups or out % groups or (at.channels and inputs != at.channels):
        raise OddModuleError(f"it takes {inputs} channels in {groups} groups to {out}, and gets {at.channels}")
    shape = (out, inputs // groups, *window.kernel)
    flat = (out, inputs // groups * window.kernel[0] * window.kernel[1])  # SpatialConvolutionMM, and nn before 2015
    weight, bias = modules.shaped(module, "weight", shape, flat), modules.tensor(module, "bias")
    arrays = [tree.keep(f"{path}.weight", weight, shape)]
    if bias is not None:
        arrays.append(tree.keep(f"{path}.bias", modules.shaped(module, "bias", (out,)), (out,)))
    if not _square(window):
        return tree.put(f"a convolution {window}", path, at, out, arrays=tuple(arrays))
    return tree.put("conv", path, at, out, arrays=tuple(arrays), groups=groups, **_numbers(window))


def _batch_norm(tree: Tree, module: Object, path: str, at: At) -> At:
    mean = modules.tensor(module, "running_mean")
    count = at.channels or (mean.size[0] if mean is not None else 0)
    eps = modules.number(module, "eps")
    arrays = []
    for name, number in (("weight", 1.0), ("bias", 0.0)):  # nil where it is not affine
        key = f"{path}.{name}"
        if modules.tensor(module, name) is None:
            arrays.append(tree.fill(key, number, count))
        else:
            arrays.append(tree.keep(key, modules.shaped(module, name, (count,)), (count,)))
    mean = modules.shaped(module, "running_mean", (count,))
    arrays.append(tree.keep(f"{path}.running_mean", mean, (count,)))
    key = f"{path}.running_var"
    if modules.tensor(module, "running_var") is None and modules.tensor(module, "running_std") is not None:
        arrays.append(_variance(tree, module, key, count, eps))
    else:
        arrays.append(tree.keep(key, modules.shaped(module, "running_var", (count,)), (count,)))
    return tree.put("batch_norm", path, at, count, arrays=tuple(arrays), eps=eps)


def _variance(tree: Tree, module: Object, key: str, count: int, eps: float) -> tuple[str, tuple[int, ...]]:
    """Class version 1 holds running_std = 1 / sqrt(variance + eps): nn/BatchNormalization.lua, `read`."""
    tensor = modules.shaped(module, "running_std", (count,))
    kept = tree.keep(key, tensor, (count,))

    def read() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        with np.errstate(divide="ignore", over="ignore"):
            return (tensor.array().astype(np.float64) ** -2 - eps).astype(np.float32)

    tree.arrays[key] = read
    return kept


def _affine(tree: Tree, module: Object, path: str, at: At) -> At:
    """inn.ConstAffine: a batch norm whose statistics were folded into its weight and bias (imagine-nn)."""
    if modules.flag(module, "inplace"):
        tree.in_place.append((path, at.step, len(tree.steps)))
    shape = (at.channels,)
    arrays = [tree.keep(f"{path}.{field}", modules.shaped(module, field, shape), shape) for field in ("a", "b")]
    arrays.append(tree.fill(f"{path}.mean", 0.0, at.channels))
    arrays.append(tree.fill(f"{path}.var", 1 - AFFINE_EPS, at.channels))
    return tree.put("batch_norm", path, at, arrays=tuple(arrays), eps=AFFINE_EPS)


def _relu(tree: Tree, module: Object, path: str, at: At) -> At:
    # cudnn's class has no threshold
    numbers = [modules.number(module, name) for name in ("threshold", "val") if module[name] is not None]
    if any(numbers):
        return tree.put(f"a {module.name} with threshold and value {numbers}", path, at)
    if modules.flag(module, "inplace"):
        tree.in_place.append((path, at.step, len(tree.steps)))
    return tree.put("relu", path, at)


def _max_pool(tree: Tree, module: Object, path: str, at: At) -> At:
    window = modules.window(module)
    ceil = modules.flag(module, "ceil_mode") or modules.library(module) == "inn"
    if ceil or not _square(window):
        return tree.put(f"a maximum pooling {window}{' that rounds up' * ceil}", path, at)
    return tree.put("max_pool", path, at, **_numbers(window))


def _average_pool(tree: Tree, module: Object, path: str, at: At) -> At:
    """An average pooling as a shortcut has it; one of another kind has a place before a View alone."""
    window = modules.window(module)
    side, stride = window.kernel[0], window.stride[0]
    # nn/SpatialAveragePooling.lua: files older than the field `divide` hold sums
    sums = modules.library(module) == "nn" and not modules.flag(module, "divide")
    if sums and side * window.kernel[1] > 1:
        return tree.put(f"a pooling {window} that adds without dividing", path, at)
    if not _square(window) or window.padding != (0, 0):
        return tree.put(f"an average pooling {window}", path, at)
    if side == stride == 1:
        return at if at.window else replace(at, window=1)
    if stride == 1:
        return replace(tree.put(f"an average pooling {window} that no nn.View follows", path, at), window=side)
    ceil = modules.flag(module, "ceil_mode") or modules.library(module) == "inn"
    # cuDNN divides by the whole window even where the last one is incomplete, unless told otherwise
    whole = modules.library(module) == "cudnn" and modules.counts_padding(module)
    if (side == 1 and not ceil) or (side == stride and ceil and not whole):
        return tree.put("average_pool", path, at, **_numbers(window))
    what = "may leave out an edge of the map" if not ceil else "divides by more numbers than the map's edge has"
    return tree.put(f"an average pooling {window} that {what if side == stride else 'overlaps or skips'}", path, at)


def _adaptive(tree: Tree, module: Object, path: str, at: At) -> At:
    size = (modules.whole(module, "H"), modules.whole(module, "W"))
    if size != (1, 1):
        return tree.put(f"a pooling to {size[0]}x{size[1]}", path, at)
    return tree.put("global_pool", path, at)


def _view(tree: Tree, module: Object, path: str, at: At) -> At:
    """What makes a vector of a map of one pixel. With the average pooling before it, it is the global pooling.

    Torch's poolings have a fixed window (7x7, 8x8) that covers the map of the usual image and no other: cover.py says
    which image that is.
    """
    size = modules.sizes(module, "size")
    last = tree.steps[-1] if tree.steps else None
    if at.flat or last is None or last.name != at.step or not _keeps_images(module, size, at.channels):
        what = f"a {module.name} that makes {size} of {at.channels} channels"
        return replace(tree.put(what, path, at), flat=True)
    if last.op == "global_pool":
        return replace(at, flat=True)
    if not at.window:
        what = f"a {module.name} of a map that no pooling makes a single pixel"
        return replace(tree.put(what, path, at), flat=True)
    if at.window > 1:  # the pooling is that last step
        tree.steps.pop()
        path, at = last.name, At(last.inputs[0], at.channels, at.window)
    tree.cover = Cover(path, at.step, at.window)
    return replace(tree.put("global_pool", path, at), flat=True)


def _keeps_images(module: Object, size: tuple[int, ...], channels: int) -> bool:
    """Does it make one row of each image of [n, channels, 1, 1], for any n? nn/View.lua, nn/Reshape.lua."""
    if modules.kind(module) == "Reshape":
        return size in ((channels,), (-1,)) and module["batchMode"] in (None, True)
    rank = module["numInputDims"]
    return (size, rank) in (((channels,), None), ((channels,), 3.0), ((-1, channels), None), ((-1,), 3.0))


def _linear(tree: Tree, module: Object, path: str, at: At) -> At:
    weight = modules.tensor(module, "weight")
    out = weight.size[0] if weight is not None else 0
    if not at.flat:
        reads = "the image" if at.step == INPUT else "a map that no nn.View made a vector"
        return replace(tree.put(f"a {module.name} that reads {reads}", path, at, out), flat=True)
    weight = modules.shaped(module, "weight", (out, at.channels))
    arrays = [tree.keep(f"{path}.weight", weight, (out, at.channels))]
    if modules.tensor(module, "bias") is None:
        arrays.append(tree.fill(f"{path}.bias", 0.0, out))
    else:
        arrays.append(tree.keep(f"{path}.bias", modules.shaped(module, "bias", (out,)), (out,)))
    return replace(tree.put("linear", path, at, out, arrays=tuple(arrays)), flat=True)


def _nothing(tree: Tree, module: Object, path: str, at: At) -> At:
    return at


def _dropout(tree: Tree, module: Object, path: str, at: At) -> At:
    """Nothing, when it evaluates; but in its first version it scales then (nn/Dropout.lua)."""
    if not modules.flag(module, "v2") and modules.number(module, "p") > 0:
        return tree.put(f"a {module.name} of the first version, which scales what it is given", path, at)
    return at


def _concat(tree: Tree, module: Object, path: str, at: At) -> At:
    """Shortcut A: the value once, and beside it channels of zeros."""
    parts = [_part(child, at.channels) for child in tree.children(module)]
    if modules.whole(module, "dimension") != 2 or parts.count(0) != 1 or None in parts:
        return tree.put(f"a {module.name} of other things than a value and zeros", path, at)
    counts = [part or 0 for part in parts]
    here = counts.index(0)
    return _pad(tree, path, at, sum(counts[:here]), sum(counts[here:]))


def _part(module: Object, channels: int) -> int | None:
    """How many channels of zeros a part of a Concat gives; 0: the value itself, None: something else."""
    name = modules.kind(module)
    if fields.odd(module):
        return None
    if name in ("Identity", "Copy"):
        return 0
    scalar = module["constant_scalar"]
    # in place it would change the value beside it
    if name == "MulConstant" and type(scalar) is float and scalar == 0 and not modules.flag(module, "inplace"):
        return channels
    return None


def _padding(tree: Tree, module: Object, path: str, at: At) -> At:
    """nn.Padding: zeros before the first channel (`pad` below 0) or after the last."""
    pad = modules.number(module, "pad")
    count = int(pad) if abs(pad) <= modules.MAX_NUMBER else 0
    fill, index = (module[name] for name in ("value", "index"))
    place = (modules.whole(module, "dim"), module["nInputDim"])
    if place not in ((1, 3.0), (2, None), (2, 4.0)) or fill != 0 or index not in (None, 1) or count != pad:
        return tree.put(f"a {module.name} of other things than zero channels", path, at)
    return _pad(tree, path, at, max(-count, 0), max(count, 0))


def _pad(tree: Tree, path: str, at: At, before: int, after: int) -> At:
    last = tree.steps[-1] if tree.steps else None
    if last is not None and last.name == at.step and last.op == "pad_channels":  # on one side, then on the other
        tree.steps.pop()
        before, after = before + last.zeros[0], after + last.zeros[1]
        at = At(last.inputs[0], at.channels - sum(last.zeros))
    return tree.put("pad_channels", path, at, at.channels + before + after, zeros=(before, after))


def _square(window: Window) -> bool:
    return all(one == other for one, other in (window.kernel, window.stride, window.padding))


def _numbers(window: Window) -> dict[str, int]:
    return {"kernel": window.kernel[0], "stride": window.stride[0], "padding": window.padding[0]}


LAYERS: dict[str, Callable[[Tree, Object, str, At], At]] = {
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
    "Reshape": _view,
    "Linear": _linear,
    "Identity": _nothing,
    "Copy": _nothing,
    "Contiguous": _nothing,
    "Dropout": _dropout,
    "Concat": _concat,
    "Padding": _padding,
}
