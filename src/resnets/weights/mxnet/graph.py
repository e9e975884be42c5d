"""The JSON of an MXNet symbol goes in, the steps of its network come out.

It lists the nodes of a graph; attributes are text, and what is left out has the default of its operator
(src/operator/nn/*.cc). An operator, or a use of one, that no step can say becomes a step whose `op` describes it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resnets.network import INPUT, Shape, Step

_SAME = (  # change no number, or only in training; a softmax behind the logits changes no answer
    "Dropout", "Flatten", "flatten", "identity", "_copy", "BlockGrad",
    "SoftmaxOutput", "softmax", "Softmax", "SoftmaxActivation", "log_softmax",
)  # fmt: skip
_MISSING = "(an array that the file lacks)"


def walk(symbol: Any, shapes: Mapping[str, Shape]) -> tuple[list[Step], set[str]]:
    """The steps that the answer hangs on, and the arrays of them that count as ones whatever is stored.

    `shapes`: of the arrays in the file beside; steps have their names there, `arg:` and all. Raises ValueError,
    TypeError, KeyError, IndexError, AttributeError for JSON that is no symbol.
    """
    nodes = symbol["nodes"]
    ((head, *_),) = symbol["heads"]
    found = _Walk(shapes)
    for number in _reached(nodes, head):
        found.node(number, nodes[number])
    names = [step.name for step in found.steps]
    if len(set(names)) != len(names) or INPUT in names:
        raise ValueError("two of its nodes have one name")
    return found.steps, found.fixed


def _reached(nodes: Sequence[Mapping[str, Any]], head: int) -> list[int]:
    """The numbers of the nodes that the head hangs on, in order; every node stands behind what it reads."""
    found, left = {head}, [head]
    while left:
        number = left.pop()
        for source, *_ in nodes[number]["inputs"]:
            if not 0 <= source < number:
                raise ValueError(f"node {number} reads node {source}")
            if source not in found:
                found.add(source)
                left.append(source)
    return sorted(found)


class _Attributes:
    """A node's attributes."""

    def __init__(self, node: Mapping[str, Any]) -> None:
        self.values = {**node.get("param", {}), **node.get("attr", {}), **node.get("attrs", {})}  # oldest first

    def text(self, name: str, default: str) -> str:
        return str(self.values.get(name, default))

    def flag(self, name: str, default: bool) -> bool:
        return self.text(name, str(default)) in ("True", "true", "1")

    def number(self, name: str, default: int) -> int:
        return int(self.text(name, str(default)))

    def size(self, name: str, default: int) -> int:
        """A size that is the same both ways, as in `(3, 3)`; -1 for one that is not."""
        text = self.text(name, "()")
        if not re.fullmatch(r"[(\[][\d\s,L]{0,99}[)\]]", text):
            raise ValueError(f"{name} is {text[:99]}")
        numbers = [int(n) for n in re.findall(r"\d+", text)] or [default, default]
        return numbers[0] if len(numbers) == 2 and numbers[0] == numbers[1] else -1


@dataclass
class _Walk:
    """`at`: node → the name of its value; of an array, its key. `channels` of the values."""

    shapes: Mapping[str, Shape]
    steps: list[Step] = field(default_factory=list)
    fixed: set[str] = field(default_factory=set)
    at: dict[int, str] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)

    def node(self, number: int, node: Mapping[str, Any]) -> None:
        op, name = node["op"], node["name"]
        inputs = [self.at[source] for source, *_ in node["inputs"]]
        if op == "null":  # the image is the one variable without an array; a label reaches nothing but a softmax
            keys = (f"arg:{name}", f"aux:{name}", name)
            self.at[number] = next((key for key in keys if key in self.shapes), INPUT)
        elif op in _SAME:
            self.at[number] = inputs[0]
        else:
            step = _OPERATIONS.get(op, _other)(self, _Node(op, name, inputs, _Attributes(node)))
            self.at[number] = step.name if step else inputs[0]
            if step:
                self.steps.append(step)
                self.channels[name] = step.channels

    def arrays(self, keys: Sequence[str]) -> tuple[tuple[str, Shape], ...]:
        return tuple((key, self.shapes[key]) if key in self.shapes else (_MISSING, ()) for key in keys)


@dataclass(frozen=True)
class _Node:
    op: str
    name: str
    inputs: list[str]
    has: _Attributes

    def step(self, op: str, channels: int, keys: tuple[tuple[str, Shape], ...] = (), **rest: Any) -> Step:
        return Step(op, self.name, (self.inputs[0],), channels, keys, **rest)


def _convolution(walk: _Walk, node: _Node) -> Step:
    has = node.has
    plain = has.size("dilate", 1) == 1 and has.text("layout", "None") in ("NCHW", "None")
    return node.step(
        "conv" if plain else "Convolution, dilated or not NCHW",
        has.number("num_filter", 0),
        walk.arrays(node.inputs[1 : 2 if has.flag("no_bias", False) else 3]),
        kernel=has.size("kernel", 0),
        stride=has.size("stride", 1),
        padding=has.size("pad", 0),
        groups=has.number("num_group", 1),
    )


def _batch_norm(walk: _Walk, node: _Node) -> Step:
    arrays = walk.arrays(node.inputs[1:5])
    if node.has.flag("fix_gamma", True):
        walk.fixed.add(arrays[0][0])
    plain = node.has.number("axis", 1) == 1
    channels = next(iter(arrays[0][1]), 0)
    return node.step(
        "batch_norm" if plain else "BatchNorm over another axis",
        channels,
        arrays,
        eps=float(node.has.text("eps", "1e-3")),
    )


def _pooling(walk: _Walk, node: _Node) -> Step | None:
    has, channels = node.has, walk.channels.get(node.inputs[0], 0)
    kind, rule = has.text("pool_type", "max"), has.text("pooling_convention", "valid")
    if has.flag("global_pool", False):
        return node.step("global_pool" if kind == "avg" else f"Pooling, global {kind}", channels)
    sizes: dict[str, Any] = {
        "kernel": has.size("kernel", 0),
        "stride": has.size("stride", 1),
        "padding": has.size("pad", 0),
    }
    if kind == "max" and rule == "valid":
        return node.step("max_pool", channels, **sizes)
    if kind == "avg" and sizes == {"kernel": 1, "stride": 1, "padding": 0}:
        return None  # GluonCV's shortcuts pool so where the size stays
    whole = rule == "full" and not has.flag("count_include_pad", True)
    if kind == "avg" and whole and sizes["kernel"] == sizes["stride"] and not sizes["padding"]:
        return node.step("average_pool", channels, **sizes)
    return node.step(f"Pooling, {kind}, {rule}", channels, **sizes)


def _linear(walk: _Walk, node: _Node) -> Step:
    has = node.has
    op = "linear" if has.flag("flatten", True) else "FullyConnected of the last axis alone"
    keys = node.inputs[1 : 2 if has.flag("no_bias", False) else 3]
    return node.step(op, has.number("num_hidden", 0), walk.arrays(keys))


def _activation(walk: _Walk, node: _Node) -> Step:
    kind = node.has.text("act_type", "")
    return node.step("relu" if kind == "relu" else f"Activation, {kind}", walk.channels.get(node.inputs[0], 0))


def _add(walk: _Walk, node: _Node) -> Step:
    if len(node.inputs) != 2:
        return _other(walk, node)
    one, other = node.inputs
    return Step("add", node.name, (one, other), walk.channels.get(one, 0))


def _other(walk: _Walk, node: _Node) -> Step:
    reads = tuple(name for name in node.inputs if name not in walk.shapes)
    return Step(str(node.op), node.name, reads, walk.channels.get(reads[0], 0) if reads else 0)


_OPERATIONS: dict[str, Callable[[_Walk, _Node], Step | None]] = {
    "Convolution": _convolution,
    "BatchNorm": _batch_norm,
    "Pooling": _pooling,
    "FullyConnected": _linear,
    "Activation": _activation,
    **dict.fromkeys(("elemwise_add", "_plus", "_Plus", "_add", "broadcast_add", "ElementWiseSum", "add_n"), _add),
}
