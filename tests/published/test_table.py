import re
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import resnets.published
from resnets.card import RECIPES
from resnets.catalog import ARCHITECTURES, differing
from resnets.images.prepare import normalise, prepare
from resnets.labels import lists
from resnets.published.row import Published
from resnets.published.table import PUBLISHED, find, list_models, listed, matching, named, of

MODULES = [path.stem for path in Path(resnets.published.__file__).parent.glob("*.py")]
ROWS: list[Published] = [
    row for name in MODULES for row in getattr(import_module(f"resnets.published.{name}"), "ROWS", ())
]
LENGTHS = {"sha256": 64, "sha1": 40, "md5": 32}
# What a published network may have otherwise than the one of the catalog that it is named after.
DIFFERING = {
    r"resnet(18|34)\.fb": {"conv_bias", "shortcut_batch_norm"},
    r"resnet50\.fb": {"conv_bias", "shortcut_batch_norm", "post_add_batch_norm"},
    r"resnet152\.fb": {"conv_bias"},
    r"preresnet200\.fb": {"preact_first", "shortcut_batch_norm"},
    r"preresnet\d+-cifar\.gluoncv": {"shortcut", "input_batch_norm", "preact_first"},
}


def test_the_table_has_all_rows_of_all_publishers_by_names_of_their_own():
    assert Counter(PUBLISHED.values()) == Counter(ROWS)
    assert len(ROWS) > 100
    assert all(name == row.name for name, row in PUBLISHED.items())


def test_no_alias_is_another_rows_name_alias_or_file():
    """What the Hub calls a file says nothing of it: such a name finds nothing."""
    called = Counter(name for row in ROWS for name in {row.name, *row.also})
    assert [name for name, count in called.items() if count > 1] == []
    files = Counter(row.file for row in ROWS)
    assert [name for name, count in files.items() if count > 1] in ([], ["model.safetensors"])
    for row in ROWS:
        assert all(find(name) is row for name in (row.name, *row.also))
        assert find(row.file) is (row if files[row.file] == 1 else None)
        assert row.name not in row.also
        assert not {row.name, *row.also} & ARCHITECTURES.keys()
    assert find("resnet18") is None


def test_every_name_is_a_network_of_the_catalog_and_a_source():
    for row in ROWS:
        architecture, _, source = row.name.partition(".")
        assert architecture in ARCHITECTURES
        assert re.fullmatch(r"[a-z0-9_-]+", source), row.name  # the name is a folder of the cache


def test_every_network_is_the_catalogs_but_for_what_is_documented():
    for row in ROWS:
        if row.architecture is None:
            assert re.fullmatch(r"resnet50-v1\.zoo12-(int8|qdq)(-tar)?", row.name)
            continue
        known = replace(ARCHITECTURES[row.name.partition(".")[0]], classes=row.architecture.classes)
        expected = [fields for pattern, fields in DIFFERING.items() if re.fullmatch(pattern, row.name)]
        assert differing(row.architecture, known).keys() == (expected[0] if expected else set()), row.name


def test_labels_are_shipped_and_one_for_each_class():
    for row in ROWS:
        assert row.labels in lists.SHIPPED
        if row.architecture is not None:
            assert len(lists.read(row.labels)) == row.architecture.classes


@pytest.mark.parametrize("recipe", dict.fromkeys(row.recipe for row in ROWS), ids=str)
def test_every_recipe_makes_the_input_of_its_networks_from_a_photograph(recipe):
    image = np.random.default_rng(0).integers(0, 256, (375, 500, 3), dtype=np.uint8)
    x = normalise(prepare(image, recipe), recipe)
    assert x.shape == (1, 3, recipe.crop, recipe.crop)
    assert np.isfinite(x).all()
    assert np.abs(x).max() < 4


def test_networks_for_small_images_take_small_images():
    for row in ROWS:
        small = "-cifar." in row.name
        assert (row.recipe.crop == 32) == small
        assert row.labels.startswith("cifar") == small


def test_every_address_is_safe_and_ends_with_the_file():
    for row in ROWS:
        assert row.urls
        assert len(set(row.urls)) == len(row.urls)
        assert all(re.fullmatch(r"https://[a-z0-9.-]+/[\w./-]+", url) for url in row.urls), row.urls
        assert all(url.rpartition("/")[2] == row.file for url in row.urls)
        assert re.fullmatch(r"\w[\w.-]*", row.file)
        assert row.page.startswith("https://")
        assert row.checksum_url is None or row.checksum_url.startswith("https://")
        assert row.licence


def test_every_number_says_who_printed_it():
    for row in ROWS:
        assert (row.size is None) == (row.size_source == "")
        assert row.size is None or row.size > 1 << 20
        for digest in row.digests:
            assert re.fullmatch(r"[0-9a-f]{8,}", digest.value)
            assert len(digest.value) <= digest.whole == LENGTHS[digest.algorithm]
            assert digest.source
            assert not digest.member or row.member
        for score in row.reported:
            assert score.source.startswith("https://")
            assert score.kind in ("accuracy", "error")
            assert score.pool in ("global", "window7")
            assert score.recipe is None or score.recipe in RECIPES
            assert score.conditions_source == "" or score.conditions_source.startswith("https://")
            assert all(re.fullmatch(r"\d\d?\.\d+", x) for x in (score.top1, score.top5) if x is not None)
            assert score.top5_error is None or 0 < score.top5_error < score.top1_error < 50
            assert score.resize is None or score.resize >= score.crop


def test_an_archive_says_which_file_in_it_is_the_model():
    for row in ROWS:
        assert (row.member is not None) == row.file.endswith((".zip", ".tar.gz"))


def test_notes_are_whole_sentences():
    for row in ROWS:
        assert all(re.fullmatch(r"[A-Zt`].*\.", note) and "  " not in note for note in row.notes), row.notes


def test_find_knows_no_more_than_there_is():
    assert find("resnet50") is None
    assert find("model.safetensors") is None
    assert find("resnet50.fb ") is None


def test_patterns_match_names_and_aliases_in_the_order_of_networks():
    assert matching() == matching("*")
    assert len(matching()) == len(ROWS)
    assert [row.name for row in matching("resnet200.fb")] == ["preresnet200.fb"]
    assert [row.name for row in matching("resnet18v1/*")] == ["resnet18-v1.zoo-s3", "resnet18-v1.zoo-s3-tar"]
    assert [row.name for row in matching("resnet*.fb")] == [
        "preresnet200.fb", *(f"resnet{d}.fb" for d in (18, 34, 50, 101, 152)),
    ]  # fmt: skip
    names = [row.name for row in matching("resnet1*")]
    assert names.index("resnet18.fb") < names.index("resnet18-v1.gluon") < names.index("resnet101.fb")
    assert matching("nothing*") == []


def test_weights_are_listed_by_their_network_too_but_not_taken_by_it():
    """What a name of a network alone would fetch or remove would be all of its weights."""
    assert matching("resnet50") == []
    found = [row.name for row in listed("resnet50")]
    assert len(found) == len([row for row in ROWS if row.name.startswith("resnet50.")]) > 20
    assert found == list_models("resnet50", pretrained=True)
    assert [row.name for row in listed("wide_resnet50_2.tv_in1k")] == ["wide-resnet50-2.tv_in1k"]
    assert {"resnet50.fb", "resnet50-v1.zoo7"} <= {row.name for row in listed("resnet5?*")}
    assert listed() == matching()
    assert list_models("resnet50") == ["resnet50"]


def test_what_a_file_is_called_is_no_name_of_weights():
    row = named("wide_resnet50_2.tv_in1k")
    assert row is not None
    assert row.name == "wide-resnet50-2.tv_in1k"
    assert (named("resnet-18.t7"), named("resnet50")) == (None, None)
    assert find("resnet-18.t7") is named("resnet18.fb")


def test_the_weights_of_a_network_are_its_own_and_no_archive_is_among_them():
    found = of("resnet50")
    assert {"resnet50.fb", "resnet50.caffe2-9", "resnet50.gluoncv"} <= set(found)
    assert all(name.startswith("resnet50.") and not name.endswith("-tar") for name in found)
    assert of("resnet50-v1") == [
        f"resnet50-v1.{s}" for s in "gluon gluoncv zoo7 zoo12 zoo12-int8 zoo12-qdq zoo-s3".split()
    ]
    assert of("resnet1202-cifar") == []
