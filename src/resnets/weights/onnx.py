"""A Model goes in, the bytes of an .onnx file come out, and back; only writing imports the onnx package.

Card and digest stand before the graph, so that a file that was cut anywhere lacks part of its graph and cannot pass.
"""

import hashlib
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from resnets import card as cards
from resnets.card import RECIPES, Card, Recipe
from resnets.catalog import Architecture
from resnets.errors import ResNetsError
from resnets.weights.model import Arrays, Model, Runnable, agree, verify
from resnets.weights.options import Options
from resnets.weights.protobuf.outputs import answer, is_softmax, more
from resnets.weights.protobuf.scan import FLOAT, Dimensions, Scan, is_ready, overridable, scan
from resnets.weights.protobuf.tensors import Placed, array
from resnets.weights.protobuf.wire import Buffer, Pages, put
from resnets.weights.source import Source

GRAPH_KEY = "resnets.graph_sha256"  # metadata property: sha256 of the serialised graph, arrays included
_GRAPH_FIELD = 7  # of onnx.proto's ModelProto
LARGE = 64 << 20
CHUNK = 1 << 16  # bytes of a graph that are digested at a time: what malloc reuses
OLDEST = 7  # opset whose operators ONNX Runtime has
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
    """The model that the graph is, its arrays in memory of their own. It gives logits, whatever stood behind them.

    Raises ResNetsError for a graph that is no residual network, or another one than `given` or the card says.
    """
    from resnets.weights.nodes.recover import recovered

    buffer = Pages(file)
    found = scan(buffer, file.name)
    if cards.KEY in found.metadata:
        _check_graph(buffer, found, file.name)
    model = recovered(buffer, found, _places(found, buffer, file), _card(found), _recipe(found), file)
    agree(given, model.architecture, file.name)
    return model


def runnable(file: Source, outputs: tuple[str, ...]) -> Runnable:
    """The file itself, with those outputs added to its graph. What a file without a card gives is seen in its graph.

    Arrays in other files are put into it, and what keeps ONNX Runtime from fusing batch norms is taken out. Where its
    opset is older than ONNX Runtime runs, it is the network that is read from it, built anew.
    """
    source = file.name
    if file.size > LARGE and scan(Pages(file), source).opset < OLDEST:
        return _rebuilt(file, outputs)  # gigabytes of something else are not read in to be refused
    buffer = file.whole()
    found = scan(buffer, source)
    if found.opset < OLDEST:
        return _rebuilt(file, outputs)
    places = _places(found, buffer, file)
    card = _card(found)
    if card is not None:
        if GRAPH_KEY in found.metadata:
            _check_graph(buffer, found, source)
        else:
            verify(card, _arrays(places), source)
    name = answer(found)
    architecture = card.architecture if card else None
    added = [more(found, name, wanted, architecture, source) for wanted in outputs if wanted not in found.outputs]
    softmax = is_softmax(found, name)
    if softmax and card is not None and card.output == "logits":
        raise ResNetsError(
            f"The card in {source} says that the graph gives logits, but it ends with a Softmax.",
            f"Remove its {cards.KEY} property to use the graph as it is.",
        )
    model = buffer if is_ready(found) else _ready(buffer, found, places, source)
    if added:  # without additions the file itself: joining would copy it
        model = b"".join((model, *added))
    return Runnable(card or _bare_card(found, name, file), model, name)


def outdated(file: Source) -> int | None:
    """The opset of a graph that ONNX Runtime is too new for; None of any other."""
    opset = scan(Pages(file), file.name).opset
    return opset if opset < OLDEST else None


def _rebuilt(file: Source, outputs: tuple[str, ...]) -> Runnable:
    """The network that the graph is, as a graph of today: of its nodes nothing is run."""
    try:
        model = read(file)
    except ResNetsError as error:
        raise ResNetsError(
            f"{file.name} has opset {outdated(file)}, and ONNX Runtime runs {OLDEST} and later: it would have to be a"
            f" residual network, to be built anew. {error.problem}",
            "Convert it with onnx.version_converter first.",
        ) from error
    return Runnable(model.card, write(model, Options(outputs=outputs)), "logits")


def read_card(file: Source) -> Card | None:
    """The card alone; None where the file has none."""
    return _card(scan(Pages(file), file.name))


def with_card(file: Source, card: Card) -> bytes:
    """The same file with another card; the graph is not touched, but arrays in other files are put into it.

    The card's `output` becomes what the graph gives. With an architecture the graph must be that network; without one
    any classifier is taken. Raises ResNetsError unless the file, so written, can be opened again.
    """
    from resnets.weights.protobuf import rewrite

    buffer = file.whole()
    found = scan(buffer, file.name)
    name = answer(found)
    card = replace(card, output=_output(found, name))
    _check_labels(card, found, name, file.name)
    if _scattered(found):
        buffer = rewrite.ready(buffer, found, _places(found, buffer, file), file.name)
    data = rewrite.property(cards.KEY, cards.to_json(card)) + rewrite.without_property(buffer, cards.KEY)
    back = Source.of(data, file.name)
    if card.architecture is None:
        runnable(back, ())
    else:
        read(back)
    return data


def side(file: Source) -> tuple[int, int] | None:
    """Height and width of the images that the graph can be run at; None where they are free.

    What the input fixes; where that is one of them, the other is taken to be the same. Where it fixes none, the image
    whose map the window of the last pooling covers, if that is no pooling of the whole map.
    """
    buffer = Pages(file)
    found = scan(buffer, file.name)
    sizes = [n if isinstance(n, int) and n > 0 else None for n in (*_input(found)[1], "", "", "", "")[2:4]]
    height, width = sizes[0] or sizes[1], sizes[1] or sizes[0]
    if height and width:
        return height, width
    from resnets.weights.nodes.topology import topology

    with suppress(ResNetsError):
        return topology(buffer, found, _places(found, buffer, file), file.name).side
    return None


def beside(file: Source) -> list[Path]:
    """The other files that hold some of the graph's arrays, in the order in which it names them."""
    found = scan(Pages(file), file.name)
    if not _scattered(found):
        return []
    from resnets.weights.protobuf import external

    return external.beside(found, file)


def rewritten(file: Source) -> tuple[str, ...]:
    """What `runnable` changes of the graph before ONNX Runtime sees it, besides added outputs: a sentence each."""
    found = scan(Pages(file), file.name)
    outside = [tensor for tensor in found.tensors.values() if tensor.outside]
    count = len({tensor.outside.location for tensor in outside if tensor.outside})
    changes = {
        f"{len(outside)} arrays were put into the graph from {count} file{'s'[count == 1 :]} beside it.": bool(outside),
        "Initializers were taken off the graph's inputs.": overridable(found),
        "The attribute `spatial` was taken off the graph's batch norms.": found.spatial,
        f"Its opset, {found.opset}, is older than ONNX Runtime runs: the network was built anew.": found.opset < OLDEST,
    }
    return tuple(sentence for sentence, done in changes.items() if done)


def _recipe(found: Scan) -> Recipe | None:
    """Caffe2's network is known by the names of its arrays. No other graph says how its pixels are prepared."""
    bare = {match[1] for match in (re.fullmatch(r"gpu_\d+/(\w+)_\d+", name) for name in found.tensors) if match}
    return RECIPES.get("caffe2") if bare.issuperset(_CAFFE2) else None


def _output(found: Scan, answer: str | None) -> str:
    return "probabilities" if is_softmax(found, answer) else "logits"


def _input(found: Scan) -> tuple[str, Dimensions]:
    """The one input that is no initializer, with its shape; where there are several, nothing."""
    images = [(name, shape) for name, shape in found.inputs.items() if name not in found.tensors]
    return images[0] if len(images) == 1 else ("data", ())


def _bare_card(found: Scan, answer: str | None, file: Source) -> Card:
    """What the graph itself says about its use."""
    name, shape = _input(found)
    channels = shape[1] if len(shape) == 4 else None
    known = isinstance(channels, int) and 0 < channels <= cards.MAX_CHANNELS
    return Card(
        file.path.stem,
        None,
        recipe=_recipe(found),
        output=_output(found, answer),
        input_name=name,
        input_channels=channels if known and isinstance(channels, int) else 3,
    )


def _check_labels(card: Card, found: Scan, answer: str | None, source: str) -> None:
    """A graph that is run as it is may say how many classes it has."""
    classes = found.outputs.get(answer or "", ())[-1:]
    if card.labels is not None and classes and isinstance(classes[0], int) and classes[0] != len(card.labels):
        raise ResNetsError(
            f"The list has {len(card.labels)} labels, but the graph in {source} has {classes[0]} classes.",
            "Use the list that the network was trained with, one label per class in the order of its outputs.",
        )


def _card(found: Scan) -> Card | None:
    text = found.metadata.get(cards.KEY)
    return cards.from_json(text) if text is not None else None


def _places(found: Scan, buffer: Buffer, file: Source) -> dict[str, Placed]:
    """Where the initializers lie. What files seldom need is imported when one does: so it is with rewriting them."""
    if not _scattered(found):
        return {name: (buffer, tensor) for name, tensor in found.tensors.items()}
    from resnets.weights.protobuf.external import placed

    return placed(found, buffer, file)


def _scattered(found: Scan) -> bool:
    return any(tensor.outside for tensor in found.tensors.values())


def _ready(buffer: bytes, found: Scan, places: dict[str, Placed], source: str) -> bytes:
    from resnets.weights.protobuf import rewrite

    return rewrite.ready(buffer, found, places, source)


def _arrays(places: dict[str, Placed]) -> Arrays:
    found = ((name, array(*place)) for name, place in places.items() if place[1].kind == FLOAT)
    return {name: values for name, values in found if values is not None}


def _check_graph(buffer: Buffer, found: Scan, source: str) -> None:
    """Raises ResNetsError where the graph is damaged. Who changes it on purpose can change its digest as well."""
    written = found.metadata.get(GRAPH_KEY)
    if written is None:
        return
    sha = hashlib.sha256()
    start, end = found.graph
    for at in range(start, end, CHUNK):
        sha.update(buffer[at : min(at + CHUNK, end)])
    if sha.hexdigest() != written:
        raise ResNetsError(
            f"The graph in {source} is not the one that was written there: the file is damaged, or another tool"
            " changed it.",
            f"Copy the file again, or remove its {cards.KEY} property to use the graph as it is.",
        )
