import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from resnets.card import Card
from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.graph import build
from resnets.initialise import initialise
from resnets.network import array_shapes
from resnets.weights import files, t7
from resnets.weights.model import Model, digest
from resnets.weights.options import Options
from resnets.weights.source import Source
from resnets.weights.torch7.export import export
from resnets.weights.torch7.objects import Object, Table, Tensor, tensor
from resnets.weights.torch7.run import run
from resnets.weights.torch7.write import write

CHECKPOINTS = "oracles/torch7/checkpoints/resnet20-cifar10-trained-cudnn"
TINY = replace(find("resnet20-cifar"), blocks=(1, 1), widths=(4, 8), stem_widths=(4,), classes=3)
MODEL = Model(TINY, initialise(TINY), Card("tiny", TINY))


def every_module(tree: Object) -> Iterator[Object]:
    yield tree
    for child in tree["modules"].items() if tree["modules"] else []:
        yield from every_module(child)


def logits(model: Model, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(build(model).SerializeToString())
    (found,) = session.run(["logits"], {"data": images.astype(np.float32)})
    return np.asarray(found)


def test_arrays_of_half_precision(shared):
    path = shared / "oracles/torch7/models/resnet20-cifar10-B.t7"
    images = np.fromfile(path.with_name("resnet20-cifar10-B.input.bin"), np.float32).reshape(-1, 3, 32, 32)
    expected = np.fromfile(path.with_name("resnet20-cifar10-B.output64.bin")).reshape(-1, 10)
    with files.opened(path) as source:
        tree = t7.tree(source)
        for module in every_module(tree):
            module.value.pairs = [
                (key, tensor(value.array(), "CudaHalf") if isinstance(value, Tensor) and value.size else value)
                for key, value in module.value.pairs
            ]
        half = Source.of(write([tree]), "half.t7")
    model = files.read(half)
    assert np.abs(logits(model, images) - expected).max() <= 1e-2 * np.abs(expected).max(), "what half precision costs"
    stored = run(t7.tree(half), images.astype(np.float64))
    assert np.abs(logits(model, images) - stored).max() <= 1e-5 * np.abs(stored).max(), "what the conversion costs"
    assert model.weights["conv1.weight"].dtype == np.float32


def test_what_is_written_comes_back(tmp_path):
    for names in (None, "nn", "cudnn"):
        path = tmp_path / f"{names}.t7"
        files.save(MODEL, path, names=names)
        model = files.load(path)
        assert (model.architecture, digest(model.weights)) == (TINY, digest(MODEL.weights))
        assert (model.card.name, model.card.labels, model.card.recipe) == (str(names), None, None)
        assert (b"cudnn.SpatialConvolution" in path.read_bytes()) == (names == "cudnn")
    assert files.load(path).card.name == "cudnn"
    wide = find("resnext50-32x4d")
    with pytest.raises(ResNetsError, match="--names cudnn"):
        t7.write(Model(wide, {}, Card("wide", wide)), Options())


def test_a_named_network_has_its_name(tmp_path):
    full = find("resnet20-cifar")
    files.save(Model(full, initialise(full), Card("mine", full)), tmp_path / "any.t7")
    assert files.load(tmp_path / "any.t7").card.name == "resnet20-cifar"


@pytest.mark.parametrize("path", ["models/resnet20-cifar10-A.t7", "models/thin8-published50.cuda.t7"])
def test_by_way_of_onnx_and_back_is_the_same(shared, tmp_path, path):
    first = files.load(shared / "oracles/torch7" / path)
    files.save(first, tmp_path / "a.onnx")
    files.save(files.load(tmp_path / "a.onnx"), tmp_path / "b.t7")
    last = files.load(tmp_path / "b.t7")
    assert (first.architecture, digest(first.weights)) == (last.architecture, digest(last.weights))
    assert files.load(tmp_path / "a.onnx").card.weights_sha256 == digest(last.weights)


def test_files_are_read_by_torchfile(tmp_path):
    torchfile = pytest.importorskip("torchfile")
    files.save(MODEL, tmp_path / "tiny.t7")
    found = torchfile.load(str(tmp_path / "tiny.t7"))
    np.testing.assert_array_equal(found["modules"][0]["weight"], MODEL.weights["conv1.weight"])
    np.testing.assert_array_equal(found["modules"][-1]["bias"], MODEL.weights["fc.bias"])


def test_latest_leads_to_the_model_that_it_names(shared):
    folder = shared / CHECKPOINTS
    latest, named = files.load(folder / "latest.t7"), files.load(folder / "model_4.t7")
    assert digest(latest.weights) == digest(named.weights)
    sha = hashlib.sha256((folder / "model_4.t7").read_bytes()).hexdigest()
    assert latest.card.source == {"file": "model_4.t7", "sha256": sha}
    assert latest.notes == ("latest.t7 leads to model_4.t7",)
    images = np.fromfile(folder / "input.bin", np.float32).reshape(8, 3, 32, 32)
    expected = np.fromfile(folder / "output64.bin").reshape(8, 10)
    with files.opened(folder / "latest.t7") as source:
        np.testing.assert_allclose(run(t7.tree(source), images), expected, rtol=1e-9)


def pointer(name: str) -> bytes:
    return write([Table([("epoch", 4.0), ("modelFile", name), ("optimFile", "optimState_4.t7")])])


def test_latest_leads_to_nothing_else(tmp_path):
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    latest = run_folder / "latest.t7"
    files.save(MODEL, tmp_path / "outside.t7")
    files.save(MODEL, run_folder / "inside.t7")
    (run_folder / "link.t7").symlink_to(tmp_path / "outside.t7")
    os.mkfifo(run_folder / "pipe.t7")
    for name in ("../outside.t7", str(tmp_path / "outside.t7"), "link.t7", "pipe.t7", "gone.t7", "", "..", "x/"):
        latest.write_bytes(pointer(name))
        with pytest.raises(ResNetsError, match="no file beside it"):
            files.load(latest)
    latest.write_bytes(pointer("C:\\checkpoints\\inside.t7"))  # of another machine: only the name counts
    assert digest(files.load(latest).weights) == digest(MODEL.weights)
    latest.write_bytes(pointer("latest.t7"))
    with pytest.raises(ResNetsError, match="pointer to the last checkpoint"):
        files.load(latest)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (f"{CHECKPOINTS}/optimState_4.t7", "the state of an optimiser"),
        ("oracles/torch7/features/features.t7", "the features of"),
        ("oracles/torch7/dataset/imagenet-gen.t7", "the list of a data set"),
        ("oracles/torch7/misc/numbers.t7", "is no model: it holds no network"),
    ],
)
def test_what_is_no_model_is_refused_with_what_it_is(shared, file, text):
    with pytest.raises(ResNetsError, match=text):
        files.load(shared / file)


def read(*objects: object) -> Model:
    return files.read(Source.of(write(objects), "some.t7"))


def test_a_network_is_found_beside_other_things():
    tree = export(MODEL)
    criterion = Object("nn.CrossEntropyCriterion", 1, Table())
    for objects in (
        [Table([("model", tree), ("epoch", 3.0), ("criterion", criterion)])],
        [Table([(1.0, tree)]), Table([("learningRate", 0.1)])],
        [Object("nn.DataParallelTable", 2, Table([("modules", Table([(1.0, tree)]))]), (Table([(1.0, 1.0)]),))],
    ):
        assert digest(read(*objects).weights) == digest(MODEL.weights)
    with pytest.raises(ResNetsError, match="2 modules"):
        read(Table([("teacher", tree), ("student", export(MODEL))]))


def test_the_network_given_must_be_the_one_that_is_there():
    source = Source.of(write([export(MODEL)]), "some.t7")
    assert files.read(source, TINY).architecture == TINY
    assert files.read(source, replace(TINY, classes=10)).architecture == TINY, "a name of the catalog has other classes"
    with pytest.raises(ResNetsError, match=r"another network than the one that was given: eps is 1e-05, not 0.001"):
        files.read(source, replace(TINY, eps=1e-3))


def test_what_is_left_out_and_rounded_is_said():
    tree = export(MODEL)
    tree["modules"].pairs.append((9.0, Object("nn.LogSoftMax", 1, Table())))
    last = tree["modules"][8.0]
    last.value.pairs = [(k, tensor(v.array(), "Double") if k == "weight" else v) for k, v in last.value.pairs]
    assert read(tree).notes == (
        "modules[9] (nn.LogSoftMax) at the end is left out: the converted network gives logits",
        "arrays of type torch.DoubleTensor are rounded to float32",
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_arrays_that_hold_no_numbers_are_refused(value):
    tree = export(MODEL)
    conv = tree["modules"][1.0]
    wrong = conv["weight"].array().astype(np.float64)
    wrong[0, 0, 0, 0] = value
    conv.value.pairs = [(k, tensor(wrong, "Double") if k == "weight" else v) for k, v in conv.value.pairs]
    with pytest.raises(ResNetsError, match=r"1 arrays of some.t7 hold NaN or infinity: conv1.weight"):
        read(tree)


def damaged(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Cut short, with bytes and sizes changed, and with parts missing or twice."""
    dice = random.Random(seed)
    for _ in range(count):
        at, wrong = dice.randrange(len(data)), bytearray(data)
        match dice.randrange(6):
            case 0:
                del wrong[at:]
            case 1:
                wrong[at] ^= 1 << dice.randrange(8)
            case 2:
                wrong[at : at + 4] = dice.choice((0, -1, 1 << 30, -(1 << 31), 7)).to_bytes(4, "little", signed=True)
            case 3:
                wrong[at : at + 8] = dice.choice((0, -1, 1 << 62, 1 << 33)).to_bytes(8, "little", signed=True)
            case 4:
                del wrong[at : at + dice.randrange(1, 200)]
            case 5:
                wrong[at:at] = wrong[at : at + dice.randrange(1, 200)]
        yield bytes(wrong)


def survives(data: bytes) -> bool:
    """A damaged file is one error, or a whole network of numbers."""
    source = Source.of(data, "damaged.t7")
    try:
        model = files.read(source)
    except ResNetsError:
        return False
    shapes = {name: array.shape for name, array in model.weights.items()}
    assert shapes == array_shapes(model.architecture)
    assert all(np.isfinite(array).all() for array in model.weights.values())
    return True


@pytest.mark.parametrize("names", ["nn", "cudnn"])
def test_damage_is_one_error_or_a_whole_network(names):
    data = t7.write(MODEL, Options(names=names))
    read_on = [survives(wrong) for wrong in damaged(data, 600, seed=0)]
    assert 0 < sum(read_on) < len(read_on)


@pytest.mark.matrix
def test_damage_anywhere(shared, tmp_path):
    for path in ("preresnet20-cifar10-B-cudnn.cuda.t7", "thin8-published18.cuda.t7", "resnet20-cifar10-A.ascii.t7"):
        data = (shared / "oracles/torch7/models" / path).read_bytes()
        for wrong in damaged(data, 400, seed=1):
            survives(wrong)
    data = t7.write(MODEL, Options())
    for wrong in damaged(data, 20_000, seed=2):
        survives(wrong)
    for end in range(len(data)):
        assert not survives(data[:end])


def test_a_truncated_file_is_never_read(tmp_path: Path):
    data = t7.write(MODEL, Options())
    for end in range(1, len(data), 97):
        assert not survives(data[:end])
