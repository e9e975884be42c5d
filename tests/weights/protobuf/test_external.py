"""Arrays in files beside the model: what is taken, and what is refused with one clear error."""

import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from resnets.engines.onnxruntime import Session
from resnets.errors import ResNetsError
from resnets.weights import files
from resnets.weights.model import digest
from resnets.weights.onnx import beside, rewritten
from resnets.weights.protobuf import external
from resnets.weights.source import Source

DATA = "m.onnx.data"


@pytest.fixture
def path(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model as a foreign graph whose arrays lie in one file beside it."""
    proto = onnx.load(tiny_model)
    del proto.metadata_props[:]
    (tmp_path / "sub").mkdir()
    onnx.save(proto, tmp_path / "sub" / "m.onnx", save_as_external_data=True, location=DATA, size_threshold=0)
    return tmp_path / "sub" / "m.onnx"


def changed(path: Path, change: Callable[[dict[str, str], onnx.TensorProto], None], name: str = "fc.weight") -> None:
    """Rewrites what the model says about where one of its arrays lies."""
    proto = onnx.load(path, load_external_data=False)
    tensor = next(t for t in proto.graph.initializer if t.name == name)
    entries = {entry.key: entry.value for entry in tensor.external_data}
    change(entries, tensor)
    del tensor.external_data[:]
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(proto.SerializeToString())


def both(path: Path) -> tuple[object, object]:
    with files.opened(path) as source:
        return files.read(source), files.runnable(source, ("features",))


def scattered(path: Path) -> None:
    """The model again, with a file for each of its arrays."""
    options = {"save_as_external_data": True, "all_tensors_to_one_file": False, "size_threshold": 0}
    onnx.save(onnx.load(path), path, convert_attribute=False, **options)


def test_arrays_beside_the_model_are_read_and_run(path, tiny_model):
    model, ready = both(path)
    expected = files.load(tiny_model)
    assert (model.architecture, digest(model.weights)) == (expected.architecture, digest(expected.weights))
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
    answers = [Session(m, 1).run(x, ("logits",))["logits"] for m in (ready.model, tiny_model.read_bytes())]
    np.testing.assert_array_equal(*answers)


def test_the_card_of_such_a_model_is_written_into_one_file(path, tmp_path):
    with files.opened(path) as source:
        card = files.read(source).card
        (tmp_path / "alone.onnx").write_bytes(files.with_card(source, card))
    assert files.load(tmp_path / "alone.onnx").card == card


def test_a_file_for_each_array_and_no_lengths_are_good_too(path, tiny_model):
    scattered(path)
    changed(path, lambda entries, _: entries.pop("length", None))
    assert digest(both(path)[0].weights) == digest(files.load(tiny_model).weights)


def test_nothing_of_a_large_file_is_read_but_what_is_asked_for(path):
    with (path.parent / DATA).open("ab") as file:
        file.truncate(1 << 40)  # sparse
    assert both(path)[0].architecture.classes == 3


def link(path: Path) -> None:
    (path.parent / DATA).rename(path.parent / "real")
    (path.parent / DATA).symlink_to("real")


def hard_link(path: Path) -> None:
    os.link(path.parent / DATA, path.parent / "second")


def in_place(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        (path.parent / DATA).unlink()
        make(path.parent / DATA)

    return change


def short(path: Path) -> None:
    os.truncate(path.parent / DATA, (path.parent / DATA).stat().st_size - 1)


def at(location: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        (path.parent.parent / "m.onnx.data").write_bytes((path.parent / DATA).read_bytes())
        (path.parent / "in").mkdir()
        (path.parent / "in" / "m.onnx.data").write_bytes((path.parent / DATA).read_bytes())
        here = location.replace("HERE", str(path.parent))
        changed(path, lambda entries, _: entries.update(location=here))

    return change


def says(**entries: str) -> Callable[[Path], None]:
    return lambda path: changed(path, lambda found, _: found.update(entries))


def inside_too(path: Path) -> None:
    changed(path, lambda _, tensor: setattr(tensor, "raw_data", b"\0" * 768))


BAD = {
    "missing": (in_place(lambda p: None), "beside it, which is not there"),
    "a link": (link, "which is a link"),
    "a hard link": (hard_link, "hard link"),
    "a folder": (in_place(Path.mkdir), "not a regular file"),
    "a pipe": (in_place(os.mkfifo), "not a regular file"),
    "short": (short, "should lie at bytes"),
    "empty": (in_place(Path.touch), "which has 0"),
    "absolute": (at("HERE/m.onnx.data"), "named without a folder"),
    "above": (at("../m.onnx.data"), "named without a folder"),
    "in a folder": (at("in/m.onnx.data"), "named without a folder"),
    "in a folder of Windows": (at("in\\m.onnx.data"), "named without a folder"),
    "here, by way of a dot": (at("./m.onnx.data"), "named without a folder"),
    "nowhere": (at(""), "named without a folder"),
    "the folder": (at("."), "named without a folder"),
    "the folder above": (at(".."), "named without a folder"),
    "a zero byte": (at("m\0"), "named without a folder"),
    "a name too long": (at("m" * 5000), "cannot be read"),
    "beyond the end": (says(offset=str(10**17)), "should lie at bytes"),
    "across the end": (says(offset="307000"), "should lie at bytes"),
    "a length of another shape": (says(length="767"), "767 bytes for the shape"),
    "no length that is one": (says(length="-768"), "other files"),
    "no offset that is one": (says(offset="0x10"), "other files"),
    "inside as well": (inside_too, "other files"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_file_beside_the_model_is_one_clear_error(path, name):
    change, reason = BAD[name]
    change(path)
    for reads in (files.read, files.runnable):
        with files.opened(path) as source, pytest.raises(ResNetsError, match=reason) as error:
            reads(source)
        assert str(path) in error.value.problem


def test_there_may_be_a_file_for_each_array_whatever_may_be_open_at_once(path, tiny_model):
    scattered(path)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 3, limits[1]))
    try:
        model, _ = both(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert digest(model.weights) == digest(files.load(tiny_model).weights)


def test_arrays_that_share_bytes_are_no_more_than_the_files(path):
    """Else a small file could name any number of large arrays."""
    proto = onnx.load(path, load_external_data=False)
    largest = max(proto.graph.initializer, key=lambda tensor: np.prod(tensor.dims))
    for number in range(2):
        copy = proto.graph.initializer.add()
        copy.CopyFrom(largest)
        copy.name = f"again {number}"
    path.write_bytes(proto.SerializeToString())
    for reads in (files.read, files.runnable):
        with files.opened(path) as source, pytest.raises(ResNetsError, match="more than the files"):
            reads(source)


def test_a_file_that_is_cut_after_it_was_looked_at_is_one_error(path, monkeypatch):
    """Were it mapped, the process would die."""
    whole = external.placed

    def cut(*arguments):
        found = whole(*arguments)
        os.truncate(path.parent / DATA, 4096)
        return found

    monkeypatch.setattr(external, "placed", cut)
    with files.opened(path) as source, pytest.raises(ResNetsError, match="should stand at byte"):
        files.read(source)


def test_the_files_beside_are_named(path, tiny_model):
    with files.opened(path) as source:
        assert beside(source) == [path.parent / DATA]
        assert rewritten(source) == ("39 arrays were put into the graph from 1 file beside it.",)
    with files.opened(tiny_model) as source:
        assert (beside(source), rewritten(source)) == ([], ())


def test_bytes_in_memory_have_no_files_beside_them(path):
    with pytest.raises(ResNetsError, match="not read from a folder"):
        files.read(Source.of(path.read_bytes(), str(path)))


def test_open_files_are_closed(path):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        both(path)
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_other_types_are_checked_by_their_sizes_too(path):
    proto = onnx.load(path)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.arange(4), "extra"))
    proto.graph.output.append(onnx.helper.make_tensor_value_info("extra", 7, [4]))
    proto.graph.output[0].name = "logits"
    onnx.save(proto, path, save_as_external_data=True, location=DATA + "2", size_threshold=0)
    changed(path, lambda entries, _: entries.update(length="31"), "extra")
    with files.opened(path) as source, pytest.raises(ResNetsError, match="31 bytes"):
        files.runnable(source)
