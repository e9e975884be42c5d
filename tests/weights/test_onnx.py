from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from resnets.card import KEY, Card, to_json
from resnets.errors import ResNetsError
from resnets.weights import files
from resnets.weights.model import Model
from resnets.weights.onnx import GRAPH_KEY, read, runnable, with_card, write
from resnets.weights.options import Options
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
    proto = onnx.load_from_string(data)
    for tensor in proto.graph.initializer:
        if tensor.name in ("fc.bias", "bn1.weight"):
            tensor.raw_data = b"\x00\x00\xc0\x7f" * (len(tensor.raw_data) // 4)
    with pytest.raises(ResNetsError, match=r"2 arrays of m hold NaN or infinity: bn1.weight, fc.bias"):
        read(Source.of(proto.SerializeToString(), "m"))


def test_a_foreign_graph_runs_and_is_not_loaded(data):
    proto = onnx.load_from_string(data)
    del proto.metadata_props[:]
    foreign = proto.SerializeToString()
    assert runnable(Source.of(foreign, "a/m.onnx"), ()) == (Card("m", None), foreign, "logits")
    with pytest.raises(ResNetsError, match="has no card"):
        read(Source.of(foreign, "m"))
    with pytest.raises(ResNetsError, match="no value called features"):
        runnable(Source.of(foreign, "m"), ("features",))


def test_outputs_that_are_there_are_not_added_again(model):
    both = write(model, Options(outputs=("features", "feature_map")))
    assert runnable(Source.of(both, "m"), ("features",))[1] == both
