"""A Model goes in, the bytes of an .onnx file come out, and back; only writing imports the onnx package.

Card and digest stand before the graph, so that a file that was cut anywhere lacks part of its graph and cannot pass.
"""

import hashlib

import numpy as np

from resnets import card as cards
from resnets.card import Card
from resnets.catalog import Architecture
from resnets.errors import ResNetsError
from resnets.weights.model import Arrays, Model, Runnable, checked, verify
from resnets.weights.options import Options
from resnets.weights.scan import (
    FLOAT,
    Dimensions,
    Scan,
    answer,
    array,
    is_softmax,
    output,
    property,
    scan,
    without_property,
)
from resnets.weights.source import Source
from resnets.weights.wire import Buffer, put

GRAPH_KEY = "resnets.graph_sha256"  # metadata property: sha256 of the serialised graph, arrays included
_GRAPH_FIELD = 7  # of onnx.proto's ModelProto
LARGE = 64 << 20


def write(model: Model, options: Options) -> bytes:
    """The whole file."""
    from resnets.graph import build

    proto = build(model, opset=options.opset, outputs=options.outputs)
    graph = proto.graph.SerializeToString(deterministic=True)
    proto.ClearField("graph")
    sha = property(GRAPH_KEY, hashlib.sha256(graph).hexdigest())
    head = property(cards.KEY, cards.to_json(model.card)) + sha + proto.SerializeToString(deterministic=True)
    return b"".join((head, put(_GRAPH_FIELD, graph)))


def read(file: Source, given: Architecture | None = None) -> Model:
    """The model, its arrays copied. Raises ResNetsError for a file that is damaged, or has no card of ours."""
    buffer, source = file.view(), file.name
    found = scan(buffer, source)
    arrays = {name: np.array(values) for name, values in _arrays(buffer, found).items()}
    model = checked(_card(found), arrays, source)
    _check_graph(buffer, found, source)
    return model


def runnable(file: Source, outputs: tuple[str, ...]) -> Runnable:
    """The file itself, with those outputs added to its graph. What a file without a card gives is seen in its graph."""
    source = file.name
    if file.size > LARGE:
        scan(file.view(), source)  # gigabytes of something else are not read in to be refused
    buffer = file.whole()
    found = scan(buffer, source)
    card = _card(found)
    if card is not None:
        if GRAPH_KEY in found.metadata:
            _check_graph(buffer, found, source)
        else:
            verify(card, _arrays(buffer, found), source)
    added = [name for name in outputs if name not in found.outputs]
    odd = [name for name in added if name not in found.values or card is None or card.architecture is None]
    if odd:
        raise ResNetsError(
            f"The graph in {source} has no value called {' or '.join(odd)}.", "Use a model that resnets has written."
        )
    name = answer(found)
    softmax = is_softmax(found, name)
    if softmax and card is not None and card.output == "logits":
        raise ResNetsError(
            f"The card in {source} says that the graph gives logits, but it ends with a Softmax.",
            f"Remove its {cards.KEY} property to use the graph as it is.",
        )
    # Without additions the file itself: joining would copy it.
    model = b"".join((buffer, *(output(n, _shape(n, card)) for n in added))) if added else buffer
    return Runnable(card or Card(file.path.stem, None, output="probabilities" if softmax else "logits"), model, name)


def read_card(file: Source) -> Card | None:
    """The card alone; None where the file has none."""
    return _card(scan(file.view(), file.name))


def with_card(file: Source, card: Card) -> bytes:
    """The same file with another card; the graph is not touched."""
    read(file)
    return property(cards.KEY, cards.to_json(card)) + without_property(file.whole(), cards.KEY)


def _card(found: Scan) -> Card | None:
    text = found.metadata.get(cards.KEY)
    return cards.from_json(text) if text is not None else None


def _arrays(buffer: Buffer, found: Scan) -> Arrays:
    return {name: array(buffer, tensor) for name, tensor in found.tensors.items() if tensor.kind == FLOAT}


def _check_graph(buffer: Buffer, found: Scan, source: str) -> None:
    written = found.metadata.get(GRAPH_KEY)
    if written is not None and hashlib.sha256(memoryview(buffer)[slice(*found.graph)]).hexdigest() != written:
        raise ResNetsError(
            f"The graph in {source} is not the one that was written there: the file is damaged, or another tool"
            " changed it.",
            f"Copy the file again, or remove its {cards.KEY} property to use the graph as it is.",
        )


def _shape(name: str, card: Card | None) -> Dimensions:
    assert card is not None
    assert card.architecture is not None
    features = card.architecture.features
    return ("batch", features) if name == "features" else ("batch", features, "h", "w")
