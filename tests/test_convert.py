from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from resnets.card import RECIPES, Label
from resnets.convert import amend, convert, recard, report
from resnets.errors import ResNetsError
from resnets.proof import batches, compare, graph_of
from resnets.weights import files
from resnets.weights.model import Model
from resnets.weights.options import Options


@pytest.fixture
def model(tiny_model: Path) -> Model:
    return files.load(tiny_model)


def test_from_onnx_the_proof_is_against_the_files_own_graph(tiny_model, tmp_path):
    done = convert(tiny_model, tmp_path / "m.safetensors", Options())
    assert (done.holds, done.written, done.own_graph, done.difference.max_abs) == (True, True, True, 0)
    assert done.difference.inputs == 8, "four of noise, four photographs"
    assert files.load(tmp_path / "m.safetensors").card == files.load(tiny_model).card
    value, text = report(done, "m.onnx", tmp_path / "m.safetensors")
    assert {"max_abs", "max_rel", "top1_agreement", "architecture"} <= set(value)
    assert "proved against the source's own graph" in text


def test_arrays_without_a_graph_are_said_to_be_that(tiny_model, tmp_path):
    files.save(files.load(tiny_model), tmp_path / "m.safetensors")
    done = convert(tmp_path / "m.safetensors", tmp_path / "m.onnx", Options(7, ("features",)), fold=True)
    assert 0 < done.difference.max_rel < 1e-5
    assert done.notes == ("exact rewrite: 7 batch norms folded into the convolutions before them, 0 kept",)
    text = report(done, "m.safetensors", tmp_path / "m.onnx")[1]
    assert "proved" not in text
    assert "round trip equal" in text
    assert "network described by its card" in text
    proto = onnx.load(tmp_path / "m.onnx")
    assert proto.opset_import[0].version == 7
    assert [output.name for output in proto.graph.output] == ["logits", "features"]


def test_a_target_that_computes_something_else_is_not_written(tiny_model, tmp_path, monkeypatch):
    wrong = tmp_path / "wrong.onnx"
    model = files.load(tiny_model)
    files.save(replace(model, weights={**model.weights, "fc.bias": np.array([9, 0, 0], np.float32)}), wrong)
    monkeypatch.setattr(files, "encode", lambda *_, **__: (model, wrong.read_bytes(), []))
    done = convert(tiny_model, tmp_path / "out.onnx", Options())
    assert not done.holds
    assert not done.written
    assert not (tmp_path / "out.onnx").exists()
    assert done.difference.top1_agreement < 1
    assert "not written" in report(done, "a", tmp_path / "out.onnx")[1]
    assert convert(tiny_model, tmp_path / "out.onnx", Options(), force=True).written


def test_numbers_that_are_none_are_a_failure(model, tmp_path):
    huge = {**model.weights, "fc.weight": np.full((3, 64), 3e38, np.float32)}
    files.save(replace(model, weights=huge), tmp_path / "huge.onnx")
    with files.opened(tmp_path / "huge.onnx") as source:
        huge_one = graph_of(source, model)
    found = compare(huge_one, huge_one, batches(model, None))
    assert (found.max_abs, found.max_rel) == (float("inf"), float("inf"))


def test_the_input_is_never_written_over(tiny_model, tmp_path):
    link = tmp_path / "link.onnx"
    link.symlink_to(tiny_model)
    for target in (tiny_model, link):
        for write in (lambda t: convert(tiny_model, t, Options()), lambda t: recard(tiny_model, t, licence="MIT")):
            with pytest.raises(ResNetsError, match="is the input itself"):
                write(target)


def test_what_is_given_is_recorded(tiny_model, tmp_path):
    labels = tuple(Label(name, name) for name in "xyz")
    given = ("--labels xyz.txt", "--recipe torchvision")
    out = tmp_path / "m.onnx"
    convert(tiny_model, out, Options(), labels=labels, recipe=RECIPES["torchvision"], given=given)
    card = files.load(out).card
    assert (card.labels, card.recipe) == (labels, RECIPES["torchvision"])
    assert card.source["given"] == list(given)
    odd = replace(card, source={"given": 7})
    assert amend(odd, given=given).source["given"] == [7, *given]
    with pytest.raises(ResNetsError, match="2 labels, but the network has 3 classes"):
        convert(tiny_model, tmp_path / "n.onnx", Options(), labels=labels[:2])


@pytest.mark.parametrize("suffix", [".onnx", ".safetensors"])
def test_a_card_is_set_in_a_copy(model, tmp_path, suffix):
    source, out = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    files.save(model, source)
    before = source.read_bytes()
    recard(source, out, size=40, crop=36, temperature=1.5, licence="CC0-1.0", given=("--crop 36",))
    back = files.load(out)
    assert model.card.recipe is not None
    expected = replace(
        model.card,
        recipe=replace(model.card.recipe, size=40, crop=36),
        temperature=1.5,
        licence="CC0-1.0",
        source={**model.card.source, "given": ["--crop 36"]},
    )
    assert back.card == expected
    assert source.read_bytes() == before
    with pytest.raises(ResNetsError, match="Nothing is to be changed"):
        recard(source, out, given=())
    with pytest.raises(ResNetsError, match="another suffix"):
        recard(source, tmp_path / "c.pth", licence="MIT")


def test_a_size_needs_a_recipe(model):
    with pytest.raises(ResNetsError, match="no recipe whose crop could be set"):
        amend(replace(model.card, recipe=None), crop=32)


def test_an_output_that_another_tool_renamed_is_proved_too(model, rewritten, tmp_path):
    done = convert(rewritten("y", "features", card=model.card), tmp_path / "m.safetensors", Options())
    assert (done.holds, done.own_graph, done.difference.max_abs) == (True, True, 0)
    with pytest.raises(ResNetsError, match="is called logits"):
        convert(rewritten("y", "z", card=model.card), tmp_path / "n.onnx", Options())
    assert not (tmp_path / "n.onnx").exists()


def test_a_report_does_not_command_the_terminal(model, tmp_path):
    files.save(replace(model, card=replace(model.card, name="\x1b[2J")), tmp_path / "a.onnx")
    done = convert(tmp_path / "a.onnx", tmp_path / "b.onnx", Options())
    assert r"\x1b[2J" in report(done, "a.onnx", tmp_path / "b.onnx")[1]
