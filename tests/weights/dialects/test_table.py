import numpy as np
import pytest

from resnets.weights.dialects.table import FLOATS, as_float32


@pytest.mark.parametrize("kind", FLOATS)
def test_floats_become_float32(kind):
    values = np.array([0.0, -1.5, 3.25, np.inf, 6e-8], np.float32)
    stored = values.astype(kind) if kind != "bfloat16" else (values.view(np.uint32) >> 16).astype(np.uint16)
    found = as_float32(stored.reshape(5, 1), kind)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found[:, 0], values, rtol=0.01)


def test_what_is_too_large_becomes_infinity():
    assert np.isinf(as_float32(np.array([1e300]), "float64")).all()


@pytest.mark.parametrize("kind", FLOATS)
def test_a_turned_array_becomes_contiguous(kind):
    stored = np.ones((3, 4), kind if kind != "bfloat16" else np.uint16).T
    assert as_float32(stored, kind).flags.c_contiguous
