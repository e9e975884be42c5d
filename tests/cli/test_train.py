"""`resnets train` and `resnets plot` as commands, in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")


def test_command_line_without_a_validation_folder(photo_data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from resnets.cli.main import main; main()", "train"]
    rest = ["--architecture", "resnet20-cifar", "--preset", "quick-cifar", "--epochs", "1", "--batch", "8"]
    refused = subprocess.run([*command, str(photo_data / "train"), *rest], capture_output=True, text=True, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert "--val-split 0.1" in refused.stderr
    done = subprocess.run(
        [*command, str(photo_data / "train"), *rest, "--val-split", "0.25"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "resnet20-cifar" / "best.onnx").is_file()
    assert "epoch 1/1: loss" in done.stderr
    assert done.stdout == ""


def test_resume_takes_no_other_settings(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from resnets.cli.main import main; main()", "train", "--resume", str(tmp_path)]
    refused = subprocess.run([*command, "--epochs", "5", "--lr", "1"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "--epochs, --lr" in refused.stderr


def test_without_data_or_run_it_says_what_to_give(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from resnets.cli.main import main; main()", "train"]
    refused = subprocess.run([*command, "--preset", "fb-cifar"], capture_output=True, text=True, cwd=tmp_path)
    assert refused.returncode == 2
    assert "Nothing says what to train on." in refused.stderr
