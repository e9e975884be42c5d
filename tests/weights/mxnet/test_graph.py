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
    found, fixed = walk(symbol(*VARIABLES, conv, norm, pool), SHAPES)
    assert found == [
        Step("conv", "conv", ("data",), 8, (("arg:w", (8, 3, 3, 3)),), kernel=3),
        Step("batch_norm", "norm", ("conv",), 8, tuple((k, (8,)) for k in ("g", "b", "aux:m", "aux:v")), eps=1e-3),
        Step("max_pool", "pool", ("norm",), 8, kernel=2),
    ]
    assert fixed == {"g"}


def test_what_changes_nothing_is_no_step_and_what_the_answer_does_not_hang_on_neither():
    pooled = node("Pooling", "pool", 0, kernel="(1, 1)", pool_type="avg")
    dense = node("FullyConnected", "fc", 10, 6, 7, num_hidden="5")
    side, drop = node("exp", "side", 0), node("Dropout", "drop", 11)
    found, _ = walk(symbol(*VARIABLES, pooled, node("Flatten", "flat", 9), dense, side, drop,
                           node("SoftmaxOutput", "softmax", 13, 8)), SHAPES)  # fmt: skip
    assert found == [Step("linear", "fc", ("data",), 5, (("arg:f", (5, 8)), ("arg:c", (5,))))]


def test_what_no_step_can_say_is_a_step_that_describes_it():
    found, _ = walk(symbol(*VARIABLES, node("LeakyReLU", "act", 0), node("add_n", "sum", 9, 9, 0)), SHAPES)
    assert [(step.op, step.inputs) for step in found] == [("LeakyReLU", ("data",)), ("add_n", ("act", "act", "data"))]


@pytest.mark.parametrize(
    "value",
    [
        symbol(node("exp", "a", 0)),
        symbol(*VARIABLES, node("exp", "a", 0), node("exp", "a", 9)),
        symbol(*VARIABLES, node("exp", "data", 0)),
        symbol(*VARIABLES, node("Convolution", "a", 0, 1, kernel="(3,)*9**9")),
        symbol(*VARIABLES, node("Convolution", "a")),
        {"nodes": VARIABLES, "heads": []},
    ],
)
def test_a_symbol_that_contradicts_itself_is_an_error(value):
    with pytest.raises((ValueError, IndexError)):
        walk(value, SHAPES)
