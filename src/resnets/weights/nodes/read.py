"""The graph of a scanned ONNX file goes in; its nodes come out with their attributes, sorted as they are computed."""

import heapq
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from resnets.errors import short
from resnets.weights.protobuf import wire
from resnets.weights.protobuf.scan import Scan, Tensor, tensor
from resnets.weights.protobuf.wire import BYTES, Buffer, Span, Value
from resnets.weights.source import DamagedError

Attribute = int | float | str | tuple[Any, ...] | Tensor | None  # None: of a kind that no network here needs
# AttributeProto.AttributeType: the field that then holds the value
_FIELDS = {1: 2, 2: 3, 3: 4, 4: 5, 5: 6, 6: 7, 7: 8, 8: 9, 9: 10, 10: 11, 11: 22, 12: 23, 13: 14, 14: 15}
_ROWS = (7, 8, 9)  # floats, ints, strings: a list even where it is empty


@dataclass(frozen=True)
class Node:
    """One node. `operator` has its domain before it unless that is ONNX's own, and so has a function of the model.

    `reads` holds an empty name for an input that is left out.
    """

    operator: str
    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    attributes: dict[str, Attribute] = field(default_factory=dict)


def nodes(buffer: Buffer, found: Scan) -> list[Node]:
    """All nodes of the graph in the order of the file. Raises DamagedError."""
    reader = _Reader(buffer)
    own = {reader.signature(value) for number, value in reader.spans((0, len(buffer))) if number == 25}
    read = [reader.node(value, own) for number, value in reader.spans(found.graph) if number == 1]
    names = [name for node in read for name in node.writes if name]
    if len(names) != len(set(names)):
        raise DamagedError("two of its nodes write one value")
    return read


def needed(read: list[Node], answer: str) -> list[Node]:
    """The nodes that the answer depends on, in the order of the file unless that is no order to compute them in."""
    writers = {name: number for number, node in enumerate(read) for name in node.writes if name}
    reached: set[int] = set()
    pending = [answer]
    while pending:
        number = writers.get(pending.pop())
        if number is not None and number not in reached:
            reached.add(number)
            pending.extend(read[number].reads)
    waiting = {n: {writers[name] for name in read[n].reads if name in writers} for n in reached}
    readers: dict[int, list[int]] = {}
    for number, before in waiting.items():
        for one in before:
            readers.setdefault(one, []).append(number)
    free = [number for number, before in waiting.items() if not before]
    heapq.heapify(free)
    order = []
    while free:
        number = heapq.heappop(free)
        order.append(read[number])
        for reader in readers.get(number, ()):
            waiting[reader].discard(number)
            if not waiting[reader]:
                heapq.heappush(free, reader)
    if len(order) != len(reached):
        raise DamagedError("its nodes read each other in a circle")
    return order


class _Reader(wire.Reader):
    def spans(self, span: Span) -> Iterable[tuple[int, Span]]:
        """The fields that hold bytes."""
        return ((number, wire.span(value)) for number, kind, value in self.fields(span) if kind == BYTES)

    def signature(self, span: Span) -> tuple[str, str]:
        """Domain and name of a function of the model."""
        parts = {number: self.text(value) for number, value in self.spans(span) if number in (1, 10)}
        return _domain(parts.get(10, "")), parts.get(1, "")

    def node(self, span: Span, own: set[tuple[str, str]]) -> Node:
        parts = {3: "", 4: "", 7: ""}
        reads: list[str] = []
        writes: list[str] = []
        attributes: dict[str, Attribute] = {}
        for number, value in self.spans(span):
            match number:
                case 1:
                    reads.append(self.text(value))
                case 2:
                    writes.append(self.text(value))
                case 3 | 4 | 7:
                    parts[number] = self.text(value)
                case 5:
                    name, content = self.attribute(value)
                    if name in attributes:
                        raise DamagedError(f"a node has two attributes {short(name)!r}")
                    attributes[name] = content
        domain, operator = _domain(parts[7]), parts[4]
        if (domain, operator) in own:
            domain = f"{domain} function".strip()
        operator = f"{domain}.{operator}" if domain else operator
        return Node(operator, parts[3], tuple(reads), tuple(writes), attributes)

    def attribute(self, span: Span) -> tuple[str, Attribute]:
        name, kind = "", 0
        values: dict[int, list[Value]] = {}
        for number, _, value in self.fields(span):
            if number == 1:
                name = self.text(value)
            elif number == 20:
                kind = wire.whole(value)
            elif number == 21:  # ref_attr_name: what a function is given
                return name, None
            elif number in _FIELDS.values():
                values.setdefault(number, []).append(value)
        place = _FIELDS.get(kind, 0) if kind else next(iter(values), 0)
        if (kind and not place) or any(number != place for number in values):
            raise DamagedError(f"attribute {short(name)!r} has a value that is not of its type")
        return name, self.content(place, values.get(place, []))

    def content(self, place: int, values: list[Value]) -> Attribute:
        if place not in _ROWS and len(values) > 1:
            raise DamagedError("an attribute has several values")
        match place:
            case 2:
                return self.float(values[0]) if values else 0.0
            case 3:
                return _signed(wire.whole(values[0])) if values else 0
            case 4:
                return self.text(values[0]) if values else ""
            case 5 if values:
                return tensor(self, wire.span(values[0]))[1]
            case 7:
                return tuple(n for value in values for n in self.floats(value))
            case 8:
                return tuple(_signed(n) for value in values for n in self.packed(value))
            case 9:
                return tuple(self.text(value) for value in values)
        return None

    def floats(self, value: Value) -> list[float]:
        start, end = wire.span(value)
        if (end - start) % 4:
            raise DamagedError(f"{end - start} bytes at byte {start:,} are not whole floats")
        return [self.float((at, at + 4)) for at in range(start, end, 4)]

    def float(self, value: Value) -> float:
        """A 32-bit float as the shortest decimal that it may have been: 1e-05, not 9.999999747378752e-06."""
        start, end = wire.span(value)
        if end - start != 4:
            raise DamagedError(f"{end - start} bytes at byte {start:,} are not a float")
        return float(str(np.float32(struct.unpack("<f", self.buffer[start:end])[0])))


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _domain(text: str) -> str:
    return "" if text == "ai.onnx" else text
