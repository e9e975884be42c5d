import math

import numpy as np
import pytest

from resnets.card import Label
from resnets.errors import ResNetsError
from resnets.evaluate import Tally, match, ranks, wilson


def test_ranks_agree_with_sorting():
    rng = np.random.default_rng(0)
    logits = rng.integers(0, 5, (200, 12)).astype(np.float32)  # with many ties
    labels = rng.integers(0, 12, 200)
    order = np.argsort(-logits, axis=1, kind="stable")
    assert ranks(logits, labels).tolist() == [list(row).index(label) for row, label in zip(order, labels)]


def test_a_broken_network_is_never_right():
    logits = np.full((3, 10), np.nan, np.float32)
    logits[2] = np.arange(10)
    assert ranks(logits, [0, 9, 9]).tolist() == [10, 10, 0]
    few = Tally()
    for value in (np.inf, -np.inf, np.nan):
        few.take(np.array([value, 1, 2], np.float32), 0)
        few.take(np.full(3, value, np.float32), 0)
    assert (few.images, few.top1_wrong, few.top5_wrong, few.not_finite, few.errors) == (6, 6, 6, 6, 0)


@pytest.mark.parametrize(
    ("wrong", "images", "low", "high"),
    # Wilson's formula, as R's prop.test(wrong, images, correct = FALSE) has it.
    [(0, 10, 0.0, 27.7533), (1, 10, 1.7876, 40.4150), (50, 100, 40.3832, 59.6168), (868, 10000, 8.1443, 9.2477)],
)
def test_wilsons_interval(wrong, images, low, high):
    assert wilson(wrong, images) == pytest.approx((low, high), abs=1e-3)


def test_a_tally_in_parts_is_the_tally_of_all():
    rng = np.random.default_rng(1)
    logits, labels = rng.standard_normal((90, 20)), rng.integers(0, 20, 90)
    whole, parts = Tally(), Tally()
    whole.add(logits, labels)
    for i in range(0, 90, 7):
        parts.add(logits[i : i + 7], labels[i : i + 7])
    parts.take(None, 3)
    assert (parts.images, parts.errors) == (90, 1)
    assert parts.top1_error == whole.top1_error == pytest.approx(100 * np.mean(logits.argmax(1) != labels))
    best = np.argsort(-logits, axis=1)[:, :5]
    assert parts.top5_error == pytest.approx(100 * np.mean([y not in row for y, row in zip(labels, best)]))
    assert parts.top1_interval[0] < parts.top1_error < parts.top1_interval[1]
    assert parts.classes() == whole.classes()
    assert sum(seen for seen, _ in parts.classes()) == 90
    assert sum(wrong for _, wrong in parts.classes()) == parts.top1_wrong


def test_no_images_have_no_error():
    assert math.isnan(Tally().top1_error)


LABELS = (Label("n1", "crane"), Label("n2", "cat"), Label("n3", "crane"), Label("cat", "lion"))


def test_folders_match_by_id_then_by_name():
    numbers, missing = match(["n1", "cat", "n2"], LABELS, "the model")
    assert numbers.tolist() == [0, 3, 1]
    assert missing == ["n3"]


def test_every_folder_that_does_not_match_is_named_at_once():
    with pytest.raises(ResNetsError) as caught:
        match(["dog", "crane", "lion", "cat", "Cat"], LABELS, "the model")
    for part in (
        "dog, Cat (2: no class",
        "crane (1: the name of several",
        "lion, cat (2: one class twice)",
        "n1, n2, n3",
    ):
        assert part in caught.value.problem
