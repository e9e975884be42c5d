import subprocess
import sys
from math import sqrt

import numpy as np
import onnxruntime
import pytest

from resnets.card import Card, Label
from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.graph import build
from resnets.initialise import branch_scale, create, initialise
from resnets.network import array_shapes
from resnets.weights.model import Arrays, Model


def logits(name: str, weights: Arrays) -> np.ndarray:
    model = Model(find(name), weights, Card(name, find(name)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    data = build(model).SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)
    return np.asarray(session.run(None, {"data": pixels})[0])


def test_arrays_are_drawn_as_the_paper_says():
    arrays = initialise(find("resnet50-v1"))
    assert {name: array.shape for name, array in arrays.items()} == array_shapes(find("resnet50-v1"))
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    for name, fan_out in (
        ("conv1.weight", 49 * 64),
        ("layer4.1.conv2.weight", 9 * 512),
        ("layer1.0.conv3.weight", 256),
    ):
        assert arrays[name].std() == pytest.approx(sqrt(2 / fan_out), rel=0.03)
        assert abs(arrays[name].mean()) < 0.02 * arrays[name].std() + 1e-3
    reach = 1 / sqrt(2048)
    assert np.abs(arrays["fc.weight"]).max() == pytest.approx(reach, rel=1e-3)
    assert arrays["fc.weight"].std() == pytest.approx(reach / sqrt(3), rel=0.01)
    for name, value in (("bn1.weight", 1), ("bn1.running_var", 1), ("bn1.bias", 0), ("bn1.running_mean", 0)):
        assert (arrays[name] == value).all()
    assert not arrays["layer1.0.conv1.bias"].any()
    assert not arrays["fc.bias"].any()


def test_an_array_depends_on_its_name_and_the_seed_alone():
    shallow, deep, other = (
        initialise(find("resnet18"), 5),
        initialise(find("resnet34"), 5),
        initialise(find("resnet18"), 6),
    )
    assert (shallow["layer1.0.conv1.weight"] == deep["layer1.0.conv1.weight"]).all()
    assert (shallow["layer1.0.conv1.weight"] != shallow["layer1.1.conv1.weight"]).any()
    assert (shallow["conv1.weight"] != other["conv1.weight"]).any()
    # A draw of today, so that a change of the stream does not go unnoticed: seeds are promises.
    assert shallow["fc.weight"][0, :3] == pytest.approx(FIRST, rel=1e-6)


FIRST = [-0.006545332, 0.02660335, -0.017914992]


@pytest.mark.parametrize("name", ["preresnet1001-cifar", pytest.param("resnet1202-cifar", marks=pytest.mark.matrix)])
def test_very_deep_networks_have_finite_logits(name):
    weights = initialise(find(name))
    assert 0.01 < np.abs(logits(name, weights)).max() < 1e4
    scale = branch_scale(find(name))
    assert scale < 1
    last = "conv3.weight" if name.startswith("pre") else "bn2.weight"
    for key in weights:
        if key.endswith(last):
            weights[key] = weights[key] / np.float32(scale)
    assert not np.isfinite(logits(name, weights)).all(), "the scale is not needed"


def test_nothing_is_scaled_where_nothing_overflows():
    assert branch_scale(find("preresnet200")) == branch_scale(find("resnet110-cifar")) == 1
    assert np.isfinite(logits("preresnet164-cifar", initialise(find("preresnet164-cifar")))).all()


def test_create_says_what_it_made():
    model = create("preresnet1001-cifar", labels=(Label("a", "a"), Label("b", "b")), seed=3)
    assert model.architecture.classes == 2
    assert model.weights["fc.bias"].shape == (2,)
    assert model.card.recipe is not None
    assert (model.card.recipe.size, model.card.recipe.crop) == (32, 32)
    assert model.card.source["seed"] == 3
    assert model.card.source["branch_scale"] == pytest.approx(1 / sqrt(333))
    assert "branch_scale" not in create("resnet20-cifar").card.source
    with pytest.raises(ResNetsError, match="2 labels, but the network has 5 classes"):
        create("resnet20-cifar", labels=model.card.labels, classes=5)


def test_create_needs_neither_torch_nor_onnx():
    code = "import sys; from resnets.initialise import create; create('resnet20-cifar')"
    code += "; print({'torch', 'onnx'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set()\n"
