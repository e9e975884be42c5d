"""Graphs of every origin become the network that they are: the same architecture, arrays and outputs."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper, numpy_helper

from resnets.card import KEY, RECIPES, Card
from resnets.catalog import ARCHITECTURES, CHOICES, PREACT_FIRST, Architecture
from resnets.engines.onnxruntime import Session
from resnets.network import array_shapes, same
from resnets.weights import files
from resnets.weights.fold import fold
from resnets.weights.model import Model, digest
from resnets.weights.onnx import GRAPH_KEY, write
from resnets.weights.options import Options
from resnets.weights.protobuf.rewrite import without_property
from resnets.weights.source import Source

GLUON = ("thin-resnet18-v1", "thin-resnet18-v2", "thin-resnet50-v1", "thin-resnet50-v2")


def random(a: Architecture, seed: int = 0) -> Model:
    """A network of those fields with arrays of which no two are alike, small enough for deep networks."""
    draw = np.random.default_rng(seed)
    arrays = {
        name: (draw.standard_normal(shape) * (0.05 if len(shape) > 1 else 0.3)).astype(np.float32)
        for name, shape in array_shapes(a).items()
    }
    return Model(a, {n: np.abs(x) + 0.5 if n.endswith("_var") else x for n, x in arrays.items()}, Card("x", a))


def bare(model: Model, **options: Any) -> bytes:
    """The file without a word of ours."""
    data = write(model, Options(**options))
    for key in (KEY, GRAPH_KEY):
        data = without_property(data, key)
    return data


def recovered(proto: ModelProto | bytes) -> Model:
    data = proto if isinstance(proto, bytes) else proto.SerializeToString()
    return files.read(Source.of(data, "m.onnx"))


def logits(data: bytes, x: np.ndarray) -> np.ndarray:
    ready = files.runnable(Source.of(data, "m.onnx"))
    assert ready.answer
    return Session(ready.model, 1).run(x, (ready.answer,))[ready.answer]


def thin(a: Architecture) -> Architecture:
    return replace(
        a,
        blocks=tuple(min(n, 2 + (i == 1)) for i, n in enumerate(a.blocks)),
        widths=tuple(n // 4 for n in a.widths),
        stem_widths=tuple(n // 4 for n in a.stem_widths),
        classes=7,
    )


FAMILIES = sorted({thin(a): name for name, a in ARCHITECTURES.items()}.values())


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_recognised(name):
    check_family(name, ((7, 13, 26)[FAMILIES.index(name) % 3],))


@pytest.mark.matrix
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_recognised_at_every_opset(name):
    check_family(name, range(7, 27))


def check_family(name: str, opsets: Any) -> None:
    whole = random(thin(ARCHITECTURES[name]))
    for opset in opsets:
        for model in (whole, fold(whole)):
            back = recovered(bare(model, opset=opset))
            # Once folded, biases and a shortcut's batch norm may be told in several ways: of one network.
            assert same(back.architecture, model.architecture)
            assert model is not whole or back.architecture == model.architecture
            assert digest(back.weights) == digest(model.weights)


@pytest.mark.parametrize(
    "changes",
    [
        {"shortcut": "C", "conv_bias": "all"},
        {"shortcut_batch_norm": False, "conv_bias": "all"},
        {"post_add_batch_norm": True, "shortcut_batch_norm": False, "conv_bias": "all"},
        {"block": "basic", "shortcut": "A", "shortcut_zeros": "both", "widths": (8, 16, 32)},
        {"input_batch_norm": True, "eps": 1e-3, "input_channels": 1},
        {"stride_in": "1x1", "groups": 2, "base_width": 32},
        {
            "block": "preact-bottleneck",
            "preact_first": ("branch", "branch", "branch"),
            "shortcut": "B",
            "final_batch_norm": True,
        },
    ],
    ids=lambda changes: "-".join(map(str, changes)),
)
def test_fields_that_no_name_has_are_recognised(changes):
    a = replace(ARCHITECTURES["resnet50"], blocks=(2, 1, 2), widths=(8, 12, 16), stem_widths=(8,), classes=4)
    given = random(replace(a, **changes))
    back = recovered(bare(given))
    assert (back.architecture, digest(back.weights)) == (given.architecture, digest(given.weights))


@st.composite
def networks(draw: st.DrawFn) -> Architecture:
    """Any that the fields can say, small."""
    block = draw(st.sampled_from(CHOICES["block"]))
    stages = draw(st.integers(1, 3))
    deep, bottleneck, preact = (draw(st.booleans()), "bottleneck" in block, block.startswith("preact"))
    sizes = st.sampled_from((4, 8, 16))
    stem = "deep" if deep else draw(st.sampled_from(("imagenet", "cifar", "bare")))
    fields: dict[str, Any] = {
        "blocks": tuple(draw(st.integers(1, 3)) for _ in range(stages)),
        "widths": tuple(sorted(draw(sizes) for _ in range(stages))),
        "stem": stem,
        "stem_widths": tuple(draw(sizes) for _ in range(3)) if deep else (4,),
        "shortcut": draw(st.sampled_from("BC" if bottleneck or deep else "ABC")),
        "preact_first": tuple(draw(st.sampled_from(PREACT_FIRST)) for _ in range(stages)) if preact else (),
        "eps": draw(st.sampled_from((1e-5, 1e-3, 2e-5))),
        "input_channels": draw(st.sampled_from((1, 3))),
        "classes": draw(st.integers(1, 5)),
    }
    fields |= {name: draw(st.booleans()) for name in ("shortcut_batch_norm", "input_batch_norm", "final_batch_norm")}
    fields |= {name: draw(st.sampled_from(CHOICES[name])) for name in ("stride_in", "conv_bias", "shortcut_zeros")}
    fields |= {
        "shortcut_pool": draw(st.booleans()),
        "post_add_batch_norm": not (preact or fields["final_batch_norm"]) and draw(st.booleans()),
    }
    if bottleneck:
        fields |= {"groups": draw(st.sampled_from((1, 2))), "base_width": 64}
    return Architecture(block, **fields)


@given(networks(), st.integers(7, 26), st.booleans())
@settings(derandomize=True, max_examples=60, deadline=None)
def test_any_network_comes_back_as_one_that_is_the_same(architecture, opset, folded):
    """Its fields may be others where the graph is one: a pooling in shortcuts of which none has a stride, for one."""
    model = random(architecture)
    model = fold(model) if folded else model
    back = recovered(bare(model, opset=opset))
    assert sorted(map(bytes, back.weights.values())) == sorted(map(bytes, model.weights.values()))
    x = np.random.default_rng(0).standard_normal((1, architecture.input_channels, 37, 45), np.float32)
    np.testing.assert_allclose(logits(bare(back), x), logits(bare(model), x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", GLUON)
def test_what_mxnet_exported_comes_back(shared, name):
    folder = shared / "oracles" / "gluon" / name
    found = files.load(folder / "model.onnx")
    structural = files.load(folder / "structural.params")
    assert found.architecture == structural.architecture
    assert digest(found.weights) == digest(structural.weights)
    io = np.load(folder / "io.npz")
    session = Session(write(found, Options(outputs=("features",))), 1)
    answers = session.run(io["input"], ("logits", "features"))
    np.testing.assert_allclose(answers["logits"], io["logits"], atol=1e-4)
    np.testing.assert_allclose(answers["features"], io["features"], atol=1e-4)
    for side in (224, 288, 320):  # the file fixes a batch of 2 and 64 pixels
        assert session.run(np.zeros((1, 3, side, side), np.float32), ("logits",))["logits"].shape == (1, 10)
    with files.opened(folder / "model.onnx") as source:
        theirs = files.runnable(source, ("features", "feature_map"))
    assert theirs.answer
    foreign = Session(theirs.model, 1).run(io["input"], (theirs.answer, "features", "feature_map"))
    np.testing.assert_allclose(foreign["features"], io["features"], atol=1e-5)
    np.testing.assert_allclose(foreign["feature_map"].mean((2, 3)), io["features"], atol=1e-5)


def test_the_zoos_files_come_back(shared):
    """IR 3, opset 7, initializers among the inputs, another counter in the prefix, and `spatial=0`."""
    folder = shared / "oracles" / "gluon" / "thin-resnet50-v2"
    text = (folder / "model.onnx").read_bytes().replace(b"resnetv21_", b"resnetv27_")
    zoo = onnx.load_from_string(text)
    zoo.ir_version, zoo.opset_import[0].version = 3, 7
    for node in zoo.graph.node:
        if node.op_type == "MaxPool":
            keep = [a for a in node.attribute if a.name != "ceil_mode"]
            del node.attribute[:]
            node.attribute.extend(keep)
        if node.op_type == "BatchNormalization":
            node.attribute.append(helper.make_attribute("spatial", 0))
    back = recovered(zoo)
    assert digest(back.weights) == digest(files.load(folder / "model.onnx").weights)
    io = np.load(folder / "io.npz")
    np.testing.assert_allclose(logits(zoo.SerializeToString(), io["input"]), io["logits"], atol=1e-5)


def test_biases_that_an_exporter_left_out_are_zeros():
    """Torch folds batch norms, and drops the biases that come out as zeros."""
    a = replace(ARCHITECTURES["resnet18"], blocks=(1, 1), widths=(4, 8), stem_widths=(4,), batch_norm="none")
    model = random(a)
    zeros = [name for name in model.weights if name.startswith("layer1.0") and name.endswith("bias")]
    model.weights.update({name: np.zeros_like(model.weights[name]) for name in zeros})
    proto = onnx.load_from_string(bare(model))
    for node in proto.graph.node:
        if node.op_type == "Conv" and node.input[2] in zeros:
            del node.input[2]
    back = recovered(proto)
    assert (back.architecture, digest(back.weights)) == (a, digest(model.weights))


def caffe2() -> bytes:
    """ResNet-50 as Caffe2's exporter wrote it, but thin: the names of a GPU, and a softmax at the end."""
    model = random(replace(ARCHITECTURES["resnet50"], widths=(4, 6, 8, 10), stem_widths=(4,), classes=9))
    called = {"conv1": "conv1", "bn1": "res_conv1_bn", "fc": "pred"}
    for stage, count in enumerate(model.architecture.blocks, 2):
        for block in range(count):
            ours, theirs = f"layer{stage - 1}.{block}.", f"res{stage}_{block}_branch"
            parts = [("conv1", "2a"), ("conv2", "2b"), ("conv3", "2c"), ("downsample.0", "1")]
            parts += [("bn1", "2a_bn"), ("bn2", "2b_bn"), ("bn3", "2c_bn"), ("downsample.1", "1_bn")]
            called |= {ours + one: theirs + other for one, other in parts}
    norm = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}
    proto = onnx.load_from_string(bare(model, opset=7))
    names = {"data": "gpu_0/data_0", "logits": "gpu_0/pred_1", "features": "gpu_0/rows"}
    for tensor in proto.graph.initializer:
        module, part = tensor.name.rsplit(".", 1)
        kind = norm[part] if called[module].endswith("bn") else part[0]
        names[tensor.name] = tensor.name = f"gpu_0/{called[module]}_{kind}_0"
    for node in proto.graph.node:
        node.name = ""
        node.op_type = {"Add": "Sum"}.get(node.op_type, node.op_type)
        for row in (node.input, node.output):
            row[:] = [names.setdefault(name, f"gpu_0/value_{len(names)}") for name in row]
    pool, flatten = (next(n for n in proto.graph.node if n.op_type == k) for k in ("GlobalAveragePool", "Flatten"))
    pool.op_type, flatten.op_type = "AveragePool", "Reshape"
    pool.attribute.extend([helper.make_attribute("kernel_shape", [7, 7]), helper.make_attribute("strides", [1, 1])])
    del flatten.attribute[:]
    flatten.input.append("OC2_DUMMY_1")
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1, 40], np.int64), "OC2_DUMMY_1"))
    proto.graph.node.append(helper.make_node("Softmax", ["gpu_0/pred_1"], ["gpu_0/softmax_1"], axis=1))
    del proto.graph.input[1:]
    proto.graph.input[0].name, proto.graph.output[0].name = "gpu_0/data_0", "gpu_0/softmax_1"
    for dimension, size in zip(proto.graph.input[0].type.tensor_type.shape.dim, (1, 3, 224, 224), strict=True):
        dimension.dim_value = size
    proto.graph.input.extend(
        helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in proto.graph.initializer
    )
    proto.producer_name = "onnx-caffe2"
    data: bytes = proto.SerializeToString()
    return data


def test_caffe2s_network_comes_back_with_its_recipe():
    data = caffe2()
    back = recovered(data)
    assert back.architecture == replace(ARCHITECTURES["resnet50"], widths=(4, 6, 8, 10), stem_widths=(4,), classes=9)
    assert back.card.recipe == RECIPES["caffe2"]
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)
    ready = files.runnable(Source.of(data, "m.onnx"), ("features",))
    assert (ready.card.recipe, ready.card.output) == (RECIPES["caffe2"], "probabilities")
    ours = Session(write(back, Options(outputs=("features",))), 1).run(x, ("logits", "features"))
    theirs = Session(ready.model, 1).run(x, ("gpu_0/softmax_1", "features"))
    np.testing.assert_allclose(ours["features"], theirs["features"], atol=1e-5)
    powers = np.exp(ours["logits"] - ours["logits"].max())
    np.testing.assert_allclose(powers / powers.sum(), theirs["gpu_0/softmax_1"], atol=1e-5)


def test_no_other_network_is_taken_for_caffe2s():
    found = recovered(caffe2().replace(b"gpu_0/res_conv1_bn_riv_0", b"gpu_0/res_conv1_bn_var_0"))
    assert found.card.recipe is None
