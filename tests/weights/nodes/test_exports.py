"""What torch exports of torchvision's and timm's networks, with its defaults, comes in with equal outputs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnets.catalog import ARCHITECTURES, Architecture
from resnets.engines.onnxruntime import Session
from resnets.network import same
from resnets.weights import files
from resnets.weights.onnx import write
from resnets.weights.options import Options

torch = pytest.importorskip("torch")


def export(network: Any, path: Path, *, dynamo: bool) -> None:
    x = (torch.zeros(1, 3, 64, 64),)
    if dynamo:
        torch.onnx.export(network, x, path)
    else:
        torch.onnx.export(network, x, path, dynamo=False)


def unlike(network: Any) -> Any:
    """The network with statistics and weights of its batch norms that are not those of a fresh one."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1)
            torch.nn.init.normal_(module.bias, 0, 0.2)
            torch.nn.init.normal_(module.running_mean, 0, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


def check_export(network: Any, path: Path, architecture: Architecture, *, dynamo: bool) -> None:
    export(network, path, dynamo=dynamo)
    found = files.load(path)
    assert same(found.architecture, replace(architecture, batch_norm="none"))
    x = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        expected = network(x).numpy()
    ours = Session(write(found, Options()), 1).run(x.numpy(), ("logits",))["logits"]
    np.testing.assert_allclose(ours, expected, atol=1e-4 * max(1, np.abs(expected).max()))
    with files.opened(path) as source:  # 64 x 64 pixels, and one image at once
        theirs = files.runnable(source, ("features",))
    first = x[:1, :, :64].numpy()
    answers = Session(theirs.model, 1).run(first, (theirs.answer or "", "features"))
    with torch.no_grad():
        np.testing.assert_allclose(answers[theirs.answer or ""], network(x[:1, :, :64]).numpy(), atol=1e-3)
    assert answers["features"].shape == (1, architecture.features)


LIST = ["resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "wide_resnet50_2"]
NAMES = {"resnext50_32x4d": "resnext50-32x4d", "wide_resnet50_2": "wide-resnet50-2"}


EXPORTERS = pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])


@EXPORTERS
@pytest.mark.filterwarnings("ignore")
def test_an_export_comes_back(peers, tmp_path, dynamo):
    """Of a fresh network, one shares the biases that folding makes zero; the other puts arrays beside the file."""
    if dynamo:
        pytest.importorskip("onnxscript")
    from torchvision.models.resnet import BasicBlock, ResNet

    network = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=6)
    architecture = replace(ARCHITECTURES["resnet18"], blocks=(1, 1, 1, 1), classes=6)
    check_export(unlike(network) if dynamo else network.eval(), tmp_path / "m.onnx", architecture, dynamo=dynamo)
    assert (tmp_path / "m.onnx.data").exists() == dynamo


@pytest.mark.matrix
@pytest.mark.filterwarnings("ignore")
def test_biases_that_an_exporter_left_out_are_zeros(peers, tmp_path):
    pytest.importorskip("onnxscript")
    import timm

    network = timm.create_model("resnet14t", num_classes=6).eval()
    check_export(network, tmp_path / "m.onnx", replace(ARCHITECTURES["resnet14t"], classes=6), dynamo=True)


@EXPORTERS
@pytest.mark.matrix
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*LIST, "resnet50d", "resnet26t"])
def test_every_export_of_the_peers_comes_back(peers, tmp_path, name, dynamo):
    if dynamo:
        pytest.importorskip("onnxscript")
    import timm
    import torchvision

    network = unlike(getattr(torchvision.models, name)() if name in LIST else timm.create_model(name))
    check_export(network, tmp_path / "m.onnx", ARCHITECTURES[NAMES.get(name, name)], dynamo=dynamo)
