"""The bytes of an ONNX file go in; what they hold comes out, and whether they hold all of it, without the onnx package.

Runs before any library sees a file. Field numbers are those of onnx.proto.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

from resnets.errors import ResNetsError, short, some
from resnets.weights.model import MAX_RANK, absurd
from resnets.weights.protobuf import wire
from resnets.weights.protobuf.wire import BYTES, Buffer, Span, Value
from resnets.weights.source import DamagedError

MAX_DEPTH = 16  # messages inside messages
FLOAT = 1  # TensorProto.DataType
RAW = 9  # the field of TensorProto that holds bytes of any type
Dimensions = tuple[int | str, ...]
_PLACE = ("location", "offset", "length", "checksum")  # what onnx.proto lets a tensor say of its place outside

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
class Outside:
    """Where a tensor's bytes lie in another file, as the model says it: nothing of it has been looked at."""

    location: str
    offset: int = 0
    length: int | None = None


@dataclass(frozen=True)
class Tensor:
    """A tensor where it lies: element type, shape, the span of its bytes, the field of TensorProto that they stand in.

    `field` 0: it has none here, being empty, kept in a way that is not read, or in another file (`outside`).
    """

    kind: int
    shape: tuple[int, ...]
    data: Span = (0, 0)
    field: int = 0
    outside: Outside | None = None


@dataclass
class Scan:
    """What an ONNX file holds. `graph` is the span of the graph.

    `values`: each name that a node of the graph writes, with the node's operator and the names that it reads.
    `external`: tensors in other files that only initializers may be. `spatial`: nodes have the attribute of that name.
    """

    ir_version: int = 0
    opset: int = 0
    graph: Span = (0, 0)
    metadata: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Dimensions] = field(default_factory=dict)
    outputs: dict[str, Dimensions] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    nodes: int = 0
    spatial: bool = False
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
        raise ResNetsError(
            f"{source} keeps {len(found.external)} of its tensors in other files ({some(found.external, 3)}) in a way"
            " that resnets does not read.",
            "Save it as one: onnx.save(onnx.load(path), new_path).",
        )
    return found


def is_ready(found: Scan) -> bool:
    """Does ONNX Runtime run the file as fast as it can, and without looking into others?"""
    return not (found.spatial or overridable(found) or any(tensor.outside for tensor in found.tensors.values()))


def overridable(found: Scan) -> bool:
    """Do initializers stand among the inputs, where a caller may give other ones?

    ONNX Runtime fuses nothing with such arrays. Before IR 4 all stand there, and it takes them for constants.
    """
    return found.ir_version >= 4 and not found.tensors.keys().isdisjoint(found.inputs)


def tensor(reader: wire.Reader, span: Span) -> tuple[str, Tensor, bool]:
    """A TensorProto: its name, where it lies, and whether it is kept in another file. Raises DamagedError."""
    name, kind, field, data = "", 0, 0, (0, 0)
    shape: list[int] = []
    locations, entries = [], []
    for number, wire_type, value in reader.fields(span):
        match number:
            case 1:
                for n in reader.packed(value):
                    if len(shape) == MAX_RANK:
                        raise DamagedError(f"a tensor has more than {MAX_RANK} dimensions")
                    shape.append(n)
            case 2:
                kind = wire.whole(value)
            case 8:
                name = reader.text(value)
            case 4 | 5 | 7 | 9 | 10 if wire_type == BYTES:  # float_data in a row has the same bytes as raw_data
                if field:
                    raise DamagedError(f"tensor {short(name)!r} has its numbers twice")
                field, data = number, wire.span(value)
            case 13:
                entries.append(wire.span(value))
            case 14:
                locations.append(value)
    external = bool(entries) or any(value != 0 for value in locations)
    # Either mark alone is read by some libraries and not by others.
    outside = _outside(reader, entries) if entries and locations == [1] and not field else None
    size = outside.length if outside else data[1] - data[0]
    if absurd(shape) or (kind == FLOAT and size not in (None, prod(shape) * 4) and (outside or not external)):
        raise DamagedError(f"tensor {short(name)!r} has {size or 0:,} bytes for the shape {tuple(shape)}")
    return name, Tensor(kind, tuple(shape), data, field, outside), external


def _outside(reader: wire.Reader, entries: list[Span]) -> Outside | None:
    """What `location`, `offset` and `length` say; None where they say nothing that could be meant."""
    found: dict[str, str] = {}
    for entry in entries:
        parts = {number: reader.text(value) for number, _, value in reader.fields(entry) if number in (1, 2)}
        key = parts.get(1, "")
        if key in found or key not in _PLACE:
            return None
        found[key] = parts.get(2, "")
    numbers = [found.get(key) for key in ("offset", "length")]
    if "location" not in found or any(
        text is not None and not (text.isascii() and text.isdigit() and len(text) < 19) for text in numbers
    ):
        return None
    offset, length = (int(text) if text is not None else None for text in numbers)
    return Outside(found["location"], offset or 0, length)


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
        if kind == "node":
            self.node(span, depth)
            return
        for number, value in self.message(kind, span, depth):
            if number == 1 and kind == "attribute" and not isinstance(value, int):
                self.found.spatial |= self.buffer[slice(*value)] == b"spatial"

    def node(self, span: Span, depth: int) -> None:
        reads, writes, operator = [], [], ""
        for number, value in self.message("node", span, depth):
            match number:
                case 1:
                    reads.append(self.text(value))
                case 2:
                    writes.append(self.text(value))
                case 4:
                    operator = self.text(value)
        for name in writes:
            self.found.values[name] = (operator, tuple(reads))

    def property(self, span: Span) -> None:
        parts = {number: self.text(value) for number, _, value in self.fields(span) if number in (1, 2)}
        key = parts.get(1, "")
        if key in self.found.metadata:
            raise DamagedError(f"it has two properties {short(key)!r}")
        self.found.metadata[key] = parts.get(2, "")

    def operators(self, span: Span) -> None:
        parts = {number: value for number, _, value in self.fields(span)}
        if 1 not in parts or self.text(parts[1]) in ("", "ai.onnx"):
            self.found.opset = wire.whole(parts.get(2, 0))

    def tensor(self, span: Span, *, kept: bool) -> None:
        name, there, external = tensor(self, span)
        if external and not (kept and there.outside):
            self.found.external.append(name or "a constant without a name")
        if kept:
            if name in self.found.tensors:
                raise DamagedError(f"it has two tensors {short(name)!r}")
            self.found.tensors[name] = there

    def value_info(self, into: dict[str, Dimensions], span: Span) -> None:
        name = ""
        shape: list[int | str] = []
        for number, _, value in self.fields(span):
            if number == 1:
                name = self.text(value)
            elif number == 2:  # TypeProto's tensor_type, its shape, its dimensions
                for dimension in self.inside(wire.span(value), (1, 2, 1)):
                    parts = {n: v for n, _, v in self.fields(dimension)}
                    number = wire.whole(parts[1]) if 1 in parts else -1
                    # Below zero it is as free as without a number.
                    free = self.text(parts[2]) if 2 in parts else "?"
                    shape.append(number if 0 <= number < 1 << 63 else free)
        into[name] = tuple(shape)

    def inside(self, span: Span, path: tuple[int, ...]) -> Iterator[Span]:
        """The spans of the messages that are reached by those field numbers."""
        for number, _, value in self.fields(span):
            if number == path[0]:
                yield from self.inside(wire.span(value), path[1:]) if len(path) > 1 else (wire.span(value),)
