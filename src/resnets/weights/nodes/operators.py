"""A node of ONNX between image and pooling goes in, the step that it is comes out."""

from dataclasses import replace

from resnets.network import BATCH_NORM_ARRAYS, INPUT
from resnets.weights.nodes import ending, shortcuts
from resnets.weights.nodes.read import Node
from resnets.weights.nodes.walk import Array, OddNodeError, Value, Walk

FLATTENING = ("Flatten", "Reshape", "Squeeze", "Gemm", "MatMul")
PASSING = ("Identity", "Dropout", "Cast")


def conv(walk: Walk, node: Node) -> None:
    """Conv: a square kernel, the same padding on all sides, no dilation."""
    x, (key, weight) = walk.map(node), walk.floats(node, 1, "weight", 4)
    groups = walk.whole(node, "group", 1)
    out, inner = weight.shape[:2]
    kernel, stride, padding = _window(walk, node, weight.shape[2:])
    if groups < 1 or out % groups or x.channels not in (None, inner * groups):
        raise OddNodeError(f"Conv of {x.channels} channels with a weight for {inner * groups} in {groups} groups")
    arrays: list[Array] = [(key, weight)]
    if len(node.reads) > 2 and node.reads[2]:
        arrays.append(_vector(walk, node, 2, "bias", out))
    value = _after(x, kernel, stride, padding)
    walk.put(
        node,
        "conv",
        [x],
        replace(value, channels=out),
        arrays,
        kernel=kernel,
        stride=stride,
        padding=padding,
        groups=groups,
    )


def batch_norm(walk: Walk, node: Node) -> None:
    """BatchNormalization as it is used for inference, its arrays one number a channel (whatever `spatial` says)."""
    x = walk.map(node)
    if walk.whole(node, "training_mode", 0) or sum(map(bool, node.writes)) > 1:
        raise OddNodeError("BatchNormalization in training")
    channels = walk.floats(node, 1, "scale", 1)[1].size
    if x.channels not in (None, channels):
        raise OddNodeError(f"BatchNormalization of {x.channels} channels with arrays for {channels}")
    arrays = [_vector(walk, node, index, what, channels) for index, what in enumerate(BATCH_NORM_ARRAYS, 1)]
    eps = node.attributes.get("epsilon", 1e-5)
    if not isinstance(eps, float):
        raise OddNodeError("BatchNormalization whose epsilon is no number")
    walk.put(node, "batch_norm", [x], replace(x, channels=channels), arrays, eps=eps)


def relu(walk: Walk, node: Node) -> None:
    """Relu."""
    x = walk.map(node)
    walk.put(node, "relu", [x], x)


def add(walk: Walk, node: Node) -> None:
    """Add or Sum of two feature maps; or the bias of a classifier that a MatMul began."""
    reads = [name for name in node.reads if name]
    if len(reads) == 2 and any(name in walk.constants for name in reads):
        ending.bias(walk, node)
        return
    if len(reads) != 2:
        raise OddNodeError(f"{node.operator} of {len(reads)} values")
    one, other = walk.map(node, 0), walk.map(node, 1)
    differ = [getattr(one, f) != getattr(other, f) for f in ("channels", "size") if None not in _both(one, other, f)]
    if any(differ):
        raise OddNodeError(f"{node.operator} of values that differ in shape")
    sum_ = replace(one, channels=one.channels or other.channels, size=one.size or other.size)
    walk.put(node, "add", [one, other], sum_)


def _both(one: Value, other: Value, field: str) -> tuple[object, object]:
    return getattr(one, field), getattr(other, field)


def max_pool(walk: Walk, node: Node) -> None:
    """MaxPool that leaves out what does not fill a window."""
    x = walk.map(node)
    kernel, stride, padding = _window(walk, node, None)
    if walk.whole(node, "ceil_mode", 0):
        raise OddNodeError("MaxPool with ceil_mode")
    value = _after(x, kernel, stride, padding)
    walk.put(node, "max_pool", [x], value, kernel=kernel, stride=stride, padding=padding)


def average_pool(walk: Walk, node: Node) -> None:
    """AveragePool: of the whole map at the end; in shortcuts of windows side by side, the last one possibly cut.

    An odd size's last window is kept by `ceil_mode`, or by a row and a column of padding at the end, left out of the
    mean (below opset 10, which has no ceil_mode). A pooling that drops it is not what these networks do.
    """
    x = walk.map(node)
    kernel, strides = _kernel(walk, node), walk.row(node, "strides") or (1, 1)
    pads, ceil = walk.row(node, "pads") or (0, 0, 0, 0), walk.whole(node, "ceil_mode", 0)
    _undilated(walk, node)
    auto = node.attributes.get("auto_pad", "NOTSET")
    if walk.next(node.writes[0], PASSING) in FLATTENING and not any(pads) and auto in ("", "NOTSET", "VALID"):
        ending.window_pool(walk, node, kernel, strides, ceil)
        return
    k = kernel[0]
    if kernel != (k, k) or strides != (strides[0],) * 2 or strides[0] < 1 or auto not in ("", "NOTSET", "VALID"):
        raise OddNodeError(_described(node, kernel))
    at_end = pads == (0, 0, k - 1, k - 1) and not ceil
    whole = ceil == 1 and not any(pads)
    counts_padding = walk.whole(node, "count_include_pad", 0)
    if not ((k == 1 and at_end) or (k == strides[0] and (at_end or whole) and not counts_padding)):
        raise OddNodeError(f"{_described(node, kernel)}, stride {strides[0]}, pads {pads}, ceil_mode {ceil}")
    shortcuts.subsample(walk, node, x, k, strides[0])


def pass_on(walk: Walk, node: Node) -> None:
    """Identity; Dropout, which does nothing after training; Cast to what the value is already."""
    x = walk.value(node)
    if node.operator == "Cast" and (x.step == INPUT or node.attributes.get("to") not in (1, "FLOAT")):
        raise OddNodeError(f"Cast to type {node.attributes.get('to')}")
    flag = walk.constants.get(node.reads[2]) if len(node.reads) > 2 else None
    if (
        node.operator == "Dropout"
        and len(node.reads) > 2
        and node.reads[2]
        and (flag is None or not walk.is_zero(flag))
    ):
        raise OddNodeError("Dropout in training")
    walk.pass_on(node, x)


def _vector(walk: Walk, node: Node, index: int, what: str, length: int) -> Array:
    key, array = walk.floats(node, index, what, 1)
    if array.size != length:
        raise OddNodeError(f"{node.operator} of {length} channels whose {what} has {array.size} numbers")
    return key, array


def _kernel(walk: Walk, node: Node) -> tuple[int, ...]:
    kernel = walk.row(node, "kernel_shape")
    if kernel is None or len(kernel) != 2 or min(kernel) < 1:
        raise OddNodeError(f"{node.operator} with the kernel {kernel}")
    return kernel


def _described(node: Node, kernel: tuple[int, ...]) -> str:
    return f"{node.operator} with a {'x'.join(map(str, kernel))} kernel"


def _undilated(walk: Walk, node: Node) -> None:
    dilations = walk.row(node, "dilations")
    if dilations and any(n != 1 for n in dilations):
        raise OddNodeError(f"{node.operator} with dilation {'x'.join(map(str, dilations))}")


def _window(walk: Walk, node: Node, weight: tuple[int, ...] | None) -> tuple[int, int, int]:
    """Kernel, stride and padding of a window that is the same in both directions. `weight`: the kernel of its array."""
    kernel = _kernel(walk, node) if weight is None or "kernel_shape" in node.attributes else weight
    strides = walk.row(node, "strides") or (1, 1)
    _undilated(walk, node)
    if weight not in (None, kernel) or len(set(kernel)) != 1 or min(kernel) < 1:
        raise OddNodeError(_described(node, weight or kernel))
    if len(set(strides)) != 1 or strides[0] < 1:
        raise OddNodeError(f"{node.operator} with strides {'x'.join(map(str, strides))}")
    return kernel[0], strides[0], _padding(walk, node, kernel[0], strides[0])


def _padding(walk: Walk, node: Node, kernel: int, stride: int) -> int:
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto in ("", "NOTSET"):
        pads = walk.row(node, "pads") or (0,)
        if len(set(pads)) != 1 or pads[0] < 0:
            raise OddNodeError(f"{node.operator} with pads {pads}")
        return pads[0]
    if auto == "VALID" or kernel == 1:
        return 0
    if stride > 1 or kernel % 2 == 0:  # then the padding depends on the image's size
        raise OddNodeError(f"{node.operator} with auto_pad {auto} and stride {stride}")
    return kernel // 2


def _after(x: Value, kernel: int, stride: int, padding: int) -> Value:
    """What such a window makes of a map."""
    size = tuple((n + 2 * padding - kernel) // stride + 1 for n in x.size or ())
    known = (size[0], size[1]) if size and min(size) > 0 else None
    return replace(x, size=known, shrink=x.shrunk(stride))
