import numpy as np
import pytest
from onnx import helper, numpy_helper

from resnets.errors import ResNetsError
from resnets.weights.model import digest


def as_constants(graph):
    """Every array from nodes: a Constant, Identities of one, the Cast of a double one."""
    for number, tensor in enumerate(list(graph.proto.graph.initializer)):
        name, array = f"constant {number}", numpy_helper.to_array(tensor)
        match number % 3:
            case 0:
                graph.put("Constant", [], [tensor.name], value=tensor)
            case 1:
                graph.put("Constant", [], [name], value=tensor)
                graph.put("Identity", [name], [f"{name} again"])
                graph.put("Identity", [f"{name} again"], [tensor.name])
            case _:
                graph.put("Constant", [], [name], value=numpy_helper.from_array(array.astype(np.float64)))
                graph.put("Cast", [name], [tensor.name], to=1)
    del graph.proto.graph.initializer[:]


def test_arrays_of_nodes_count_as_initializers(graph):
    as_constants(graph)
    nodes = list(graph.proto.graph.node)[::-1]
    back = graph.recovered()
    assert digest(back.weights) == digest(graph.model.weights)
    del graph.proto.graph.node[:]
    graph.proto.graph.node.extend(nodes)
    assert graph.difference() < 1e-5


def test_rows_of_numbers_and_shapes_are_constants_too(graph):
    norm = graph.node("BatchNormalization")
    graph.put("Constant", [], ["floats"], value_floats=[0.5, 1, 1.5, 2, 2.5, 3])
    graph.put("Constant", [], ["size"], value_ints=[6])
    graph.put("ConstantOfShape", ["size"], ["zeros"])
    graph.put("ConstantOfShape", ["size"], ["quarters"], value=numpy_helper.from_array(np.array([0.25], np.float32)))
    norm.input[1:] = ["floats", "zeros", "quarters", norm.input[4]]
    back = graph.recovered()
    assert back.weights["bn1.weight"].tolist() == [0.5, 1, 1.5, 2, 2.5, 3]
    assert back.weights["bn1.bias"].tolist() == [0] * 6
    assert back.weights["bn1.running_mean"].tolist() == [0.25] * 6


@pytest.mark.parametrize("operator", ["Reshape", "Flatten", "Unsqueeze"])
def test_a_classifier_may_be_stored_in_another_shape(operator, graph):
    gemm = graph.node("Gemm")
    weight, bias = graph.array(gemm.input[1]), graph.array(gemm.input[2])
    if operator == "Unsqueeze":
        gemm.input[2] = "again"
        graph.put("Unsqueeze", [graph.constant("b", bias), graph.constant("axes", np.array([0]))], ["again"])
    else:
        gemm.input[1] = "again"
        stored = graph.constant("w", weight[:, :, None, None])
        shape = [graph.constant("shape", np.array([5, -1]))] if operator == "Reshape" else []
        graph.put(operator, [stored, *shape], ["again"])
    assert digest(graph.recovered().weights) == digest(graph.model.weights)


def filled(graph, shape):
    graph.node("Conv", 1).input[1] = "filled"
    graph.put("ConstantOfShape", [graph.constant("shape", np.array(shape, np.int64))], ["filled"])


def cast_over_and_over(graph):
    graph.put("ConstantOfShape", [graph.constant("shape", np.array([1024, 1024], np.int64))], ["c0"])
    for number in range(100):
        graph.put("Cast", [f"c{number}"], [f"c{number + 1}"], to=1 if number % 2 else 11)
    graph.node("Conv", 1).input[1] = "c100"


def reshaped_into_nothing(graph):
    shape = graph.constant("shape", np.array([7, 7], np.int64))
    graph.put("Reshape", [graph.node("Conv", 1).input[1], shape], ["w"])
    graph.node("Conv", 1).input[1] = "w"


BAD = {
    r"should have the shape \(-1,\)": lambda g: filled(g, [-1]),
    r"should have the shape \(1099": lambda g: filled(g, [2**40, 2**40]),
    "constants take more than": lambda g: filled(g, [8, 6, 2000, 2000]),
    "its constants take more than": cast_over_and_over,
    r"cannot have the shape \(7, 7\)": reshaped_into_nothing,
    "Conv whose weight is no constant": lambda g: filled(g, [[8], [6]]),
}


@pytest.mark.parametrize("reason", BAD)
def test_constants_that_are_none_cost_nothing(reason, graph):
    BAD[reason](graph)
    with pytest.raises(ResNetsError, match=reason):
        graph.recovered()


def test_a_node_that_computes_is_no_constant(graph):
    gemm = graph.node("Gemm")
    graph.swap(
        gemm,
        helper.make_node("Neg", [gemm.input[1]], ["negative"]),
        helper.make_node("Gemm", [gemm.input[0], "negative", gemm.input[2]], gemm.output, transB=1),
    )
    with pytest.raises(ResNetsError, match=r"negative \(Neg\)"):
        graph.recovered()
