"""Sample test data of the zoo's kind is run, held against the model, and refused where it is not what it should be."""

import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.standins import arrays, caffe2
from tests.standins.rows import Maker

from resnets import samples
from resnets.catalog import find
from resnets.classify import Classifier
from resnets.engines.onnxruntime import Session
from resnets.errors import ResNetsError
from resnets.predictions import softmax
from resnets.published.table import PUBLISHED
from resnets.samples import ABSOLUTE, run
from resnets.weights import files


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that stands in for one of the zoo's: three sets, of which the first has names."""
    made = Maker(tmp_path_factory.mktemp("stand-in")).made(PUBLISHED["resnet18-v2.zoo7-tar"])
    return made.file


@pytest.fixture(scope="module")
def unpacked(tarball: Path) -> Path:
    with tarfile.open(tarball) as file:
        file.extractall(tarball.parent, filter="data")
    return next(tarball.parent.rglob("*.onnx"))


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny network with one set of samples, which holds."""
    shutil.copy(tiny_model, tmp_path / "tiny.onnx")
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)
    put(tmp_path / "test_data_set_0" / "input_0.pb", numpy_helper.from_array(x, "data"))
    y = Classifier(tiny_model).logits(x)
    put(tmp_path / "test_data_set_0" / "output_0.pb", numpy_helper.from_array(y, "logits"))
    return tmp_path / "tiny.onnx"


def put(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value if isinstance(value, bytes) else value.SerializeToString())
    return path


def read(model: Path, what: str) -> TensorProto:
    found: TensorProto = TensorProto.FromString((model.parent / "test_data_set_0" / f"{what}_0.pb").read_bytes())
    return found


def test_a_tarball_of_the_zoo_holds(unpacked):
    found = run(unpacked)
    assert [one.name for one in found] == ["test_data_set_0", "test_data_set_1", "test_data_set_2"]
    assert all(one.holds and one.top1_agreement == 1 and 0 <= one.relative < 1e-5 for one in found)


def test_the_largest_differences_are_told(model):
    published = numpy_helper.to_array(read(model, "output")).copy()
    published[1, 2] += 0.5
    put(model.parent / "test_data_set_0" / "output_0.pb", numpy_helper.from_array(published, "logits"))
    (one,) = run(model)
    assert not one.holds
    assert one.difference == pytest.approx(0.5, abs=1e-4)
    assert one.relative == pytest.approx(0.5 / np.abs(published).max(), rel=1e-3)


@pytest.mark.parametrize(("share", "holds"), [(0.9, True), (1.1, False)])
def test_what_the_zoos_workflow_allows_is_allowed(model, share, holds):
    """The absolute and the relative thousandth together, number by number."""
    exact = numpy_helper.to_array(read(model, "output"))
    apart = share * (ABSOLUTE + 1e-3 * np.abs(exact)) / (1 + 1e-3 * share)
    moved = (exact + np.copysign(apart, exact)).astype(np.float32)
    put(model.parent / "test_data_set_0" / "output_0.pb", numpy_helper.from_array(moved, "logits"))
    assert [one.holds for one in run(model)] == [holds]


def test_another_best_class_is_told(model):
    reversed_ = -numpy_helper.to_array(read(model, "output"))
    put(model.parent / "test_data_set_0" / "output_0.pb", numpy_helper.from_array(reversed_, "logits"))
    assert [one.top1_agreement for one in run(model)] == [0.0]


def test_sets_lie_anywhere_below_and_come_in_the_order_of_their_numbers(model):
    first = model.parent / "test_data_set_0"
    for place in ("test_data_set_10", "deeper/test_data_set_2", "test_data_set_1x", "other"):
        shutil.copytree(first, model.parent / place)
    (model.parent / "test_data_0.npz").write_bytes(b"a pickle, which nobody opens")
    (model.parent / "test_data_set_3").symlink_to(first)
    assert [one.name for one in run(model)] == ["test_data_set_0", "test_data_set_2", "test_data_set_10"]


def test_a_model_without_samples_has_none(tiny_model, tmp_path):
    shutil.copy(tiny_model, tmp_path / "tiny.onnx")
    assert run(tmp_path / "tiny.onnx") == []


def test_numbers_need_no_raw_data_and_no_names(model):
    for what in ("input", "output"):
        array = numpy_helper.to_array(read(model, what))
        plain = helper.make_tensor("", TensorProto.FLOAT, array.shape, array.reshape(-1).tolist())
        put(model.parent / "test_data_set_0" / f"{what}_0.pb", plain)
    assert [one.holds for one in run(model)] == [True]


def sequence() -> bytes:
    tensors = [numpy_helper.from_array(np.zeros((4, 4, 3), np.uint8))]
    made = onnx.SequenceProto(elem_type=onnx.SequenceProto.TENSOR, tensor_values=tensors)
    data: bytes = made.SerializeToString()
    return data


def huge() -> TensorProto:
    return TensorProto(dims=[1 << 30, 3, 224, 224], data_type=TensorProto.FLOAT, float_data=[1.0])


def outside() -> TensorProto:
    made = TensorProto(dims=[1, 3, 32, 32], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    made.external_data.add(key="location", value="../../etc/passwd")
    return made


def floats(*shape: int, name: str = "", kind: type = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.ones(shape, kind), name)


WRONG: dict[str, tuple[str, Callable[[], object], str]] = {
    "a sequence": ("input", sequence, "input_0.pb holds a sequence of tensors"),
    "no tensor": ("input", lambda: b"<html>moved</html>", "is truncated, damaged, or no tensor"),
    "cut": ("output", lambda: floats(1, 3, 9, 9).SerializeToString()[:-9], "is truncated, damaged, or no tensor"),
    "a claim": ("input", huge, "is truncated, damaged, or no tensor"),
    "elsewhere": ("input", outside, "keeps its numbers in another file"),
    "another input": ("input", lambda: floats(1, 3, 32, 32, name="x"), "is of an input 'x', and the model's is 'data'"),
    "another output": ("output", lambda: floats(2, 3, name="y"), "is of an output 'y', which the model does not have"),
    "no image": ("input", lambda: floats(3, 32, 32), r"holds float32 of the shape \(3, 32, 32\)"),
    "other numbers": ("input", lambda: floats(1, 3, 32, 32, kind=np.float64), "holds float64"),
    "images": ("input", lambda: floats(65, 3, 32, 32), r"holds float32 of the shape \(65, 3, 32, 32\)"),
    "channels": ("input", lambda: floats(1, 4, 32, 32), r"has the shape \(1, 4, 32, 32\), and the model takes"),
    "classes": ("output", lambda: floats(2, 4), r"has the shape \(2, 4\), and the model's answer \(2, 3\)"),
    "no numbers": ("output", lambda: numpy_helper.from_array(np.full((2, 3), np.nan, np.float32)), "no finite numbers"),
    "empty": ("input", lambda: floats(0, 3, 32, 32), "no finite numbers"),
    "nothing": ("output", lambda: b"", "no finite numbers"),
    "too large": ("input", lambda: b"\x00" * (samples.MOST + 1), "cannot be read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_samples_that_are_none_are_refused_by_name(model, case):
    what, made, message = WRONG[case]
    put(model.parent / "test_data_set_0" / f"{what}_0.pb", made())
    with pytest.raises(ResNetsError, match=message) as caught:
        run(model)
    assert f"test_data_set_0/{what}_0.pb" in caught.value.problem
    assert caught.value.problem.endswith(".")
    assert caught.value.remedy == "Fetch the archive again."


@pytest.mark.parametrize(("what", "message"), [("input", "has 0 inputs"), ("output", "has 0 outputs")])
def test_a_set_that_lacks_a_part_is_refused(model, what, message):
    (model.parent / "test_data_set_0" / f"{what}_0.pb").unlink()
    with pytest.raises(ResNetsError, match=message):
        run(model)


@pytest.mark.parametrize("opset", [3, 6, 9])
def test_caffe2s_samples_hold_whatever_runs_their_network(tmp_path, opset):
    """Names are those of the file, its answer is a softmax, and one image is all that fits."""
    small = replace(find("resnet50"), widths=(4, 6, 8, 10), stem_widths=(4,), classes=9)
    network = arrays.network(small)
    onnx.save(caffe2.exported(network, opset), tmp_path / "m.onnx")
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    y = softmax(Session(files.built(network).model, 1).run(x, ("logits",))["logits"]).astype(np.float32)
    folder = tmp_path / "test_data_set_0"
    put(folder / "input_0.pb", numpy_helper.from_array(x, "gpu_0/data_0"))
    put(folder / "output_0.pb", numpy_helper.from_array(y, "gpu_0/softmax_1"))
    (one,) = run(tmp_path / "m.onnx")
    assert one.holds
    assert one.difference < 1e-5
