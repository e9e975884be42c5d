"""What a row of the table, and what timm's or transformers' config.json beside a file, make of its card."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from resnets.card import RECIPES
from resnets.catalog import find
from resnets.classify import Classifier
from resnets.errors import ResNetsError
from resnets.fetch import cache
from resnets.images.decode import open_image
from resnets.images.prepare import normalise, prepare
from resnets.labels import lists
from resnets.published.row import Digest
from resnets.published.table import PUBLISHED
from resnets.weights import files, formats
from resnets.weights.source import Source

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


THIN = replace(NET, classes=1000)


@pytest.fixture
def place(tmp_path, monkeypatch, random_model):
    """Makes a row thin and puts a file of that network, or another, where it belongs; `**changes` of the row."""
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))

    def put(name, net=THIN, **changes):
        found = PUBLISHED[name]
        changes = {"architecture": THIN, "size": None, "digests": (), **changes}
        thin = replace(found, **changes)
        cache.place(found).parent.mkdir(parents=True, exist_ok=True)
        names = "torchvision" if found.file.endswith((".pth", ".safetensors")) else None
        files.save(random_model(net), cache.place(found), names=names)
        monkeypatch.setitem(PUBLISHED, name, thin)
        return thin

    return put


@pytest.fixture
def row(place, monkeypatch):
    """resnet18.tv1 as it would be, were it thin: a file of its layout in the cache, whose digest is known."""
    thin = place("resnet18.tv1")
    data = cache.place(thin).read_bytes()
    known = replace(thin, size=len(data), digests=(Digest("sha256", Source.of(data, "").sha256(), "here"),))
    monkeypatch.setitem(PUBLISHED, known.name, known)
    return known


def test_a_row_s_file_has_the_row_s_card(row):
    card = files.load(row.name).card
    assert (card.name, card.recipe, card.licence) == (row.name, row.recipe, row.licence)
    assert card.labels == lists.read(row.labels)
    assert card.source["published"] == row.name
    assert (card.source["sha256"], card.source["url"]) == (row.digests[0].value, row.urls[0])
    assert "notes" not in card.source


def test_the_card_has_the_address_that_the_file_came_from(place, server, monkeypatch):
    """Of a file that was put there by hand, and of which no digest is known, no one can tell that."""
    thin = place("resnet18.a2_in1k")
    assert "url" not in files.load(thin.name).card.source
    server.put("/model.safetensors", cache.place(thin).read_bytes())
    cache.remove(thin)
    monkeypatch.delenv("RESNETS_OFFLINE")
    mirrored = replace(thin, urls=(server.url("/nothing"), server.url("/model.safetensors")))
    monkeypatch.setitem(PUBLISHED, thin.name, mirrored)
    assert files.load(thin.name).card.source["url"] == mirrored.urls[1]


def test_other_files_in_a_row_s_folder_are_not_the_row_s(row, random_model):
    other = cache.home(row) / "other.safetensors"
    files.save(random_model(NET), other, names="torchvision")
    card = files.load(other).card
    assert card.recipe is None
    assert "notes" not in card.source


NOT_YET = "It lies where resnet18.tv1 belongs but has not been verified: use it by name."


def test_a_file_that_was_not_verified_is_not_the_row_s(row, random_model, tmp_path):
    """By its path it is opened without being checked: its card says nothing of the row until it has been."""
    path = cache.place(row)
    for one in (path, tmp_path / "link.pth"):
        if one != path:
            one.symlink_to(path)
        found = files.load(one)
        assert (found.card.recipe, found.card.labels, found.card.scores) == (None, None, ())
        assert found.notes[-1] == NOT_YET
    assert files.load(row.name).card.recipe == row.recipe
    assert files.load(path).card.recipe == files.load(tmp_path / "link.pth").card.recipe == row.recipe


def test_a_file_that_was_written_over_is_not_the_row_s(row, random_model):
    path = cache.place(row)
    files.load(row.name)
    files.save(random_model(replace(THIN, widths=(4, 6, 8, 12))), path, names="torchvision")
    card = files.load(path).card
    assert (card.recipe, card.labels, card.scores) == (None, None, ())
    assert "sha256" not in card.source
    assert card.source["notes"] == [NOT_YET]


@pytest.mark.parametrize(
    ("name", "net", "published", "its", "known"),
    [
        ("resnet18.a2_in1k", replace(THIN, blocks=(3, 4, 6, 3)), THIN, "basic blocks 3,4,6,3", "basic blocks 2,2,2,2"),
        ("resnet18.tv1", THIN, find("resnet18"), "widths 4,6,8,10", "published one resnet18."),
        ("resnet18.a2_in1k", NET, THIN, "shortcut B of 3 classes", "shortcut B of 1,000 classes"),
        ("resnet34.fb", replace(THIN, input_channels=1), THIN, "of 1 input channels", "of 3 input channels"),
        ("resnet18.fb", THIN, replace(THIN, stem="cifar"), "imagenet stem", "cifar stem"),
    ],
)
def test_another_network_in_a_row_s_place_is_not_the_row_s(place, name, net, published, its, known):
    thin = place(name, net, architecture=published)
    with pytest.raises(ResNetsError) as caught:
        files.load(name)
    problem = caught.value.problem
    assert problem.startswith(f"{cache.place(thin)} is not {name}: its network is ")
    assert its in problem.partition("published one")[0]
    assert known in problem
    assert f"`resnets cache clear {name}` removes it" in caught.value.remedy
    with pytest.raises(ResNetsError, match="its network is"):
        Classifier(name)


def test_a_graph_is_compared_where_no_digest_tells_what_it_is(place, random_model):
    """A graph runs as it is: its network is recovered for this alone."""
    name = "resnet18-v1.zoo-s3"
    thin = place(name, checksum_url=None)
    plain_graph(cache.place(thin), random_model(NET))
    with pytest.raises(
        ResNetsError, match=r"its network is .* of 3 classes, .* of 1,000 classes\. `resnets cache clear"
    ):
        Classifier(name)
    cache.remove(thin)
    place(name, checksum_url=None)
    plain_graph(cache.place(thin), random_model(THIN))
    assert Classifier(name).card.name == name


def plain_graph(path, model):
    """The model's graph without a card, as others write it."""
    import onnx

    graph = onnx.load_from_string(files.built(model).model)
    del graph.metadata_props[:]
    onnx.save(graph, path)


def test_details_of_a_network_are_the_file_s_and_are_told(place):
    biased = replace(THIN, conv_bias="all", shortcut_batch_norm=False)
    place("resnet18.fb", THIN, architecture=biased)
    found = files.load("resnet18.fb")
    assert found.architecture == THIN
    assert found.card.name == "resnet18.fb"
    assert found.notes[-1].endswith(
        "taken as it is: conv_bias none (published: all), shortcut_batch_norm True (published: False)."
    )
    assert found.notes[-1] in Classifier("resnet18.fb").card.source["notes"]
    cache.remove(PUBLISHED["resnet18.fb"])
    place("resnet18.fb", biased, architecture=biased)
    assert "not in all details" not in "".join(files.load("resnet18.fb").notes)


README = "https://github.com/facebookarchive/fb.resnet.torch/blob/master/pretrained/README.md"
ZOO = "https://github.com/onnx/models/blob/main/validated/vision/classification/resnet/README.md"
SCORES = {
    "preresnet200.fb": {
        "data": f"ImageNet validation, as reported at {README}",
        "crops": 1,
        "crop": 320,
        "resize": 320,
        "pool": "window7",
        "conditions_source": "https://github.com/facebookarchive/fb.resnet.torch/issues/31",
        "top1_error": 20.1,
        "top5_error": 4.8,
    },
    "resnet18.fb": {
        "data": f"ImageNet validation, as reported at {README}",
        "crops": 10,
        "crop": 224,
        "resize": 256,
        "pool": "global",
        "conditions_source": "https://github.com/facebookarchive/fb.resnet.torch/blob/master/datasets/imagenet.lua",
        "top1_error": 28.22,
        "top5_error": 9.42,
    },
    "resnet18-v1.zoo7": {
        "data": f"ImageNet validation, as reported at {ZOO}",
        "crops": 1,
        "crop": 224,
        "pool": "global",
        "recipe": "zoo-notebook",
        "conditions": "centre crop; by imagenet_validation.ipynb, whose Resize(256) makes a square",
        "top1_error": 30.07,
        "top5_error": 10.71,
    },
    "resnet18.tv1": {
        "data": "ImageNet validation, as reported at"
        " https://github.com/pytorch/vision/blob/main/torchvision/models/resnet.py",
        "crops": 1,
        "crop": 224,
        "resize": 256,
        "pool": "global",
        "conditions_source": "https://github.com/pytorch/vision/blob/main/torchvision/transforms/_presets.py",
        "top1_error": 30.242,
        "top5_error": 10.922,
    },
}


@pytest.mark.parametrize("name", SCORES)
def test_a_score_has_every_condition_of_the_figure(place, name):
    net = replace(find("preresnet18"), widths=(4, 6, 8, 10), stem_widths=(4,)) if name == "preresnet200.fb" else THIN
    thin = place(name, net, architecture=net)
    found = files.load(name).card.scores
    assert len(found) == len(thin.reported)
    assert found[-1] == SCORES[name]


def test_pytorch_s_bin_is_read_by_what_it_is(tmp_path, random_model):
    path = tmp_path / "pytorch_model.bin"
    files.save(random_model(NET), path, names="torchvision")
    assert files.load(path).architecture == NET
    for data, what in ((b"\0" * 4096, "no PyTorch file"), (b"version https://git-lfs", "git-lfs pointer")):
        path.write_bytes(data)
        with pytest.raises(Exception, match=what):
            files.load(path)
    assert formats.format_of(path).module == "pth"
