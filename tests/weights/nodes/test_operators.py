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


def slices(graph, pool, number, halves):
    """x[:, :, ::2, ::2] in one Slice, or in one for rows and one for columns."""
    read, nodes = pool.input[0], []
    groups = [[2, 3]] if halves == 1 else [[2], [3]]
    for part, axes in enumerate(groups):
        count = len(axes)
        rows = ([0] * count, [2**63 - 1] * count, axes, [2] * count)
        names = [graph.constant(f"{number}{part}{i}", np.array(row, np.int64)) for i, row in enumerate(rows)]
        write = pool.output[0] if part + 1 == len(groups) else f"half {number}"
        nodes.append(helper.make_node("Slice", [read, *names], [write]))
        read = write
    return nodes


def concatenated(graph, pad, number, factor):
    """Zeros as a constant on both sides, or as what was multiplied by zero behind: Torch7's way."""
    channels, read = 4 * 2**number, pad.input[0]
    if factor:
        zero = graph.constant(f"zero {number}", np.float32(0))
        yield helper.make_node("Mul", [read, zero], [f"z{number}"])
        yield helper.make_node("Concat", [read, f"z{number}"], pad.output, axis=1)
    else:
        shape = (2, channels // 2, 20 // 2**number, 28 // 2**number)
        z = graph.constant(f"z{number}", np.zeros(shape, np.float32))
        yield helper.make_node("Concat", [z, read, z], pad.output, axis=-3)


@pytest.mark.parametrize("halves", [0, 1, 2])
@pytest.mark.parametrize("zeros", ["pad", "both sides", "multiplied"])
def test_shortcut_a_is_known_however_it_is_written(zeros, halves, padded):
    for number, pool in enumerate(padded.nodes("AveragePool")):
        if halves:
            padded.swap(pool, *slices(padded, pool, number, halves))
    for number, pad in enumerate(padded.nodes("Pad")):
        if zeros != "pad":
            padded.swap(pad, *concatenated(padded, pad, number, zeros == "multiplied"))
    back = padded.recovered()
    assert back.architecture.shortcut_zeros == ("both" if zeros == "both sides" else "after")
    assert digest(back.weights) == digest(padded.model.weights)
    if zeros != "both sides":
        assert padded.difference() < 1e-5


def test_pads_may_be_an_attribute(padded_by_attributes):
    assert padded_by_attributes.node("Pad").attribute
    assert padded_by_attributes.recovered().architecture.shortcut == "A"


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


ODD_SHORTCUTS = {
    "Pad with something else than zeros": lambda g: g.set(g.node("Pad"), mode="reflect"),
    r"Pad with the pads \(0, 0, 1": lambda g: pads(g, [0, 0, 1, 0, 0, 4, 1, 0]),
    "Pad without pads": lambda g: pads(g, [0, 0, 4]),
    "Slice from 1 to": lambda g: sliced(g, [1, 0]),
    "Slice of every 131,072th row": lambda g: sliced(g, [0, 0], step=2**17),
    "Slice of rows or columns alone": lambda g: sliced(g, [0], [2]),
    "Concat of 2 values": lambda g: g.swap(
        g.node("Pad"), helper.make_node("Concat", [g.node("Pad").input[0]] * 2, g.node("Pad").output, axis=1)
    ),
}


def pads(graph, numbers):
    graph.node("Pad").input[1] = graph.constant("pads", np.array(numbers, np.int64))


def sliced(graph, starts, axes=(2, 3), step=2):
    pool = graph.node("AveragePool")
    rows = (starts, [2**31 - 1] * len(axes), axes, [step] * len(axes))
    names = [graph.constant(str(i), np.array(row, np.int64)) for i, row in enumerate(rows)]
    graph.swap(pool, helper.make_node("Slice", [pool.input[0], *names], pool.output))
    if len(axes) == 1:
        graph.put("Relu", pool.output, ["read twice"])
        graph.put("Sub", ["logits", "read twice"], ["end"])
        graph.proto.graph.output[0].name = "end"


@pytest.mark.parametrize("reason", ODD_SHORTCUTS)
def test_an_odd_shortcut_is_named(reason, padded):
    ODD_SHORTCUTS[reason](padded)
    with pytest.raises(ResNetsError, match=reason):
        padded.recovered()
