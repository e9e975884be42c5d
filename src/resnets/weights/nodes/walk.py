"""Nodes go in one by one; what is known of the values between them, and the steps that they are, are kept here."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.errors import short
from resnets.network import INPUT, Step
from resnets.weights.nodes.constants import whole_numbers
from resnets.weights.nodes.read import Node

Array = tuple[str, NDArray[np.float32]]  # under a key that nothing else has
MAP, POOLED, LOGITS, PROBABILITIES = "a feature map", "pooled features", "the logits", "probabilities"

MAX_SHRINK = 1 << 20  # more pixels than an image has


class OddNodeError(Exception):
    """What a node does that no step says."""


@dataclass(frozen=True)
class Value:
    """A tensor between the image and the answer: the step that computes it, its channels, height and width where known.

    `shrink`: pixels of the image for one of the map in each direction. `rank`: 4, or 2 once pooled features have lost
    their last two dimensions.
    """

    step: str
    channels: int | None = None
    size: tuple[int, int] | None = None
    kind: str = MAP
    rank: int = 4
    shrink: int = 1

    def shrunk(self, stride: int) -> int:
        """What `shrink` is behind such a stride."""
        return min(self.shrink * stride, MAX_SHRINK)


@dataclass
class Walk:
    """`constants`: arrays by the names of the values. `numbers`: values computed from the shape of another.

    `zeros`: channels of the values that are zero. `halves`: values of which only every n-th row, or column, was taken.
    `unbiased`: where among the steps the classifier stands whose value has no bias yet. `side`: height and width of the
    one image whose map a window at the end covers, where the graph leaves the image's size free.
    """

    order: Sequence[Node]
    values: dict[str, Value] = field(default_factory=dict)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    numbers: set[str] = field(default_factory=set)
    zeros: dict[str, int] = field(default_factory=dict)
    halves: dict[str, tuple[Value, int, int]] = field(default_factory=dict)
    unbiased: dict[str, int] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    arrays: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    side: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self._names = {INPUT}
        self._copies = 0
        self._zeros: dict[tuple[int, int, str], tuple[NDArray[Any], bool]] = {}
        self._next: dict[tuple[str, tuple[str, ...]], str] = {}
        self._readers: dict[str, list[Node]] = defaultdict(list)
        for node in self.order:
            for name in set(node.reads):
                self._readers[name].append(node)

    def readers(self, name: str) -> int:
        """How many nodes read a value."""
        return len(self._readers.get(name, ()))

    def next(self, name: str, passing: tuple[str, ...]) -> str:
        """The operator that alone reads a value, those left out that pass it on; empty where none or several do."""
        found, passed = "", []
        while name and self.readers(name) == 1:
            if (name, passing) in self._next:
                found = self._next[name, passing]
                break
            passed.append(name)
            (node,) = self._readers[name]
            if node.operator not in passing:
                found = node.operator
                break
            name = node.writes[0] if node.writes else ""
        self._next.update(dict.fromkeys(((name, passing) for name in passed), found))
        return found

    def is_zero(self, array: NDArray[Any]) -> bool:
        """Are all its numbers zero? Many nodes may ask about one large array, in shapes of their own."""
        key = (array.__array_interface__["data"][0], array.size, array.dtype.str)
        if key not in self._zeros:
            self._zeros[key] = (array, not array.any())  # which is kept, so that no other comes to lie there
        return self._zeros[key][1]

    def value(self, node: Node, index: int = 0) -> Value:
        """What the node reads there. Raises OddNodeError where that is no tensor on the way to the answer."""
        name = node.reads[index] if index < len(node.reads) else ""
        if name in self.values:
            return self.values[name]
        what = "a constant" if name in self.constants else f"{name!r}" if name else "nothing"
        raise OddNodeError(f"{node.operator} of {what}")

    def map(self, node: Node, index: int = 0) -> Value:
        """The same, where it must be a feature map or the image."""
        found = self.value(node, index)
        if found.kind != MAP:
            raise OddNodeError(f"{node.operator} of {found.kind}")
        return found

    def floats(self, node: Node, index: int, what: str, *ranks: int) -> Array:
        """A constant that the node reads there, with its key."""
        name = node.reads[index] if index < len(node.reads) else ""
        array = self.constants.get(name)
        if array is None:
            raise OddNodeError(f"{node.operator} whose {what} is no constant")
        if array.dtype != np.float32:
            raise OddNodeError(f"{node.operator} whose {what} is {array.dtype}")
        if array.ndim not in ranks:
            raise OddNodeError(f"{node.operator} whose {what} has the shape {array.shape}")
        return name, array

    def row(self, node: Node, attribute: str, index: int | None = None) -> tuple[int, ...] | None:
        """Whole numbers from an attribute, or from the input at `index` that later opsets have in its place."""
        if attribute in node.attributes:
            found = node.attributes[attribute]
            if isinstance(found, tuple) and all(isinstance(n, int) for n in found):
                return found
            raise OddNodeError(f"{node.operator} whose {attribute} are no numbers")
        name = node.reads[index] if index is not None and index < len(node.reads) else ""
        numbers = whole_numbers(self.constants.get(name))
        if name and numbers is None:
            raise OddNodeError(f"{node.operator} whose {attribute} are computed")
        return numbers

    def whole(self, node: Node, attribute: str, default: int) -> int:
        """A whole number from an attribute."""
        found = node.attributes.get(attribute, default)
        if not isinstance(found, int):
            raise OddNodeError(f"{node.operator} whose {attribute} is no whole number")
        return found

    def put(
        self, node: Node, op: str, reads: Iterable[Value], value: Value, arrays: Iterable[Array] = (), **rest: Any
    ) -> None:
        """One more step. `value`: what is known of its output but the step's name, which is given here."""
        name = self._name(node)
        shapes = tuple((self.keep(key, array), array.shape) for key, array in arrays)
        self.steps.append(Step(op, name, tuple(read.step for read in reads), value.channels or 0, shapes, **rest))
        self.pass_on(node, replace(value, step=name))

    def pass_on(self, node: Node, value: Value) -> None:
        """The node gives that value."""
        if node.writes:
            self.values[node.writes[0]] = value

    def odd(self, node: Node, what: str) -> None:
        """A step that says what the node does."""
        reads = [self.values[name] for name in node.reads if name in self.values]
        self.put(node, what, reads, Value(""))

    def _name(self, node: Node) -> str:
        known = [short(text, 100) for text in (node.name, *node.writes[:1])]
        candidates = [*known, f"{known[0] or short(node.operator, 100)} ({len(self.steps)})"]
        name = next((n for n in candidates if n and n not in self._names), f"step {len(self.steps)}")
        self._names.add(name)
        return name

    def keep(self, key: str, array: NDArray[np.float32]) -> str:
        """The array under that key, or one like it; returns the key."""
        taken = self.arrays.get(key)
        if taken is not None and taken is not array:
            self._copies += 1
            key = f"{key} ({self._copies})"
        self.arrays[key] = array
        return key
