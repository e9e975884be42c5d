from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from resnets.card import Card
from resnets.catalog import Architecture, find
from resnets.errors import ResNetsError
from resnets.graph import IR_VERSIONS, build
from resnets.initialise import initialise
from resnets.weights.model import Model

TINY = replace(find("resnet20-cifar"), blocks=(1, 1, 1))
POOLED = replace(find("resnet50d"), blocks=(1, 1), widths=(8, 16), stem_widths=(4, 4, 8))


def model(architecture: Architecture) -> Model:
    """Fresh arrays whose batch norms do something."""
    random = np.random.default_rng(1)
    weights = initialise(architecture)
    for name in weights:
        if ".bn" in name or name.startswith(("bn", "norm")) or ".downsample.1." in name:
            weights[name] = random.uniform(0.5, 1.2, weights[name].shape).astype(np.float32)
    return Model(architecture, weights, Card("tiny", architecture))


def run(proto: onnx.ModelProto, pixels: np.ndarray, *names: str) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(list(names) or None, {"data": pixels}))


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@pytest.mark.parametrize("architecture", [TINY, POOLED], ids=["shortcut-a", "pooled-shortcut"])
def test_every_opset_passes_the_checker_and_gives_the_same_logits(architecture):
    # Odd sizes: the pooled shortcut's last window is not full.
    x = pixels(2, 3, 37, 50)
    (reference,) = run(build(model(architecture)), x)
    for opset, ir in IR_VERSIONS.items():
        proto = build(model(architecture), opset=opset)
        assert (proto.ir_version, proto.opset_import[0].version) == (ir, opset)
        onnx.checker.check_model(proto, full_check=True)
        (logits,) = run(proto, x)
        np.testing.assert_allclose(logits, reference, atol=1e-6 * np.abs(reference).max(), err_msg=f"opset {opset}")


def test_the_oldest_and_the_usual_version_are_those_of_the_zoo_and_of_today():
    old, usual = build(model(TINY), opset=7), build(model(TINY))
    assert (old.ir_version, usual.ir_version) == (3, 7)
    assert [value.name for value in usual.graph.input] == ["data"]
    assert {value.name for value in old.graph.input} == {"data"} | {tensor.name for tensor in old.graph.initializer}


def test_nodes_and_initializers_carry_the_names_of_the_steps():
    graph = build(model(TINY)).graph
    assert [node.name for node in graph.node][:4] == ["conv1", "bn1", "relu", "layer1.0.conv1"]
    assert {"layer2.0.shortcut.subsample", "layer2.0.shortcut.pad", "layer3.0.add", "fc"} <= {
        n.name for n in graph.node
    }
    assert {"layer1.0.conv1.weight", "layer3.0.bn2.running_var", "fc.bias"} <= {t.name for t in graph.initializer}


@pytest.mark.parametrize(
    "architecture", [TINY, replace(find("preresnet20-cifar"), blocks=(1, 1, 1))], ids=["post", "pre"]
)
def test_extra_outputs_are_what_the_classifier_and_the_pooling_read(architecture):
    built = model(architecture)
    proto = build(built, outputs=("feature_map", "features"))
    onnx.checker.check_model(proto, full_check=True)
    assert [value.name for value in proto.graph.output] == ["logits", "features", "feature_map"]
    logits, features, maps = run(proto, pixels(3, 3, 32, 40))
    assert maps.shape == (3, 64, 8, 10)
    np.testing.assert_allclose(features, maps.mean((2, 3)), atol=1e-5)
    np.testing.assert_allclose(logits, features @ built.weights["fc.weight"].T + built.weights["fc.bias"], atol=1e-5)


def test_folding_leaves_no_batch_norm_and_the_same_logits():
    x = pixels(2, 3, 32, 32)
    plain, folded = build(model(TINY)), build(model(TINY), fold=True)
    assert not [node for node in folded.graph.node if node.op_type == "BatchNormalization"]
    (reference,), (logits,) = run(plain, x), run(folded, x)
    np.testing.assert_allclose(logits, reference, atol=1e-5 * np.abs(reference).max())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"opset": 6}, "Opset 6"),
        ({"opset": 27}, "Opset 27"),
        ({"outputs": ("probabilities",)}, "no output 'probabilities'"),
    ],
)
def test_what_cannot_be_written_is_refused(changes, reason):
    with pytest.raises(ResNetsError, match=reason):
        build(model(TINY), **changes)


def thin(name: str, widths: tuple[int, ...] = (4, 8, 12, 16)) -> Model:
    return model(replace(find(name), widths=widths, stem_widths=(8,), classes=10))


def described(graph: onnx.GraphProto, prefix: str) -> list[tuple[object, ...]]:
    """Each node but Flatten: what it does, reads and gives, without the network's prefix and default attributes."""
    usual = {"alpha", "beta", "transA", "momentum", "ceil_mode"}
    flat: dict[str, str] = {}
    found: list[tuple[object, ...]] = []
    for node in graph.node:
        names = [flat.get(name, name).removeprefix(prefix) for name in (*node.input, *node.output)]
        if node.op_type == "Flatten":
            flat[node.output[0]] = flat.get(node.input[0], node.input[0])
        else:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute if a.name not in usual}
            found.append((node.op_type, names, attributes))
    return found


@pytest.mark.parametrize("name", ["resnet18-v1", "resnet18-v2", "resnet50-v1", "resnet50-v2"])
def test_with_exported_names_the_graph_is_the_one_that_mxnet_exports(shared, name):
    theirs = onnx.load(shared / "oracles" / "gluon" / f"thin-{name}" / "model.onnx").graph
    built = thin(name) if "50" in name else thin(name, (8, 16, 24, 32))
    ours = build(built, names="exported").graph
    one, other = (graph.output[0].name.removesuffix("dense0_fwd") for graph in (ours, theirs))
    assert described(ours, one) == described(theirs, other)
    assert [t.name.removeprefix(one) for t in ours.initializer] == [
        t.name.removeprefix(other) for t in theirs.initializer
    ]


def test_exported_names_are_the_zoos_and_change_no_number():
    x = pixels(2, 3, 40, 33)
    for name, prefix in (("resnet50-v1", "resnetv17_"), ("resnet152-v2", "resnetv27_"), ("resnet18", "resnetv15_")):
        graph = build(Model(find(name), initialise(find(name)), Card("x", find(name))), names="exported").graph
        assert (graph.input[0].name, graph.output[0].name) == ("data", f"{prefix}dense0_fwd")
        assert {f"{prefix}conv0_fwd", f"{prefix}stage1__plus0", f"{prefix}pool1_fwd"} <= {n.name for n in graph.node}
    built = thin("resnet50-v2")
    for fold in (False, True):
        plain, named = (
            build(built, fold=fold, outputs=("feature_map", "features"), names=n) for n in (None, "exported")
        )
        onnx.checker.check_model(named, full_check=True)
        assert [value.name for value in named.graph.output] == ["resnetv20_dense0_fwd", "features", "feature_map"]
        for ours, theirs in zip(run(plain, x), run(named, x), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_exported_names_are_refused_for_what_gluon_has_no_network_for():
    with pytest.raises(ResNetsError, match=r"stride_in is 3x3, and 1x1 there"):
        build(thin("resnet50"), names="exported")
    with pytest.raises(ResNetsError, match="no names called 'timm'"):
        build(thin("resnet50"), names="timm")
