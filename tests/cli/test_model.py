"""What is told of a model that is opened for use: whose recipe and labels those are."""

import json
from dataclasses import replace

import pytest

from resnets.card import Card
from resnets.catalog import find
from resnets.cli.main import run
from resnets.initialise import initialise
from resnets.weights import files
from resnets.weights.model import Model

STATED = {
    "input_size": [3, 32, 32], "interpolation": "bicubic", "crop_pct": 0.9, "mean": [0.5, 0.5, 0.5],
    "std": [0.2, 0.2, 0.2], "num_classes": 3, "label_names": ["a", "b", "c"],
}  # fmt: skip


@pytest.fixture
def foreign(tmp_path):
    """Writes a file without a card as timm does, with its config.json; the paths."""

    def write(**changed):
        net = replace(find("resnet18"), widths=(4, 6, 8, 10), stem_widths=(4,), classes=3)
        path = tmp_path / "model.safetensors"
        files.save(Model(net, initialise(net), Card("", net)), path, names="torchvision")
        value = {"architecture": "resnet18_thin", "pretrained_cfg": {**STATED, **changed}}
        path.with_name("config.json").write_text(json.dumps(value))
        return path

    return write


def test_what_config_json_gives_is_told_unless_quiet_or_given(foreign, photos, tmp_path, capsys):
    path = foreign()
    command = ["classify", str(photos["cat"]), "-m", str(path), "--format", "csv"]
    assert run(command) == 0
    assert capsys.readouterr().err == f"config.json of {path} gives recipe, labels (label_names)\n"
    assert run([*command, "--recipe", "torchvision"]) == 0
    assert capsys.readouterr().err == f"config.json of {path} gives labels (label_names)\n"
    assert run([*command, "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "1.jpg").write_bytes(photos["cat"].read_bytes())
    assert run(["evaluate", str(tmp_path / "data"), "-m", str(path)]) == 0
    assert f"config.json of {path} gives recipe, labels (label_names)\n" in capsys.readouterr().err


def test_remarks_on_config_json_are_told(foreign, photos, capsys):
    path = foreign(crop_mode="border")
    command = ["classify", str(photos["cat"]), "-m", str(path), "--format", "csv"]
    assert run(command) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path} does not say how its images are to be prepared. config.json beside it is")
    assert "border" in error
    assert run([*command, "--recipe", "torchvision"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"config.json of {path} gives labels (label_names)"
    assert lines[1].startswith(f"{path}: config.json beside it is used in part.")


def test_of_the_hub_its_repository_is_told(foreign, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    held = tmp_path / "models--me--mine" / "snapshots" / ("0" * 40)
    held.mkdir(parents=True)
    path = foreign().rename(held / "model.safetensors")
    (tmp_path / "config.json").rename(held / "config.json")
    assert run(["classify", str(photos["cat"]), "-m", str(path), "--format", "csv"]) == 0
    assert capsys.readouterr().err == "config.json of hf:me/mine gives recipe, labels (label_names)\n"


def test_a_converted_file_tells_nothing_of_what_it_came_from(foreign, photos, tmp_path, capsys):
    path = foreign()
    for name in ("own.onnx", "own.safetensors"):
        assert run(["convert", str(path), str(tmp_path / name), "--quiet"]) == 0
        assert files.load(tmp_path / name).card.source["config"]
        capsys.readouterr()
        assert run(["classify", str(photos["cat"]), "-m", str(tmp_path / name), "--format", "csv"]) == 0
        assert capsys.readouterr().err == ""


def test_without_any_recipe_the_error_says_no_more(foreign, photos, capsys):
    path = foreign()
    path.with_name("config.json").unlink()
    assert run(["classify", str(photos["cat"]), "-m", str(path)]) == 2
    assert capsys.readouterr().err.startswith(
        f"error: {path} does not say how its images are to be prepared.\nName the recipe"
    )
