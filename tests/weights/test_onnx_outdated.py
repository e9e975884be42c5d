"""Graphs of opsets that ONNX Runtime is too new for: a residual network is built anew, and everything says so."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from tests.standins import arrays, caffe2

from resnets.card import RECIPES
from resnets.catalog import find
from resnets.convert import convert
from resnets.engines.onnxruntime import Session
from resnets.errors import ResNetsError
from resnets.weights import files
from resnets.weights.model import digest
from resnets.weights.onnx import outdated
from resnets.weights.options import Options
from resnets.weights.source import Source

THIN = arrays.network(replace(find("resnet50"), widths=(4, 6, 8, 10), stem_widths=(4,), classes=9))


def source(opset: int) -> Source:
    return Source.of(caffe2.exported(THIN, opset).SerializeToString(), "m.onnx")


@pytest.mark.parametrize("opset", [3, 6])
def test_it_computes_what_its_arrays_compute(opset):
    made = caffe2.exported(THIN, opset)
    onnx.checker.check_model(made)  # that it is a graph of this opset, by the words of its day
    found = files.runnable(source(opset), ("features",))
    assert (found.answer, found.card.output, found.card.recipe) == ("logits", "logits", RECIPES["caffe2"])
    assert found.card.architecture == THIN.architecture
    x = np.random.default_rng(0).standard_normal((3, 3, 224, 224)).astype(np.float32)
    ours = Session(found.model, 1).run(x, ("logits", "features"))
    theirs = Session(files.built(THIN, ("features",)).model, 1).run(x, ("logits", "features"))
    for name, array in ours.items():
        np.testing.assert_allclose(array, theirs[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("opset", "said"), [(3, 3), (6, 6), (7, None), (9, None)])
def test_opsets_below_7_are_the_outdated_ones(opset, said):
    assert outdated(source(opset)) == said


@pytest.mark.parametrize(("opset", "own"), [(6, False), (7, True)])
def test_a_conversion_says_whether_the_sources_own_graph_was_run(tmp_path, opset, own):
    onnx.save(caffe2.exported(THIN, opset), tmp_path / "m.onnx")
    done = convert(tmp_path / "m.onnx", tmp_path / "m.safetensors", Options())
    assert done.holds
    assert done.proof.own_graph == own
    assert ("opset 6" in done.proof.evidence) != own
    assert any("is older than ONNX Runtime runs" in note for note in done.proof.notes) != own
    assert digest(files.load(tmp_path / "m.safetensors").weights) == digest(THIN.weights)


def test_what_is_no_residual_network_is_refused_with_the_opset():
    made = caffe2.exported(THIN, 6)
    next(node for node in made.graph.node if node.op_type == "Relu").op_type = "Tanh"
    with pytest.raises(ResNetsError, match=r"has opset 6, and ONNX Runtime runs 7 and later.*Tanh") as caught:
        files.runnable(Source.of(made.SerializeToString(), "m.onnx"))
    assert "version_converter" in caught.value.remedy
