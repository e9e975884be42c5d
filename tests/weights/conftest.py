"""Files of the original frameworks that tests of several formats read."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resnets.card import Card
from resnets.catalog import Architecture
from resnets.initialise import initialise
from resnets.weights.files import sealed
from resnets.weights.model import Model

GLUON = Path(__file__).resolve().parents[1] / "oracles" / "gluon" / "thin-resnet50-v2"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A folder with exported-0000.params and -symbol.json of MXNet 1.9.1, and io.npz: input, logits, features."""
    for name in ("exported-0000.params", "io.npz"):
        (tmp_path / name).write_bytes((GLUON / name).read_bytes())
    (tmp_path / "exported-symbol.json").write_bytes(gzip.decompress((GLUON / "exported-symbol.json.gz").read_bytes()))
    return tmp_path


@pytest.fixture(scope="session")
def random_model() -> Callable[..., Model]:
    """`random_model(architecture, seed=0)`: a model whose random weights and statistics show every slip."""

    def make(architecture: Architecture, seed: int = 0) -> Model:
        random = np.random.default_rng(seed)
        weights = initialise(architecture, seed)
        for name, array in weights.items():
            if name.endswith("running_var") or (array.ndim == 1 and name.endswith("weight")):
                array[:] = random.uniform(0.5, 1.5, array.shape)
            elif array.ndim == 1:
                array[:] = random.normal(0, 0.1, array.shape)
        return sealed(Model(architecture, weights, Card("random", architecture)))

    return make
