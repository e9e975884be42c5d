from dataclasses import replace
from math import prod

import pytest

from resnets.catalog import ARCHITECTURES, find
from resnets.network import array_shapes, depth, feature_map, layers, parameters, steps

TRAINABLE = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "preresnet18": 11_687_720,
    "preresnet34": 21_795_880,
    "preresnet50": 25_549_352,
    "preresnet101": 44_541_480,
    "preresnet152": 60_185_128,
    "preresnet200": 64_666_152,
    # 6n+2 layers with shortcut A; pre-activation has the same counts.
    **{
        f"{family}{layers}-cifar": count
        for family in ("resnet", "preresnet")
        for layers, count in (
            (20, 269_722),
            (32, 464_154),
            (44, 658_586),
            (56, 853_018),
            (110, 1_727_962),
            (1202, 19_421_274),
        )
    },
    # The paper's 1.7 and 10.2 million.
    "preresnet164-cifar": 1_703_258,
    "preresnet1001-cifar": 10_327_706,
    # As torchvision prints them.
    "resnext50-32x4d": 25_028_904,
    "resnext101-32x8d": 88_791_336,
    "resnext101-64x4d": 83_455_272,
    "wide-resnet50-2": 68_883_240,
    "wide-resnet101-2": 126_886_696,
    # As timm prints them.
    "resnet14t": 10_081_632,
    "resnet26t": 16_011_872,
    "resnet50t": 25_573_728,
    "resnet18d": 11_708_744,
    "resnet34d": 21_816_904,
    "resnet50d": 25_576_264,
    "resnet50c": 25_576_264,
    "resnet50s": 25_680_808,
    "resnet101d": 44_568_392,
    "resnet152d": 60_212_040,
    "resnet200d": 64_693_064,
    "resnext101-32x4d": 44_177_704,
}
WITH_STATISTICS = {  # Gluon stores and counts running statistics too
    "resnet18-v1": 11_699_112,
    "resnet34-v1": 21_814_696,
    "resnet50-v1": 25_629_032,
    "resnet101-v1": 44_695_144,
    "resnet152-v1": 60_404_072,
    "resnet18-v2": 11_695_796,
    "resnet34-v2": 21_811_380,
    "resnet50-v2": 25_595_060,
    "resnet101-v2": 44_639_412,
    "resnet152-v2": 60_329_140,
}


@pytest.mark.parametrize(("name", "count"), TRAINABLE.items())
def test_trainable_parameters(name, count):
    assert parameters(find(name)) == count


@pytest.mark.parametrize(("name", "count"), WITH_STATISTICS.items())
def test_array_elements_with_statistics(name, count):
    assert sum(prod(shape) for shape in array_shapes(find(name)).values()) == count


def test_cifar_100_adds_ninety_rows_to_the_classifier():
    architecture = find("resnet20-cifar")
    assert parameters(replace(architecture, classes=100)) - parameters(architecture) == 5_850


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_depth_is_that_of_the_name_and_steps_hang_together(name):
    architecture = find(name)
    digits = "".join(c if c.isdigit() else " " for c in name.replace("wide-", "")).split()[0]
    assert depth(architecture) == int(digits)
    known = {"data"}
    for step in steps(architecture):
        assert known.issuperset(step.inputs), step
        assert step.name not in known
        known.add(step.name)
    assert step.name == "fc"
    assert feature_map(architecture) in known


def test_multiplications_and_sizes_of_resnet50():
    rows = layers(find("resnet50"), 224, 224)
    assert sum(row.macs for row in rows) == 4_089_184_256  # torchvision prints 4.09 GFLOPS
    sizes = {row.step.name: row.output for row in rows}
    assert sizes["maxpool"] == (64, 56, 56)
    assert sizes["layer4.2.relu"] == (2048, 7, 7)
    assert sizes["fc"] == (1000,)


def test_stride_in_the_first_convolution_saves_multiplications():
    v1 = sum(row.macs for row in layers(find("resnet50-v1"), 224, 224))
    assert v1 == 3_857_973_248  # the paper's 3.8


def test_shortcut_a_pads_to_the_doubled_width():
    by_name = {step.name: step for step in steps(find("resnet20-cifar"))}
    assert by_name["layer2.0.shortcut.pad"].zeros == (0, 16)
    both = {s.name: s for s in steps(replace(find("resnet20-cifar"), shortcut_zeros="both"))}
    assert both["layer3.0.shortcut.pad"].zeros == (16, 16)
    assert not any(name.startswith("layer1.") and "shortcut" in name for name in by_name)


def test_shortcut_c_projects_everywhere():
    count = sum(".downsample.0" in step.name for step in steps(replace(find("resnet18"), shortcut="C")))
    assert count == 8


@pytest.mark.parametrize(
    ("name", "left"),
    [("resnet50", 0), ("resnet20-cifar", 0), ("resnet50-v2", 18), ("preresnet18", 8), ("preresnet20-cifar", 10)],
)
def test_folding_leaves_the_batch_norms_that_follow_no_convolution(name, left):
    plan = steps(replace(find(name), batch_norm="none"))
    assert sum(step.op == "batch_norm" for step in plan) == left
