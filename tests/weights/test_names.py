"""Names of models: bundled, on the disk, published; and what is said of a name that is none."""

import pytest

from resnets.errors import ResNetsError
from resnets.weights import names
from resnets.weights.names import resolve


def test_names_that_are_no_model(tmp_path, monkeypatch, tiny_model):
    monkeypatch.setattr(names, "BUNDLED", tmp_path)
    with pytest.raises(ResNetsError, match="no bundled model"):
        resolve(None)
    (tmp_path / "resnet20-cifar10.onnx").write_bytes(tiny_model.read_bytes())
    assert resolve(None) == resolve("resnet20-cifar10") == tmp_path / "resnet20-cifar10.onnx"
    for name, reason in (
        (
            "resnet50",
            "is an architecture, not a model.*resnet50.fb.*resnets fetch.*`resnets create resnet50 resnet50.onnx`",
        ),
        ("resnet20-cifar1O", "Did you mean 'resnet20-cifar10'"),
        ("zebra", "no model called 'zebra'"),
        ("missing.onnx", "There is no file missing.onnx"),
        ("resnet-18.t7", "There is no file resnet-18.t7.*resnet18.fb, which is a published file of that name"),
        ("resnet50.tv9", "Did you mean 'resnet50.tv"),
        ("runs/first", "There is no file runs/first"),
    ):
        with pytest.raises(ResNetsError, match=reason):
            resolve(name)
