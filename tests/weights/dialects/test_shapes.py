from dataclasses import replace

import pytest

from resnets.catalog import ARCHITECTURES, Architecture, find
from resnets.errors import ResNetsError
from resnets.network import array_shapes, same
from resnets.weights.dialects.shapes import candidates, derived, mismatches


def open_fields(a):
    """Whether names and shapes leave open which network this is."""
    return a.preact or a.shortcut == "A"


def as_names_imply(a):
    return replace(a, stride_in="3x3")


@pytest.mark.parametrize("name", [n for n, a in ARCHITECTURES.items() if sum(a.blocks) < 120])
def test_every_network_of_the_catalog_is_derived_from_its_arrays(name):
    a = replace(ARCHITECTURES[name], classes=7, input_channels=5)
    shapes = array_shapes(a)
    if open_fields(a):
        with pytest.raises(ResNetsError, match=f"--architecture, for instance .*{name.partition('-')[0]}"):
            derived(shapes)
    else:
        assert derived(shapes) == as_names_imply(a)
    assert name in candidates(a, shapes)


ODD = {
    "any depth and width": {"blocks": (1, 5, 2, 1), "widths": (24, 40, 56, 200), "stem_widths": (20,)},
    "three stages": {"blocks": (2, 1, 3), "widths": (8, 16, 32)},
    "five stages": {"blocks": (1, 1, 1, 1, 1), "widths": (8, 8, 16, 16, 32)},
    "one stage": {"blocks": (2,), "widths": (16,)},
    "cifar stem": {"stem": "cifar", "stem_widths": (16,)},
    "bare stem": {"stem": "bare", "stem_widths": (16,)},
    "deep stem": {"stem": "deep", "stem_widths": (8, 12, 20)},
    "shortcut C": {"shortcut": "C"},
    "bare shortcut": {"shortcut_batch_norm": False},
    "pooled": {"shortcut_pool": True},
    "pooled, bare": {"shortcut_pool": True, "shortcut_batch_norm": False},
    "biases": {"conv_bias": "all"},
    "biases, bare": {"conv_bias": "all", "shortcut_batch_norm": False},
    "added norm": {"post_add_batch_norm": True},
    "input and final norm": {"input_batch_norm": True, "final_batch_norm": True},
    "folded": {"batch_norm": "none"},
    "folded, pooled": {"batch_norm": "none", "shortcut_pool": True},
    "folded, bare": {"batch_norm": "none", "shortcut_batch_norm": False},
    "folded, added norm": {"batch_norm": "none", "post_add_batch_norm": True},
    "folded, cifar stem": {"batch_norm": "none", "stem": "cifar", "stem_widths": (16,)},
}
BLOCKS = {
    "basic": Architecture("basic", (2, 2, 2, 2), (16, 32, 48, 64), stem_widths=(16,), classes=3),
    "bottleneck": Architecture("bottleneck", (2, 1, 2, 1), (16, 32, 64, 128), stem_widths=(16,), classes=3),
    "bottleneck, biases": Architecture("bottleneck", (1, 1), (16, 32), stem_widths=(16,), conv_bias="bottleneck-1x1"),
    "grouped": Architecture("bottleneck", (2, 2), (64, 128), groups=8, base_width=8),
    "wide": Architecture("bottleneck", (2, 2), (64, 128), base_width=96),
    "thin": Architecture("bottleneck", (2, 2), (8, 16), stem_widths=(8,)),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("block", BLOCKS)
def test_networks_that_no_catalog_has_are_derived(block, odd):
    a = replace(BLOCKS[block], **ODD[odd])
    found = derived(array_shapes(a))
    assert same(found, a), mismatches(vars(a), vars(found))


@pytest.mark.parametrize("stem", ["cifar", "bare"])
def test_shortcut_a_is_known_where_the_dialect_knows_its_zeros(stem):
    a = replace(find("resnet20-cifar"), stem=stem, shortcut_zeros="both")
    assert derived(array_shapes(a), zeros="both") == a
    with pytest.raises(ResNetsError, match="add zero channels"):
        derived(array_shapes(a))


def test_a_preactivated_network_is_open_unless_nothing_stands_before_its_stages():
    a = replace(find("preresnet18"), preact_first=("none",) * 4)
    assert derived(array_shapes(a)) == a
    for name in ("resnet18-v2", "preresnet50", "preresnet164-cifar"):
        with pytest.raises(ResNetsError, match=f"{name}"):
            derived(array_shapes(find(name)))


def test_all_that_does_not_fit_is_listed():
    shapes = dict(array_shapes(find("resnet18")))
    shapes["layer2.1.conv9.weight"] = shapes.pop("layer2.1.conv2.weight")
    shapes["layer3.1.bn2.bias"] = (7,)
    shapes["head.weight"] = (1, 2)
    del shapes["fc.bias"]
    with pytest.raises(ResNetsError) as caught:
        derived(shapes)
    assert "2 missing: layer2.1.conv2.weight, fc.bias" in str(caught.value)
    assert "2 not part of the network: layer2.1.conv9.weight, head.weight" in str(caught.value)
    assert "1 of another shape: layer3.1.bn2.bias (7,) instead of (256,)" in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ({"layer1.0.se.fc1.weight": (4, 64, 1, 1)}, r"squeeze-and-excitation: layer1\.0\.se\.fc1"),
        ({"layer1.0.conv2.1.filt": (64, 1, 3, 3)}, r"anti-aliasing: layer1\.0\.conv2\.1"),
        ({"maxpool.0.weight": (64, 64, 3, 3)}, r"pools with a convolution: maxpool\.0"),
    ],
)
def test_parts_that_are_not_built_are_named(extra, what):
    with pytest.raises(ResNetsError, match=what):
        derived({**array_shapes(find("resnet18")), **extra})
    grouped = {n: s for n, s in array_shapes(find("resnet18")).items() if "running" not in n}
    with pytest.raises(ResNetsError, match=r"group norm .*: bn1, layer1\.0\.bn1"):
        derived(grouped)


@pytest.mark.parametrize(
    "shapes",
    [
        {"conv1.weight": (), "layer1.0.conv1.weight": ()},
        {"conv1.weight": (0, 0, 0, 0), "layer1.0.conv1.weight": (0, 0, 3, 3), "fc.weight": (0, 0)},
        {"conv1.weight": (2**40, 3, 7, 7), "layer1.0.conv1.weight": (2**40, 1, 3, 3)},
        {"conv1.weight": (64, 3, 7, 7), "layer1.0.conv1.weight": (64, 64, 1, 1), "layer1.0.conv3.weight": (3,)},
        {"conv1.weight": (64, 3, 7, 7), "layer2.0.conv1.weight": (64, 64, 3, 3)},
        {"conv1.weight": (64, 3, 7, 7), **{f"layer{n}.0.conv1.weight": (64, 64, 3, 3) for n in range(1, 6000)}},
        {"conv1.weight": (64, 3, 7, 7), **{f"layer1.{n}.conv1.weight": (64, 64, 3, 3) for n in range(6000)}},
    ],
)
def test_shapes_of_nothing_are_one_error(shapes):
    with pytest.raises(ResNetsError):
        derived(shapes)
