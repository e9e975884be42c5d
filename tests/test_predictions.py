"""Classes and how probable they are."""

import numpy as np
import pytest

from resnets.card import Label
from resnets.errors import ResNetsError
from resnets.predictions import softmax, top


def test_top_clamps_numbers_classes_without_labels_and_breaks_ties_by_number():
    found = top(np.array([1.0, 3.0, 3.0, 0.0], np.float32), None, 9)
    assert [(p.index, p.id, p.label) for p in found] == [(1, None, "1"), (2, None, "2"), (0, None, "0"), (3, None, "3")]
    probabilities = np.array([0.25, 0.75], np.float32)
    assert top(probabilities, None, 1, output="probabilities")[0].probability == pytest.approx(0.75)
    flat = top(probabilities, None, 1, output="probabilities", temperature=2.0)[0].probability
    assert flat == pytest.approx(0.75**0.5 / (0.75**0.5 + 0.25**0.5))
    hot = top(np.array([0.0, 2.0]), None, 1, temperature=2.0)[0].probability
    assert hot == pytest.approx(1 / (1 + np.exp(-1)))
    with pytest.raises(ResNetsError, match="2 labels, but the network has 3 classes"):
        top(np.zeros(3), [Label("a", "a"), Label("b", "b")])
    with pytest.raises(ResNetsError, match="one image"):
        top(np.zeros((1, 3)), None)


def test_softmax_of_large_logits():
    assert softmax(np.array([1e4, 0.0])).tolist() == [1.0, 0.0]
