from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from resnets import proof
from resnets.card import RECIPES
from resnets.convert import convert
from resnets.errors import ResNetsError
from resnets.proof import Batch, Graph, Logits, answers, compare, graph_of, inputs
from resnets.weights import files
from resnets.weights.model import Model
from resnets.weights.options import Options


@pytest.fixture
def model(tiny_model: Path) -> Model:
    return files.load(tiny_model)


def test_numbers_that_are_none_are_a_failure(model, tmp_path):
    huge = {**model.weights, "fc.weight": np.full((3, 64), 3e38, np.float32)}
    files.save(replace(model, weights=huge), tmp_path / "huge.onnx")
    with files.opened(tmp_path / "huge.onnx") as source:
        huge_one = graph_of(source, model)
    found = compare(*[answers(huge_one, inputs(model, None))] * 2)
    assert (found.max_abs, found.max_rel) == (float("inf"), float("inf"))


@pytest.mark.parametrize(("single", "target", "allowed"), [(1e-7, 2e-4, 1e-4), (1.5e-4, 2e-4, 3e-4), (1, 2e-2, 1e-2)])
def test_a_network_that_loses_much_in_single_precision_is_allowed_twice_that(
    model, tiny_model, monkeypatch, single, target, allowed
):
    def off(by: float) -> Callable[[Batch], Logits]:
        return lambda x: x.reshape(len(x), -1)[:, :3].astype(np.float64) * (1 + by)

    graphs = iter((Graph(off(0), single=off(single)), Graph(off(target))))
    monkeypatch.setattr(proof, "graph_of", lambda *_: next(graphs))
    with files.opened(tiny_model) as source:
        found = proof.prove(source, model, source, model)
    assert found.difference.max_rel == pytest.approx(target)
    assert found.tolerance == pytest.approx(allowed)
    assert found.holds is (target <= allowed)


def test_biases_do_not_hide_another_network(model, tiny_model, monkeypatch):
    graphs = iter([Graph(lambda x, by=by: x.reshape(len(x), -1)[:, :3] * by + 1e6) for by in (1.0, 1.5)])
    monkeypatch.setattr(proof, "graph_of", lambda *_: next(graphs))
    with files.opened(tiny_model) as source:
        found = proof.prove(source, model, source, model)
    assert found.difference.max_rel < 1e-5
    assert not found.holds
    assert "a logit moves by" in found.notes[0]


def test_networks_that_give_other_numbers_are_no_conversion():
    with pytest.raises(ResNetsError, match=r"gives \[2, 3\] numbers, and what was read from it \[2, 4\]"):
        compare([np.zeros((2, 3))], [np.zeros((2, 4))])


@pytest.mark.parametrize(("shape", "size"), [((1, 3, 32, 40), (32, 40)), (("n", 3, "h", 48), (48, 48))])
def test_a_graph_of_fixed_size_is_compared_at_that_size(model, tiny_model, tmp_path, shape, size):
    proto = onnx.load(tiny_model)
    del proto.metadata_props[:]
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    for dim, n in zip(dims, shape, strict=True):
        dim.ClearField("dim_param")
        if isinstance(n, int):
            dim.dim_value = n
    onnx.save(proto, tmp_path / "fixed.onnx")
    done = convert(tmp_path / "fixed.onnx", tmp_path / "m.safetensors", Options())
    assert done.holds
    with files.opened(tmp_path / "fixed.onnx") as source:
        assert proof.size_of(source) == size
    assert done.proof.pictures == (4 if size[0] == size[1] else 0)


def test_a_recipe_of_large_images_does_not_make_large_noise(model):
    huge = replace(model, card=replace(model.card, recipe=replace(RECIPES["resnets"], size=16384, crop=16384)))
    assert max(inputs(huge, None).noise[0]) <= 1024
    with pytest.raises(ResNetsError, match="too many to compare"):
        inputs(model, (20000, 20000))
