from dataclasses import fields, replace

import pytest

from resnets import catalog
from resnets.catalog import ARCHITECTURES, Architecture, named, summary
from resnets.errors import ResNetsError


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_survives_json_and_keeps_its_name(name):
    row = ARCHITECTURES[name]
    value = catalog.to_json(row)
    assert catalog.from_json(value) == row
    assert set(value) == {f.name for f in fields(Architecture)}
    again = catalog.named(replace(row, classes=7, input_channels=1))
    assert again is not None
    assert replace(ARCHITECTURES[again], classes=7, input_channels=1) == replace(row, classes=7, input_channels=1)


def test_only_basic_v1_networks_share_a_row():
    # Gluon's v1 differs from torchvision's layout in the bottleneck alone.
    rows = {name: catalog.named(row) for name, row in ARCHITECTURES.items()}
    assert {name for name, first in rows.items() if name != first} == {"resnet18-v1", "resnet34-v1"}


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("ResNet50", "Did you mean 'resnet50'?"),
        ("resnet19", "Did you mean 'resnet18' or 'resnet18d'?"),
        ("vgg16", "Run `resnets list` for the names."),
    ],
)
def test_few_names_are_offered_and_one_that_differs_in_case_alone(name, remedy):
    with pytest.raises(ResNetsError) as caught:
        catalog.find(name)
    assert caught.value.remedy == remedy


def test_an_unknown_name_gets_the_nearest_ones():
    with pytest.raises(ResNetsError, match="Did you mean 'resnet50'"):
        catalog.find("resnet5O")


def test_names_are_listed_in_natural_order():
    names = catalog.list_models("resnet??")
    assert names == ["resnet18", "resnet34", "resnet50"]
    assert catalog.list_models("preresnet*")[-1] == "preresnet1202-cifar"


def test_a_half_described_network_is_refused():
    value = catalog.to_json(catalog.find("resnet18"))
    del value["eps"]
    with pytest.raises(ResNetsError, match="missing: eps; unknown: squeeze"):
        catalog.from_json({**value, "squeeze": 16})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shortcut": "A"}, "a bottleneck's first stage multiplies them by four"),
        ({"blocks": (3, 4)}, "2 stages of blocks but 4 widths"),
        ({"blocks": (10**9, 4, 6, 3)}, "4,096 in all"),
        ({"blocks": "3463"}, "whole numbers"),
        ({"eps": float("nan")}, "eps"),
        ({"stem": "deep"}, "a deep stem cannot have 1 widths"),
        ({"preact_first": ("both",) * 4}, "per stage of a pre-activation network"),
        ({"shortcut_pool": "no"}, "neither true nor false"),
        ({"block": "inverted", "stem": "vit"}, "block is 'inverted'.*stem is 'vit'"),
    ],
)
def test_what_is_no_residual_network_is_refused_with_every_reason(changes, reason):
    with pytest.raises(ResNetsError, match=reason):
        replace(catalog.find("resnet50"), **changes)


def test_a_network_without_a_name_is_summed_up_with_what_is_unusual():
    a = replace(ARCHITECTURES["resnet50"], widths=(8, 16, 32, 64), conv_bias="all", post_add_batch_norm=True)
    plain = "bottleneck blocks 3,4,6,3 of widths 8,16,32,64, imagenet stem, shortcut B"
    assert summary(a) == f"{plain}, conv_bias all, post_add_batch_norm True"
    assert summary(replace(ARCHITECTURES["resnet18-v2"], classes=3)) == "resnet18-v2"
    assert summary(replace(ARCHITECTURES["resnet18"], batch_norm="none")) == "resnet18, batch norms folded"
    for name, architecture in ARCHITECTURES.items():
        assert summary(architecture) == named(architecture), name
