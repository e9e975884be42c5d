import numpy as np
import pytest
from onnx import helper

from resnets.errors import ResNetsError
from resnets.weights.model import digest


def backwards(graph):
    nodes = list(graph.proto.graph.node)[::-1]
    del graph.proto.graph.node[:]
    graph.proto.graph.node.extend(nodes)


def passed_on(graph):
    for node in graph.nodes("Relu", "Flatten"):
        name = node.output[0]
        names = [f"{name} itself", f"{name} a", f"{name} b", name]
        node.output[0] = names[0]
        for kind, one, other in zip(("Identity", "Dropout", "Cast"), names, names[1:], strict=False):
            graph.put(kind, [one], [other], **({"to": 1} if kind == "Cast" else {}))


def anonymous(graph):
    """No node has a name, and every value another one than ours."""
    names = {"data": "data", "logits": "logits"}
    for tensor in graph.proto.graph.initializer:
        tensor.name = names.setdefault(tensor.name, f"onnx::Conv_{len(names)}")
    for node in graph.proto.graph.node:
        node.name = ""
        for row in (node.input, node.output):
            row[:] = [names.setdefault(name, str(len(names))) for name in row]


def one_name(graph):
    for node in graph.proto.graph.node:
        node.name = "data"


def sums(graph):
    for node in graph.nodes("Add"):
        node.op_type = "Sum"
        node.input[:] = reversed(node.input)


def same_padding(graph):
    for node in graph.nodes("Conv"):
        strides = next(list(a.ints) for a in node.attribute if a.name == "strides")
        if strides == [1, 1]:
            graph.set(node, auto_pad="SAME_UPPER", pads=None, kernel_shape=None, dilations=None)


def bare_attributes(graph):
    """Nothing that is the default: no group, no dilations, strides of 1, no pads of 0."""
    for node in graph.nodes("Conv"):
        values = {a.name: list(a.ints) for a in node.attribute}
        defaults = {"pads": {0}, "strides": {1}, "dilations": {1}}
        gone = {name: None for name, value in values.items() if set(value) == defaults.get(name)}
        graph.set(node, group=None, **gone)
    for node in graph.nodes("BatchNormalization"):
        graph.set(node, epsilon=None)


def once_for_several(graph):
    """Equal arrays are one initializer, and an Identity for every other use."""
    for node in graph.nodes("BatchNormalization"):
        for index, name in enumerate(node.input[1:], 1):
            graph.put("Identity", [name], [f"{name} again"])
            node.input[index] = f"{name} again"


def unused(graph):
    graph.put("Exp", graph.node("Relu").output, ["e"])
    graph.put("LSTM", ["e", "e", "e"], ["l"])
    graph.constant("left over", np.ones(3, np.float32))


SAME = [backwards, passed_on, anonymous, one_name, sums, same_padding, bare_attributes, once_for_several, unused]


@pytest.mark.parametrize("write", SAME, ids=lambda f: f.__name__)
def test_what_means_the_same_is_the_same_network(write, graph):
    write(graph)
    back = graph.recovered()
    assert back.architecture == graph.model.architecture
    assert digest(back.weights) == digest(graph.model.weights)
    if write not in (unused, one_name):  # which ONNX Runtime refuses
        assert graph.difference() < 1e-5


def test_what_is_left_out_is_told(graph):
    unused(graph)
    assert graph.recovered().notes == (
        "2 nodes are left out that the answer does not depend on.",
        "1 initializers are left out that the answer does not depend on.",
    )


def test_equal_arrays_may_be_one(graph):
    graph.node("BatchNormalization").input[3] = graph.node("BatchNormalization").input[2]
    back = graph.recovered()
    np.testing.assert_array_equal(back.weights["bn1.running_mean"], back.weights["bn1.bias"])


def test_a_name_that_another_array_has_already_is_no_trouble(graph):
    """The key of a transposed weight is made of its name."""
    gemm, conv = graph.node("Gemm"), graph.node("Conv")
    gemm.input[1] = graph.constant("w", graph.array(gemm.input[1]).T.copy())
    graph.set(gemm, transB=0)
    conv.input[1] = graph.constant("w transposed", graph.array(conv.input[1]))
    assert digest(graph.recovered().weights) == digest(graph.model.weights)


def clip(graph):
    relu = graph.node("Relu")
    graph.swap(relu, helper.make_node("Clip", relu.input, relu.output, "relu6"))


def foreign(graph):
    graph.node("Relu").domain = "com.microsoft"


def own_function(graph):
    body = [helper.make_node("Neg", ["x"], ["y"])]
    graph.proto.functions.append(
        helper.make_function("", "Relu", ["x"], ["y"], body, [helper.make_opsetid("", 13)]),
    )


def our_word(graph):
    graph.node("Relu").op_type = "relu"


def in_training(graph):
    graph.node("BatchNormalization").output.extend(["mean", "var"])


def turned(graph):
    conv = graph.node("Conv")
    graph.put("Transpose", ["data"], ["nchw"], name="first", perm=[0, 3, 1, 2])
    conv.input[0] = "nchw"


def two_images(graph):
    relu = graph.node("Relu")
    graph.proto.graph.input.append(helper.make_tensor_value_info("other", 1, None))
    graph.swap(relu, helper.make_node("Add", [relu.input[0], "other"], relu.output))


def bytes_cast(graph):
    graph.put("Cast", ["data"], ["floats"], to=1)
    graph.node("Conv").input[0] = "floats"


def half(graph):
    conv = graph.node("Conv", 1)
    conv.input[1] = graph.constant("half", graph.array(conv.input[1]).astype(np.float16))


def wider(graph):
    conv = graph.node("Conv", 1)
    conv.input[1] = graph.constant("wider", np.zeros((8, 7, 1, 1), np.float32))


def short(graph):
    graph.node("BatchNormalization").input[2] = graph.constant("short", np.zeros(5, np.float32))


def no_array(graph):
    graph.node("Conv", 1).input[1] = "nowhere"


def dropping(graph):
    pool = graph.node("MaxPool")
    graph.swap(pool, helper.make_node("AveragePool", pool.input, pool.output, kernel_shape=[2, 2], strides=[2, 2]))


def uneven_groups(graph):
    conv = graph.node("Conv", 1)
    conv.input[1] = graph.constant("uneven", np.zeros((8, 2, 1, 1), np.float32))
    graph.set(conv, group=3)


def pooled_twice(graph):
    flatten = graph.node("Flatten")
    graph.put("Relu", flatten.input, ["again"])
    flatten.input[0] = "again"


def uneven_sum(graph):
    graph.node("Add").input[1] = "maxpool"


def dropping_out(graph):
    conv = graph.node("Conv", 1)
    flag, ratio = graph.constant("yes", np.array(True)), graph.constant("half", np.float32(0.5))
    graph.put("Dropout", [conv.input[0], ratio, flag], ["dropped"])
    conv.input[0] = "dropped"


ODD = {
    r"relu6? \(Clip\)": clip,
    r"relu \(com.microsoft.Relu\)": foreign,
    r"relu \(function.Relu\)": own_function,
    r"relu \(operator relu\)": our_word,
    "bn1 .*in training": in_training,
    "first .Transpose": turned,
    "depends on 2 inputs": two_images,
    "Cast to type 1": bytes_cast,
    "Conv whose weight is float16": half,
    "Conv of 6 channels with a weight for 7 in 1 groups": wider,
    "BatchNormalization of 6 channels whose bias has 5 numbers": short,
    r"layer1.0.conv1 \(Conv whose weight is no constant\)": no_array,
    r"AveragePool with a 2x2 kernel, stride 2, pads \(0, 0, 0, 0\), ceil_mode 0": dropping,
    "Conv with dilation 2x2": lambda g: g.set(g.node("Conv", 2), dilations=[2, 2]),
    "Conv with strides 1x2": lambda g: g.set(g.node("Conv", 2), strides=[1, 2]),
    r"Conv with pads \(0, 1, 0, 1\)": lambda g: g.set(g.node("Conv", 2), pads=[0, 1, 0, 1]),
    "Conv with a 3x3 kernel": lambda g: g.set(g.node("Conv", 2), kernel_shape=[5, 5]),
    "Conv with auto_pad SAME_UPPER and stride 2": lambda g: g.set(g.node("Conv"), pads=None, auto_pad="SAME_UPPER"),
    "Conv whose group is no whole number": lambda g: g.set(g.node("Conv"), group=1.5),
    "MaxPool with ceil_mode": lambda g: g.set(g.node("MaxPool"), ceil_mode=1),
    "Conv of 6 channels with a weight for 6 in 3 groups": uneven_groups,
    "Relu of pooled features": pooled_twice,
    "Add of values that differ in shape": uneven_sum,
    "Dropout in training": dropping_out,
    "layer1.0.conv2 has padding 0 instead of 1": lambda g: g.set(g.node("Conv", 2), auto_pad="VALID", pads=None),
}


@pytest.mark.parametrize("reason", ODD)
def test_a_node_without_a_place_is_named_with_the_reason(reason, graph):
    ODD[reason](graph)
    with pytest.raises(ResNetsError, match=reason):
        graph.recovered()


def test_all_of_them_are_named_at_once(graph):
    for relu in graph.nodes("Relu"):
        relu.op_type = "LeakyRelu"
    names = [relu.name for relu in graph.nodes("LeakyRelu")]
    with pytest.raises(ResNetsError) as error:
        graph.recovered()
    assert all(f"{name} (LeakyRelu)" in error.value.problem for name in names)
