"""A node of ONNX behind the last feature map goes in, the step that it is comes out: pooling, classifier, softmax."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from resnets.weights.nodes.read import Node
from resnets.weights.nodes.walk import LOGITS, POOLED, PROBABILITIES, OddNodeError, Value, Walk


def global_pool(walk: Walk, node: Node, rank: int = 4) -> None:
    """GlobalAveragePool."""
    x = walk.map(node)
    walk.put(node, "global_pool", [x], Value("", x.channels, (1, 1), POOLED, rank))


def reduce_mean(walk: Walk, node: Node) -> None:
    """ReduceMean over height and width."""
    axes = walk.row(node, "axes", 1)
    if axes is None or sorted(axis % 4 for axis in axes) != [2, 3] or any(not -4 <= axis < 4 for axis in axes):
        raise OddNodeError(f"ReduceMean over the axes {axes}")
    global_pool(walk, node, 4 if walk.whole(node, "keepdims", 1) else 2)


def window_pool(walk: Walk, node: Node, kernel: tuple[int, ...], strides: tuple[int, ...], ceil: int) -> None:
    """AveragePool whose window is the whole map: `kernel`, where the graph fixes the size of its image.

    Where it does not, the classifier behind it says so: it takes one number a channel, and any larger map would give
    more. With a larger stride it would not, and the rest of that map would be left out.
    """
    x = walk.map(node)
    what = "x".join(map(str, kernel))
    if x.size is not None and x.size != kernel:
        raise OddNodeError(f"AveragePool with a {what} kernel of a {'x'.join(map(str, x.size))} map")
    if x.size is None:
        if strides != (1, 1) or ceil:
            by = "x".join(map(str, strides))
            raise OddNodeError(f"AveragePool with a {what} kernel, strides {by}, of a map whose size is not known")
        walk.side = (kernel[0] * x.shrink, kernel[1] * x.shrink)
    walk.notes.append(f"The pooling of {what} is read as one of the whole map.")
    global_pool(walk, node)


def flatten(walk: Walk, node: Node) -> None:
    """Flatten, Reshape or Squeeze that brings pooled features, or logits, into rows."""
    x = walk.value(node)
    if x.kind not in (POOLED, LOGITS, PROBABILITIES):
        raise OddNodeError(f"{node.operator} of {x.kind}")
    good = {"Flatten": _flattens, "Squeeze": _squeezes, "Reshape": _reshapes}[node.operator]
    if not good(walk, node, x):
        raise OddNodeError(f"{node.operator} of {x.kind} into something else than rows")
    walk.pass_on(node, replace(x, rank=2))


def _flattens(walk: Walk, node: Node, x: Value) -> bool:
    return walk.whole(node, "axis", 1) in (1, 1 - x.rank)


def _squeezes(walk: Walk, node: Node, x: Value) -> bool:
    axes = walk.row(node, "axes", 1)
    return x.rank == 4 and axes is not None and sorted(axis % 4 for axis in axes) == [2, 3]


def _reshapes(walk: Walk, node: Node, x: Value) -> bool:
    """A shape that is computed is taken for rows of one number a channel: no other fits the classifier behind it."""
    if len(node.reads) > 1 and node.reads[1] in walk.numbers:
        return True
    shape = walk.row(node, "shape", 1)
    copied = not walk.whole(node, "allowzero", 0)
    return (
        shape is not None
        and len(shape) == 2
        and (shape[1] in (x.channels, -1) or (shape[1] == 0 and copied))
        and (shape[0] != 0 or copied)
    )


def gemm(walk: Walk, node: Node) -> None:
    """Gemm as a classifier."""
    x = _rows(walk, node)
    key, weight = walk.floats(node, 1, "weight", 2)
    scales = [node.attributes.get(name, 1.0) for name in ("alpha", "beta")]
    if scales != [1.0, 1.0] or walk.whole(node, "transA", 0):
        raise OddNodeError(f"Gemm with alpha {scales[0]}, beta {scales[1]}, transA {walk.whole(node, 'transA', 0)}")
    if not walk.whole(node, "transB", 0):
        key, weight = f"{key} transposed", weight.T
    _linear(walk, node, x, key, weight)
    if len(node.reads) > 2 and node.reads[2]:
        _give_bias(walk, node, 2)


def matmul(walk: Walk, node: Node) -> None:
    """MatMul as a classifier; an Add behind it brings the bias."""
    x = _rows(walk, node)
    key, weight = walk.floats(node, 1, "weight", 2)
    _linear(walk, node, x, f"{key} transposed", weight.T)


def bias(walk: Walk, node: Node) -> None:
    """Add of a constant to what a MatMul gave."""
    index = next(i for i, name in enumerate(node.reads) if name in walk.constants)
    other = node.reads[1 - index]
    if other not in walk.unbiased or walk.readers(other) != 1:
        raise OddNodeError("Add of a constant")
    walk.unbiased[node.writes[0]] = walk.unbiased.pop(other)
    _give_bias(walk, node, index)
    walk.pass_on(node, walk.values[other])


def without_bias(walk: Walk) -> None:
    """Zeros for the classifiers that got no bias."""
    for place in walk.unbiased.values():
        step = walk.steps[place]
        _complete(walk, place, f"{step.name} zeros", np.zeros(step.channels, np.float32))


def softmax(walk: Walk, node: Node) -> None:
    """Softmax behind the classifier: left out, what the network gives are its logits."""
    x = walk.value(node)
    if x.kind != LOGITS or x.rank != 2 or walk.whole(node, "axis", 1) not in (1, -1):
        raise OddNodeError(f"{node.operator} of {x.kind}")
    walk.notes.append(f"The {node.operator} at the end is left out: the logits are kept.")
    walk.pass_on(node, replace(x, kind=PROBABILITIES))


def _rows(walk: Walk, node: Node) -> Value:
    x = walk.value(node)
    if x.kind != POOLED or x.rank != 2:
        raise OddNodeError(f"{node.operator} of {x.kind}")
    return x


def _linear(walk: Walk, node: Node, x: Value, key: str, weight: NDArray[np.float32]) -> None:
    classes, length = weight.shape
    if x.channels not in (None, length):
        raise OddNodeError(f"{node.operator} of {x.channels} features with a weight for {length}")
    walk.unbiased[node.writes[0]] = len(walk.steps)
    walk.put(node, "linear", [x], Value("", classes, None, LOGITS, 2), [(key, weight)])


def _give_bias(walk: Walk, node: Node, index: int) -> None:
    """The array that the node reads there becomes the bias of the classifier whose value the node gives."""
    place = walk.unbiased[node.writes[0]]
    key, array = walk.floats(node, index, "bias", 0, 1, 2)
    classes = walk.steps[place].channels
    if array.size not in (1, classes) or (array.ndim == 2 and array.shape[0] != 1):
        raise OddNodeError(f"{node.operator} of {classes} classes whose bias has the shape {array.shape}")
    del walk.unbiased[node.writes[0]]
    if array.shape != (classes,):
        key, array = f"{key} by class", np.broadcast_to(array.reshape(-1), (classes,))
    _complete(walk, place, key, array)


def _complete(walk: Walk, place: int, key: str, array: NDArray[np.float32]) -> None:
    step = walk.steps[place]
    walk.steps[place] = replace(step, arrays=(*step.arrays, (walk.keep(key, array), array.shape)))
