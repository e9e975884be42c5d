"""A Model goes in, ResNet-50 comes out as Caffe2's exporter wrote it for the ONNX Model Zoo, at opset 3, 6, 7, 8 or 9.

Names of a GPU, Sum for an addition, AveragePool of 7x7, a Reshape to the shape of one image, a Softmax at the end. Each
opset in its own dialect: below 6 `consumed_inputs`, below 7 `is_test` of batch norms and `broadcast` of Gemm, below 5
the shape of Reshape as an attribute.
"""

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from resnets.graph import build
from resnets.network import Step, steps
from resnets.weights.model import Model

NORM = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}


def exported(model: Model, opset: int) -> ModelProto:
    """The graph. Opset 7 and later say of the image that any number may come, and take one all the same."""
    proto = build(model, opset=7)
    plan = steps(model.architecture)
    _rename(proto, {step.name: _called(step) for step in plan})
    pool, flatten = (next(n for n in proto.graph.node if n.op_type == k) for k in ("GlobalAveragePool", "Flatten"))
    pool.op_type, flatten.op_type = "AveragePool", "Reshape"
    window = {"kernel_shape": [7, 7], "pads": [0, 0, 0, 0], "strides": [1, 1]}
    pool.attribute.extend(helper.make_attribute(k, v) for k, v in window.items())
    _reshape(proto, flatten, model.architecture.features, opset)
    proto.graph.node.append(helper.make_node("Softmax", ["gpu_0/pred_1"], ["gpu_0/softmax_1"]))
    for node in proto.graph.node:
        _in_dialect(node, opset)
    _describe(proto, opset, model.architecture.classes)
    return proto


def _called(step: Step) -> str:
    """What Caffe2 calls the layer: res2_0_branch2a, res2_0_branch2a_bn."""
    outside = {"conv1": "conv1", "bn1": "res_conv1_bn", "relu": "res_conv1_bn", "maxpool": "pool1", "fc": "pred"}
    if not step.name.startswith("layer"):
        return outside.get(step.name, "pool5")
    stage, block, rest = step.name.removeprefix("layer").split(".", 2)
    last = {"downsample.0": "1", "downsample.1": "1_bn"}.get(rest)
    letter = "abc"[int(rest[-1]) - 1] if last is None and rest[-1].isdigit() else "c"
    return f"res{int(stage) + 1}_{block}_branch{last or f'2{letter}' + ('' if rest.startswith('conv') else '_bn')}"


def _rename(proto: ModelProto, called: dict[str, str]) -> None:
    """Values are numbered by how often their layer's blob was written: bn_1, its ReLU's bn_2, of a sum's bn_3."""
    names, count = {"data": "gpu_0/data_0", "features": "OC2_DUMMY_0"}, dict[str, int]()
    for tensor in proto.graph.initializer:
        module, part = tensor.name.rsplit(".", 1)
        kind = NORM[part] if called[module].endswith("bn") else part[0]
        names[tensor.name] = tensor.name = f"gpu_0/{called[module]}_{kind}_0"
    for node in proto.graph.node:
        layer = "pred" if node.output[0] == "logits" else called.get(node.output[0], "pool5")
        if node.op_type != "Flatten":
            count[layer] = count.get(layer, 0) + 1
            names[node.output[0]] = f"gpu_0/{layer}_{count[layer]}"
        node.name = ""
        node.op_type = {"Add": "Sum"}.get(node.op_type, node.op_type)
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]


def _reshape(proto: ModelProto, node: NodeProto, features: int, opset: int) -> None:
    del node.attribute[:]
    if opset < 5:
        node.attribute.append(helper.make_attribute("shape", [1, features]))
        return
    node.input.append("OC2_DUMMY_1")
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1, features], np.int64), "OC2_DUMMY_1"))


def _in_dialect(node: NodeProto, opset: int) -> None:
    consumed = {"BatchNormalization": [0, 0, 0, 1, 1], "Relu": [0], "Sum": [0, 0], "Reshape": [0]}
    if opset < 6 and node.op_type in consumed:
        node.attribute.append(helper.make_attribute("consumed_inputs", consumed[node.op_type]))
    if opset < 7 and node.op_type == "BatchNormalization":
        node.attribute.append(helper.make_attribute("is_test", 1))
    if opset < 7 and node.op_type == "Gemm":
        node.attribute.append(helper.make_attribute("broadcast", 1))


def _describe(proto: ModelProto, opset: int, classes: int) -> None:
    """Inputs, output, opset. All initializers stand among the inputs: IR 3."""
    graph = proto.graph
    del graph.input[:], graph.output[:]
    graph.input.append(helper.make_tensor_value_info("gpu_0/data_0", 1, ["N" if opset > 6 else 1, 3, 224, 224]))
    graph.input.extend(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in graph.initializer)
    graph.output.append(helper.make_tensor_value_info("gpu_0/softmax_1", 1, [1, classes]))
    graph.name, proto.producer_name, proto.ir_version = "resnet50", "onnx-caffe2", 3
    proto.opset_import[0].version = opset
