"""What many nodes ask about costs once."""

import time
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from resnets.errors import ResNetsError
from resnets.weights import files
from resnets.weights.source import Source


def poolings_into_one(count: int) -> bytes:
    """Each is asked what reads it behind a long row of nodes that pass its value on."""
    nodes = [helper.make_node("AveragePool", ["data"], [f"a{i}"], kernel_shape=[2, 2]) for i in range(count)]
    nodes.append(helper.make_node("Identity", [f"a{i}" for i in range(count)], ["b0"]))
    nodes += [helper.make_node("Identity", [f"b{i}"], [f"b{i + 1}"]) for i in range(count)]
    return alone(nodes, f"b{count}")


def zeros_beside_maps(count: int) -> bytes:
    """Each asks whether one large array, in a shape of its own, is zero."""
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["z"])]
    for i in range(count):
        nodes.append(helper.make_node("Transpose", ["z"], [f"z{i}"], perm=[0, 1, 2, 3]))
        nodes.append(helper.make_node("Concat", ["data", f"z{i}"], [f"c{i}"], axis=1))
    nodes.append(helper.make_node("Sum", [f"c{i}" for i in range(count)], ["end"]))
    return alone(nodes, "end", numpy_helper.from_array(np.array([1, 16_000_000, 1, 1]), "shape"))


def alone(nodes: list[Any], answer: str, *tensors: Any) -> bytes:
    image, output = (helper.make_tensor_value_info(name, 1, None) for name in ("data", answer))
    graph = helper.make_graph(nodes, "g", [image], [output], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    data: bytes = model.SerializeToString()
    return data


@pytest.mark.parametrize("make", [poolings_into_one, zeros_beside_maps])
def test_many_nodes_take_no_more_than_their_number(make):
    data = make(4000)
    began = time.process_time()
    with pytest.raises(ResNetsError, match="no residual network"):
        files.read(Source.of(data, "m.onnx"))
    assert time.process_time() - began < 2
