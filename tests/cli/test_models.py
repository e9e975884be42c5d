import json
import subprocess
import sys
from pathlib import Path

import pytest

from resnets import card
from resnets.cli.main import run
from resnets.cli.results import RECIPES, show
from resnets.weights.files import load


def test_create_convert_show_in_real_processes(tmp_path):
    def resnets(*arguments: str) -> str:
        command = [sys.executable, "-c", "from resnets.cli.main import main; main()", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    assert "269,722 parameters" in resnets("create", "resnet20-cifar", "a.safetensors", "--labels", "cifar10")
    value = json.loads(resnets("convert", "a.safetensors", "b.onnx", "--fold", "--json", "-"))
    assert value["max_rel"] < 1e-4
    assert value["top1_agreement"] == 1
    assert value["architecture"] == "resnet20-cifar"
    shown = json.loads(resnets("show", "b.onnx", "--json", "-"))
    assert shown["card"]["labels"][3]["name"] == "cat"
    assert shown["card"]["recipe"]["crop"] == 32


def test_create_takes_classes_from_labels(tmp_path, capsys):
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    out = tmp_path / "m.onnx"
    assert run(["create", "resnet20-cifar", str(out), "--labels", str(tmp_path / "classes.txt"), "--seed", "4"]) == 0
    model = load(out)
    assert [label.name for label in model.card.labels or ()] == ["ant", "bee"]
    assert model.card.source["seed"] == 4
    command = ["create", "resnet20-cifar", str(out), "--labels", str(tmp_path / "classes.txt"), "--classes", "3"]
    assert run(command) == 2
    assert "2 labels, but the network has 3 classes" in capsys.readouterr().err
    assert load(out).architecture.classes == 2


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("create resnet5O m.onnx", "Did you mean 'resnet50'"),
        ("create resnet18 nowhere/m.onnx", "folder nowhere does not exist"),
        ("create resnet18 m.h5", "suffix .h5"),
        ("create resnet18 m.onnx --opset 5", "Opset 5"),
        ("create resnet18 m.onnx --seed -1", "--seed"),
        ("convert resnet18 m.onnx", "is an architecture, not a model"),
        ("convert missing.onnx m.onnx", "no file missing.onnx"),
        ("convert TINY m.onnx --outputs probabilities", "no output 'probabilities'"),
        ("convert TINY m.onnx --recipe keras", "No recipe is called 'keras'"),
        ("show missing.onnx", "no file missing.onnx"),
        ("card set CAT m.onnx --crop 32", "the suffix .jpg, which is not a format of models"),
        ("card set TINY m.onnx", "Nothing is to be changed"),
        ("card set TINY m.onnx --temperature 0", "has no meaning"),
        ("card set TINY m.onnx --crop 99", "a crop of 99 does not fit into a size of 32"),
    ],
)
def test_misuse_is_two_sentences_and_writes_nothing(
    command, message, tiny_model, photos, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    files = {"TINY": str(tiny_model), "CAT": str(photos["cat"])}
    assert run([files.get(word, word) for word in command.split()]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert not list(tmp_path.iterdir())


def test_a_card_is_set_and_shown(tiny_model: Path, tmp_path, capsys):
    out = tmp_path / "m.onnx"
    assert run(["card", "set", str(tiny_model), str(out), "--temperature", "1.5", "--licence", "CC0-1.0"]) == 0
    capsys.readouterr()
    assert run(["show", str(out)]) == 0
    text = capsys.readouterr().out
    assert "temperature 1.5" in text
    assert "CC0-1.0" in text


def test_an_architecture_is_shown_by_name(capsys):
    assert run(["show", "resnet50-v2", "--layers"]) == 0
    text = capsys.readouterr().out
    assert "preact-bottleneck" in text
    assert text.count("\nclasses ") == 1
    assert "layer4.2.conv3" in text


@pytest.mark.parametrize("verb", ["create", "convert", "show", "card", "card set"])
def test_every_verb_has_an_example(verb, capsys):
    assert run([*verb.split(), "--help"]) == 0
    assert f"resnets {verb} " in capsys.readouterr().out


def test_help_names_the_recipes_and_is_not_cut_off(capsys):
    *first, last = card.RECIPES
    assert f"{', '.join(first)} or {last}" == RECIPES
    for verb in ("convert", "card set", "classify", "evaluate"):
        assert run([*verb.split(), "--help"]) == 0
        text = " ".join(capsys.readouterr().out.split()).replace("zoo- ", "zoo-")
        assert f"How pixels are prepared: {RECIPES}." in text
    assert run(["card", "--help"]) == 0
    assert "..." not in capsys.readouterr().out.replace("ARGS]...", "")


def test_a_result_is_never_written_over_what_is_read_or_written(tiny_model, photos, tmp_path, capsys):
    model, photo = tmp_path / "m.onnx", tmp_path / "cat.jpg"
    model.write_bytes(tiny_model.read_bytes())
    photo.write_bytes(photos["cat"].read_bytes())
    (tmp_path / "link.json").symlink_to(model)
    before = {path: path.read_bytes() for path in (model, photo)}
    for command in (
        ["convert", model, tmp_path / "out.onnx", "--json", model],
        ["convert", model, tmp_path / "out.onnx", "--json", tmp_path / "link.json"],
        ["convert", model, tmp_path / "out.onnx", "--json", tmp_path / "out.onnx"],
        ["show", model, "--json", model],
        ["evaluate", tmp_path, "-m", model, "--json", model],
        ["classify", photo, "-m", model, "-o", photo],
        ["classify", photo, "-m", model, "-o", model],
    ):
        assert run([str(word) for word in command]) == 2, command
        assert "would be written over" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before
    assert not (tmp_path / "out.onnx").exists()


def test_json_has_null_where_a_number_is_none(capsysbinary):
    show({"difference": float("inf"), "rows": ({"x": float("nan"), "y": 1.5},)}, "", "-")
    assert json.loads(capsysbinary.readouterr().out) == {"difference": None, "rows": [{"x": None, "y": 1.5}]}
