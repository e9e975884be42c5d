"""A node of ONNX that is part of a shortcut without arrays goes in, the step that it is comes out."""

from dataclasses import replace

import numpy as np

from resnets.weights.nodes.read import Node
from resnets.weights.nodes.walk import MAP, OddNodeError, Value, Walk

MAX_STRIDE = 1 << 16
TO_THE_END = 2**31 - 1  # what exporters write for the end of a slice that has none


def subsample(walk: Walk, node: Node, x: Value, kernel: int, stride: int) -> None:
    """A pooling of windows side by side, the last one possibly cut."""
    size = (-(-x.size[0] // stride), -(-x.size[1] // stride)) if x.size else None
    value = replace(x, size=size, shrink=x.shrunk(stride))
    walk.put(node, "average_pool", [x], value, kernel=kernel, stride=stride)


def slice(walk: Walk, node: Node) -> None:
    """Slice that takes every n-th row and column, in one node or two: what shortcut A is called in PyTorch."""
    name = node.reads[0] if node.reads else ""
    x, rows, columns = walk.halves.get(name) or (walk.map(node), 1, 1)
    starts, ends = walk.row(node, "starts", 1), walk.row(node, "ends", 2)
    axes = walk.row(node, "axes", 3) or tuple(range(len(starts or ())))
    steps = walk.row(node, "steps", 4) or (1,) * len(axes)
    if not starts or not ends or not len(starts) == len(ends) == len(axes) == len(steps):
        raise OddNodeError("Slice without starts and ends")
    taken = [1, 1, rows, columns]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        known = (None, x.channels, *(x.size or (None, None)))[axis] if -4 <= axis < 4 else 0
        if start != 0 or end < (known or TO_THE_END) or step < 1 or (axis % 4 < 2 and step > 1):
            raise OddNodeError(f"Slice from {start} to {end} by {step} of axis {axis}")
        taken[axis % 4] *= step
    if max(taken) > MAX_STRIDE:
        raise OddNodeError(f"Slice of every {max(taken):,}th row")
    if taken[2] == taken[3] == 1:
        walk.pass_on(node, x)
    elif taken[2] == taken[3]:
        subsample(walk, node, x, 1, taken[2])
    elif walk.readers(node.writes[0]) == 1:
        walk.halves[node.writes[0]] = (x, taken[2], taken[3])
    else:
        raise OddNodeError("Slice of rows or columns alone")


def pad(walk: Walk, node: Node) -> None:
    """Pad with channels of zeros."""
    x = walk.map(node)
    pads = walk.row(node, "paddings" if "paddings" in node.attributes else "pads", 1)
    axes = walk.row(node, "axes", 3) or tuple(range(4))
    if pads is None or len(pads) != 2 * len(axes) or any(not -4 <= axis < 4 for axis in axes):
        raise OddNodeError("Pad without pads")
    if node.attributes.get("mode", "constant") != "constant" or not _pads_with_zeros(walk, node):
        raise OddNodeError("Pad with something else than zeros")
    sides = {axis % 4: (before, after) for axis, before, after in zip(axes, pads, pads[len(axes) :], strict=False)}
    before, after = sides.pop(1, (0, 0))
    if any(map(any, sides.values())) or min(before, after) < 0:
        raise OddNodeError(f"Pad with the pads {pads}")
    _zeros_around(walk, node, x, before, after)


def _pads_with_zeros(walk: Walk, node: Node) -> bool:
    name = node.reads[2] if len(node.reads) > 2 else ""
    value = walk.constants.get(name)
    return node.attributes.get("value", 0.0) == 0.0 and (not name or (value is not None and walk.is_zero(value)))


def _zeros_around(walk: Walk, node: Node, x: Value, before: int, after: int) -> None:
    if before + after:
        channels = x.channels + before + after if x.channels else None
        walk.put(node, "pad_channels", [x], replace(x, channels=channels), zeros=(before, after))
    else:
        walk.pass_on(node, x)


def concat(walk: Walk, node: Node) -> None:
    """Concat of a feature map and of zeros along the channels."""
    reads = [name for name in node.reads if name]
    maps = [index for index, name in enumerate(reads) if name in walk.values]
    if walk.whole(node, "axis", 1) not in (1, -3) or len(maps) != 1:
        raise OddNodeError(f"Concat of {len(maps)} values")
    x = walk.map(node, maps[0])
    widths = [0 if index == maps[0] else _zero_channels(walk, name) for index, name in enumerate(reads)]
    _zeros_around(walk, node, x, sum(widths[: maps[0]]), sum(widths[maps[0] :]))


def _zero_channels(walk: Walk, name: str) -> int:
    array = walk.constants.get(name)
    if array is not None and array.ndim == 4 and array.dtype == np.float32 and walk.is_zero(array):
        return int(array.shape[1])
    if name in walk.zeros:
        return walk.zeros[name]
    raise OddNodeError(f"Concat of {name!r}, which is not known to be zeros")


def multiply(walk: Walk, node: Node) -> None:
    """Mul of a feature map with zero, as Torch7 makes the channels that shortcut A adds."""
    factors = [walk.constants[name] for name in node.reads if name in walk.constants]
    maps = [walk.values[name] for name in node.reads if name in walk.values]
    if len(factors) != 1 or len(maps) != 1 or maps[0].kind != MAP or not maps[0].channels:
        raise OddNodeError("Mul")
    if factors[0].size != 1 or factors[0].ndim > 4 or factors[0].any():
        raise OddNodeError("Mul")
    walk.zeros[node.writes[0]] = maps[0].channels
