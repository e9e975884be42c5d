"""Networks of random weights, and the oracles that Torch7 itself has written."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from resnets.card import Card
from resnets.catalog import Architecture, find
from resnets.network import array_shapes
from resnets.weights.model import Model
from resnets.weights.recognise import recognise
from resnets.weights.torch7.export import export
from resnets.weights.torch7.objects import Object
from resnets.weights.torch7.tree import walk


@pytest.fixture(scope="session")
def random_model() -> Callable[[Architecture], Model]:
    """A network whose every array shows in its logits: no batch norm is the identity, no bias zero."""

    def draw(architecture: Architecture) -> Model:
        random = np.random.default_rng(0)
        weights = {}
        for name, shape in array_shapes(architecture).items():
            if len(shape) > 1:
                values = random.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
            elif name.endswith(("weight", "var")):
                values = random.uniform(0.5, 1.5, shape)
            else:
                values = random.normal(0, 0.2, shape)
            weights[name] = values.astype(np.float32)
        return Model(architecture, weights, Card("random", architecture))

    return draw


TINY = replace(find("resnet20-cifar"), blocks=(1, 1), widths=(4, 8), stem_widths=(4,), classes=3)


@pytest.fixture
def tree(random_model) -> Object:
    """The module tree of an 8-layer network."""
    return export(random_model(TINY))


@pytest.fixture(scope="session")
def at() -> Callable[[Object, str], Object]:
    """`at(tree, "5.1")`: the module of that path."""

    def found(tree: Object, path: str) -> Object:
        for number in path.split("."):
            tree = tree["modules"][float(number)]
        return tree

    return found


@pytest.fixture(scope="session")
def change() -> Callable[..., None]:
    """`change(module, kW=5.0, bias=None)`: set fields of a module; None takes one away."""

    def set_fields(module: Object, **fields: object) -> None:
        kept = [(key, value) for key, value in module.value.pairs if key not in fields]
        module.value.pairs = kept + [(key, value) for key, value in fields.items() if value is not None]

    return set_fields


@pytest.fixture(scope="session")
def recognised() -> Callable[[Object], tuple[Architecture, dict[str, np.ndarray]]]:
    """The network that a tree is, and its arrays."""

    def of(tree: Object) -> tuple[Architecture, dict[str, np.ndarray]]:
        found = walk(tree, "the file")
        architecture, keys = recognise(found.steps, "the file")
        return architecture, {name: found.arrays[key]() for name, key in keys.items()}

    return of


@dataclass(frozen=True)
class Oracle:
    """A .t7 file, images, and what Torch computes for them in double precision (`difference`: than in float)."""

    path: Path
    images: np.ndarray
    logits: np.ndarray
    features: np.ndarray
    difference: float


# Every file of oracles/torch7/models, and the checkpoint that fb's train.lua has written.
ORACLES = (
    "resnet20-cifar10-A.t7", "resnet20-cifar10-A.ascii.t7", "resnet20-cifar10-A-double.t7", "resnet20-cifar10-B.t7",
    "resnet20-cifar10-C.t7", "resnet20-cifar100-A-cudnn.t7", "resnet20-cifar100-A-cudnn.allcudnn.t7",
    "resnet20-cifar100-A-cudnn.allnn.t7", "preresnet20-cifar10-A.t7", "preresnet20-cifar10-B-cudnn.t7",
    "preresnet20-cifar10-B-cudnn.cuda.t7", "preresnet20-cifar10-B-cudnn.allcudnn.t7",
    "preresnet20-cifar10-B-cudnn.allnn.t7", "thin8-resnet18-A.t7", "thin8-resnet18-B.t7", "thin8-resnet18-C.t7",
    "thin8-resnet50-B.t7", "thin8-preresnet18-B.t7", "thin8-preresnet50-B.t7", "thin8-preresnet200-B.t7",
    "thin8-published18.cuda.t7", "thin8-published50.cuda.t7", "thin8-published-preresnet50.cuda.t7",
    "thin8-biased152.cuda.t7", "model_4.t7",
)  # fmt: skip


@pytest.fixture(params=ORACLES)
def oracle(request: pytest.FixtureRequest, shared: Path) -> Oracle:
    """Each of them in turn."""
    if request.param == "model_4.t7":
        folder = shared / "oracles/torch7/checkpoints/resnet20-cifar10-trained-cudnn"
        about = json.loads((folder / "io.json").read_text())
        about["output64"] = {"file": "output64.bin", "dtype": "float64", "shape": about["output"]["shape"]}
    else:
        folder = shared / "oracles/torch7/models"
        about = json.loads((folder / f"{request.param.split('.')[0]}.json").read_text())

    def array(name: str) -> np.ndarray:
        return np.fromfile(folder / about[name]["file"], about[name]["dtype"]).reshape(about[name]["shape"])

    return Oracle(
        folder / request.param,
        array("input"),
        array("output64" if "output64" in about else "output"),
        array("features"),
        about.get("float_vs_double_maxabsdiff", 0.0),
    )


@pytest.fixture(scope="session")
def shape_of() -> Callable[[Object], list[tuple[str, str, dict[str, object]]]]:
    """Every module of a tree: path, class, and those of its fields that are numbers, texts and booleans."""

    def walk(module: Object, path: str = "") -> list[tuple[str, str, dict[str, object]]]:
        fields: dict[str, object] = {
            key: value for key, value in module.value.pairs if isinstance(value, float | str | bool)
        }
        found = [(path, module.name, fields)]
        for number, child in enumerate(module["modules"].items() if module["modules"] else [], 1):
            found += walk(child, f"{path}.{number}")
        return found

    return walk
