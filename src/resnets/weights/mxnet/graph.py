"""The JSON of an MXNet symbol goes in, the steps of its network come out.

It lists the nodes of a graph; attributes are text, and what is left out has the default of its operator
(src/operator/nn/*.cc). An operator, or a use of one, that no step can say becomes a step whose `op` describes it: so
does every attribute that is not known to change nothing when a trained network runs.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from resnets.network import INPUT, Shape, Step

_MISSING = "(an array that the file lacks)"
_SECOND = "(a second input)"  # such as the labels that a SoftmaxOutput compares with
_SOFTMAX = "softmax"
_LAYOUTS = ("NCHW", "None")
# Attributes by operator. Those that `walk` does not look at matter in training alone, or choose among implementations.
_KNOWN = {
    "Convolution": "kernel stride dilate pad num_filter num_group no_bias layout workspace cudnn_tune cudnn_off",
    "BatchNorm": "eps momentum fix_gamma use_global_stats output_mean_var axis cudnn_off",
    "Pooling": "kernel stride pad pool_type global_pool pooling_convention count_include_pad layout p_value cudnn_off",
    "FullyConnected": "num_hidden no_bias flatten",
    "Activation": "act_type",
    "Dropout": "p mode axes cudnn_off",
    "softmax": "axis temperature dtype use_length",
    "log_softmax": "axis temperature dtype use_length",
    "SoftmaxActivation": "mode",
    **dict.fromkeys(
        ("SoftmaxOutput", "Softmax"),
        "grad_scale ignore_label multi_output use_ignore preserve_shape normalization out_grad smooth_alpha",
    ),
    **dict.fromkeys(("ElementWiseSum", "add_n"), "num_args"),
}
# What users may add to any node: `__NAME__`, before MXNet 0.9 these, alone or behind an array's name.
_FREE = re.compile(r"__.*__|(.*_)?(ctx_group|lr_mult|wd_mult|force_mirroring|mirror_stage)", re.DOTALL)


class Network(NamedTuple):
    """The steps that the answer hangs on; the arrays that count as ones whatever is stored; a softmax at the end."""

    steps: list[Step]
    fixed: set[str]
    left_out: str


def walk(symbol: Any, shapes: Mapping[str, Shape]) -> Network:
    """The network of a symbol. A softmax behind the classifier is left out: it gives logits.

    `shapes`: of the arrays in the file beside; steps have their names there, `arg:` and all. Raises ValueError,
    TypeError, KeyError, IndexError, AttributeError for JSON that is no symbol.
    """
    nodes = symbol["nodes"]
    ((head, output, *_),) = symbol["heads"]
    if output != 0:
        raise ValueError(f"its answer is the output {output} of node {head}")
    found = _Walk(shapes)
    for number in _reached(nodes, head):
        found.node(number, nodes[number])
    names = [step.name for step in found.steps]
    if len(set(names)) != len(names) or not {INPUT, _SECOND, *shapes}.isdisjoint(names):
        raise ValueError("two of its nodes have one name")
    return Network(found.steps, found.fixed, _softmax_at_the_end(found.steps))


def _softmax_at_the_end(steps: list[Step]) -> str:
    """The softmax behind the classifier, which goes from the steps; empty where none is there."""
    linear = {step.name for step in steps if step.op == "linear"}
    if steps and steps[-1].op == _SOFTMAX and linear.issuperset(steps[-1].inputs):
        return steps.pop().name
    return ""


def _reached(nodes: Sequence[Mapping[str, Any]], head: int) -> list[int]:
    """The numbers of the nodes that the head hangs on, in order; every node stands behind what it reads."""
    found, left = {head}, [head]
    while left:
        number = left.pop()
        for source, output, *_ in nodes[number]["inputs"]:
            if not 0 <= source < number or output != 0:
                raise ValueError(f"node {number} reads the output {output} of node {source}")
            if source not in found:
                found.add(source)
                left.append(source)
    return sorted(found)


class _Attributes:
    """A node's attributes."""

    def __init__(self, node: Mapping[str, Any]) -> None:
        self.values: dict[str, Any] = {}
        for kind in ("param", "attr", "attrs"):  # oldest first
            for name, value in node.get(kind, {}).items():
                if self.values.setdefault(name, value) != value:
                    raise ValueError(f"{name[:99]} has two values")
        self.own = node.get("param", self.values)  # beside `param`, `attr` holds the user's own

    def unknown(self, op: str) -> list[str]:
        """Attributes of which nobody knows here what they change."""
        known = _KNOWN.get(op, "").split()
        return [
            f"{name} {value}" for name, value in self.own.items() if name not in known and not _FREE.fullmatch(name)
        ]

    def text(self, name: str, default: str) -> str:
        return str(self.values.get(name, default))

    def flag(self, name: str, default: bool) -> bool:
        text = self.text(name, str(default)).lower()
        if text not in ("true", "false", "1", "0"):
            raise ValueError(f"{name} is {text[:99]}")
        return text in ("true", "1")

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
    """`at`: node → the name of its value; of an array, its key. `channels` and `op` of the values."""

    shapes: Mapping[str, Shape]
    steps: list[Step] = field(default_factory=list)
    fixed: set[str] = field(default_factory=set)
    at: dict[int, str] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)
    op: dict[str, str] = field(default_factory=dict)
    image: bool = False  # whether its variable has been met: the first without an array

    def node(self, number: int, node: Mapping[str, Any]) -> None:
        op, name = node["op"], node["name"]
        inputs = [self.at[source] for source, *_ in node["inputs"]]
        if op == "null":
            keys = (f"arg:{name}", f"aux:{name}", name)
            known = next((key for key in keys if key in self.shapes), None)
            self.at[number] = known or (_SECOND if self.image else INPUT)
            self.image |= known is None
            return
        here = _Node(op, name, inputs, _Attributes(node))
        odd = here.has.unknown(op) if op in _OPERATIONS else []
        step = _other(self, here, ", ".join(odd)) if odd else _OPERATIONS.get(op, _other)(self, here)
        self.at[number] = step.name if step else inputs[0]
        if step:
            self.steps.append(step)
            self.channels[name], self.op[name] = step.channels, step.op

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
    plain = has.size("dilate", 1) == 1 and has.text("layout", "None") in _LAYOUTS
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
    if has.text("layout", "None") not in _LAYOUTS:
        return node.step("Pooling, not NCHW", channels)
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


def _dropout(walk: _Walk, node: _Node) -> Step | None:
    mode = node.has.text("mode", "training")
    return None if mode == "training" else _other(walk, node, f"mode {mode}")


def _flatten(walk: _Walk, node: _Node) -> Step | None:
    """One number a channel, or logits, is what it may bring into rows."""
    flat = walk.op.get(node.inputs[0]) in ("global_pool", "linear", _SOFTMAX)
    return None if flat else _other(walk, node)


def _softmax(walk: _Walk, node: _Node) -> Step:
    has = node.has
    odd = [f"axis {has.number('axis', -1)}"] if has.number("axis", -1) not in (-1, 1) else []
    if has.text("temperature", "None") not in ("None", "1", "1.0"):
        odd.append(f"temperature {has.text('temperature', '')}")
    if has.flag("use_length", False):
        odd.append("use_length")
    if has.text("mode", "instance") != "instance":
        odd.append(f"mode {has.text('mode', '')}")
    return _other(walk, node, ", ".join(odd)) if odd else node.step(_SOFTMAX, walk.channels.get(node.inputs[0], 0))


def _same(walk: _Walk, node: _Node) -> None:
    """What passes its input on."""


def _other(walk: _Walk, node: _Node, how: str = "") -> Step:
    reads = tuple(name for name in node.inputs if name not in walk.shapes)
    op = f"{node.op}, {how}" if how else str(node.op)
    return Step(op, node.name, reads, walk.channels.get(reads[0], 0) if reads else 0)


_OPERATIONS: dict[str, Callable[[_Walk, _Node], Step | None]] = {
    "Convolution": _convolution,
    "BatchNorm": _batch_norm,
    "Pooling": _pooling,
    "FullyConnected": _linear,
    "Activation": _activation,
    **dict.fromkeys(("elemwise_add", "_plus", "_Plus", "_add", "broadcast_add", "ElementWiseSum", "add_n"), _add),
    "Dropout": _dropout,
    **dict.fromkeys(("Flatten", "flatten"), _flatten),
    **dict.fromkeys(("SoftmaxOutput", "softmax", "Softmax", "SoftmaxActivation", "log_softmax"), _softmax),
    **dict.fromkeys(("identity", "_copy", "BlockGrad"), _same),
}
