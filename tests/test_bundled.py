"""The model that comes with the package: small, complete, and as good as its card says."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from resnets.card import Label
from resnets.classify import Classifier
from resnets.labels import lists
from resnets.weights.files import load
from resnets.weights.names import resolve


def test_it_is_small_and_its_card_is_complete() -> None:
    assert resolve(None).stat().st_size <= 8_000_000
    card = load().card
    assert card.labels == lists.read("cifar10")
    assert card.recipe is not None
    assert card.recipe.crop == 32
    (score,) = card.scores
    low, high = score["top1_interval"]
    assert low < score["top1_error"] < high
    assert score["images"] == 10_000
    assert "not comparable" in score["note"]
    assert card.licence == "Apache-2.0"


def test_it_knows_a_cat(photos: dict[str, Path]) -> None:
    best = Classifier().classify(photos["cat"], top=1)[0]
    assert Label(str(best.id), best.label) == Label("cat", "cat")
    assert best.probability > 0.4


@pytest.mark.matrix
def test_its_error_is_the_one_that_its_card_states(shared: Path, tmp_path: Path) -> None:
    with tarfile.open(shared / "data" / "cifar10-jpeg.tar.xz") as archive:
        members = (m for m in archive if m.name.startswith("cifar10-jpeg/test/"))
        archive.extractall(tmp_path, members, filter="data")
    command = [sys.executable, "-c", "from resnets.cli.main import main; main()", "evaluate", "--json", "-", "--quiet"]
    run = subprocess.run(
        [*command, str(tmp_path / "cifar10-jpeg" / "test")], capture_output=True, text=True, check=True
    )
    found = json.loads(run.stdout)
    (stated,) = load().card.scores
    assert (found["images"], found["errors"]) == (10_000, 0)
    # One image of 10,000: torch and ONNX Runtime may break a near tie differently.
    assert found["top1_error"] == pytest.approx(stated["top1_error"], abs=0.011)
    assert found["top1_interval"] == pytest.approx(stated["top1_interval"], abs=0.02)
