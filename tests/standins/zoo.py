"""A Model goes in, an ONNX graph comes out as one of the files of the ONNX Model Zoo has it: MXNet's export."""

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, helper

from resnets.graph import build
from resnets.weights.model import Model

COUNTERS = {18: "15", 34: "16", 50: "17", 101: "18", 152: "19"}  # seed of v1's prefixes: resnetv17_
COUNTERS_V2 = {18: "22", 34: "23", 50: "24", 101: "25", 152: "27"}


def exported(model: Model, opset: int, counter: str, *, batch: int | str = "N", spatial: bool = False) -> ModelProto:
    """The graph with that network's own counter in all names; images of 224 pixels.

    Opset 7 is of IR 3, which has all initializers among the inputs; 12 of IR 4, and has not. `spatial`: batch norms
    have the attribute `spatial` of 0, as the files of the first host had it.
    """
    proto = build(model, opset=opset, names="exported")
    # The Flatten of the zoo has a number as its name; the value before it is the pooling's.
    old = proto.graph.output[0].name.rsplit("_dense0_fwd", 1)[0]
    renamed(proto, lambda name: f"resnetv{counter}{name.removeprefix(old)}" if name.startswith(old) else name)
    renamed(proto, lambda name: {"features": "flatten_473"}.get(name, name))
    proto.ir_version = 3 if opset == 7 else 4
    proto.graph.name = "mxnet_converted_model"
    proto.producer_name = ""
    fix(proto, batch, 224)
    for node in proto.graph.node:
        if node.op_type == "BatchNormalization":
            node.attribute.append(helper.make_attribute("momentum", 0.9))
            if spatial:
                node.attribute.append(helper.make_attribute("spatial", 0))
    return proto


def renamed(proto: ModelProto, change: object) -> None:
    """Every name of a value or an array, changed."""
    assert callable(change)
    graph = proto.graph
    for named in (*graph.input, *graph.output, *graph.initializer, *graph.node):
        named.name = change(named.name)
    for node in graph.node:
        node.input[:] = [change(name) for name in node.input]
        node.output[:] = [change(name) for name in node.output]


def fix(proto: ModelProto, batch: int | str, side: int) -> None:
    """The sizes of the image, and the batch of it and of the answer."""
    shape = proto.graph.input[0].type.tensor_type.shape
    for dimension, size in zip(shape.dim, (batch, 3, side, side), strict=True):
        _set(dimension, size)
    _set(proto.graph.output[0].type.tensor_type.shape.dim[0], batch)


def _set(dimension: onnx.TensorShapeProto.Dimension, size: int | str) -> None:
    dimension.Clear()
    if isinstance(size, str):
        dimension.dim_param = size
    else:
        dimension.dim_value = size


def quantised(proto: ModelProto, folder: Path, *, qdq: bool) -> bytes:
    """The int8 file that ONNX Runtime makes of a float graph, calibrated on a few random images.

    QLinearConv and the like, or with `qdq` QuantizeLinear and DequantizeLinear around the float operators.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            draw = np.random.default_rng(0).standard_normal
            self.left = [{"data": draw((1, 3, 224, 224), np.float32)} for _ in range(2)]

        def get_next(self) -> dict[str, np.ndarray] | None:
            return self.left.pop() if self.left else None

    before, after = folder / "float.onnx", folder / "int8.onnx"
    onnx.save(proto, before)
    kind = QuantFormat.QDQ if qdq else QuantFormat.QOperator
    quantize_static(
        before, after, Images(), quant_format=kind, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8
    )
    data = after.read_bytes()
    before.unlink()
    after.unlink()
    return data
