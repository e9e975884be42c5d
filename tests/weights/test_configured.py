"""What timm's and transformers' config.json beside a file makes of its card."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from resnets.card import RECIPES
from resnets.catalog import find
from resnets.classify import Classifier
from resnets.images.decode import open_image
from resnets.images.prepare import normalise, prepare
from resnets.labels import lists
from resnets.weights import files

NET = replace(find("resnet18"), widths=(4, 6, 8, 10), stem_widths=(4,), classes=3)
NAMES = ["n1", "n2", "n3"]
INNER = {
    "tag": "a1_in1k", "input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.95, "crop_mode": "center",
    "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1], "num_classes": 3, "license": "cc-by-nc-4.0",
}  # fmt: skip
RECIPE = replace(
    RECIPES["torchvision"], filter="pillow-bicubic", size=235, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1)
)  # fmt: skip
PROCESSOR = {
    "image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 224}, "crop_pct": 0.875, "resample": 3,
    "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1],
}  # fmt: skip


@pytest.fixture
def described(tmp_path, random_model):
    """Writes a bare file of torchvision's names, and what is given beside it; the model that is then read."""
    path = tmp_path / "model.safetensors"

    def read(value=None, /, net=NET, text=None, processor=None, **changed):
        files.save(random_model(net), path, names="torchvision")
        config = path.with_name("config.json")
        value = {"architecture": "resnet18_thin", "pretrained_cfg": {**INNER, **changed}} if value is None else value
        config.write_text(json.dumps(value) if text is None else text, errors="surrogateescape")
        if processor is not None:
            path.with_name("preprocessor_config.json").write_text(json.dumps(processor))
        return files.load(path)

    return read


def test_timm_s_configuration_is_the_card(described):
    found = described(label_names=NAMES, label_descriptions={"n1": "one"})
    assert found.notes[-1] == "config.json beside it gives recipe, labels (label_names), licence."
    card = found.card
    assert card.recipe == RECIPE
    assert [(label.id, label.name) for label in card.labels] == [("n1", "one"), ("n2", "n2"), ("n3", "n3")]
    assert card.licence == "cc-by-nc-4.0"
    assert card.source["config"] == ["recipe", "labels (label_names)", "licence"]
    older = {"architecture": "resnet18_thin", **INNER, "labels": NAMES, "crop_mode": "squash"}
    card = described(older).card
    assert card.recipe == replace(RECIPE, resize="square")
    assert [label.name for label in card.labels] == NAMES


def test_a_tag_of_imagenet_names_its_labels(described):
    net = replace(NET, classes=1000)
    found = described(net=net, num_classes=1000).card
    assert found.labels == lists.read("imagenet-1k")
    assert found.source["config"][1] == "labels (imagenet-1k, by its tag a1_in1k)"
    assert described(net=net, num_classes=1000, tag="a1_in12k").card.labels is None
    assert described().card.labels is None, "three classes are not ImageNet's thousand"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"crop_mode": "border"}, "its crop_mode is 'border', which no recipe has"),
        ({"interpolation": "lanczos"}, "its interpolation is 'lanczos'"),
        ({"input_size": [3, 224, 256]}, "squares of three channels"),
        ({"input_size": [1, 224, 224]}, "squares of three channels"),
        ({"input_size": "224"}, "its input_size is '224'"),
        ({"input_size": [3, 10**9, 10**9]}, "whole numbers of pixels from 1 to 16384"),
        ({"input_size": [3, 10**400, 10**400]}, "is none of an image"),
        ({"crop_pct": "0.9"}, "its crop_pct is '0.9'"),
        ({"crop_pct": float("nan")}, "its crop_pct is nan"),
        ({"crop_pct": 1e-320}, "is none of an image"),
        ({"crop_pct": 1.1}, "its crop_pct is 1.1"),
        ({"crop_pct": None}, "it does not state crop_pct"),
        ({"mean": [0, 1]}, "its mean is [0, 1], not three numbers"),
        ({"std": [0.1, 0.1, float("inf")]}, "numbers that 32-bit floats can hold"),
        ({"std": [0.1, 0, 0.1]}, "above 0"),
    ],
)
def test_a_value_of_no_use_gives_no_recipe_and_is_named(described, changed, why):
    found = described(**changed, label_names=NAMES)
    assert found.card.recipe is None
    assert found.card.labels is not None, "the rest is used"
    (note,) = found.card.source["notes"]
    assert note.startswith("config.json beside it is used in part. It gives no recipe")
    assert why in note
    assert note in found.notes


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"text": "{"}, "it is not JSON"),
        ({"text": "[1]"}, "it is no JSON object"),
        ({"text": "[" * 10**5}, "it is not JSON"),
        ({"text": '{"architecture": "\udcff"}'}, "it is not JSON"),
        ({"text": " " * (4 << 20) + "{}"}, "it is no regular file of at most 4 MB"),
        ({"num_classes": 10}, "it is of 10 classes, and the network has 3"),
        ({"label_names": [*NAMES, "n4"]}, "it has 3 classes and 4 labels"),
        ({"net": replace(NET, input_channels=1)}, "it is of 3 channels, and the network has 1"),
        ({"value": {"architecture": "resnet34", "pretrained_cfg": INNER}}, "it is of resnet34, and the arrays are of"),
    ],
)
def test_a_damaged_or_contradictory_configuration_is_named_and_not_used(described, given, why):
    value = given.pop("value", None)
    found = described(value, **given)
    assert (found.card.recipe, found.card.labels, found.card.licence) == (None, None, None)
    assert f"config.json beside it is not used: {why}" in found.notes[-1]


def test_a_pipe_under_its_name_is_no_configuration(described, tmp_path):
    described()
    os.unlink(tmp_path / "config.json")
    os.mkfifo(tmp_path / "config.json")
    assert "no regular file" in files.load(tmp_path / "model.safetensors").notes[-1]


def test_labels_of_damaged_lists_are_none(described):
    for names in ([1, 2, 3], ["a", "", "c"], {"0": "a", "1": "b", "3": "c"}, "abc", ["a", "\ud800", "c"]):
        found = described(label_names=names)
        assert found.card.labels is None
        assert found.card.recipe == RECIPE
        assert "It gives no labels" in found.notes[-1]
    twins = described(label_names=["crane", "crane", "heron"]).card.labels
    assert [(label.id, label.name) for label in twins] == [("0", "crane"), ("1", "crane"), ("2", "heron")]


def test_transformers_configuration_is_the_card(described):
    value = {"model_type": "resnet", "id2label": {str(n): name for n, name in enumerate(NAMES)}}
    card = described(value, processor=PROCESSOR).card
    assert card.recipe == replace(RECIPE, size=256, crop_rounding="floor")
    assert [label.name for label in card.labels] == NAMES
    large = described(value, processor={**PROCESSOR, "size": 384}).card.recipe
    assert (large.resize, large.size, large.crop) == ("square", 384, 384)
    value["id2label"] = {str(n): f"LABEL_{n}" for n in range(3)}
    assert described(value, processor={**PROCESSOR, "do_resize": False}).card.recipe is None
    assert described(value).card.labels is None
    value["id2label"] = {str(n): label.name for n, label in enumerate(lists.read("imagenet-1k"))}
    assert described(value, net=replace(NET, classes=1000)).card.labels == lists.read("imagenet-1k")


def test_a_configuration_says_nothing_of_files_of_other_names(described, tmp_path, random_model):
    """Such as one's own, saved in the folder that another model was downloaded to."""
    described(label_names=NAMES)
    own = tmp_path / "finetuned-birds.safetensors"
    files.save(random_model(NET), own, names="torchvision")
    files.save(random_model(NET), tmp_path / "pytorch_model.pth", names="torchvision")
    for text in (None, "{"):
        if text is not None:
            (tmp_path / "config.json").write_text(text)
        found = files.load(own)
        assert (found.card.recipe, found.card.labels, found.card.licence) == (None, None, None)
        assert not any("config.json" in note for note in found.notes)
        assert any("config.json" in note for note in files.load(tmp_path / "pytorch_model.pth").notes)


def test_a_card_of_ours_needs_no_configuration(described, tmp_path, random_model):
    described()
    files.save(random_model(NET), tmp_path / "ours.safetensors")
    card = files.load(tmp_path / "ours.safetensors").card
    assert card.recipe is None
    assert "config" not in card.source


def test_whatever_a_configuration_holds_the_card_can_be_written(described, tmp_path):
    odd = {"license": "\udcff", "tag": "\udcff\x1b_in1k", "crop_mode": "\ud800", "num_classes": 1000}
    found = described(net=replace(NET, classes=1000), **odd)
    files.save(found, tmp_path / "ours.safetensors")
    assert files.load(tmp_path / "ours.safetensors").card.source["config"] == [
        r"labels (imagenet-1k, by its tag \udcff\x1b_in1k)"
    ]


def test_other_configurations_say_nothing(described):
    for value in ({}, {"model_type": "bert", "id2label": {"0": "x"}}, {"crop_pct": 0.9}):
        found = described(value)
        assert found.card.recipe is None
        assert "notes" not in found.card.source


def test_a_graph_is_completed_too(described, tmp_path, rewritten, photos):
    """What is run as it is, is prepared by the configuration beside it."""
    path = rewritten("y").rename(tmp_path / "model.onnx")
    small = {**INNER, "input_size": [3, 32, 32], "crop_pct": 1.0}
    path.with_name("config.json").write_text(
        json.dumps({"architecture": "resnet20", "pretrained_cfg": small, "label_names": NAMES})
    )
    classifier = Classifier(path)
    assert classifier.classify(photos["cat"])[0].label in NAMES
    assert classifier.recipe == replace(RECIPE, size=32, crop=32)


@pytest.mark.peers
@pytest.mark.usefixtures("peers")
@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize("percent", [0.875, 0.95, 1.0])
def test_the_recipe_gives_timm_s_pixels(described, photos, mode, percent):
    from PIL import Image
    from timm.data import create_transform

    recipe = described(crop_mode=mode, crop_pct=percent, input_size=[3, 176, 176]).card.recipe
    transform = create_transform(
        (3, 176, 176), interpolation="bicubic", mean=recipe.mean, std=recipe.std, crop_pct=percent, crop_mode=mode
    )
    for path in photos.values():
        expected = transform(Image.open(path).convert("RGB")).numpy()
        found = normalise(prepare(open_image(path, recipe.exif, recipe.alpha), recipe), recipe)[0]
        np.testing.assert_allclose(found, expected, atol=2e-6)
