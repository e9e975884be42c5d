from typing import Any

import pytest

from resnets.network import Step
from resnets.weights.mxnet.graph import walk

SHAPES = {"arg:w": (8, 3, 3, 3), "g": (8,), "b": (8,), "aux:m": (8,), "aux:v": (8,), "arg:f": (5, 8), "arg:c": (5,)}


def node(op: str, name: str, *inputs: int, key: str = "attrs", **attributes: str) -> dict[str, Any]:
    return {"op": op, "name": name, "inputs": [[number, 0, 0] for number in inputs], key: attributes}


def symbol(*nodes: dict[str, Any], head: int = -1) -> dict[str, Any]:
    return {"nodes": [*nodes], "heads": [[head % len(nodes), 0, 0]]}


VARIABLES = [node("null", name) for name in ("data", "w", "g", "b", "m", "v", "f", "c", "softmax_label")]


def test_what_is_left_out_has_the_default_of_its_operator():
    conv = node("Convolution", "conv", 0, 1, key="attr", kernel="(3, 3)", num_filter="8", no_bias="1")
    norm = node("BatchNorm", "norm", 9, 2, 3, 4, 5, key="param")
    pool = node("Pooling", "pool", 10, kernel="(2,2)")
    found, fixed, _ = walk(symbol(*VARIABLES, conv, norm, pool), SHAPES)
    assert found == [
        Step("conv", "conv", ("data",), 8, (("arg:w", (8, 3, 3, 3)),), kernel=3),
        Step("batch_norm", "norm", ("conv",), 8, tuple((k, (8,)) for k in ("g", "b", "aux:m", "aux:v")), eps=1e-3),
        Step("max_pool", "pool", ("norm",), 8, kernel=2),
    ]
    assert fixed == {"g"}


def test_what_changes_nothing_is_no_step_and_what_the_answer_does_not_hang_on_neither():
    pooled = node("Pooling", "pool", 0, kernel="(1, 1)", pool_type="avg")
    whole = node("Pooling", "all", 9, global_pool="True", pool_type="avg")
    dense = node("FullyConnected", "fc", 11, 6, 7, num_hidden="5")
    side, drop = node("exp", "side", 0), node("Dropout", "drop", 12)
    found, _, left_out = walk(symbol(*VARIABLES, pooled, whole, node("Flatten", "flat", 10), dense, side, drop,
                                     node("SoftmaxOutput", "softmax", 14, 8)), SHAPES)  # fmt: skip
    linear = Step("linear", "fc", ("all",), 5, (("arg:f", (5, 8)), ("arg:c", (5,))))
    assert found == [Step("global_pool", "all", ("data",), 0), linear]
    assert left_out == "softmax"


def test_what_no_step_can_say_is_a_step_that_describes_it():
    found, *_ = walk(symbol(*VARIABLES, node("LeakyReLU", "act", 0), node("add_n", "sum", 9, 9, 0)), SHAPES)
    assert [(step.op, step.inputs) for step in found] == [("LeakyReLU", ("data",)), ("add_n", ("act", "act", "data"))]
    found, *_ = walk(symbol(*VARIABLES, node("elemwise_add", "sum", 0, 8)), SHAPES)  # the second has no array
    assert found[0].inputs == ("data", "(a second input)")


def test_what_users_add_to_a_node_is_no_attribute_of_its_operator():
    for name in ("__lr_mult__", "ctx_group", "weight_wd_mult"):
        found, *_ = walk(symbol(*VARIABLES, node("Activation", "a", 0, act_type="relu", **{name: "1"})), SHAPES)
        assert found[0].op == "relu"
    old = node("Activation", "a", 0, key="param", act_type="relu") | {"attr": {"colour": "red"}}
    assert walk(symbol(*VARIABLES, old), SHAPES).steps[0].op == "relu"
    odd = node("Activation", "a", 0, act_type="relu", slope="2")
    assert walk(symbol(*VARIABLES, odd), SHAPES).steps[0].op == "Activation, slope 2"


@pytest.mark.parametrize(
    "value",
    [
        symbol(node("exp", "a", 0)),
        symbol(*VARIABLES, node("exp", "a", 0), node("exp", "a", 9)),
        symbol(*VARIABLES, node("exp", "data", 0)),
        symbol(*VARIABLES, node("Convolution", "a", 0, 1, kernel="(3,)*9**9")),
        symbol(*VARIABLES, node("Convolution", "a")),
        symbol(*VARIABLES, node("Activation", "arg:w", 0, act_type="relu")),
        symbol(*VARIABLES, node("Activation", "a", 0, act_type="relu") | {"attr": {"act_type": "tanh"}}),
        symbol(*VARIABLES, node("FullyConnected", "a", 0, 6, 7, num_hidden="5", no_bias="yes")),
        {"nodes": VARIABLES, "heads": []},
    ],
)
def test_a_symbol_that_contradicts_itself_is_an_error(value):
    with pytest.raises((ValueError, IndexError)):
        walk(value, SHAPES)
