import hashlib
import itertools
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.card import RECIPES, Label
from resnets.classify import Classifier
from resnets.errors import ResNetsError
from resnets.images.decode import ImageError, decode
from resnets.images.prepare import normalise, prepare
from resnets.predictions import top
from resnets.weights.files import load, save


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return Classifier(tiny_model, threads=2)


def test_three_steps_by_hand_give_what_the_classifier_gives(classifier, photos):
    recipe = classifier.card.recipe
    x = normalise(prepare(decode(photos["cat"]), recipe), recipe)
    by_hand = resnets.top(classifier.logits(x)[0], classifier.card.labels, 2)
    found = classifier.classify(photos["cat"], top=2)
    assert [p.label for p in found] == [p.label for p in by_hand]
    assert found[0].probability == pytest.approx(by_hand[0].probability, abs=1e-6)
    assert sum(p.probability for p in classifier.classify(photos["cat"], top=9)) == pytest.approx(1)


def test_every_kind_of_item_gives_the_same(classifier, photos):
    path = photos["coffee"]
    with Image.open(path) as photo:
        items = [path, str(path), path.read_bytes(), photo, decode(path)]
        rows = list(classifier.run(items))
        for row in rows:
            assert np.allclose(row.logits, rows[0].logits, atol=1e-5)
        for item in items:
            assert classifier.classify(item)[0].label == classifier.classify(items)[0][0].label
    assert [row.file for row in rows] == [str(path), str(path), "-", "-", "-"]


def test_bad_items_among_good_ones_keep_their_place(classifier, photos, tmp_path):
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(photos["rocket"].read_bytes()[:3000])
    good = list(photos.values())
    items = [torn if i % 5 == 3 else good[i % len(good)] for i in range(60)]
    rows = list(classifier.run(items))
    assert [row.index for row in rows] == list(range(60))
    assert [row.item for row in rows] == items
    alone = {path: next(classifier.run([path])).logits for path in good}
    for row in rows:
        if row.item == torn:
            assert row.error.startswith("The image cannot be decoded (")
            assert not row.outputs
        else:
            assert row.error is None
            assert np.allclose(row.logits, alone[row.item], atol=1e-5)


def test_all_items_may_be_bad(classifier):
    assert [row.error for row in classifier.run([b"", b"", b""])] == ["The file is empty."] * 3
    assert list(classifier.run([])) == []


def test_many_items_are_drawn_a_bounded_number_ahead(classifier, photos):
    data, drawn = photos["camera"].read_bytes(), itertools.count()
    rows = classifier.run(data for _ in range(100_000) if next(drawn) >= 0)
    for _ in range(40):
        next(rows)
    assert next(drawn) < 40 + 16 * 2 * 9
    rows.close()


def test_ten_crops_are_the_mean_of_their_logits(tiny_model, photos):
    recipe = replace(RECIPES["resnets"], size=48, crop=32)
    classifier = Classifier(tiny_model, recipe=recipe)
    crops = prepare(decode(photos["cat"]), recipe, 10)
    row = next(classifier.run([photos["cat"]], crops=10))
    assert np.allclose(row.logits, classifier.logits(normalise(crops, recipe)).mean(0), atol=1e-5)
    mirrored = next(classifier.run([photos["cat"]], crops=2)).logits
    both = normalise(prepare(decode(photos["cat"]), recipe, 2), recipe)
    assert np.allclose(mirrored, classifier.logits(both).mean(0), atol=1e-5)
    with pytest.raises(ResNetsError, match="no way to take 3 crops"):
        classifier.run([photos["cat"]], crops=3)


@pytest.mark.parametrize("name", ["fb", "zoo-notebook", "caffe2"])
def test_recipes_of_others_reach_the_network(tiny_model, photos, name):
    recipe = replace(RECIPES[name], size=48, crop=32)
    rows = Classifier(tiny_model, recipe=recipe, threads=1).run([*photos.values(), "missing.jpg"])
    for path, row in zip(photos.values(), rows):
        x = normalise(prepare(decode(path, exif=recipe.exif, alpha=recipe.alpha), recipe), recipe)
        assert np.allclose(row.logits, Classifier(tiny_model, recipe=recipe).logits(x)[0], atol=1e-5)
    assert next(rows).error == "There is no such file."


def test_features_are_pooled_and_give_the_logits(classifier, tiny_model, photos):
    features = classifier.features(list(photos.values()))
    assert features.shape == (len(photos), 64)
    assert features.dtype == np.float32
    weights = load(tiny_model).weights
    logits = features @ weights["fc.weight"].T + weights["fc.bias"]
    expected = [row.logits for row in classifier.run(photos.values())]
    assert np.allclose(logits, expected, atol=1e-4)
    none = classifier.features([])
    assert (none.shape, none.dtype) == ((0, 64), np.float32)
    assert np.allclose(classifier.features(photos["cat"])[0], features[list(photos).index("cat")], atol=1e-4)


def test_a_bad_image_raises_where_there_are_no_rows(classifier, photos):
    with pytest.raises(ImageError, match=r"no\.jpg: There is no such file"):
        classifier.classify([photos["cat"], "no.jpg"])


def test_an_answer_that_is_not_finite_is_an_error(tiny_model, photos, tmp_path):
    model = load(tiny_model)
    weights = {**model.weights, "fc.bias": np.full(3, 3e38, np.float32), "fc.weight": model.weights["fc.weight"] * 0}
    save(replace(model, weights=weights), tmp_path / "big.onnx")
    assert next(Classifier(tmp_path / "big.onnx").run([photos["cat"]])).error is None
    weights["fc.weight"] = np.full_like(weights["fc.weight"], 3e38)
    save(replace(model, weights=weights), tmp_path / "broken.onnx")
    row = next(Classifier(tmp_path / "broken.onnx").run([photos["cat"]]))
    assert row.error == "The network's answer is not a finite number."


def test_without_a_recipe_pixels_are_refused_but_tensors_are_taken(tiny_model, photos, tmp_path):
    model = load(tiny_model)
    path = tmp_path / "bare.onnx"
    save(replace(model, card=replace(model.card, recipe=None, labels=None)), path)
    bare = Classifier(path)
    assert bare.logits(np.zeros((2, 3, 32, 32), np.float32)).shape == (2, 3)
    with pytest.raises(ResNetsError, match="does not say how its images are to be prepared"):
        bare.run([photos["cat"]])
    named = Classifier(path, recipe="cifar", labels=[Label(c, c) for c in "abc"])
    assert named.classify(decode(photos["cat"])[:32, :32])[0].label in "abc"
    with pytest.raises(ResNetsError, match="2 labels, but the network has 3 classes"):
        Classifier(path, labels=[Label("a", "a"), Label("b", "b")])


def test_an_engine_that_is_not_there(tiny_model):
    with pytest.raises(ResNetsError, match="no engine 'tensorrt'"):
        Classifier(tiny_model, engine="tensorrt")


@pytest.mark.parametrize("replaced", [True, False])
def test_one_classifier_never_answers_from_two_models(tiny_model, photos, tmp_path, replaced):
    path, new = tmp_path / "best.onnx", tmp_path / "new.onnx"
    model = load(tiny_model)
    save(model, path)
    save(replace(model, weights={**model.weights, "fc.bias": np.array([9, 0, 0], np.float32)}), new)
    classifier = Classifier(path, threads=2)
    assert classifier.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    before = classifier.classify(photos["cat"])
    if replaced:
        os.replace(new, path)
    else:
        path.write_bytes(new.read_bytes())
    assert classifier.classify(photos["cat"]) == before, "a session that is open stays"
    for use in (
        lambda: list(classifier.run(photos.values())),
        lambda: classifier.features(photos["cat"]),
        lambda: classifier.sha256,
    ):
        with pytest.raises(ResNetsError, match=r"best\.onnx was replaced after it had been opened"):
            use()
    assert Classifier(path).classify(photos["cat"]) != before


@pytest.mark.parametrize("tail", [("Softmax",), ("Softmax", "Identity", "Flatten")])
def test_a_graph_that_ends_in_a_softmax_gives_probabilities(tiny_model, photos, rewritten, tail):
    recipe = replace(RECIPES["resnets"], size=48, crop=32)
    plain = Classifier(tiny_model, recipe=recipe)
    foreign = Classifier(rewritten("y", tail=tail), recipe=recipe, labels=plain.card.labels)
    assert foreign.card.output == "probabilities"
    warm = replace(plain.card, temperature=2.5)
    carded = Classifier(rewritten("y", tail=tail, card=replace(warm, output="probabilities")), recipe=recipe)
    for crops in (1, 10):
        ours, theirs = (c.classify(photos["cat"], crops=crops) for c in (plain, foreign))
        assert [p.label for p in ours] == [p.label for p in theirs]
        assert [p.probability for p in ours] == pytest.approx([p.probability for p in theirs], abs=1e-6)
        row = next(carded.run([photos["cat"]], crops=crops))
        expected = top(next(plain.run([photos["cat"]], crops=crops)).logits, None, temperature=2.5)
        assert [p.probability for p in carded.predictions(row.logits)] == pytest.approx(
            [p.probability for p in expected], abs=1e-6
        )
    with pytest.raises(ResNetsError, match="says that the graph gives logits, but it ends with a Softmax"):
        Classifier(rewritten("y", tail=tail, card=plain.card))


def test_which_of_several_outputs_is_the_answer_is_not_guessed(classifier, photos, rewritten):
    recipe = classifier.recipe
    with pytest.raises(ResNetsError, match=r"None of the outputs of .*rewritten.onnx \(y, z\) is called logits"):
        Classifier(rewritten("y", "z"), recipe=recipe).classify(photos["cat"])
    expected = [p.probability for p in classifier.classify(photos["cat"])]
    for outputs in (("y",), ("logits", "z"), ("y", "features", "feature_map")):
        found = Classifier(rewritten(*outputs), recipe=recipe).classify(photos["cat"])
        assert [p.probability for p in found] == pytest.approx(expected, abs=1e-6)
