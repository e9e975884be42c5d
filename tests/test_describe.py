import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from resnets import card as cards
from resnets.card import Label
from resnets.describe import describe, page
from resnets.errors import ResNetsError
from resnets.fetch import cache
from resnets.fetch.fetch import fetch
from resnets.published.table import PUBLISHED
from resnets.weights import files


@pytest.fixture(autouse=True)
def no_cache_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "none"))


def test_a_file_is_described_with_its_digests(tiny_model):
    facts = describe(str(tiny_model), with_layers=True)
    data = tiny_model.read_bytes()
    assert facts["md5"] == hashlib.md5(data).hexdigest()
    assert facts["sha256"] == hashlib.sha256(data).hexdigest()
    assert facts["inputs"] == {"data": ["batch", 3, "height", "width"]}
    assert facts["outputs"] == {"logits": ["batch", 3]}
    assert facts["card"]["labels"][0] == {"id": "cat", "name": "cat"}
    assert sum(row["parameters"] for row in facts["layers"]) == facts["parameters"]
    text = page(facts)
    assert "resnets 32/32" in text
    assert "layer3.0.shortcut.pad" in text
    assert max(map(len, text.splitlines()[facts_lines(facts) :])) <= 80


def facts_lines(facts: dict[str, object]) -> int:
    """Lines of a page before its table of layers."""
    return len(page({name: value for name, value in facts.items() if name != "layers"}).splitlines())


def test_a_table_of_layers_fits_into_eighty_columns():
    text = page(describe("resnet152-v2", with_layers=True))
    assert max(map(len, text.splitlines())) <= 80


def test_other_formats_and_folded_models_are_described(tiny_model, tmp_path):
    model = files.load(tiny_model)
    files.save(model, tmp_path / "m.safetensors")
    facts = describe(str(tmp_path / "m.safetensors"))
    assert facts["inputs"] == {"data": ["batch", 3, "height", "width"]}
    assert facts["architecture"] == "basic blocks 1,1,1 of widths 16,32,64, cifar stem, shortcut A"


def test_an_old_graph_has_one_input(tiny_model, tmp_path):
    files.save(files.load(tiny_model), tmp_path / "m.onnx", opset=7)
    facts = describe(str(tmp_path / "m.onnx"))
    assert list(facts["inputs"]) == ["data"]
    assert (facts["opset"], facts["ir_version"]) == (7, 3)


def test_arrays_that_are_no_network_are_not_described(tmp_path):
    arrays = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} '
    (tmp_path / "m.safetensors").write_bytes(len(arrays).to_bytes(8, "little") + arrays + bytes(4))
    with pytest.raises(ResNetsError, match="not those of a residual network"):
        describe(str(tmp_path / "m.safetensors"))


def test_files_without_a_card_are_described_by_the_network_they_hold(tiny_model, tmp_path):
    model = files.load(tiny_model)
    for name, names in (("m.t7", "nn"), ("m.pth", "akamaster")):
        kind = replace(model.architecture, shortcut_zeros="both") if names == "akamaster" else model.architecture
        files.save(replace(model, architecture=kind), tmp_path / name, names=names)
        facts = describe(str(tmp_path / name))
        assert facts["parameters"] == 74_835
        assert facts["inputs"] == {"data": ["batch", 3, "height", "width"]}
        assert "no card: its network is recognised" in page(facts)
    assert any("both sides" in note for note in facts["notes"])


def test_a_foreign_graph_is_one_that_runs_as_it_is(rewritten):
    text = page(describe(str(rewritten("y", tail=("Sigmoid",)))))
    assert "a foreign model, which runs as it is" in text
    assert "y [" in text


def test_of_a_torch_file_that_is_no_model_an_outline_is_shown(shared):
    folder = shared / "oracles" / "torch7"
    text = page(describe(str(folder / "features" / "features.t7")))
    assert "the features of 3 images" in text
    assert "features: torch.FloatTensor 3 x 512" in text
    assert "no network is in it" in page(describe(str(folder / "misc" / "table_nested.t7")))


def test_a_damaged_file_is_not_described(tiny_model, tmp_path):
    data = bytearray(tiny_model.read_bytes())
    data[-1] ^= 1
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(ResNetsError, match="damaged"):
        describe(str(tmp_path / "m.onnx"))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every list or object inside a JSON value, with each of its keys."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


ODD = (None, True, -1, 0, 10**400, float("inf"), float("nan"), "x", "\ud800", [], [1], [[1]], {}, {"a": 1})


def test_a_card_with_anything_in_it_is_refused_or_shown(tiny_model):
    card = replace(
        files.load(tiny_model).card,
        source={"given": ["--labels x"]},
        scores=({"data": "val", "top1_error": 12.5, "top1_interval": [10.0, 15.0]},),
    )
    value = json.loads(cards.to_json(card))
    shown = 0
    for inside, key in places(value):
        before = inside[key]
        for odd in ODD:
            inside[key] = odd
            try:
                text = cards.to_json(cards.from_json(json.dumps(value)))
            except ResNetsError:
                continue
            assert "licence" in page({"card": json.loads(text.encode())})
            shown += 1
        inside[key] = before
    assert shown > 100


def test_a_score_is_shown_with_every_condition(tiny_model, tmp_path):
    score = {
        "data": "val", "images": 9, "crops": 1, "crop": 320, "resize": 321, "pool": "window7", "recipe": "fb",
        "conditions": "at night", "conditions_source": "https://there", "date": "2016-04-18", "top1_error": 20.1,
    }  # fmt: skip
    model = files.load(tiny_model)
    files.save(replace(model, card=replace(model.card, scores=(score,))), tmp_path / "m.onnx")
    (line,) = [line for line in page(describe(str(tmp_path / "m.onnx"))).splitlines() if line.startswith("score")]
    conditions = {name: value for name, value in score.items() if name != "top1_error"}
    assert line.endswith(f"20.10 %: {', '.join(f'{name} {value}' for name, value in conditions.items())}")


def test_what_stands_in_a_card_does_not_command_the_terminal(tiny_model, tmp_path):
    model = files.load(tiny_model)
    evil = "\x1b]0;x\x07\nfile  another"
    card = replace(model.card, name=evil, licence=evil, source={evil: evil}, labels=(Label("a", evil),) * 3)
    files.save(replace(model, card=card), tmp_path / "m.onnx")
    text = page(describe(str(tmp_path / "m.onnx")))
    assert text.count(r"\x1b]0;x\x07\nfile") >= 5
    assert text.replace("\n", "").isprintable()
    assert text.count("\nfile") == 0


@pytest.fixture
def empty(monkeypatch, tmp_path):
    """An empty cache, and nothing that would refuse a download but that there must be none."""
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RESNETS_OFFLINE")
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("show asks the network"))
    return tmp_path / "cache"


def test_published_weights_are_described_and_not_downloaded(empty):
    for name in ("preresnet200.fb", "resnet200.fb", "resnet-200.t7"):
        facts = describe(name)
        assert facts["published"]["name"] == "preresnet200.fb"
        assert facts["parameters"] == 64_673_960
        assert f"no; it would lie at {empty / 'preresnet200.fb' / 'resnet-200.t7'}" in page(facts)
    assert describe("resnet18v1/resnet18v1.onnx")["published"]["name"] == "resnet18-v1.zoo-s3"
    assert "a graph, which runs as it is" in page(describe("resnet50-v1.zoo12-int8"))
    assert describe("resnet50.tv1", with_layers=True)["layers"][0]["output"] == [64, 112, 112]
    assert not empty.exists()


def test_of_cached_weights_the_file_is_described_too(empty, tiny_model, monkeypatch):
    row = replace(PUBLISHED["resnet18.fb"], name="resnet18.tiny", file="tiny.onnx", digests=())
    monkeypatch.setitem(PUBLISHED, row.name, row)
    cache.home(row).mkdir(parents=True)
    cache.place(row).write_bytes(tiny_model.read_bytes())
    assert "not checked yet" in page(describe(row.name))
    assert "file" not in describe(row.name)
    fetch(row, quiet=True)
    facts = describe(row.name)
    assert facts["published"]["cache"]["model"] == facts["file"] == str(cache.place(row))
    assert facts["card"]["name"] == "tiny"
    text = page(facts)
    assert f"sha256     {facts['sha256']} of tiny.onnx" in text
    assert "fetched    by hand" in text
    assert text.index("published") < text.index("\n\nfile ")


def test_what_was_not_fetched_of_the_hub_is_not_shown(empty, monkeypatch, tmp_path):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ResNetsError, match="`resnets fetch hf:timm/resnet18` downloads it"):
        describe("hf:timm/resnet18")


def test_an_architecture_names_the_weights_that_are_published_for_it():
    assert "resnet18.fb, " in page(describe("resnet18"))
    assert "published" not in page(describe("resnet20-cifar"))


def test_long_values_go_on_below_themselves():
    text = page(describe("resnet18.fb"), 60)
    lines = text.splitlines()
    assert all(len(line) <= 60 or "/" in line.split()[-1] for line in lines)
    assert any(line.startswith(11 * " ") for line in lines)
    assert " ".join(text.split()) == " ".join(page(describe("resnet18.fb")).split())
