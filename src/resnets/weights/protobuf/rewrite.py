"""The bytes of an ONNX file go in; the same with a property, an output or an array more or less come out.

The wire format alone, without the onnx package. Protobuf merges what comes in two parts, so what is added to a graph is
appended to the file.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO

from resnets.errors import ResNetsError
from resnets.weights.protobuf import wire
from resnets.weights.protobuf.scan import FLOAT, RAW, Dimensions, Scan, overridable
from resnets.weights.protobuf.tensors import Beside, Placed
from resnets.weights.protobuf.wire import BYTES, Pages, Span

MAX_BYTES = 2**31 - 1  # of a protobuf message
_GRAPH, _NODE, _INITIALIZER, _INPUT, _ATTRIBUTE, _EXTERNAL_DATA, _LOCATION = 7, 1, 5, 11, 5, 13, 14  # onnx.proto's


@dataclass(frozen=True)
class Elsewhere:
    """Bytes of another file, which are read when they are written."""

    file: Beside
    span: Span

    def __len__(self) -> int:
        return self.span[1] - self.span[0]


Part = bytes | memoryview | Elsewhere


def output(name: str, shape: Dimensions | None) -> bytes:
    """One more float output of the graph, as bytes to append to a file. None: its shape is not known."""
    tensor_type = wire.put(1, FLOAT)
    if shape is not None:
        dimensions = b"".join(wire.put(1, wire.put(1 if isinstance(n, int) else 2, n)) for n in shape)
        tensor_type += wire.put(2, dimensions)
    return wire.put(_GRAPH, wire.put(12, wire.put(1, name) + wire.put(2, wire.put(1, tensor_type))))


def identity(reads: str, writes: str) -> bytes:
    """One more node that gives a value of the graph another name, as bytes to append to a file."""
    node = wire.put(1, reads) + wire.put(2, writes) + wire.put(4, "Identity")
    return wire.put(_GRAPH, wire.put(_NODE, node))


def property(key: str, value: str) -> bytes:
    """One metadata property, as bytes to put before or after a file."""
    return wire.put(14, wire.put(1, key) + wire.put(2, value))


def without_property(buffer: bytes, key: str) -> bytes:
    """The file without the metadata property of that name; everything else is kept as it is."""
    rewriter = _Rewriter(buffer)

    def kept(number: int, span: Span) -> Iterator[Part] | None:
        return iter(()) if number == 14 and rewriter.word(span, 1) == key else None

    return _joined(rewriter.message((0, len(buffer)), kept))


def ready(buffer: bytes, found: Scan, placed: dict[str, Placed], source: str) -> bytes:
    """The file with all arrays inside, initializers off the inputs, and batch norms without `spatial`.

    `spatial=0` with one number a channel, as early exports have it, means what its absence does, and ONNX Runtime stops
    there. Raises ResNetsError where the whole would be too large for one message.
    """
    rewriter = _Rewriter(buffer)
    listed = found.tensors.keys() if overridable(found) else frozenset[str]()

    def node(number: int, span: Span) -> Iterator[Part] | None:
        return iter(()) if number == _ATTRIBUTE and rewriter.word(span, 1) == "spatial" else None

    def graph(number: int, span: Span) -> Iterator[Part] | None:
        if number == _NODE and found.spatial and rewriter.word(span, 4) == "BatchNormalization":
            return rewriter.nested(number, rewriter.message(span, node))
        if number == _INPUT and rewriter.word(span, 1) in listed:
            return iter(())
        name = rewriter.word(span, 8) if number == _INITIALIZER else ""
        if name and found.tensors[name].outside:
            return rewriter.nested(number, _inside(rewriter, span, placed[name]))
        return None

    def model(number: int, span: Span) -> Iterator[Part] | None:
        return rewriter.nested(number, rewriter.message(span, graph)) if number == _GRAPH else None

    parts = list(rewriter.message((0, len(buffer)), model))
    size = sum(map(len, parts))
    if size > MAX_BYTES:
        raise ResNetsError(
            f"{source} and the files beside it have {size:,} bytes, and ONNX Runtime takes {MAX_BYTES:,} from memory.",
            "Use a smaller model: no residual network of the catalog has half of that.",
        )
    return _joined(parts)


def _joined(parts: Iterable[Part]) -> bytes:
    """All of them in a row: never more than one is in memory beside the whole."""
    whole = BytesIO()
    for part in parts:
        whole.write(part.file.part(*part.span) if isinstance(part, Elsewhere) else part)
    return whole.getvalue()


def _inside(rewriter: "_Rewriter", span: Span, placed: Placed) -> Iterator[Part]:
    """A tensor whose bytes lay elsewhere, as one that holds them."""
    yield from rewriter.message(span, lambda number, _: iter(()) if number == _EXTERNAL_DATA else None, (_LOCATION,))
    file, tensor = placed
    assert not isinstance(file, bytes | Pages)  # only what lies elsewhere is put inside
    yield wire.head(RAW, tensor.data[1] - tensor.data[0])
    yield Elsewhere(file, tensor.data)


class _Rewriter(wire.Reader):
    """Copies messages, but for the fields that a function gives other parts for. Nothing large is copied twice."""

    def __init__(self, buffer: bytes) -> None:
        super().__init__(buffer)
        self.view = memoryview(buffer)

    def message(
        self, span: Span, change: Callable[[int, Span], Iterator[Part] | None], without: tuple[int, ...] = ()
    ) -> Iterator[Part]:
        """`change` is asked about each field that holds bytes: None keeps it. `without`: numbers that are left out."""
        for number, kind, value in self.fields(span):
            if number in without:
                continue
            if isinstance(value, int):
                yield wire.put(number, value)
                continue
            parts = change(number, value) if kind == BYTES else None
            if parts is not None:
                yield from parts
            else:
                yield wire.head(number, value[1] - value[0], kind)
                yield self.view[slice(*value)]

    def nested(self, number: int, parts: Iterable[Part]) -> Iterator[Part]:
        """A message as a field of another."""
        parts = list(parts)
        yield wire.head(number, sum(map(len, parts)))
        yield from parts

    def word(self, span: Span, wanted: int) -> str:
        """The text in the field of that number of the message at `span`; empty where it has none."""
        found = [value for number, kind, value in self.fields(span) if number == wanted and kind == BYTES]
        return self.text(found[-1]) if found else ""
