from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from resnets.card import RECIPES, Card, Label
from resnets.catalog import find
from resnets.convert import amend, convert, recard, report
from resnets.errors import ResNetsError
from resnets.initialise import initialise
from resnets.weights import files
from resnets.weights.model import Model, digest
from resnets.weights.options import Options


@pytest.fixture
def model(tiny_model: Path) -> Model:
    return files.load(tiny_model)


def test_from_onnx_the_proof_is_against_the_files_own_graph(tiny_model, tmp_path):
    done = convert(tiny_model, tmp_path / "m.safetensors", Options())
    assert (done.holds, done.written, done.proof.own_graph, done.proof.difference.max_abs) == (True, True, True, 0)
    assert (done.proof.noise, done.proof.pictures) == (4, 4)
    assert files.load(tmp_path / "m.safetensors").card == files.load(tiny_model).card
    value, text = report(done, "m.onnx", tmp_path / "m.safetensors")
    assert {"max_abs", "max_rel", "top1_agreement", "architecture"} <= set(value)
    assert "proved against the source's own graph" in text


def test_arrays_without_a_graph_are_said_to_be_that(tiny_model, tmp_path):
    files.save(files.load(tiny_model), tmp_path / "m.safetensors")
    done = convert(tmp_path / "m.safetensors", tmp_path / "m.onnx", Options(7, ("features",)), fold=True)
    assert 0 < done.proof.difference.max_rel < 1e-5
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
    assert done.proof.difference.top1_agreement < 1
    assert "not written" in report(done, "a", tmp_path / "out.onnx")[1]
    assert convert(tiny_model, tmp_path / "out.onnx", Options(force=True)).written


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
    assert (done.holds, done.proof.own_graph, done.proof.difference.max_abs) == (True, True, 0)
    with pytest.raises(ResNetsError, match="is called logits"):
        convert(rewritten("y", "z", card=model.card), tmp_path / "n.onnx", Options())
    assert not (tmp_path / "n.onnx").exists()


def test_a_report_does_not_command_the_terminal(model, tmp_path):
    source = tmp_path / "\x1b[2J.onnx"
    files.save(model, source)
    done = convert(source, tmp_path / "b.onnx", Options())
    text = report(done, str(source), tmp_path / "b.onnx")[1]
    assert r"\x1b[2J" in text
    assert text.replace("\n", "").isprintable()


def oracles(pattern: str) -> list[str]:
    """Names of files under ../shared/oracles; none where that is missing."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "oracles"
    return sorted(str(path.relative_to(folder)) for path in folder.glob(pattern))


MODELS = [
    *oracles("torch7/models/*.t7"), *oracles("torch7/checkpoints/*/[lm]*.t7"), *oracles("gluon/*/*.params"),
    *oracles("gluon/*/*.onnx"), *oracles("pth/*.th"),
] or ["torch7/models/none.t7"]  # fmt: skip
OTHERS = [
    *oracles("torch7/checkpoints/*/o*.t7"),
    *oracles("torch7/features/*.t7"),
    *oracles("torch7/dataset/*.t7"),
] or ["torch7/features/none.t7"]


@pytest.mark.parametrize("name", MODELS)
def test_every_oracle_is_converted_and_proved(shared, tmp_path, name):
    source = shared / "oracles" / name
    out = tmp_path / "m.onnx"
    done = convert(source, out, Options(), fold=True, recipe=RECIPES["fb"])
    assert done.holds
    assert done.written
    assert done.lost == ()
    text = report(done, name, out)[1]
    bare = source.suffix in (".th", ".params")
    assert done.proof.own_graph is not bare
    if source.name == "exported-0000.params":
        assert "round trip equal; checked against exported-symbol.json: strides, pads" in text
    else:
        assert ("round trip equal; network implied by names" in text) is bare
    assert ("proved" in text) is not bare
    assert done.proof.difference.top1_agreement == 1
    assert files.load(out).card.source["sha256"]


@pytest.mark.parametrize("name", OTHERS)
def test_what_torch_keeps_beside_models_is_called_what_it_is(shared, tmp_path, name):
    with pytest.raises(ResNetsError, match=r"is no model: it holds the (state of an opt|features of|list of a data)"):
        convert(shared / "oracles" / name, tmp_path / "m.onnx", Options())
    assert not list(tmp_path.iterdir())


ROUND = {
    "m.t7": ("nn", "m.pth", None),
    "m.pth": ("timm", "m.safetensors", "torchvision"),
    "m.params": ("structural", "m.pth", "gluoncv"),
    "m.onnx": ("exported", "m.params", "prefixed"),
}


@pytest.mark.parametrize("first", ROUND)
def test_arrays_go_round_through_two_formats_and_come_back_the_same(tmp_path, first):
    names, second, others = ROUND[first]
    architecture = replace(find("resnet18"), blocks=(1, 2, 1, 1), widths=(8, 8, 16, 24), stem_widths=(8,), classes=5)
    card = Card("small", architecture, tuple(Label(x, x) for x in "abcde"))
    model = Model(architecture, initialise(architecture, seed=3), card)
    files.save(model, tmp_path / first, names=names)
    done = convert(tmp_path / first, tmp_path / second, Options(names=others))
    assert done.holds
    back = convert(tmp_path / second, tmp_path / f"back{first}", Options(names=names))
    assert back.holds
    original, last = files.load(tmp_path / first), files.load(tmp_path / f"back{first}")
    assert digest(last.weights) == digest(original.weights) == digest(model.weights)
    assert last.architecture == model.architecture


def test_what_the_target_has_no_place_for_is_said(tiny_model, tmp_path):
    done = convert(tiny_model, tmp_path / "m.t7", Options())
    assert done.notes == ("m.t7 has no place for a card: it is used with --labels and --recipe",)
    back = convert(tmp_path / "m.t7", tmp_path / "n.onnx", Options())
    assert "proved against the source's own modules, run one by one in float64" in report(back, "m", tmp_path / "n")[1]
    assert (back.proof.noise, back.proof.pictures) == (3, 4)
    assert files.load(tmp_path / "n.onnx").weights.keys() == files.load(tiny_model).weights.keys()


def test_a_target_that_would_read_back_as_another_network_is_refused(model, tmp_path):
    grouped = replace(find("resnext50-32x4d"), blocks=(1, 1), widths=(8, 16), groups=4, base_width=64, classes=3)
    source = tmp_path / "m.onnx"
    files.save(Model(grouped, initialise(grouped), Card("g", grouped)), source)
    for out, names, why in (
        ("m.t7", "nn", "no convolution with groups.*--names cudnn"),
        ("m.params", "structural", "groups"),
        ("m.pth", "nn", "no names called 'nn'.*torchvision"),
    ):
        with pytest.raises(ResNetsError, match=f"(?s){why}"):
            convert(source, tmp_path / out, Options(names=names))
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    assert convert(source, tmp_path / "m.t7", Options(names="cudnn")).holds


def test_forced_files_are_said_to_be_what_they_are(tmp_path):
    given = replace(find("resnet20-cifar"), blocks=(1, 1, 1), classes=3)
    files.save(Model(given, initialise(given), Card("g", given)), tmp_path / "m.safetensors")
    with pytest.raises(ResNetsError, match="imply another network"):
        convert(tmp_path / "m.safetensors", tmp_path / "f.pth", Options(names="akamaster"))
    done = convert(tmp_path / "m.safetensors", tmp_path / "f.pth", Options(names="akamaster", force=True))
    value, text = report(done, "m", tmp_path / "f.pth")
    assert (done.written, done.holds, value["holds"], value["written"]) == (True, False, False, True)
    assert "round trip: lost architecture; network described by its card" in text
    assert "round trip equal" not in text
    assert "written all the same" in text


def test_a_network_that_was_given_is_not_said_to_be_implied(model, tmp_path):
    kind = replace(find("resnet50-v1"), classes=4)
    files.save(Model(kind, initialise(kind), Card("g", kind)), tmp_path / "a.pth", names="torchvision", force=True)
    done = convert(tmp_path / "a.pth", tmp_path / "b.onnx", Options(), architecture=find("resnet50-v1"))
    text = report(done, "a.pth", tmp_path / "b.onnx")[1]
    assert "network given by --architecture" in text
    assert "imply another network than the given one: stride_in" in text
    assert files.load(tmp_path / "b.onnx").architecture == kind


def test_images_of_a_folder_take_the_place_of_the_photographs(tiny_model, photos, tmp_path):
    folder = tmp_path / "some"
    folder.mkdir()
    for name in ("cat", "coffee"):
        (folder / f"{name}.jpg").write_bytes(photos[name].read_bytes())
    done = convert(tiny_model, tmp_path / "m.safetensors", Options(), data=folder)
    assert (done.proof.noise, done.proof.pictures) == (4, 2)
    (folder / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(ResNetsError, match=r"bad\.jpg"):
        convert(tiny_model, tmp_path / "n.safetensors", Options(), data=folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResNetsError, match="no images"):
        convert(tiny_model, tmp_path / "n.safetensors", Options(), data=tmp_path / "empty")
