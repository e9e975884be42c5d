"""The bytes of an ONNX file go in; what they hold comes out, and whether they hold all of it, without the onnx package.

Runs before any library sees a file. Field numbers are those of onnx.proto.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from resnets.errors import ResNetsError
from resnets.weights import wire
from resnets.weights.model import EXTRA_OUTPUTS, MAX_RANK, absurd
from resnets.weights.wire import BYTES, Buffer, DamagedError, Span, Value

MAX_DEPTH = 16  # messages inside messages
FLOAT = 1  # TensorProto.DataType
Dimensions = tuple[int | str, ...]

# Messages that can hold tensors: message → its fields of message type. A tensor may point outside the file wherever it
# hides: ONNX Runtime reads those of functions and attributes like any other.
CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 14: "property", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "initializer", 11: "input", 12: "output", 15: "sparse"},
    "node": {5: "attribute"},
    "inner": {5: "attribute"},
    "attribute": {5: "tensor", 6: "subgraph", 10: "tensor", 11: "subgraph", 22: "sparse", 23: "sparse"},
    "subgraph": {1: "inner", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "inner", 11: "attribute"},
    "training": {1: "subgraph", 2: "subgraph"},
}


@dataclass(frozen=True)
class Tensor:
    """An initializer where it lies: element type, shape, span of its bytes (empty: stored in another way)."""

    kind: int
    shape: tuple[int, ...]
    raw: Span


@dataclass
class Scan:
    """What an ONNX file holds. `graph` is the span of the graph.

    `values`: each name that a node of the graph writes, with the node's operator and the first name that it reads.
    """

    ir_version: int = 0
    opset: int = 0
    graph: Span = (0, 0)
    metadata: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Dimensions] = field(default_factory=dict)
    outputs: dict[str, Dimensions] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, tuple[str, str]] = field(default_factory=dict)
    nodes: int = 0
    external: list[str] = field(default_factory=list)


def scan(buffer: Buffer, source: str) -> Scan:
    """Read the structure of a whole ONNX file. Raises ResNetsError for one that is damaged or not self-contained."""
    try:
        found = _Walk(buffer).model()
    except DamagedError as error:
        raise ResNetsError(
            f"{source} is truncated, damaged, or not an ONNX model: {error}.", "Copy or download the file again."
        ) from error
    if found.external:
        names = ", ".join(found.external[:3]) + (", ..." if len(found.external) > 3 else "")
        raise ResNetsError(
            f"{source} keeps {len(found.external)} of its tensors in other files ({names}), and resnets reads an ONNX"
            " model only where it is one file.",
            "Save it as one: onnx.save(onnx.load(path), new_path).",
        )
    return found


def answer(found: Scan) -> str | None:
    """The output that holds what the network says: `logits`, or whatever the only one is called; None for several."""
    names = [name for name in found.outputs if name not in EXTRA_OUTPUTS] or list(found.outputs)
    return "logits" if "logits" in names else names[0] if len(names) == 1 else None


def is_softmax(found: Scan, name: str | None) -> bool:
    """Does a Softmax write that output, but for what only changes its shape or type?"""
    operator, reads = found.values.get(name or "", ("", ""))
    for _ in range(MAX_DEPTH):
        if operator not in ("Identity", "Flatten", "Reshape", "Squeeze", "Cast"):
            break
        operator, reads = found.values.get(reads, ("", ""))
    return operator == "Softmax"


def array(buffer: Buffer, tensor: Tensor) -> NDArray[np.float32]:
    """A float tensor as a read-only view of the buffer."""
    start, end = tensor.raw
    return np.frombuffer(buffer, "<f4", (end - start) // 4, start).reshape(tensor.shape)


def output(name: str, shape: Dimensions) -> bytes:
    """One more float output of the graph, as bytes to append to a file: protobuf merges a message in two parts."""
    dimensions = b"".join(wire.put(1, wire.put(1 if isinstance(n, int) else 2, n)) for n in shape)
    tensor_type = wire.put(1, FLOAT) + wire.put(2, dimensions)
    return wire.put(7, wire.put(12, wire.put(1, name) + wire.put(2, wire.put(1, tensor_type))))


def property(key: str, value: str) -> bytes:
    """One metadata property, as bytes to put before or after a file."""
    return wire.put(14, wire.put(1, key) + wire.put(2, value))


def without_property(buffer: Buffer, key: str) -> bytes:
    """The file without the metadata property of that name; everything else is kept as it is."""
    reader = wire.Reader(buffer)
    parts: list[bytes] = []
    for number, kind, value in reader.fields((0, len(buffer))):
        if isinstance(value, int):
            parts.append(wire.put(number, value))
        elif kind == BYTES:
            texts = {n: v for n, _, v in reader.fields(value)} if number == 14 else {}
            if 1 not in texts or reader.text(texts[1]) != key:
                parts.append(wire.put(number, memoryview(buffer)[slice(*value)]))
    return b"".join(parts)


class _Walk(wire.Reader):
    """One pass over the messages of a model, filling a Scan."""

    def __init__(self, buffer: Buffer) -> None:
        super().__init__(buffer)
        self.found = Scan()

    def model(self) -> Scan:
        found = self.found
        for number, value in self.message("model", (0, len(self.buffer)), 0):
            if number == 1:
                found.ir_version = wire.whole(value)
        for what, there in (("IR version", found.ir_version), ("graph", found.graph[1]), ("opset", found.opset)):
            if not there:
                raise DamagedError(f"it has no {what}")
        return found

    def message(self, kind: str, span: Span, depth: int) -> Iterator[tuple[int, Value]]:
        """The plain fields of a message; those that are messages are walked through on the way."""
        if depth > MAX_DEPTH:
            raise DamagedError(f"messages are nested more than {MAX_DEPTH} deep")
        children = CHILDREN[kind]
        for number, _, value in self.fields(span):
            child = children.get(number)
            if child is None:
                yield number, value
            else:
                self.child(child, wire.span(value), depth + 1)

    def child(self, kind: str, span: Span, depth: int) -> None:
        match kind:
            case "property":
                self.property(span)
            case "opset":
                self.operators(span)
            case "input":
                self.value_info(self.found.inputs, span)
            case "output":
                self.value_info(self.found.outputs, span)
            case "tensor" | "initializer":
                self.tensor(span, kept=kind == "initializer")
            case _:
                self.container(kind, span, depth)

    def container(self, kind: str, span: Span, depth: int) -> None:
        if kind == "graph":
            if self.found.graph[1]:
                raise DamagedError("it has two graphs")
            self.found.graph = span
        self.found.nodes += kind in ("node", "inner")
        reads, writes, operator = "", [], ""
        for number, value in self.message(kind, span, depth):
            if kind != "node":
                continue
            match number:
                case 1:
                    reads = reads or self.text(value)
                case 2:
                    writes.append(self.text(value))
                case 4:
                    operator = self.text(value)
        self.found.values |= dict.fromkeys(writes, (operator, reads))

    def property(self, span: Span) -> None:
        parts = {number: self.text(value) for number, _, value in self.fields(span) if number in (1, 2)}
        key = parts.get(1, "")
        if key in self.found.metadata:
            raise DamagedError(f"it has two properties {key!r}")
        self.found.metadata[key] = parts.get(2, "")

    def operators(self, span: Span) -> None:
        parts = {number: value for number, _, value in self.fields(span)}
        if 1 not in parts or self.text(parts[1]) in ("", "ai.onnx"):
            self.found.opset = wire.whole(parts.get(2, 0))

    def tensor(self, span: Span, *, kept: bool) -> None:
        name, kind, raw = "", 0, (0, 0)
        shape: list[int] = []
        external = False
        for number, wire_type, value in self.fields(span):
            match number:
                case 1:
                    for n in self.packed(value):
                        if len(shape) == MAX_RANK:
                            raise DamagedError(f"a tensor has more than {MAX_RANK} dimensions")
                        shape.append(n)
                case 2:
                    kind = wire.whole(value)
                case 8:
                    name = self.text(value)
                case 4 | 9 if wire_type == BYTES:  # float_data in a row has the same bytes as raw_data
                    raw = wire.span(value)
                case 13:
                    external = True
                case 14:
                    external = external or value != 0
        if external:
            self.found.external.append(name or "a constant without a name")
        elif absurd(shape) or (kind == FLOAT and prod(shape) * 4 != raw[1] - raw[0]):
            raise DamagedError(f"tensor {name!r} has {raw[1] - raw[0]:,} bytes for the shape {tuple(shape)}")
        elif kept:
            if name in self.found.tensors:
                raise DamagedError(f"it has two tensors {name!r}")
            self.found.tensors[name] = Tensor(kind, tuple(shape), raw)

    def value_info(self, into: dict[str, Dimensions], span: Span) -> None:
        name = ""
        shape: list[int | str] = []
        for number, _, value in self.fields(span):
            if number == 1:
                name = self.text(value)
            elif number == 2:  # TypeProto's tensor_type, its shape, its dimensions
                for dimension in self.inside(wire.span(value), (1, 2, 1)):
                    parts = {n: v for n, _, v in self.fields(dimension)}
                    shape.append(wire.whole(parts[1]) if 1 in parts else self.text(parts[2]) if 2 in parts else "?")
        into[name] = tuple(shape)

    def inside(self, span: Span, path: tuple[int, ...]) -> Iterator[Span]:
        """The spans of the messages that are reached by those field numbers."""
        for number, _, value in self.fields(span):
            if number == path[0]:
                yield from self.inside(wire.span(value), path[1:]) if len(path) > 1 else (wire.span(value),)
