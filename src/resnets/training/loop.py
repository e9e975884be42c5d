"""Folders of images go in, a run folder with a trained model comes out; a run cut off goes on where it stood."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch

from resnets.errors import ResNetsError
from resnets.files import alone, unwritable, whole
from resnets.training import checkpoint, outputs
from resnets.training.checkpoint import State
from resnets.training.config import Config, from_yaml, settle_device, to_yaml
from resnets.training.engine import Engine
from resnets.training.epoch import Run, close_epoch, measure, run_epoch
from resnets.training.interrupt import Stop
from resnets.training.plan import Splits, plan, read_data, read_splits

LOCK = ".lock"


def train(
    data: str | Path, preset: str | None = None, *, out: str | Path | None = None, quiet: bool = False, **settings: Any
) -> Path:
    """Train a network from scratch on `data` (`train/<label>/`, `val/<label>/`) into the new run folder `out`.

    `settings` are those of `resnets train`: architecture, epochs, batch, crop, learning_rate, weight_decay, workers,
    threads, device, precision, val_split, seed, compile. Without `out` the run gets a name of its own under `runs`.
    Returns the run folder. Raises ResNetsError for anything a user can mend, before any work where that can be told.
    """
    if out is not None:
        _refuse_used(Path(out))
    config, splits = plan(Path(data), preset, quiet=quiet, **settings)
    folder = _new(config.name) if out is None else _made(Path(out))
    with _held(folder):
        _refuse_used(folder)
        run = _open(folder, config, splits, State(to_yaml(config)), quiet=quiet)
        run.engine.put(run.state)
        checkpoint.save(run.state, folder)
        _go_on(run)
    return folder


def resume(folder: str | Path, data: str | Path | None = None, *, quiet: bool = False) -> Path:
    """Go on with a run from its state.pt; `data` only where the images have moved. A finished run is completed."""
    folder = Path(folder)
    checkpoint.expect(folder)
    with _held(folder):
        state = checkpoint.load(folder)
        config = from_yaml(state.config)
        if state.epoch >= config.preset.epochs and outputs.complete(folder):
            if not quiet:
                print(f"{folder} has ended already, after {state.epoch} epochs: nothing to do", file=sys.stderr)
            return folder
        settle_device(config.device, resumed=True)
        splits, fingerprint = read_splits(Path(data or config.data), config.val_split, config.seed, quiet=quiet)
        if fingerprint != config.fingerprint:
            raise ResNetsError(
                f"The images in {data or config.data} are not those this run began with.",
                "Restore them, name their new place as DATA, or start a new run.",
            )
        run = _open(folder, config, splits, state, quiet=quiet)
        run.engine.take(state)
        _go_on(run)
    return folder


def _refuse_used(folder: Path) -> None:
    if (folder / checkpoint.NAME).is_file():
        raise ResNetsError(
            f"{folder} already holds a run.", f"Continue it with `resnets train --resume {folder}`, or choose another."
        )
    if folder.exists() and (not folder.is_dir() or any(not e.name.startswith(".") for e in folder.iterdir())):
        raise ResNetsError(f"{folder} already holds something else.", "Choose a new folder with --out.")


def _made(folder: Path, *, new: bool = False) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=not new)
    except OSError as error:
        if new and isinstance(error, FileExistsError):
            raise
        raise ResNetsError(f"{folder} cannot be made ({error.strerror}).", "Choose another with --out.") from error
    return folder


def _new(name: str) -> Path:
    """The first of runs/NAME, runs/NAME-2, … that is not there yet, made by this process and no other."""
    for number in count(1):
        with suppress(FileExistsError):
            return _made(Path("runs") / (name if number == 1 else f"{name}-{number}"), new=True)
    raise AssertionError("count has no end")


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a run folder against other processes. One in which nothing was written goes again."""
    lock = folder / LOCK
    try:
        with alone(lock, str(folder)):
            try:
                yield
            finally:
                lock.unlink()
    except PermissionError as error:
        raise unwritable(folder, error) from error
    finally:
        with suppress(OSError):
            folder.rmdir()  # refuses where anything is in it


def _open(folder: Path, config: Config, splits: Splits, state: State, *, quiet: bool) -> Run:
    torch.set_num_threads(config.threads)
    train_pictures, val_pictures = read_data(config, splits, quiet=quiet)
    return Run(folder, config, Engine(config), state, train_pictures, val_pictures, quiet)


def _go_on(run: Run) -> None:
    try:
        with whole(run.folder / "config.yaml") as file:
            file.write(run.state.config.encode())
        with Stop(run.folder) as stop:
            while run.state.epoch < run.config.preset.epochs:
                run_epoch(run, stop)
                close_epoch(run, measure(run, stop))
                stop.leave()
            outputs.finish(run.folder, run.config, run.state, partial(measure, run, stop))
    except ResNetsError as error:
        error.status = 1  # work had begun, and is kept
        raise
