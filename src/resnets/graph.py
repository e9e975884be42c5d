"""A Model goes in, an ONNX graph comes out: one readable node a step, any opset from 7 to the newest that runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from resnets.catalog import Architecture
from resnets.errors import ResNetsError
from resnets.network import INPUT, Step, feature_map, steps
from resnets.weights.dialects.gluon import graph_names
from resnets.weights.fold import fold as folded
from resnets.weights.model import EXTRA_OUTPUTS, Model

# opset: IR version of the onnx release that brought it. Both are always set, because the package's own defaults are
# newer than what ONNX Runtime reads.
IR_VERSIONS = {
    7: 3, 8: 3, 9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10,
    23: 11, 24: 12, 25: 13, 26: 13,
}  # fmt: skip
NEWEST = max(IR_VERSIONS)
DEFAULT_OPSET = 13  # runs nearly everywhere


@dataclass(frozen=True)
class _Names:
    """What is called how: the value of each step (and its node, but for `logits` and the like), and each array."""

    values: dict[str, str]
    nodes: dict[str, str]
    arrays: dict[str, str]


def build(
    model: Model,
    *,
    opset: int = DEFAULT_OPSET,
    fold: bool = False,
    outputs: tuple[str, ...] = (),
    names: str | None = None,
) -> ModelProto:
    """The network as ONNX, without a card: input `data` [batch, channels, height, width], output `logits`.

    Batch, height and width are free, from 32x32 up. `fold` folds batch norms into the convolutions before them.
    `outputs` adds `features` [batch, n], pooled, and `feature_map` [batch, n, h, w], what the pooling reads; the two
    tensors carry these names in every graph that gives them. Initializers have canonical names.

    `names`: `exported` gives nodes, values and initializers the names of the ONNX zoo's files, which MXNet exported:
    the output is `resnetv17_dense0_fwd`. Raises ResNetsError for an unknown opset, output or `names`, and for a network
    that Gluon has no names for.
    """
    _check(opset, outputs)
    model = folded(model) if fold else model
    plan, called = _named(model.architecture, names, outputs)
    tensors = [_tensor(called.arrays[name], model.weights[name]) for step in plan for name, _ in step.arrays]
    nodes: list[NodeProto] = []
    for node, constant in _nodes(plan, called, opset):
        nodes.append(node)
        tensors.extend(constant)
    inputs = [_value(INPUT, "batch", model.architecture.input_channels, "height", "width")]
    if IR_VERSIONS[opset] < 4:  # before IR 4 an initializer is an input too
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors]
    given = _outputs(model.architecture, called.values["fc"], outputs)
    graph = helper.make_graph(nodes, model.card.name, inputs, given, tensors)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSIONS[opset], producer_name="resnets"
    )


def _check(opset: int, outputs: tuple[str, ...]) -> None:
    if opset not in IR_VERSIONS:
        raise ResNetsError(
            f"Opset {opset} is not one that resnets writes.",
            f"Use one from {min(IR_VERSIONS)} to {NEWEST}; 13 runs nearly everywhere.",
        )
    odd = [name for name in outputs if name not in EXTRA_OUTPUTS]
    if odd:
        raise ResNetsError(
            f"The network has no output {', '.join(map(repr, odd))}.", f"Use {' or '.join(EXTRA_OUTPUTS)}."
        )


def _named(a: Architecture, names: str | None, outputs: tuple[str, ...]) -> tuple[list[Step], _Names]:
    """The steps in the order of their nodes, and the names of everything."""
    if names is None:
        plan = steps(a)
        own = {step.name: step.name for step in plan}
        values = {**own, feature_map(a): "feature_map", "avgpool": "features", "fc": "logits"}
        return plan, _Names(values, own, {name: name for step in plan for name, _ in step.arrays})
    if names != "exported":
        raise ResNetsError(f"An .onnx file has no names called {names!r}.", "Use exported, or leave --names out.")
    plan, nodes, arrays = graph_names(a)
    # The zoo's Flatten is called otherwise in every file (flatten_473): its value may have a name that says something.
    values = {**nodes, "avgpool": "features", **({feature_map(a): "feature_map"} if "feature_map" in outputs else {})}
    return plan, _Names(values, nodes, arrays)


def _tensor(name: str, array: NDArray[Any]) -> TensorProto:
    kind = TensorProto.FLOAT if array.dtype == np.float32 else TensorProto.INT64
    raw = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return helper.make_tensor(name, kind, array.shape, raw, raw=True)


def _value(name: str, *dimensions: int | str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dimensions)


def _outputs(architecture: Architecture, answer: str, extra: tuple[str, ...]) -> list[ValueInfoProto]:
    n = architecture.features
    extras = {"features": _value("features", "batch", n), "feature_map": _value("feature_map", "batch", n, "h", "w")}
    return [_value(answer, "batch", architecture.classes), *(extras[name] for name in EXTRA_OUTPUTS if name in extra)]


def _nodes(plan: list[Step], called: _Names, opset: int) -> Iterator[tuple[NodeProto, list[TensorProto]]]:
    """The nodes in order, each with the constants that it needs."""
    for step in plan:
        reads = [called.values.get(name, name) for name in step.inputs]
        node, writes = called.nodes[step.name], called.values[step.name]
        if step.op == "global_pool":
            yield helper.make_node("GlobalAveragePool", reads, [node], node), []
            yield helper.make_node("Flatten", [node], [writes], "flatten", axis=1), []
        elif step.op == "pad_channels":
            yield _pad(step, reads, writes, opset)
        else:
            kind, attributes = _operation(step, opset)
            arrays = [called.arrays[name] for name, _ in step.arrays]
            yield helper.make_node(kind, [*reads, *arrays], [writes], node, **attributes), []


def _operation(step: Step, opset: int) -> tuple[str, dict[str, Any]]:
    """ONNX's operator and its attributes for a step that is one node."""
    window = {"kernel_shape": [step.kernel] * 2, "strides": [step.stride] * 2}
    pads = {"pads": [step.padding] * 4}
    match step.op:
        case "conv":
            return "Conv", {**window, **pads, "group": step.groups, "dilations": [1, 1]}
        case "batch_norm":
            return "BatchNormalization", {"epsilon": step.eps}
        case "relu":
            return "Relu", {}
        case "add":
            return "Add", {}
        case "max_pool":
            return "MaxPool", {**window, **pads}
        case "average_pool":
            return "AveragePool", {**window, **_ceil(step, opset)}
        case "linear":
            return "Gemm", {"transB": 1}
    raise AssertionError(step.op)


def _ceil(step: Step, opset: int) -> dict[str, Any]:
    """Attributes that keep the last, incomplete window of an odd size and take its mean over what is there."""
    if step.kernel == 1:
        return {}
    if opset >= 10:
        return {"ceil_mode": 1, "count_include_pad": 0}
    # Before opset 10 there is no ceil mode. One row and column at the end, left out of the mean, give ceil(n / 2)
    # windows for even n (the extra one fills no window) and for odd n alike.
    return {"pads": [0, 0, step.kernel - 1, step.kernel - 1], "count_include_pad": 0}


def _pad(step: Step, reads: list[str], writes: str, opset: int) -> tuple[NodeProto, list[TensorProto]]:
    before, after = step.zeros
    pads = [0, before, 0, 0, 0, after, 0, 0]
    if opset < 11:
        return helper.make_node("Pad", reads, [writes], step.name, mode="constant", pads=pads), []
    constant = _tensor(f"{step.name}.pads", np.array(pads, np.int64))
    return helper.make_node("Pad", [*reads, constant.name], [writes], step.name, mode="constant"), [constant]
