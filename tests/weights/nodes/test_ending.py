import numpy as np
import pytest
from onnx import helper

from resnets.engines.onnxruntime import Session
from resnets.errors import ResNetsError
from resnets.weights import files
from resnets.weights.model import digest
from resnets.weights.onnx import side
from resnets.weights.source import Source


def mean(graph, *, opset=13, **how):
    """ReduceMean in place of the pooling; returns the name of its output."""
    pool = graph.node("GlobalAveragePool")
    axes = how.pop("axes", [2, 3])
    if opset < 18:
        new = helper.make_node("ReduceMean", pool.input, pool.output, axes=axes, **how)
    else:
        graph.proto.opset_import[0].version = opset
        reads = [*pool.input, graph.constant("axes", np.array(axes, np.int64))]
        new = helper.make_node("ReduceMean", reads, pool.output, **how)
    graph.swap(pool, new)


def reshape(graph, shape, **how):
    flatten = graph.node("Flatten")
    reads = [flatten.input[0], graph.constant("shape", np.array(shape, np.int64))]
    graph.swap(flatten, helper.make_node("Reshape", reads, flatten.output, **how))


def squeeze(graph, axes):
    flatten = graph.node("Flatten")
    reads = [flatten.input[0], graph.constant("where", np.array(axes, np.int64))]
    graph.swap(flatten, helper.make_node("Squeeze", reads, flatten.output))


def without_flatten(graph):
    mean(graph, keepdims=0)
    flatten = graph.node("Flatten")
    graph.node("Gemm").input[0] = flatten.input[0]
    graph.swap(flatten)


def computed_shape(graph):
    """`x.view(x.size(0), -1)` with a free batch."""
    flatten = graph.node("Flatten")
    zero, minus = graph.constant("zero", np.int64(0)), graph.constant("minus", np.array([-1], np.int64))
    axis = graph.constant("axis", np.array([0], np.int64))
    graph.swap(
        flatten,
        helper.make_node("Shape", flatten.input, ["s0"]),
        helper.make_node("Gather", ["s0", zero], ["s1"]),
        helper.make_node("Unsqueeze", ["s1", axis], ["s2"]),
        helper.make_node("Concat", ["s2", minus], ["s3"], axis=0),
        helper.make_node("Reshape", [flatten.input[0], "s3"], flatten.output),
    )


def matmul(graph, *, biased=True):
    gemm = graph.node("Gemm")
    turned = graph.constant("turned", graph.array(gemm.input[1]).T.copy())
    if not biased:
        graph.swap(gemm, helper.make_node("MatMul", [gemm.input[0], turned], gemm.output))
        return
    product = helper.make_node("MatMul", [gemm.input[0], turned], ["product"])
    graph.swap(gemm, product, helper.make_node("Add", [gemm.input[2], "product"], gemm.output))


def turned_gemm(graph):
    gemm = graph.node("Gemm")
    turned = helper.make_node("Transpose", [gemm.input[1]], ["turned"], perm=[1, 0])
    reads = [gemm.input[0], "turned", gemm.input[2]]
    graph.swap(gemm, turned, helper.make_node("Gemm", reads, gemm.output, alpha=1.0))


def row_of_biases(graph):
    gemm = graph.node("Gemm")
    gemm.input[2] = graph.constant("row", graph.array(gemm.input[2])[None])


def window(graph, kernel=(5, 7), fixed=True):
    if fixed:
        graph.fix(2, 3, 40, 56)
    pool = graph.node("GlobalAveragePool")
    graph.swap(pool, helper.make_node("AveragePool", pool.input, pool.output, kernel_shape=kernel))


ENDINGS = {
    "mean of axes": lambda g: (mean(g, axes=[-1, -2]), reshape(g, [-1, 48])),
    "mean, axes not kept": without_flatten,
    "mean, axes an input": lambda g: (mean(g, opset=18), reshape(g, [0, -1])),
    "squeezed": lambda g: squeeze(g, [3, -2]),
    "a fixed batch": lambda g: reshape(g, [2, 48]),
    "a computed shape": computed_shape,
    "MatMul and Add": matmul,
    "Gemm of a transposed weight": turned_gemm,
    "a row of biases": row_of_biases,
    "a window": window,
    "a window of any map": lambda g: window(g, (5, 7), fixed=False),
}


@pytest.mark.parametrize("write", ENDINGS.values(), ids=ENDINGS)
def test_every_way_to_end_is_the_same_network(write, graph):
    write(graph)
    back = graph.recovered()
    assert back.architecture == graph.model.architecture
    assert digest(back.weights) == digest(graph.model.weights)
    assert graph.difference() < 1e-5


def test_a_classifier_without_bias_has_zeros(graph):
    matmul(graph, biased=False)
    back = graph.recovered()
    assert back.weights["fc.bias"].tolist() == [0] * 5
    np.testing.assert_array_equal(back.weights["fc.weight"], graph.model.weights["fc.weight"])


def test_one_bias_for_all_classes_is_one_for_each(graph):
    graph.node("Gemm").input[2] = graph.constant("one", np.float32(0.25))
    assert graph.recovered().weights["fc.bias"].tolist() == [0.25] * 5


def test_a_softmax_is_left_out_and_told(graph):
    graph.node("Gemm").output[0] = "scores"
    graph.put("Softmax", ["scores"], ["logits"])
    back = graph.recovered()
    assert back.notes == ("The Softmax at the end is left out: the logits are kept.",)
    assert (back.card.output, digest(back.weights)) == ("logits", digest(graph.model.weights))


def sigmoid(graph):
    graph.node("Gemm").output[0] = "scores"
    graph.put("Sigmoid", ["scores"], ["logits"])


def two_softmaxes(graph):
    graph.node("Gemm").output[0] = "scores"
    graph.put("Softmax", ["scores"], ["p"])
    graph.put("Softmax", ["p"], ["logits"])


def two_biases(graph):
    graph.node("Gemm").output[0] = "scores"
    graph.put("Add", ["scores", graph.constant("more", np.ones(5, np.float32))], ["logits"])


def computed_weight(graph):
    graph.put("RandomNormal", [], ["w"], shape=[5, 48])
    graph.node("Gemm").input[1] = "w"


def unpooled(graph):
    graph.node("Gemm").input[0] = "feature_map"


def weighted(graph, name, shape):
    gemm = graph.node("Gemm")
    gemm.input[list(gemm.input).index(name)] = graph.constant("other", np.zeros(shape, np.float32))


def read_twice(graph):
    matmul(graph)
    graph.node("MatMul").output[0] = "scores"
    add = graph.nodes("Add")[-1]
    add.input[1], add.output[0] = "scores", "biased"
    graph.put("Add", ["biased", "scores"], ["logits"])


def zeroed(graph):
    graph.node("Gemm").output[0] = "scores"
    graph.put("Mul", ["scores", graph.constant("zero", np.float32(0))], ["logits"])


def shape_of(graph):
    graph.node("Gemm").output[0] = "scores"
    graph.put("Shape", ["scores"], ["logits"])


def strided(graph, **how):
    window(graph, (5, 5), fixed=False)
    graph.set(graph.node("AveragePool"), **how)


ODD = {
    r"logits \(Mul": zeroed,
    r"Shape as the answer, which is something else than the logits": shape_of,
    "AveragePool with a 5x5 kernel, strides 7x7, of a map whose size is not known": lambda g: strided(
        g, strides=[7, 7]
    ),
    "AveragePool with a 5x5 kernel, strides 1x1, of a map whose size is not known": lambda g: strided(g, ceil_mode=1),
    "Add of a constant": read_twice,
    "Gemm of a feature map": unpooled,
    "Sigmoid": sigmoid,
    "Softmax of probabilities": two_softmaxes,
    r"logits \(Add of a constant": two_biases,
    "Gemm whose weight is no constant": computed_weight,
    "Gemm with alpha 0.5, beta 1.0, transA 0": lambda g: g.set(g.node("Gemm"), alpha=0.5),
    "Gemm with alpha 1.0, beta 1.0, transA 1": lambda g: g.set(g.node("Gemm"), transA=1),
    "Gemm of 48 features with a weight for 47": lambda g: weighted(g, "fc.weight", (5, 47)),
    r"Gemm of 5 classes whose bias has the shape \(4,\)": lambda g: weighted(g, "fc.bias", (4,)),
    r"ReduceMean over the axes \(2,\)": lambda g: mean(g, axes=[2]),
    r"ReduceMean over the axes \(1, 2\)": lambda g: mean(g, axes=[1, 2]),
    "AveragePool with a 3x3 kernel of a 5x7 map": lambda g: window(g, (3, 3)),
    "Flatten of pooled features into something else than rows": lambda g: g.set(g.node("Flatten"), axis=2),
    "Reshape of pooled features into something else than rows": lambda g: reshape(g, [-1, 24]),
    "Squeeze of pooled features into something else than rows": lambda g: squeeze(g, [3]),
}


@pytest.mark.parametrize("reason", ODD)
def test_an_ending_that_is_none_is_named(reason, graph):
    ODD[reason](graph)
    with pytest.raises(ResNetsError, match=rf"{reason}\)"):
        graph.recovered()


def test_a_window_of_the_whole_map_may_have_any_stride(graph):
    window(graph)
    graph.set(graph.node("AveragePool"), strides=[7, 7], ceil_mode=1)
    assert graph.recovered().architecture == graph.model.architecture


def free(graph, kernel):
    window(graph, kernel, fixed=False)


SIZES = {
    "free": (lambda g: None, None),
    "both": (lambda g: g.fix(1, 3, 40, 56), (40, 56)),
    "the width": (lambda g: g.fix(1, 3, -1, 56), (56, 56)),
    "a window": (lambda g: free(g, (7, 9)), (56, 72)),
    "below zero": (lambda g: g.fix(-1, 3, -1, -1), None),
    "of another network": (lambda g: (free(g, (7, 7)), sigmoid(g)), (56, 56)),
}


@pytest.mark.parametrize("name", SIZES)
def test_the_size_that_a_graph_can_be_run_at_is_known(name, graph):
    write, expected = SIZES[name]
    write(graph)
    source = Source.of(graph.proto.SerializeToString(), "m.onnx")
    assert side(source) == expected
    if expected:
        ready = files.runnable(source)
        answer = Session(ready.model, 1).run(np.zeros((1, 3, *expected), np.float32), ("logits",))["logits"]
        assert answer.shape == (1, 5)
