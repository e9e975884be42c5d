import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from resnets.weights.protobuf.outputs import answer, feature_map, features, is_softmax
from resnets.weights.protobuf.scan import Scan, scan


def graph(*nodes: onnx.NodeProto, outputs: tuple[str, ...] = ("y",), axes: int = 2) -> Scan:
    tensors = [numpy_helper.from_array(np.arange(axes), "axes"), numpy_helper.from_array(np.ones((4, 4)), "w")]
    values = [helper.make_tensor_value_info(name, 1, None) for name in outputs]
    proto = helper.make_model(
        helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", 1, None)], values, tensors),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    return scan(proto.SerializeToString(), "m")


def test_two_layers_and_a_head_beside_them():
    found = graph(
        helper.make_node("GlobalAveragePool", ["m"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["s"]),
        helper.make_node("Add", ["s", "w"], ["y"]),
        helper.make_node("Gemm", ["f", "w"], ["auxiliary"]),
    )
    assert (features(found, "y"), features(found, "auxiliary")) == ("r", "f")
    assert (feature_map(found, "y"), feature_map(found, "auxiliary")) == (None, "m")
    assert features(found, None) is None


@pytest.mark.parametrize(("axes", "expected"), [(2, "m"), (1, None)])
def test_a_mean_over_one_axis_is_no_pooling_of_a_map(axes, expected):
    found = graph(
        helper.make_node("Conv", ["x", "w"], ["m"]),
        helper.make_node("ReduceMean", ["m", "axes"], ["p"]),
        helper.make_node("Dropout", ["p"], ["d"]),
        helper.make_node("Gemm", ["d", "w"], ["y"]),
        axes=axes,
    )
    assert features(found, "y") == "d"
    assert feature_map(found, "y") == expected


def test_a_classifier_that_reads_the_image_has_no_features():
    assert features(graph(helper.make_node("Gemm", ["x", "w"], ["y"])), "y") is None


def test_the_answer_is_called_so_or_alone():
    one = helper.make_node("Softmax", ["x"], ["p"]), helper.make_node("Reshape", ["p", "axes"], ["y"])
    assert answer(graph(*one)) == "y"
    assert answer(graph(*one, outputs=("y", "features"))) == "y"
    assert answer(graph(*one, outputs=("y", "p"))) is None
    assert answer(graph(*one, outputs=("y", "logits"))) == "logits"
    assert is_softmax(graph(*one), "y")
    assert not is_softmax(graph(*one), None)
