from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.network import array_shapes
from resnets.weights.dialects.gluon import EXPORTED, GLUONCV, PREFIXED, STRUCTURAL, graph_names, unprefixed
from resnets.weights.dialects.gluon_classes import Outline, built

ALL = (STRUCTURAL, PREFIXED, EXPORTED, GLUONCV)


def shapes(dialect, architecture, prefix=""):
    wanted = array_shapes(architecture)
    return {prefix + their: wanted[name] for name, their in dialect.names(architecture).items()}


def test_names_are_those_of_the_zoos_networks():
    v1, v2 = find("resnet50-v1"), find("resnet50-v2")
    names = STRUCTURAL.names(v1)
    assert names["conv1.weight"] == "features.0.weight"
    assert names["layer2.0.conv3.bias"] == "features.5.0.body.6.bias"
    assert names["layer4.2.bn2.running_var"] == "features.7.2.body.4.running_var"
    assert names["layer1.0.downsample.1.weight"] == "features.4.0.downsample.1.gamma"
    names = STRUCTURAL.names(v2)
    assert [names[n] for n in ("bn0.bias", "layer1.0.bn1.weight", "norm.bias", "fc.weight")] == [
        "features.0.beta", "features.5.0.bn1.gamma", "features.9.beta", "output.weight",
    ]  # fmt: skip
    assert names["layer2.0.downsample.0.weight"] == "features.6.0.downsample.weight"
    names = EXPORTED.names(v1)
    ends = [names[f"layer{s}.{b}.conv3.weight"] for s, b in ((1, 2), (2, 3), (3, 5), (4, 2))]
    assert ends == [f"arg:resnetv17_stage{s}_conv{n}_weight" for s, n in ((1, 9), (2, 12), (3, 18), (4, 9))]
    names = EXPORTED.names(v2)
    assert names["norm.running_mean"] == "aux:resnetv24_batchnorm2_running_mean"
    assert names["layer2.1.bn1.weight"] == "arg:resnetv24_stage2_batchnorm3_gamma"
    assert names["layer2.1.conv1.weight"] == "arg:resnetv24_stage2_conv4_weight"
    names = PREFIXED.names(find("resnet50"))
    assert names["layer2.0.downsample.1.bias"] == "down2_batchnorm0_beta"
    assert names["layer2.1.conv1.weight"] == "layers2_conv3_weight"
    assert GLUONCV.names(find("resnet50d"))["layer1.0.downsample.2.weight"] == "layer1.0.downsample.2.gamma"


@pytest.mark.parametrize("prefix", ["", "resnetv17_", "mynet_stage1_", "resnetv2123_"])
def test_any_prefix_is_taken_off(prefix):
    names = shapes(PREFIXED, find("resnet50-v2"), prefix)
    assert PREFIXED.implied(names) == find("resnet50-v2")
    assert [*unprefixed(names).values()] == [*PREFIXED.names(find("resnet50-v2")).values()]


sizes = st.integers(1, 9)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(
    st.sampled_from(["v1", "v2", "v1b"]), st.booleans(), st.lists(st.tuples(sizes, sizes), min_size=1, max_size=6),
    st.tuples(sizes, sizes, sizes), st.sampled_from(["plain", "bare", "deep", "pooled"]),
)  # fmt: skip
def test_names_and_shapes_imply_the_network_they_were_made_of(family, bottleneck, stages, numbers, kind):
    """Of any depth, width, stem, number of stages, classes and channels."""
    stem, channels, classes = numbers
    gluoncv = family == "v1b"
    widths = (stem, 3, stem + 1) if kind == "deep" and gluoncv else (stem,)
    architecture = built(
        Outline(
            family,
            tuple((width, channels, 7, 7) for width in widths),
            gluoncv or kind != "bare",
            tuple((width, 0, *(2 * (1 if bottleneck else 3,))) for width, _ in stages),
            tuple(count for _, count in stages),
            classes,
            gluoncv and kind == "pooled",
        )
    )
    for dialect in (GLUONCV, PREFIXED) if gluoncv else (STRUCTURAL, PREFIXED, EXPORTED):
        names = shapes(dialect, architecture)
        assert len(names) == len(array_shapes(architecture))
        if dialect is PREFIXED and len(widths) == 3:
            with pytest.raises(ResNetsError, match="c and d"):
                dialect.implied(names)
        elif dialect is not PREFIXED or kind != "pooled" or not gluoncv:
            assert dialect.implied(names) == architecture
        assert [d.name for d in (STRUCTURAL, GLUONCV) if d.implied(names) is not None] in ([dialect.name], [])


def test_names_of_others_imply_nothing():
    canonical = array_shapes(find("resnet50"))
    assert [dialect.implied(canonical) for dialect in ALL] == [None] * 4
    assert [dialect.implied({}) for dialect in ALL] == [None] * 4
    assert STRUCTURAL.implied({"features.0.weight": (64, 3, 7, 7), "output.weight": (10, 512)}) is None


def test_a_stem_without_its_relu_is_not_taken_for_one_with_it():
    named = shapes(STRUCTURAL, find("resnet18-v1")) | {"features.0.weight": (64, 3, 3, 3)}
    called = shapes(PREFIXED, find("resnet18-v1")) | {"conv0_weight": (64, 3, 3, 3)}
    for dialect, names in ((STRUCTURAL, named), (PREFIXED, called)):
        with pytest.raises(ResNetsError, match="no ReLU behind its batch norm"):
            dialect.implied(names)


def test_names_in_a_graph_stay_where_batch_norms_are_folded():
    whole = find("resnet50-v1")
    _, nodes, arrays = graph_names(replace(whole, batch_norm="none"))
    assert nodes["layer2.0.relu2"] == "resnetv17_stage2_relu1_fwd"
    assert arrays["layer2.0.conv2.bias"] == "resnetv17_stage2_conv1_bias"
    assert nodes == graph_names(whole)[1]
