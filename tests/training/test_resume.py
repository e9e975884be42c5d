"""A run that is killed at any moment resumes and ends with the bits of one that was never touched."""

import csv
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from resnets import files  # noqa: E402
from resnets.errors import ResNetsError  # noqa: E402
from resnets.training import checkpoint, loop  # noqa: E402

SETTINGS = {"architecture": "resnet20-cifar", "preset": "quick-cifar", "epochs": 3, "batch": 8, "threads": 1, "seed": 3}
FLAGS = [text for name, value in SETTINGS.items() for text in (f"--{name}", str(value))]
TIMED = {"images_per_second", "data_wait", "seconds"}

# Each piece of code makes the process end at a moment of its own; the name says which.
PATCH = """
import os, signal, sys
import resnets.training.loop as loop
from resnets.training import checkpoint, outputs
from resnets.training.engine import Engine

def die(): os.kill(os.getpid(), signal.{signal})
def at(number, function, before=True):
    calls = [0]
    def patched(*args, **kwargs):
        calls[0] += 1
        if calls[0] == number and before: die()
        found = function(*args, **kwargs)
        if calls[0] == number and not before: die()
        return found
    return patched
{code}
from resnets.cli.main import main
sys.argv = ["resnets", "train", *sys.argv[1:]]
main()
"""
MID_WRITE = """
import torch
save = torch.save
def torn(value, file):
    if value["epoch"] == 2:
        file.write(b"half a state"); file.flush(); die()
    save(value, file)
torch.save = torn
"""
LAST_FILES = """
save = outputs.save
outputs.save = lambda model, path: die() if path.suffix == ".onnx" else save(model, path)
"""
MOMENTS = {
    "before the first state": "checkpoint.save = at(1, checkpoint.save)",
    "before the first step": "Engine.step = at(1, Engine.step)",
    "in the middle of an epoch": "Engine.step = at(5, Engine.step)",
    "in the middle of a write": MID_WRITE,
    "between the state and what is made from it": "outputs.write = at(2, outputs.write)",
    "after the last epoch": "outputs.finish = at(1, outputs.finish)",
    "in the middle of the last files": LAST_FILES,
}


def run_until(code: str, data: Path, out: Path, kind: str = "SIGKILL") -> subprocess.CompletedProcess[str]:
    program = PATCH.format(code=code, signal=kind)
    command = [sys.executable, "-c", program, str(data), "--out", str(out), *FLAGS]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def results(run: Path) -> list[dict[str, str]]:
    with open(run / "results.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMED} for row in csv.DictReader(file)]


def assert_same(run: Path, untouched: Path) -> None:
    assert results(run) == results(untouched)
    for name in ("last.safetensors", "best.safetensors", "best.onnx"):
        assert (run / name).read_bytes() == (untouched / name).read_bytes(), name
    assert not list(run.rglob("*.part")), "a temporary file was left behind"


@pytest.fixture(scope="module")
def untouched(photo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loop.train(photo_data, out=tmp_path_factory.mktemp("runs") / "untouched", quiet=True, **SETTINGS)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_resumed_is_the_same_bits(moment: str, photo_data: Path, untouched: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ended = run_until(MOMENTS[moment], photo_data, run)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    if moment == "before the first state":
        with pytest.raises(ResNetsError, match="holds no run"):
            loop.resume(run, quiet=True)
        loop.train(photo_data, out=run, quiet=True, **SETTINGS)
    else:
        loop.resume(run, quiet=True)
    assert_same(run, untouched)


@pytest.mark.parametrize(("kind", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_interrupted_it_saves_the_step_and_says_how_to_go_on(
    kind: str, status: int, photo_data: Path, untouched: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ended = run_until("Engine.step = at(5, Engine.step, before=False)", photo_data, run, kind)
    assert ended.returncode == status, ended.stderr
    assert f"resnets train --resume {run}" in ended.stderr
    state = checkpoint.load(run)
    assert (state.epoch, state.step) == (1, 2)  # three steps an epoch: the fifth is the second of epoch 2
    loop.resume(run, quiet=True)
    assert_same(run, untouched)


def test_resuming_a_finished_run_writes_what_is_missing(untouched: Path, photo_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(untouched, run)
    before = (run / "state.pt").read_bytes()
    loop.resume(run, quiet=True)
    for name in ("best.onnx", "last.safetensors", "results.csv", "plots/convergence.png"):
        (run / name).unlink()
    loop.resume(run, quiet=True)
    assert_same(run, untouched)
    assert (run / "plots" / "convergence.png").stat().st_size > 10_000
    assert (run / "state.pt").read_bytes() == before


def test_state_is_plain_and_whole(untouched: Path) -> None:
    value = torch.load(untouched / "state.pt", weights_only=True)
    assert value["epoch"] == 3
    assert len(value["rows"]) == 3
    assert value["best_error"] == min(row["val_top1_error"] for row in value["rows"])
    for part in ("network", "average", "best", "optimizer", "random", "config"):
        assert len(value[part]), part


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
"""


def test_a_disk_that_takes_no_more_leaves_the_last_state(photo_data: Path, untouched: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    before = (untouched / "state.pt").stat().st_size
    # Room for the first states, which have no momentum yet, or best weights that are the last ones too.
    ended = run_until(FULL.format(limit=before * 3 // 4), photo_data, run)
    assert ended.returncode == 1, ended.stderr
    assert "state.pt cannot be written (File too large)" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert checkpoint.load(run).epoch < 3
    loop.resume(run, quiet=True)
    assert_same(run, untouched)


MEASURING = {
    "loop.measure = at(2, loop.measure)": (1, 3),  # in the validation of the second epoch, all of its steps done
    "outputs.finish = at(1, outputs.finish)": (3, 0),
}


@pytest.mark.parametrize(("code", "stands"), MEASURING.items())
def test_interrupted_while_measuring_it_stops_there(
    code: str, stands: tuple[int, int], photo_data: Path, untouched: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ended = run_until(code, photo_data, run, "SIGINT")
    assert ended.returncode == 130, ended.stderr
    state = checkpoint.load(run)
    assert (state.epoch, state.step) == stands
    loop.resume(run, quiet=True)
    assert_same(run, untouched)


def test_an_ignored_signal_stays_ignored(photo_data: Path, untouched: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code = "signal.signal(signal.SIGINT, signal.SIG_IGN)\nEngine.step = at(5, Engine.step)"
    ended = run_until(code, photo_data, run, "SIGINT")
    assert ended.returncode == 0, ended.stderr
    assert "stop" not in ended.stderr
    assert_same(run, untouched)


def test_other_images_are_noticed(untouched: Path, photo_data: Path, tmp_path: Path) -> None:
    run, data = tmp_path / "run", tmp_path / "data"
    shutil.copytree(untouched, run)
    shutil.copytree(photo_data, data)
    (run / "best.onnx").unlink()
    loop.resume(run, data, quiet=True)  # the same images in another place are welcome
    assert_same(run, untouched)
    (run / "best.onnx").unlink()
    next((data / "train" / "cat").iterdir()).unlink()
    with pytest.raises(ResNetsError, match="are not those this run began with"):
        loop.resume(run, data, quiet=True)


def test_two_processes_never_work_on_one_run(untouched: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(untouched, run)
    (run / "best.onnx").unlink()
    with files.alone(run / loop.LOCK, str(run)), pytest.raises(ResNetsError, match="Another process is at work"):
        loop.resume(run, quiet=True)
    loop.resume(run, quiet=True)
    assert_same(run, untouched)


def test_a_damaged_state_is_one_error(untouched: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    data = (untouched / "state.pt").read_bytes()
    (run / "state.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(ResNetsError, match="cannot be read"):
        loop.resume(run, quiet=True)


@pytest.mark.matrix
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch's compiler
def test_compiled_and_interrupted_is_the_same_bits(photo_data: Path, tmp_path: Path) -> None:
    """Crops grow from epoch to epoch, so that the network is compiled for two shapes, before and after the stop."""
    untouched = loop.train(photo_data, out=tmp_path / "untouched", quiet=True, compile=True, **SETTINGS)
    run = tmp_path / "run"
    ended = run_until("sys.argv.append('--compile')\nEngine.step = at(5, Engine.step)", photo_data, run, "SIGINT")
    assert ended.returncode == 130, ended.stderr
    loop.resume(run, quiet=True)
    assert_same(run, untouched)
