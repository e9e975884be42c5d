from dataclasses import replace

import numpy as np
import pytest

from resnets.card import Card
from resnets.catalog import find
from resnets.initialise import initialise
from resnets.network import steps
from resnets.weights.fold import fold, foldable
from resnets.weights.model import Model


def model(name: str) -> Model:
    full = find(name)
    architecture = full if full.cifar_stem else replace(full, widths=(8, 16, 32, 64))
    random = np.random.default_rng(0)
    weights = {
        key: (
            random.uniform(0.5, 2, value.shape)
            if key.endswith(("var", "weight")) and value.ndim == 1
            else random.normal(0, 1, value.shape)
        )
        for key, value in initialise(architecture).items()
    }
    return Model(
        architecture, {key: value.astype(np.float32) for key, value in weights.items()}, Card(name, architecture)
    )


def test_one_pair_is_folded_as_algebra_says():
    before = model("resnet50-v1")  # with biases in its 1x1 convolutions
    after = fold(before)
    w = {key: value.astype(np.float64) for key, value in before.weights.items()}
    for conv, norm in (
        ("layer1.0.conv1", "layer1.0.bn1"),
        ("conv1", "bn1"),
        ("layer4.0.downsample.0", "layer4.0.downsample.1"),
    ):
        scale = w[f"{norm}.weight"] / np.sqrt(w[f"{norm}.running_var"] + 1e-5)
        bias = (w.get(f"{conv}.bias", 0) - w[f"{norm}.running_mean"]) * scale + w[f"{norm}.bias"]
        np.testing.assert_array_equal(after.weights[f"{conv}.bias"], bias.astype(np.float32))
        kernel = w[f"{conv}.weight"] * scale[:, None, None, None]
        np.testing.assert_array_equal(after.weights[f"{conv}.weight"], kernel.astype(np.float32))


@pytest.mark.parametrize("name", ["resnet18", "resnet18-v2", "preresnet18", "preresnet20-cifar"])
def test_only_pairs_that_stand_together_are_folded(name):
    before = model(name)
    after = fold(before)
    assert after.architecture == replace(before.architecture, batch_norm="none")
    assert list(after.weights) == [key for step in steps(after.architecture) for key, _ in step.arrays]
    readers = [name for step in steps(before.architecture) for name in step.inputs]
    for conv, norm in foldable(before):
        assert (conv.op, norm.op, readers.count(conv.name)) == ("conv", "batch_norm", 1)
    untouched = set(after.weights) & set(before.weights) - {
        f"{conv.name}.{part}" for conv, _ in foldable(before) for part in ("weight", "bias")
    }
    assert all(after.weights[key] is before.weights[key] for key in untouched)


def test_folding_twice_changes_nothing_more():
    once = fold(model("resnet20-cifar"))
    assert fold(once) is once
