import json
from dataclasses import replace

import pytest

from resnets import card as cards
from resnets.card import RECIPES, Card, Label, Recipe
from resnets.catalog import find
from resnets.errors import ResNetsError

CARD = Card(
    name="tiny",
    architecture=replace(find("resnet20-cifar"), classes=2),
    labels=(Label("n02123045", "tabby, tabby cat"), Label("übel", "naïve 猫")),
    recipe=replace(RECIPES["resnets"], size=32, crop=32),
    source={"seed": 3},
    scores=({"data": "val", "top1_error": 12.5},),
    licence="Apache-2.0",
    weights_sha256="0" * 64,
)


def test_a_card_survives_json_with_fields_that_are_not_known_yet():
    value = json.loads(cards.to_json(CARD))
    value["prize"] = {"won": [1, 2]}
    value["input"]["layout"] = "NCHW"
    value["labels"][1]["parent"] = ["n0"]
    back = cards.from_json(json.dumps(value))
    assert CARD.labels is not None
    labels = (CARD.labels[0], replace(CARD.labels[1], extra={"parent": ["n0"]}))
    expected = replace(CARD, labels=labels, input_extra={"layout": "NCHW"}, extra={"prize": {"won": [1, 2]}})
    assert back == expected != CARD
    assert len({*labels}) == 2
    assert json.loads(cards.to_json(back)) == value


def test_equal_cards_are_equal_bytes():
    assert cards.to_json(cards.from_json(cards.to_json(CARD))) == cards.to_json(CARD)


def test_another_format_is_refused():
    with pytest.raises(ResNetsError, match="format 2, and this version reads format 1"):
        cards.from_json(cards.to_json(CARD).replace('"format": 1', '"format": 2'))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "not json",
        "[" * 100_000,
        '{"format": 1}',
        '{"format": 1, "name": "x", "architecture": 7}',
        '{"format": 1, "name": "x", "architecture": null, "labels": [3]}',
        '{"format": 1, "name": "x", "architecture": null, "scores": ["a"]}',
        '{"format": 1, "name": "x", "architecture": null, "temperature": NaN}',
        '{"format": 1, "name": "x", "architecture": null, "output": "feelings"}',
        '{"format": 1, "name": "x", "architecture": null, "temperature": 1e400}',
        '{"format": 1, "name": "x", "architecture": null, "temperature": 1' + "0" * 400 + "}",
        '{"format": 1, "name": "x", "architecture": null, "input": {"channels": Infinity}}',
        '{"format": 1, "name": "x", "architecture": null, "input": {"channels": 2.5}}',
        '{"format": 1, "name": "x", "architecture": null, "source": {"loss": NaN}}',
        '{"format": 1, "name": "x", "architecture": null, "licence": "\\ud800"}',
    ],
)
def test_text_that_is_no_card_is_refused(text):
    with pytest.raises(ResNetsError):
        cards.from_json(text)


def test_a_list_of_the_wrong_length_is_refused():
    with pytest.raises(ResNetsError, match="3 labels, but the network has 2 classes"):
        replace(CARD, labels=(*CARD.labels, Label("c", "c")))


@pytest.mark.parametrize(
    "change",
    [{"brightness": 1}, {"std": ["a", "b", "c"]}, {"crop": 33}, {"mean": [float("inf")] * 3}, {"mean": [10**400] * 3}],
)
def test_a_recipe_that_is_not_understood_is_refused(change):
    value = json.loads(cards.to_json(CARD))
    value["recipe"].update(change)
    with pytest.raises(ResNetsError):
        cards.from_json(json.dumps(value))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_known_by_its_name_at_any_size(name):
    recipe = replace(RECIPES[name], size=64, crop=48)
    assert cards.name_of(recipe) == name
    assert cards.describe(recipe).startswith(f"{name} ")
    assert cards.recipe_from_json(json.loads(json.dumps(cards.recipe_to_json(recipe)))) == recipe


def test_a_recipe_of_ones_own_has_no_name():
    assert cards.name_of(Recipe(filter="opencv-bilinear")) is None
