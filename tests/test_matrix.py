"""torch and ONNX Runtime compute the same: shallow networks of each family always, all with `-m matrix`."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from resnets.card import Card
from resnets.catalog import ARCHITECTURES, Architecture, find
from resnets.errors import ResNetsError
from resnets.graph import NEWEST, build
from resnets.initialise import initialise
from resnets.network import parameters, same
from resnets.weights import files
from resnets.weights.formats import FORMATS
from resnets.weights.model import Model, digest

torch = pytest.importorskip("torch")

TOLERANCE = 1e-4  # of the largest logit
OPSETS = (7, 13, NEWEST)
SHALLOW = (
    "resnet18",
    "resnet18-v2",
    "preresnet18",
    "resnet18d",
    "resnet20-cifar",
    "preresnet20-cifar",
)
_NARROW: dict[str, Any] = {"blocks": (1, 2, 1), "widths": (8, 16, 32)}
_SMALL = replace(find("resnet50"), **_NARROW)
_SMALL_PRE = replace(find("preresnet50"), preact_first=("branch", "branch", "both"), **_NARROW)
VARIANTS = {  # what no name of the catalog has, or only large ones
    "v1": replace(find("resnet50-v1"), **_NARROW),
    "published-50": replace(_SMALL, conv_bias="all", shortcut_batch_norm=False, post_add_batch_norm=True),
    "published-200": replace(_SMALL_PRE, shortcut_batch_norm=True),
    "grouped": replace(_SMALL, groups=4, base_width=32),
    "shortcut-c": replace(find("preresnet20-cifar"), blocks=(2, 1, 1), shortcut="C"),
    "zeros-on-both-sides": replace(find("resnet20-cifar"), blocks=(1, 1, 1), shortcut_zeros="both"),
    "shortcut-a-imagenet": replace(find("resnet18"), blocks=(1, 1, 1, 1), shortcut="A", classes=3, input_channels=1),
}


def trained_once(architecture: Architecture, momentum: float) -> tuple[Any, Model]:
    """Fresh weights, gammas in [0.5, 1.2], and the statistics of one pass in training mode."""
    from resnets.models.builder import arrays, build, load_arrays

    torch.manual_seed(0)
    network = build(architecture)
    load_arrays(network, initialise(architecture))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.2)
                module.bias.normal_(0, 0.1)
                module.momentum = momentum
        side = 32 if architecture.cifar_stem else 64
        network.train()(torch.randn(4, architecture.input_channels, side, side))
    return network.eval(), Model(architecture, arrays(network), Card("random", architecture))


def agree(architecture: Architecture, momentum: float, sizes: tuple[tuple[int, int], ...]) -> None:
    network, model = trained_once(architecture, momentum)
    random = np.random.default_rng(0)
    shapes = [(n, architecture.input_channels, h, w) for n in (1, 5) for h, w in sizes]
    inputs = [random.standard_normal(shape, np.float32) for shape in shapes]
    with torch.inference_mode():
        references = [network(torch.from_numpy(x)).numpy() for x in inputs]
    versions = [(opset, False) for opset in OPSETS]
    # To open a graph of 600 blocks, or of 300 MB, takes ONNX Runtime many seconds; folding has no other rules there.
    if sum(architecture.blocks) < 200 and parameters(architecture) < 65_000_000:
        versions.append((13, True))
    for opset, fold in versions:
        proto = build(model, opset=opset, fold=fold)
        onnx.checker.check_model(proto)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3  # initializers among the inputs of IR 3
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for x, reference in zip(inputs, references, strict=True):
            (logits,) = session.run(["logits"], {"data": x})
            difference = np.abs(logits - reference).max() / np.abs(reference).max()
            assert difference <= TOLERANCE, f"opset {opset}, fold {fold}, input {x.shape}: {difference:.1e}"


@pytest.mark.parametrize("name", SHALLOW)
def test_a_shallow_network_of_each_family(name):
    architecture = find(name)
    agree(architecture, 1.0, ((32, 32), (33, 40)) if architecture.cifar_stem else ((64, 64), (47, 81)))


@pytest.mark.parametrize("architecture", VARIANTS.values(), ids=VARIANTS)
def test_a_variant(architecture):
    agree(architecture, 1.0, ((32, 32), (47, 61)))


FORMS = [(suffix, names) for suffix in (".onnx", ".t7", ".pth", ".params") for names in (None, *FORMATS[suffix].names)]
ODD = VARIANTS | {  # depths, widths and shortcuts that no one published
    "narrow-34": replace(find("resnet34"), blocks=(2, 1, 3), widths=(6, 10, 20), stem_widths=(5,), classes=7),
    "shortcut-c-26": replace(find("resnet50"), blocks=(2, 2), widths=(4, 12), shortcut="C"),
    "preact-a": replace(
        find("preresnet20-cifar"), blocks=(1, 3), widths=(8, 24), stem_widths=(6,), preact_first=("both", "both")
    ),
    "tiered": replace(find("resnet50t"), blocks=(1, 2), widths=(8, 16), stem_widths=(4, 6, 8)),
    "gluon-v2": replace(find("resnet50-v2"), blocks=(1, 2), widths=(8, 16), preact_first=("both", "both")),
    "gluon-v1-thumbnail": replace(find("resnet18-v1"), stem="bare", blocks=(2, 1), widths=(8, 16), stem_widths=(8,)),
    "biased-152": replace(find("resnet152"), blocks=(2, 3, 1), widths=(4, 8, 16), conv_bias="all"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_variant_goes_through_files_without_a_card_and_computes_the_same(name, tmp_path):
    network, model = trained_once(ODD[name], 1.0)
    side = 32 if ODD[name].cifar_stem else 64
    x = np.random.default_rng(0).standard_normal((2, ODD[name].input_channels, side, side), np.float32)
    with torch.inference_mode():
        reference = network(torch.from_numpy(x)).numpy()
    told = 0
    for suffix, names in FORMS:
        path = tmp_path / f"{names}{suffix}"
        try:
            files.save(model, path, names=names)
        except ResNetsError:
            continue  # a dialect that has no such network, which it says
        if suffix == ".onnx":  # whose card would tell
            proto = onnx.load(path)
            del proto.metadata_props[:]
            onnx.save(proto, path)
        back = files.load(path)
        assert same(back.architecture, model.architecture), path.name
        assert digest(back.weights) == digest(model.weights), path.name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        data = build(back).SerializeToString()
        (logits,) = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(
            ["logits"], {"data": x}
        )
        assert np.abs(logits - reference).max() <= TOLERANCE * np.abs(reference).max(), path.name
        told += 1
    assert told >= 3, "at least .onnx, .t7 and our .pth can say any network"


@pytest.mark.matrix
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture(name):
    # torch's own momentum. With the statistics replaced altogether, a random network of 152 layers amplifies a rounding
    # so much that torch in float32 is 4e-4 away from torch in float64, and nothing can agree with it to 1e-4.
    architecture = find(name)
    agree(architecture, 0.1, ((32, 32), (40, 40)) if architecture.cifar_stem else ((64, 64), (97, 97)))
