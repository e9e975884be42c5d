"""A Model goes in, the bytes of an .onnx file come out, and back; only writing imports the onnx package.

Card and digest stand before the graph, so that a file that was cut anywhere lacks part of its graph and cannot pass.
"""

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resnets import card as cards
from resnets.card import RECIPES, Card, Recipe
from resnets.catalog import Architecture, named
from resnets.errors import ResNetsError
from resnets.network import array_shapes, same
from resnets.weights.model import Arrays, Model, Runnable, agree, checked, fit, verify
from resnets.weights.options import Options
from resnets.weights.protobuf.outputs import answer, feature_map, features, is_softmax
from resnets.weights.protobuf.scan import FLOAT, Dimensions, Scan, is_ready, scan
from resnets.weights.protobuf.tensors import Placed, array
from resnets.weights.protobuf.wire import Buffer, put
from resnets.weights.source import Source

if TYPE_CHECKING:  # what recognises a graph is imported when one is to be recognised
    from resnets.weights.nodes.topology import Topology

GRAPH_KEY = "resnets.graph_sha256"  # metadata property: sha256 of the serialised graph, arrays included
_GRAPH_FIELD = 7  # of onnx.proto's ModelProto
LARGE = 64 << 20
MAX_BYTES = 2**31 - 1  # of all arrays: what protobuf could hold
# Arrays of the ResNet-50 of Caffe2's model zoo, which the ONNX zoo has as resnet50-caffe2: no other network of the zoo
# has all of them.
_CAFFE2 = ("conv1_w", "res_conv1_bn_riv", "res2_0_branch2a_w", "res5_2_branch2c_bn_s", "pred_w")


def write(model: Model, options: Options) -> bytes:
    """The whole file."""
    from resnets.graph import DEFAULT_OPSET, build
    from resnets.weights.protobuf import rewrite

    proto = build(model, opset=options.opset or DEFAULT_OPSET, outputs=options.outputs, names=options.names)
    graph = proto.graph.SerializeToString(deterministic=True)
    proto.ClearField("graph")
    sha = rewrite.property(GRAPH_KEY, hashlib.sha256(graph).hexdigest())
    head = rewrite.property(cards.KEY, cards.to_json(model.card)) + sha + proto.SerializeToString(deterministic=True)
    return b"".join((head, put(_GRAPH_FIELD, graph)))


def read(file: Source, given: Architecture | None = None) -> Model:
    """The model, its arrays copied: of a file of ours by their names, of any other by the graph's topology.

    Raises ResNetsError for a graph that is no residual network, or another one than `given` or the card says.
    """
    buffer, source = file.view(), file.name
    found = scan(buffer, source)
    places = _places(found, buffer, file)
    card = _card(found)
    if GRAPH_KEY in found.metadata and card is not None and card.architecture is not None and _canonical(card, found):
        arrays = {name: np.array(values) for name, values in _arrays(places).items()}
        model = checked(card, arrays, source)
    else:
        model = _recognised(buffer, found, places, file)
    if card is not None:
        _check_graph(buffer, found, source)
    agree(given, model.architecture, source)
    return model


def runnable(file: Source, outputs: tuple[str, ...]) -> Runnable:
    """The file itself, with those outputs added to its graph. What a file without a card gives is seen in its graph.

    Arrays in other files are put into it, and what keeps ONNX Runtime from fusing batch norms is taken out.
    """
    source = file.name
    if file.size > LARGE:
        scan(file.view(), source)  # gigabytes of something else are not read in to be refused
    buffer = file.whole()
    found = scan(buffer, source)
    places = _places(found, buffer, file)
    card = _card(found)
    if card is not None:
        if GRAPH_KEY in found.metadata:
            _check_graph(buffer, found, source)
        else:
            verify(card, _arrays(places), source)
    name = answer(found)
    added = [_added(found, name, wanted, card, source) for wanted in outputs if wanted not in found.outputs]
    softmax = is_softmax(found, name)
    if softmax and card is not None and card.output == "logits":
        raise ResNetsError(
            f"The card in {source} says that the graph gives logits, but it ends with a Softmax.",
            f"Remove its {cards.KEY} property to use the graph as it is.",
        )
    model = buffer if is_ready(found) else _ready(buffer, found, places, source)
    if added:  # without additions the file itself: joining would copy it
        model = b"".join((model, *added))
    if card is None:
        output = "probabilities" if softmax else "logits"
        card = Card(file.path.stem, None, recipe=_recipe(found), output=output)
    return Runnable(card, model, name)


def read_card(file: Source) -> Card | None:
    """The card alone; None where the file has none."""
    return _card(scan(file.view(), file.name))


def with_card(file: Source, card: Card) -> bytes:
    """The same file with another card; the graph is not touched, but arrays in other files are put into it."""
    from resnets.weights.protobuf import rewrite

    read(file)
    buffer = file.whole()
    found = scan(buffer, file.name)
    if any(tensor.outside for tensor in found.tensors.values()):
        buffer = rewrite.ready(buffer, found, _places(found, buffer, file), file.name)
    return rewrite.property(cards.KEY, cards.to_json(card)) + rewrite.without_property(buffer, cards.KEY)


def _recognised(buffer: Buffer, found: Scan, places: dict[str, Placed], file: Source) -> Model:
    """The model of a graph whose names mean nothing."""
    from resnets.weights.nodes.topology import topology

    architecture, keys, there = _network(topology(buffer, found, places, file.name), file.name)
    if sum(there.arrays[key].nbytes for key in keys.values()) > MAX_BYTES:  # a file may name one array many times
        raise ResNetsError(
            f"The arrays of {file.name} would take more than {MAX_BYTES:,} bytes.", "No residual network is so large."
        )
    kept: dict[int, NDArray[np.float32]] = {}
    for key in keys.values():
        view = there.arrays[key]
        kept.setdefault(id(view), np.array(view, np.float32, order="C"))
    weights = {name: kept[id(there.arrays[key])] for name, key in keys.items()}
    weights = fit(architecture, weights, file.name)
    card = _card(found)
    if card is None:
        name = named(replace(architecture, batch_norm="standard")) or file.path.stem
        card = Card(name, architecture, recipe=_recipe(found), input_channels=architecture.input_channels)
        card = replace(card, source={"file": file.path.name, **({"notes": [*there.notes]} if there.notes else {})})
    elif card.architecture is None:
        card = replace(card, architecture=architecture, input_channels=architecture.input_channels, output="logits")
    elif not same(card.architecture, architecture):
        raise ResNetsError(
            f"The graph in {file.name} is another network than its card describes.",
            f"Remove its {cards.KEY} property to use the graph as it is.",
        )
    verify(card, weights, file.name)
    return Model(architecture, weights, card, there.notes)


def _network(there: "Topology", source: str) -> tuple[Architecture, dict[str, str], "Topology"]:
    """What is recognised, and in what: an exporter that folds batch norms leaves out biases that come out as zeros."""
    from resnets.weights.recognise import recognise

    try:
        return (*recognise(there.steps, source), there)
    except ResNetsError:
        completed = there.with_zero_biases()
        with suppress(ResNetsError):
            if completed is not None:
                return (*recognise(completed.steps, source), completed)
        raise


def _recipe(found: Scan) -> Recipe | None:
    """Caffe2's network is known by the names of its arrays. No other graph says how its pixels are prepared."""
    bare = {match[1] for match in (re.fullmatch(r"gpu_\d+/(\w+)_\d+", name) for name in found.tensors) if match}
    return RECIPES.get("caffe2") if bare.issuperset(_CAFFE2) else None


def _added(found: Scan, answer: str | None, wanted: str, card: Card | None, source: str) -> bytes:
    """One more output of the graph, to be appended to the file."""
    from resnets.weights.protobuf import rewrite

    if card is not None and card.architecture is not None and wanted in found.values:
        return rewrite.output(wanted, _shape(wanted, card.architecture))
    find = _FOUND.get(wanted)
    value = find(found, answer) if find else None
    if value == wanted:
        return rewrite.output(wanted, None)
    if value is None or wanted in found.values:
        raise ResNetsError(
            f"Nothing in {source} says which value of its graph is its {wanted}.",
            "Use a model that resnets has written.",
        )
    return rewrite.identity(value, wanted) + rewrite.output(wanted, None)


_FOUND: dict[str, Callable[[Scan, str | None], str | None]] = {"features": features, "feature_map": feature_map}


def _canonical(card: Card, found: Scan) -> bool:
    """Have the arrays our names?"""
    return card.architecture is not None and not array_shapes(card.architecture).keys().isdisjoint(found.tensors)


def _card(found: Scan) -> Card | None:
    text = found.metadata.get(cards.KEY)
    return cards.from_json(text) if text is not None else None


def _places(found: Scan, buffer: Buffer, file: Source) -> dict[str, Placed]:
    """Where the initializers lie. What files seldom need is imported when one does: so it is with rewriting them."""
    if not any(tensor.outside for tensor in found.tensors.values()):
        return {name: (buffer, tensor) for name, tensor in found.tensors.items()}
    from resnets.weights.protobuf.external import placed

    return placed(found, buffer, file)


def _ready(buffer: Buffer, found: Scan, places: dict[str, Placed], source: str) -> bytes:
    from resnets.weights.protobuf import rewrite

    return rewrite.ready(buffer, found, places, source)


def _arrays(places: dict[str, Placed]) -> Arrays:
    found = ((name, array(*place)) for name, place in places.items() if place[1].kind == FLOAT)
    return {name: values for name, values in found if values is not None}


def _check_graph(buffer: Buffer, found: Scan, source: str) -> None:
    written = found.metadata.get(GRAPH_KEY)
    if written is not None and hashlib.sha256(memoryview(buffer)[slice(*found.graph)]).hexdigest() != written:
        raise ResNetsError(
            f"The graph in {source} is not the one that was written there: the file is damaged, or another tool"
            " changed it.",
            f"Copy the file again, or remove its {cards.KEY} property to use the graph as it is.",
        )


def _shape(name: str, architecture: Architecture) -> Dimensions:
    count = architecture.features
    return ("batch", count) if name == "features" else ("batch", count, "h", "w")
