import errno
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.weights import files
from resnets.weights import onnx as onnx_format
from resnets.weights.files import load, opened, save
from resnets.weights.formats import FORMATS
from resnets.weights.model import Model, digest

SUFFIXES = (".onnx", ".safetensors")


def runnable(path, outputs=()):
    with opened(path) as source:
        return files.runnable(source, outputs)


def read_card(path):
    with opened(path) as source:
        return files.read_card(source)


@pytest.fixture
def model(tiny_model: Path) -> Model:
    return load(tiny_model)


@pytest.fixture(params=SUFFIXES)
def path(request: pytest.FixtureRequest, model: Model, tmp_path: Path) -> Path:
    path: Path = tmp_path / f"m{request.param}"
    save(model, path)
    return path


def test_a_model_comes_back_as_it_was(path, model):
    back = load(path)
    assert back.card == model.card
    assert back.architecture == model.architecture
    assert list(back.weights) == list(model.weights)
    assert all((back.weights[name] == model.weights[name]).all() for name in model.weights)
    assert all(array.flags.writeable and array.dtype == np.float32 for array in back.weights.values())
    assert read_card(path) == model.card


def test_all_formats_have_one_digest_and_round_trips_end_in_the_same_bytes(model, tmp_path):
    save(model, tmp_path / "a.safetensors")
    save(load(tmp_path / "a.safetensors"), tmp_path / "b.onnx", opset=7)
    save(load(tmp_path / "b.onnx"), tmp_path / "c.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "c.safetensors").read_bytes()
    assert load(tmp_path / "b.onnx").card.weights_sha256 == digest(model.weights) == model.card.weights_sha256


def test_a_folded_model_comes_back_folded(model, tmp_path):
    written = save(model, tmp_path / "f.onnx", fold=True)
    back = load(tmp_path / "f.onnx")
    assert back.architecture.batch_norm == "none"
    assert back.card.weights_sha256 == written.card.weights_sha256 != model.card.weights_sha256


def test_runnable_gives_what_onnxruntime_runs(path):
    card, data, answer = runnable(path, ("features", "feature_map"))
    assert answer == "logits"
    assert card == read_card(path)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    shapes = [array.shape for array in session.run(None, {"data": np.zeros((2, 3, 32, 36), np.float32)})]
    assert shapes == [(2, 3), (2, 64), (2, 64, 8, 9)]


def test_an_onnx_file_is_opened_without_the_onnx_package(tiny_model):
    code = f"""
import sys
from pathlib import Path
from resnets.weights.files import load, opened, read_card, runnable
with opened(Path({str(tiny_model)!r})) as source:
    runnable(source, ("features",)), read_card(source), load({str(tiny_model)!r})
print({{"onnx", "onnxruntime", "torch", "safetensors", "PIL", "rich"}} & {{*sys.modules}})
"""
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set()\n"


def test_a_flipped_bit_is_noticed(path):
    data = bytearray(path.read_bytes())
    for place in (len(data) - 1, len(data) // 2, len(data) - 5000):
        data[place] ^= 1
        path.write_bytes(data)
        for reads in (load, runnable):
            with pytest.raises(ResNetsError):
                reads(path)
        data[place] ^= 1
    path.write_bytes(data)
    load(path)


def test_truncation_is_noticed(path):
    data = path.read_bytes()
    for length in range(0, len(data), len(data) // 40 + 1):
        path.write_bytes(data[:length])
        for reads in (load, runnable, read_card):
            with pytest.raises(ResNetsError):
                reads(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<!DOCTYPE html><html><body>404", "a web page"),
        (b"\n  <html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 102583340\n", "a git-lfs pointer"),
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
        (b"\x80\x02}q\x00.", "a pickle"),
        (b"\x1f\x8b\x08" + bytes(40), "a packed archive"),
        (b"", "0 bytes"),
        (bytes(1000), "truncated"),
        (os.urandom(4000), "truncated"),
    ],
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_stands_under_a_models_name_is_named(tmp_path, suffix, content, what):
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content)
    for reads in (load, runnable, read_card):
        with pytest.raises(ResNetsError, match=what):
            reads(path)


def test_a_file_of_the_other_format_is_refused(model, tmp_path):
    for suffix, other in (SUFFIXES, SUFFIXES[::-1]):
        save(model, tmp_path / f"m{suffix}")
        (tmp_path / f"m{suffix}").rename(tmp_path / f"n{other}")
        with pytest.raises(ResNetsError, match=f"is an? .*Rename it to end in {suffix}"):
            load(tmp_path / f"n{other}")


def test_pipes_folders_and_unknown_suffixes_are_refused_at_once(tmp_path, tiny_model):
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "m.h5").write_bytes(b"x")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.onnx").write_bytes(tiny_model.read_bytes())
    for name, reason in (("pipe.onnx", "not a regular file"), ("m.h5", "suffix .h5"), ("run", "Use .*best.onnx")):
        with pytest.raises(ResNetsError, match=reason):
            load(tmp_path / name)


def test_nothing_is_written_that_cannot_be_read_back(model, tmp_path):
    sick = {
        **model.weights,
        "fc.bias": np.array([0, np.nan, 1], np.float32),
        "bn1.bias": np.full(16, np.inf, np.float32),
    }
    below = {**model.weights, "bn1.running_var": np.full(16, -1, np.float32)}
    cases = {
        "1 running variances of .* are below zero: bn1.running_var": replace(model, weights=below),
        "2 arrays of .* hold NaN or infinity: bn1.bias, fc.bias": replace(model, weights=sick),
        "1 missing: fc.bias": replace(model, weights={k: v for k, v in model.weights.items() if k != "fc.bias"}),
        r"fc.bias \(3,\) instead of \(4,\)": replace(model, architecture=replace(model.architecture, classes=4)),
    }
    for reason, bad in cases.items():
        with pytest.raises(ResNetsError, match=reason):
            save(bad, tmp_path / "m.onnx")
    with pytest.raises(ResNetsError, match="nowhere does not exist"):
        save(model, tmp_path / "nowhere" / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_a_format_that_loses_something_is_refused_unless_forced(model, tmp_path, monkeypatch):
    poor = replace(model, architecture=replace(model.architecture, eps=1e-3))
    monkeypatch.setattr(onnx_format, "read", lambda source, given: poor)
    with pytest.raises(ResNetsError, match="would lose architecture"):
        save(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
    save(model, tmp_path / "m.onnx", force=True)
    assert (tmp_path / "m.onnx").is_file()


def test_a_full_disk_leaves_the_old_file_and_nothing_else(path, model, monkeypatch):
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResNetsError, match="The disk is full"):
        save(replace(model, card=replace(model.card, name="new")), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_outgrows_its_limit_leaves_nothing(tmp_path):
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    code = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from resnets.cli.main import main; main()"
    command = [sys.executable, "-c", code, "create", "resnet20-cifar", str(tmp_path / "m.onnx")]
    done = subprocess.run(command, preexec_fn=small_files, capture_output=True, text=True)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.fixture
def any_model(random_model) -> Model:
    """A small network that every format can say."""
    kind: Model = random_model(replace(find("resnet18"), blocks=(1, 1), widths=(8, 16), stem_widths=(8,), classes=3))
    return kind


def test_a_good_file_under_the_wrong_suffix_is_called_what_it_is(any_model, tmp_path):
    model = any_model
    for suffix in FORMATS:
        files.save(model, tmp_path / f"m{suffix}")
        data = (tmp_path / f"m{suffix}").read_bytes()
        for other in FORMATS:
            wrong = tmp_path / f"wrong{other}"
            wrong.write_bytes(data)
            if FORMATS[other] == FORMATS[suffix]:
                assert digest(load(wrong).weights) == digest(model.weights)
                continue
            with pytest.raises(ResNetsError, match=r"Rename it to end in \.|is truncated, damaged|no array of NumPy"):
                load(wrong)
    for content, what in ((b"\xff\xd8\xff\xe0 JPEG", "an image"), (b'{"message": "Not Found"}', "a JSON text")):
        (tmp_path / "m.t7").write_bytes(content)
        with pytest.raises(ResNetsError, match=what):
            load(tmp_path / "m.t7")


def test_a_checkpoint_may_be_called_as_torchs_examples_call_it(model, tmp_path):
    files.save(model, tmp_path / "m.pth")
    (tmp_path / "m.pth").rename(tmp_path / "checkpoint.pth.tar")
    assert digest(load(tmp_path / "checkpoint.pth.tar").weights) == digest(model.weights)


def test_names_of_files_may_be_any_bytes(model, tmp_path):
    path = tmp_path / "bad\udcff.t7"
    files.save(model, path)
    back = load(path)
    assert back.card.name == "bad\\udcff"
    files.save(back, tmp_path / "m.onnx")


@pytest.mark.parametrize("suffix", [".pth", ".t7", ".params", ".onnx"])
def test_damage_names_the_file_wherever_it_is_met(any_model, tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    files.save(any_model, path)
    path.write_bytes(path.read_bytes()[:-2000])
    for reads in (load, read_card if FORMATS[suffix].card else load, runnable):
        with pytest.raises(ResNetsError, match=path.name):
            reads(path)
