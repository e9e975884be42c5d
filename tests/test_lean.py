"""What is loaded when: never torch for prediction, nothing heavy for --help. Each check asks a fresh process."""

import importlib.util
import json
import pydoc
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from resnets.cli.main import VERBS
from resnets.errors import ResNetsError
from resnets.published.table import PUBLISHED

SOURCE = Path(__file__).resolve().parents[1] / "src" / "resnets"
HEAVY = ("torch", "onnx", "onnxruntime", "matplotlib", "rich", "PIL", "yaml", "safetensors")
TORCH_FREE = sorted(
    "resnets." + path.relative_to(SOURCE).with_suffix("").as_posix().replace("/", ".")
    for path in SOURCE.rglob("*.py")
    if path.stem != "__init__"
    and path.parent.name not in ("models", "training")
    and path.relative_to(SOURCE).as_posix() not in ("data/batches.py", "engines/torch.py")
)
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed: it cannot load"
)


def loaded(code: str, *arguments: object, status: int = 0) -> set[str]:
    """The top-level modules that a process has loaded after it ran the code. A crash is no answer: it raises."""
    tail = "\nimport sys, json; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    command = [sys.executable, "-c", code + tail, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == status, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


RUN = "import sys; from resnets.cli.main import run; assert run(sys.argv[1:]) == 0"


def verb(*arguments: object) -> set[str]:
    """The modules that one command line has loaded."""
    return loaded(RUN, *arguments)


def first_to_load_torch(modules: list[str]) -> str | None:
    """Imports them one after the other in one fresh process, until torch is there."""
    code = """
import importlib, json, sys
names = json.loads(sys.argv[1])
print(json.dumps(next((name for name in names if importlib.import_module(name) and "torch" in sys.modules), None)))
"""
    run = subprocess.run([sys.executable, "-c", code, json.dumps(modules)], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert found is None or isinstance(found, str)
    return found


@needs_torch
def test_no_torch_free_room_loads_torch():
    assert len(TORCH_FREE) > 25
    assert first_to_load_torch(TORCH_FREE) is None


@needs_torch
def test_the_check_can_fail():
    for module in ("resnets.models.builder", "resnets.training.loop"):
        assert first_to_load_torch(["resnets.images.prepare", module]) == module


@needs_torch
def test_using_every_torch_free_verb_never_loads_torch(tmp_path, photos, photo_data, tiny_model):
    fresh, moved = tmp_path / "fresh.safetensors", tmp_path / "moved.onnx"
    for line in (
        ("list", "resnet20*"),
        ("create", "resnet20-cifar", fresh, "--classes", 3),
        ("convert", fresh, moved),
        ("show", moved),
        ("classify", "-m", tiny_model, photos["cat"], photos["camera"], "--format", "jsonl"),
        ("evaluate", photo_data, "-m", tiny_model),
    ):
        assert "torch" not in verb(*line), line


def test_one_photograph_loads_neither_onnx_nor_matplotlib(photos, tiny_model):
    modules = verb("classify", "-m", tiny_model, photos["cat"])
    assert "onnxruntime" in modules
    assert not modules & {"torch", "onnx", "matplotlib"}


@pytest.mark.parametrize("name", ["", *VERBS])
def test_help_loads_nothing_heavy(name):
    assert not verb(*filter(None, [name]), "--help") & {*HEAVY}


def test_import_resnets_loads_nothing_of_its_rooms():
    assert not loaded("import resnets; assert 'load' in dir(resnets)") & {*HEAVY, "numpy", "click"}


def test_the_public_names_resolve():
    import resnets

    for name in resnets.__all__:
        assert callable(getattr(resnets, name))
    with pytest.raises(AttributeError, match="no attribute 'utils'"):
        resnets.utils  # noqa: B018


def test_the_version_is_that_of_the_package():
    import resnets

    assert resnets.__version__ == version("resnets")
    assert "__version__" in dir(resnets)


@pytest.mark.parametrize("name", ["create_model", "train"])
def test_without_torch_the_extra_is_named(name, monkeypatch):
    import resnets

    monkeypatch.setitem(sys.modules, "torch", None)
    for module in [module for module in sys.modules if module.startswith(("resnets.models", "resnets.training"))]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ResNetsError, match=rf"resnets\.{name} needs torch.*pip install 'resnets\[train\]'"):
        getattr(resnets, name)("resnet18")
    assert "load(" in pydoc.plain(pydoc.render_doc(resnets))


def test_python_tells_of_downloads_unless_it_is_to_be_quiet(monkeypatch, tiny_model):
    import resnets

    row = replace(PUBLISHED["resnet18.fb"], name="resnet18.tiny", file="tiny.onnx")
    monkeypatch.setitem(PUBLISHED, row.name, row)
    asked: list[bool] = []

    def fetched(_: object, quiet: bool, **__: object) -> object:
        asked.append(quiet)
        return tiny_model

    monkeypatch.setattr("resnets.fetch.fetch.fetch", fetched)
    for opened in (resnets.load, resnets.Classifier):
        opened(row.name)
        opened(row.name, quiet=True)
        told = " ".join((opened.__doc__ or "").split())
        assert "hf:OWNER/NAME" in told
        assert "downloaded when they are first used" in told
        assert "`quiet=True` silences" in told
    assert asked == [False, True] * 2
