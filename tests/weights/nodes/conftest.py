"""A graph of ours to write parts of in other ways, and what becomes of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, helper, numpy_helper

from resnets.card import KEY, Card
from resnets.catalog import ARCHITECTURES, Architecture
from resnets.engines.onnxruntime import Session
from resnets.network import array_shapes
from resnets.weights import files
from resnets.weights.model import Model
from resnets.weights.onnx import GRAPH_KEY, write
from resnets.weights.options import Options
from resnets.weights.protobuf.rewrite import without_property
from resnets.weights.source import Source

BOTTLENECK = replace(ARCHITECTURES["resnet50"], blocks=(1, 2), widths=(8, 12), stem_widths=(6,), classes=5)
PADDED = replace(ARCHITECTURES["resnet20-cifar"], blocks=(1, 1, 1), widths=(4, 8, 16), stem_widths=(4,))


@dataclass
class Graph:
    """`model` as a graph without a word of ours, to be changed through `proto`."""

    model: Model
    proto: ModelProto

    def node(self, kind: str, index: int = 0) -> NodeProto:
        found: list[NodeProto] = [node for node in self.proto.graph.node if node.op_type == kind]
        return found[index]

    def nodes(self, *kinds: str) -> list[NodeProto]:
        return [node for node in self.proto.graph.node if node.op_type in kinds]

    def swap(self, old: NodeProto, *new: NodeProto) -> None:
        nodes = [other for node in self.proto.graph.node for other in (new if node == old else (node,))]
        del self.proto.graph.node[:]
        self.proto.graph.node.extend(nodes)

    def put(self, kind: str, reads: Any, writes: Any, **attributes: Any) -> None:
        self.proto.graph.node.append(helper.make_node(kind, reads, writes, **attributes))

    def constant(self, name: str, values: Any) -> str:
        self.proto.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def array(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(next(t for t in self.proto.graph.initializer if t.name == name))

    def set(self, node: NodeProto, **attributes: Any) -> None:
        """Those attributes of a node; None takes one away."""
        kept = [a for a in node.attribute if a.name not in attributes]
        del node.attribute[:]
        node.attribute.extend(kept)
        node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items() if v is not None)

    def fix(self, *sizes: int) -> None:
        for dimension, size in zip(self.proto.graph.input[0].type.tensor_type.shape.dim, sizes, strict=True):
            dimension.dim_value = size

    def recovered(self) -> Model:
        return files.read(Source.of(self.proto.SerializeToString(), "m.onnx"))

    def difference(self) -> float:
        """Between what it computes and what the model does, both in ONNX Runtime."""
        x = np.random.default_rng(1).standard_normal((2, 3, 40, 56), np.float32)
        answers = []
        for data in (self.proto.SerializeToString(), write(self.model, Options())):
            ready = files.runnable(Source.of(data, "m.onnx"))
            assert ready.answer
            answers.append(Session(ready.model, 1).run(x, (ready.answer,))[ready.answer])
        return float(np.abs(answers[0] - answers[1]).max())


def made(architecture: Architecture, opset: int = 13) -> Graph:
    draw = np.random.default_rng(0)
    arrays = {}
    for name, shape in array_shapes(architecture).items():
        array = draw.standard_normal(shape) * (0.1 if len(shape) > 1 else 0.5)
        arrays[name] = (np.abs(array) + 0.5 if name.endswith("_var") else array).astype(np.float32)
    model = Model(architecture, arrays, Card("x", architecture))
    data = write(model, Options(opset=opset))
    for key in (KEY, GRAPH_KEY):
        data = without_property(data, key)
    return Graph(model, onnx.load_from_string(data))


@pytest.fixture
def graph() -> Graph:
    """Two stages of bottlenecks behind the stem of ImageNet."""
    return made(BOTTLENECK)


@pytest.fixture
def padded() -> Graph:
    """Three stages of basic blocks with shortcut A."""
    return made(PADDED)


@pytest.fixture
def pooled() -> Callable[[int], Graph]:
    """Two stages of bottlenecks whose shortcuts pool, at an opset."""
    return lambda opset: made(replace(BOTTLENECK, shortcut_pool=True), opset)


@pytest.fixture
def padded_by_attributes() -> Graph:
    return made(PADDED, opset=10)
