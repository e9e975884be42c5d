import hashlib
from dataclasses import replace

import onnx
import pytest

from resnets.card import KEY, Card
from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.initialise import initialise
from resnets.weights.model import Model
from resnets.weights.onnx import GRAPH_KEY, read, write
from resnets.weights.options import Options
from resnets.weights.protobuf.rewrite import without_property
from resnets.weights.source import Source


def test_a_graph_is_not_believed_by_its_digest(tiny_model):
    proto = onnx.load(tiny_model)
    next(node for node in proto.graph.node if node.name == "layer1.0.relu1").op_type = "Sigmoid"
    sha = hashlib.sha256(proto.graph.SerializeToString(deterministic=True)).hexdigest()
    next(entry for entry in proto.metadata_props if entry.key == GRAPH_KEY).value = sha
    with pytest.raises(ResNetsError, match=r"layer1.0.relu1 \(Sigmoid\) has no place"):
        read(Source.of(proto.SerializeToString(), "m.onnx"))


def test_of_networks_that_look_alike_it_is_the_one_of_the_card():
    """With a batch norm after each addition and one block a stage, the graph might be a pre-activation network's."""
    a = replace(
        find("resnet18"), blocks=(1, 1), widths=(4, 8), stem_widths=(4,), classes=3, shortcut_batch_norm=False,
        post_add_batch_norm=True, eps=1.23456789e-5,
    )  # fmt: skip
    data = write(Model(a, initialise(a), Card("m", a)), Options())
    assert read(Source.of(data, "m.onnx")).architecture == a
    assert read(Source.of(without_property(data, KEY), "m.onnx")).architecture.preact


def test_arrays_that_are_used_again_and_again_have_a_limit(tiny_model, monkeypatch):
    monkeypatch.setattr("resnets.weights.nodes.recover.MAX_BYTES", 100_000)
    with pytest.raises(ResNetsError, match="would take more than 100,000 bytes"):
        read(Source.of(without_property(tiny_model.read_bytes(), KEY), "m.onnx"))


def test_the_catalogs_name_is_the_cards():
    a = replace(find("resnet20-cifar"), classes=3)
    data = write(Model(a, initialise(a), Card("mine", a)), Options())
    assert read(Source.of(without_property(data, KEY), "m.onnx")).card.name == "resnet20-cifar"
