from dataclasses import replace
from typing import Any

import pytest

from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.weights.dialects.gluon_classes import CLASSES, Outline, built, family_of, prefix_of


def outline(family: str, kernel: int, stem: int = 1, **rest: Any) -> Outline:
    widths = (64, 128, 256, 512)
    stems = tuple((width, 3, 7, 7) for width in ((64,) if stem == 1 else (32, 32, 64)))
    firsts = tuple((width, 64, kernel, kernel) for width in widths)
    return Outline(family, stems, True, firsts, (3, 4, 6, 3), 1000, **rest)


@pytest.mark.parametrize(
    ("name", "described"),
    [
        ("resnet34-v1", outline("v1", 3)),
        ("resnet50-v1", outline("v1", 1)),
        ("resnet34-v2", outline("v2", 3)),
        ("resnet50-v2", outline("v2", 1)),
        ("resnet50", outline("v1b", 1)),
        ("resnet50c", outline("v1b", 1, 3)),
        ("resnet50d", outline("v1b", 1, 3, pooled=True)),
    ],
)
def test_the_sizes_of_published_networks_build_those_of_the_catalog(name, described):
    assert built(described) == find(name)
    assert family_of(find(name), tuple(CLASSES)) in (described.family, "v1")


def test_a_v2_block_hands_its_raw_input_to_a_shortcut_without_projection():
    assert built(replace(outline("v2", 3), stem=((32, 3, 7, 7),))).preact_first == ("both",) * 4
    assert built(outline("v2", 3)).preact_first == ("branch", "both", "both", "both")


@pytest.mark.parametrize(
    ("name", "changes", "lost"),
    [
        ("resnext50-32x4d", {}, ["groups is 32, and 1 there", "base_width is 4, and 64 there"]),
        ("resnet18", {"shortcut": "A"}, ["shortcut is A, and B there"]),
        ("resnet50-v1", {"shortcut": "C"}, ["shortcut is C, and B there"]),
        ("resnet50-v2", {"eps": 2e-5}, ["eps is 2e-05, and 1e-05 there"]),
        ("resnet50", {"conv_bias": "all"}, ["conv_bias is all, and none there"]),
        ("resnet18", {"batch_norm": "none"}, ["batch_norm is none, and standard there"]),
        ("preresnet50", {}, ["preact_first", "input_batch_norm is False, and True there"]),
        ("resnet20-cifar", {"shortcut": "B"}, ["stem"]),
    ],
)
def test_what_no_class_builds_is_refused_with_the_fields(name, changes, lost):
    with pytest.raises(ResNetsError) as error:
        family_of(replace(find(name), **changes), tuple(CLASSES))
    assert all(field in error.value.problem for field in lost)


def test_prefixes_are_the_zoos_where_the_zoo_has_the_network():
    zoo = {"resnet18-v1": 15, "resnet34-v1": 16, "resnet50-v1": 17, "resnet101-v1": 18, "resnet152-v1": 19}
    zoo |= {"resnet18-v2": 22, "resnet34-v2": 23, "resnet50-v2": 24, "resnet101-v2": 25, "resnet152-v2": 27}
    for name, number in zoo.items():
        assert prefix_of(replace(find(name), classes=7), name[-2:]) == f"resnetv{number}_"
    assert prefix_of(replace(find("resnet50-v1"), blocks=(1, 1, 1, 1)), "v1") == "resnetv10_"
