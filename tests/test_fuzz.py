"""scripts/fuzz.py itself: a short run of every format, and that it would notice a fault."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from resnets.weights import files

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "fuzz.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("suffix", [".onnx", ".safetensors", ".pth", ".t7", ".params"])
def test_damaged_files_are_refused_or_whole(script, suffix):
    read, data, why = script.fuzz(suffix, 200, seed=1)
    assert data is None, why
    assert read < 100, "most damage is seen"


@pytest.mark.parametrize("kind", ["raises", "wrong arrays"])
def test_a_fault_is_noticed(script, monkeypatch, kind):
    right = files.read

    def wrong(source, given=None):
        if source.path.name == "m.pth":  # when the seeds are made
            return right(source, given)
        if kind == "raises":
            raise KeyError("conv1")
        model = right(original, given)
        model.weights["conv1.weight"][0] += 1
        return model

    original = files.Source.of(next(script.seeds(".pth")), "m.pth")
    monkeypatch.setattr(files, "read", wrong)
    _, data, why = script.fuzz(".pth", 5, seed=0)
    assert data is not None
    assert ("KeyError" in why) if kind == "raises" else ("the card's digest" in why)
