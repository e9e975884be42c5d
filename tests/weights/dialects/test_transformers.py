"""Files of transformers' own ResNet, their names spelled out as its modules nest."""

import json
from dataclasses import replace

import numpy as np
import pytest

from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.network import array_shapes
from resnets.weights import files

safetensors = pytest.importorskip("safetensors.numpy")

SIZES = {"blocks": (2, 1, 2, 1), "widths": (8, 12, 16, 20), "stem_widths": (8,), "classes": 3}
NETS = {
    "bottleneck": replace(find("resnet50"), **SIZES),
    "basic": replace(find("resnet18"), **SIZES),
}


def spelled(name: str) -> str:
    """ResNetForImageClassification's name: a ResNetConvLayer holds `convolution` and `normalization`."""
    *home, module, array = name.split(".")
    kind = {"conv": "convolution", "bn": "normalization"}.get(module[:-1])
    if not home:
        return f"classifier.1.{array}" if module == "fc" else f"resnet.embedder.embedder.{kind}.{array}"
    block = f"resnet.encoder.stages.{int(home[0][5:]) - 1}.layers.{home[1]}"
    if "downsample" in home:
        return f"{block}.shortcut.{('convolution', 'normalization')[int(module)]}.{array}"
    return f"{block}.layer.{int(module[-1]) - 1}.{kind}.{array}"


@pytest.fixture(params=NETS)
def written(request, tmp_path, random_model):
    """A file of theirs with its counters, and the model that it is."""
    model = random_model(NETS[request.param])
    arrays = {spelled(name): array for name, array in model.weights.items()}
    assert len(arrays) == len(array_shapes(model.architecture))
    counted = [name.replace("running_var", "num_batches_tracked") for name in arrays if name.endswith("running_var")]
    arrays |= {name: np.zeros((), np.int64) for name in counted}
    path = tmp_path / "model.safetensors"
    safetensors.save_file(arrays, path)
    return path, model


def test_their_names_are_read(written):
    path, model = written
    found = files.load(path)
    assert found.architecture == model.architecture
    assert found.card.source["names"] == "transformers"
    for name, array in model.weights.items():
        np.testing.assert_array_equal(found.weights[name], array)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("downsample_in_bottleneck", True), ("downsample_in_first_stage", True), ("hidden_act", "gelu")],
)
def test_settings_that_no_array_shows_are_refused(written, setting, value):
    path, model = written
    config = path.with_name("config.json")
    config.write_text(json.dumps({"model_type": "resnet", setting: value}))
    with pytest.raises(ResNetsError, match=f"ResNet of transformers', which has {setting} {value}"):
        files.load(path)
    config.write_text(json.dumps({"model_type": "resnet", "hidden_act": "relu", "downsample_in_bottleneck": False}))
    assert files.load(path).architecture == model.architecture
