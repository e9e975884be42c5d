import numpy as np
import pytest

from resnets.engines.table import logarithms


def test_probabilities_have_finite_logarithms_and_other_numbers_have_none():
    found = logarithms(np.array([0.75, 0.25, 0.0], np.float32))
    assert np.isfinite(found).all()
    assert np.exp(found).tolist() == pytest.approx([0.75, 0.25, 0])
    assert np.isnan(logarithms(np.array([1.5, -0.5], np.float32))).tolist() == [False, True]
