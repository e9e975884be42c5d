import random
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from resnets.card import KEY, RECIPES, Card, Label, to_json
from resnets.catalog import find
from resnets.classify import Classifier
from resnets.engines.onnxruntime import Session
from resnets.errors import ResNetsError
from resnets.initialise import initialise
from resnets.weights import files
from resnets.weights.model import Model, Runnable, digest
from resnets.weights.onnx import GRAPH_KEY, read, runnable, with_card, write
from resnets.weights.options import Options
from resnets.weights.protobuf.rewrite import without_property
from resnets.weights.source import Source


@pytest.fixture
def data(tiny_model: Path) -> bytes:
    return tiny_model.read_bytes()


@pytest.fixture
def model(tiny_model: Path) -> Model:
    return files.load(tiny_model)


def test_a_file_is_a_valid_model_with_its_card(data, model):
    proto = onnx.load_from_string(data)
    onnx.checker.check_model(proto, full_check=True)
    assert {entry.key: entry.value for entry in proto.metadata_props}[KEY] == to_json(model.card)


def test_equal_models_are_equal_files(data, model):
    assert write(model, Options()) == data


def test_a_card_is_exchanged_and_the_graph_is_not_touched(data, model):
    card = replace(model.card, name="renamed", licence="CC0-1.0")
    changed = with_card(Source.of(data, "m"), card)
    back = read(Source.of(changed, "m"))
    assert back.card == card
    assert onnx.load_from_string(changed).graph == onnx.load_from_string(data).graph
    assert changed.count(GRAPH_KEY.encode()) == changed.count(KEY.encode()) == 1


def test_a_changed_node_is_noticed(data):
    proto = onnx.load_from_string(data)
    conv = next(node for node in proto.graph.node if node.name == "layer2.0.conv1")
    next(a for a in conv.attribute if a.name == "strides").ints[:] = [1, 1]
    for opened in (lambda b: read(Source.of(b, "m")), lambda b: runnable(Source.of(b, "m"), ())):
        with pytest.raises(ResNetsError, match="not the one that was written"):
            opened(proto.SerializeToString())


def test_changed_arrays_are_noticed_where_no_digest_of_the_graph_is(data):
    proto = onnx.load_from_string(data)
    del proto.metadata_props[1]
    assert read(Source.of(proto.SerializeToString(), "m")).architecture.classes == 3
    bias = next(t for t in proto.graph.initializer if t.name == "fc.bias")
    bias.raw_data = np.array([0, 0, 1e-7], np.float32).tobytes()
    for opened in (lambda b: read(Source.of(b, "m")), lambda b: runnable(Source.of(b, "m"), ())):
        with pytest.raises(ResNetsError, match="not the ones that its card was written for"):
            opened(proto.SerializeToString())


def test_nan_is_named(data):
    proto = onnx.load_from_string(without_property(data, GRAPH_KEY))
    for tensor in proto.graph.initializer:
        if tensor.name in ("fc.bias", "bn1.weight"):
            tensor.raw_data = b"\x00\x00\xc0\x7f" * (len(tensor.raw_data) // 4)
    with pytest.raises(ResNetsError, match=r"2 arrays of m hold NaN or infinity: bn1.weight, fc.bias"):
        read(Source.of(proto.SerializeToString(), "m"))


@pytest.fixture
def foreign(data) -> bytes:
    """The same graph as another tool would leave it: without a word of ours."""
    proto = onnx.load_from_string(data)
    del proto.metadata_props[:]
    for node in proto.graph.node:
        for row in (node.input, node.output):
            row[:] = [f"/{name}_output_0" if name in ("features", "feature_map") else name for name in row]
    changed: bytes = proto.SerializeToString()
    return changed


def outputs(ready: Runnable, names: tuple[str, ...], side: int = 32) -> dict[str, np.ndarray]:
    x = np.random.default_rng(0).standard_normal((2, 3, side, side), np.float32)
    return Session(ready.model, 1).run(x, names)


def test_a_graph_without_a_card_runs_as_it_is(foreign):
    assert runnable(Source.of(foreign, "a/m.onnx"), ()) == (Card("m", None), foreign, "logits")


def test_a_graph_without_a_card_is_recognised(foreign, model):
    back = read(Source.of(foreign, "a/m.onnx"))
    assert (back.architecture, digest(back.weights)) == (model.architecture, digest(model.weights))
    assert back.card == Card("m", model.architecture, source={"file": "m.onnx"})
    assert read(Source.of(foreign, "m.onnx"), model.architecture).architecture == model.architecture
    with pytest.raises(ResNetsError, match="another network than the one that was given"):
        read(Source.of(foreign, "m.onnx"), replace(model.architecture, shortcut="B"))


def test_features_of_any_graph_are_what_its_classifier_reads(foreign, data):
    names = ("logits", "features", "feature_map")
    theirs = outputs(runnable(Source.of(foreign, "m.onnx"), names), names)
    ours = outputs(runnable(Source.of(data, "m.onnx"), names), names)
    for name in names:
        np.testing.assert_array_equal(theirs[name], ours[name])


def vision(*tail: onnx.NodeProto, reads: str = "pooled") -> onnx.ModelProto:
    """A classifier that is no residual network: Conv, Clip, pooling, a normalisation, MatMul."""
    draw = np.random.default_rng(0)
    arrays = {"w": draw.standard_normal((6, 3, 3, 3)), "high": 6.0, "low": 0.0, "fc": draw.standard_normal((6, 4))}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["c", "low", "high"], ["r"], "clipped"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["pooled"]),
        *tail,
        helper.make_node("MatMul", [reads, "fc"], ["y"]),
    ]
    tensors = [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in arrays.items()]
    image = helper.make_tensor_value_info("x", 1, ["n", 3, "h", "w"])
    graph = helper.make_graph(nodes, "g", [image], [helper.make_tensor_value_info("y", 1, ["n", 4])], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def test_any_other_classifier_runs_and_is_not_converted():
    source = Source.of(vision().SerializeToString(), "m.onnx")
    found = outputs(runnable(source, ("features", "feature_map")), ("y", "features", "feature_map"))
    np.testing.assert_allclose(found["feature_map"].mean((2, 3)), found["features"], atol=1e-5)
    with pytest.raises(ResNetsError, match=r"no residual network.*clipped \(Clip\)"):
        read(source)
    behind = vision(helper.make_node("Sigmoid", ["pooled"], ["scaled"]), reads="scaled")
    source = Source.of(behind.SerializeToString(), "m.onnx")
    assert outputs(runnable(source, ("features",)), ("features",))["features"].shape == (2, 6)
    with pytest.raises(ResNetsError, match="which value of its graph is its feature_map"):
        runnable(source, ("feature_map",))


def test_a_value_of_that_name_that_is_another_is_not_taken():
    graph = vision(helper.make_node("Identity", ["pooled"], ["features"]))
    with pytest.raises(ResNetsError, match="which value of its graph is its features"):
        runnable(Source.of(graph.SerializeToString(), "m.onnx"), ("features",))


def test_a_card_is_given_to_a_graph_of_another_tool(foreign, model):
    card = replace(read(Source.of(foreign, "m.onnx")).card, licence="CC0-1.0")
    changed = with_card(Source.of(foreign, "m.onnx"), card)
    source = Source.of(changed, "m.onnx")
    back = read(source)
    assert (back.card, digest(back.weights)) == (card, digest(model.weights))
    assert outputs(runnable(source, ("features",)), ("features",))["features"].shape == (2, 64)
    other = replace(card, architecture=replace(model.architecture, shortcut_zeros="both"))
    with pytest.raises(ResNetsError, match="another network than its card describes"):
        with_card(Source.of(foreign, "m.onnx"), other)
    unknown = read(Source.of(with_card(Source.of(foreign, "m.onnx"), replace(card, architecture=None)), "m.onnx"))
    assert (unknown.architecture, unknown.card) == (model.architecture, card)


LABELS = tuple(Label(str(i), f"class {i}") for i in range(4))


def test_any_classifier_takes_a_card(tmp_path, photos):
    source = Source.of(vision().SerializeToString(), "m.onnx")
    bare = runnable(source, ()).card
    assert bare == Card("m", None, input_name="x")
    card = replace(bare, labels=LABELS, recipe=replace(RECIPES["resnets"], size=32, crop=32), temperature=3.0)
    path = tmp_path / "carded.onnx"
    path.write_bytes(with_card(source, card))
    opened = Classifier(path)
    assert opened.card == card
    (best, *_), (cold, *_) = opened.classify(photos["cat"]), replaced(opened, temperature=1.0).classify(photos["cat"])
    assert (best.label, best.label) == (f"class {best.index}", cold.label)
    assert best.probability < cold.probability
    with pytest.raises(ResNetsError, match=r"3 labels, but the graph in m\.onnx has 4 classes"):
        with_card(source, replace(card, labels=LABELS[:3]))
    with pytest.raises(ResNetsError, match="no residual network"):
        with_card(source, replace(card, labels=None, architecture=find("resnet18")))
    with pytest.raises(ResNetsError, match="not the ones that its card was written for"):
        with_card(source, replace(card, weights_sha256="0" * 64))


def replaced(classifier: Classifier, **changes: object) -> Classifier:
    """The same with another card."""
    found = Classifier(classifier.path)
    found.card = replace(found.card, **changes)
    return found


@pytest.mark.parametrize("known", [True, False])
def test_a_card_says_what_the_graph_gives(known, rewritten, tmp_path, photos):
    """A Softmax at its end, whether or not the graph is known to be a residual network."""
    with files.opened(rewritten("y", tail=("Softmax",))) as source:
        card = read(source).card if known else runnable(source, ()).card
        recipe = replace(RECIPES["resnets"], size=32, crop=32)
        (tmp_path / "carded.onnx").write_bytes(with_card(source, replace(card, recipe=recipe, temperature=2.0)))
    opened = Classifier(tmp_path / "carded.onnx")
    assert (opened.card.output, opened.card.architecture is None) == ("probabilities", not known)
    logits = Classifier(rewritten("y"), recipe=recipe).logits(np.zeros((1, 3, 32, 32), np.float32))
    assert len(opened.classify(photos["cat"])) == 3
    expected = np.log(np.exp(logits) / np.exp(logits).sum())
    np.testing.assert_allclose(opened.logits(np.zeros((1, 3, 32, 32), np.float32)), expected, atol=1e-5)
    assert files.load(tmp_path / "carded.onnx").card.output == "logits"  # which are kept


def test_a_long_name_is_shortened(foreign):
    proto = onnx.load_from_string(foreign)
    norms = [node for node in proto.graph.node if node.op_type == "BatchNormalization"]
    norms[-1].attribute[0].f = 1e-3
    for change in ("name", "op_type", "auto_pad"):
        node = norms[0] if change == "name" else proto.graph.node[0]
        if change == "auto_pad":
            node.attribute.append(helper.make_attribute(change, "X" * 500_000))
        else:
            setattr(node, change, "X" * 500_000)
        with pytest.raises(ResNetsError) as error:
            read(Source.of(proto.SerializeToString(), "m.onnx"))
        assert len(str(error.value)) < 1500


def test_a_changed_node_is_noticed_where_no_digest_of_the_graph_is(data):
    proto = onnx.load_from_string(without_property(data, GRAPH_KEY))
    norm = next(node for node in proto.graph.node if node.op_type == "BatchNormalization")
    norm.attribute[0].f = 1e-3
    with pytest.raises(ResNetsError, match="more than one eps"):
        read(Source.of(proto.SerializeToString(), "m.onnx"))


def test_names_of_the_zoo_are_read_back():
    a = replace(find("resnet18-v2"), blocks=(1, 1, 1, 1), widths=(8, 8, 16, 16), stem_widths=(8,), classes=3)
    model = Model(a, initialise(a), Card("m", a))
    back = read(Source.of(write(model, Options(names="exported")), "m.onnx"))
    assert (back.architecture, digest(back.weights)) == (a, digest(model.weights))


def mutated(data: bytes, dice: random.Random) -> bytes:
    """The file with bits flipped, sizes changed, parts cut out, doubled or moved; most often where its structure is."""
    changed = bytearray(data)
    # Tensors come first in no file of ours: nodes and the tensors' headers are where zeros and weights are not.
    text = [match.start() for match in re.finditer(rb"[a-z_.0-9]{4,}", data)]
    for _ in range(dice.randint(1, 4)):
        at = min(max(dice.choice(text) + dice.randint(-12, 24), 0), len(changed) - 1)
        match dice.randrange(6):
            case 0:
                changed[at] ^= 1 << dice.randrange(8)
            case 1:
                changed[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del changed[at : at + dice.randint(1, 30)]
            case 3:
                changed[at:at] = changed[at : at + dice.randint(1, 200)]
            case 4:
                changed[at : at + 10] = b"\xff" * 9 + b"\x01"
            case 5:
                other = dice.choice(text)
                changed[at : at + 8] = changed[other : other + 8]
    return bytes(changed) if dice.random() < 0.9 else bytes(changed[: dice.randrange(len(changed))])


def fuzz(data: bytes, count: int, seed: int = 0) -> int:
    """So many mutations of a file: each is one error, or a network of finite arrays. Returns how many were read."""
    dice, good = random.Random(seed), 0
    for _ in range(count):
        source = Source.of(mutated(data, dice), "m.onnx")
        with suppress(ResNetsError):
            found = files.read(source)
            assert all(np.isfinite(array).all() for array in found.weights.values())
            good += 1
        with suppress(ResNetsError):
            files.runnable(source, ("features", "feature_map"))
    return good


def test_damage_never_raises_anything_else(foreign, data):
    assert fuzz(foreign, 300) > 0
    assert fuzz(data, 60, seed=1) == 0  # whose digest is known


def test_outputs_that_are_there_are_not_added_again(model):
    both = write(model, Options(outputs=("features", "feature_map")))
    assert runnable(Source.of(both, "m"), ("features",))[1] == both
