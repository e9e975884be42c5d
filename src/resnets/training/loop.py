"""Folders of images go in, a run folder with a trained model comes out; a run cut off goes on where it stood."""

from pathlib import Path
from typing import Any

import torch

from resnets.errors import ResNetsError
from resnets.files import alone, whole
from resnets.training import checkpoint, outputs
from resnets.training.checkpoint import State
from resnets.training.config import Config, from_yaml, to_yaml
from resnets.training.engine import Engine
from resnets.training.epoch import Run, close_epoch, measure, run_epoch
from resnets.training.interrupt import Stop
from resnets.training.plan import Splits, plan, read_data, read_splits


def train(
    data: str | Path, preset: str | None = None, *, out: str | Path, quiet: bool = False, **settings: Any
) -> Path:
    """Train a network from scratch on `data` (`train/<label>/`, `val/<label>/`) into the new run folder `out`.

    `settings` are those of `resnets train`: architecture, epochs, batch, crop, learning_rate, weight_decay, workers,
    device, precision, val_split, seed, compile. Returns the run folder. Raises ResNetsError for anything a user can
    mend, before any work where that can be told.
    """
    folder = Path(out)
    _refuse_used(folder)
    config, splits = plan(Path(data), preset, **settings)
    run = _open(folder, config, splits, State(to_yaml(config)), quiet=quiet)
    run.engine.put(run.state)
    _begin_folder(run)
    return _go_on(run)


def resume(folder: str | Path, data: str | Path | None = None, *, quiet: bool = False) -> Path:
    """Go on with a run from its state.pt; `data` only where the images have moved. A finished run is completed."""
    folder = Path(folder)
    state = checkpoint.load(folder)
    config = from_yaml(state.config)
    if state.epoch >= config.preset.epochs and outputs.complete(folder):
        return folder
    splits, fingerprint = read_splits(Path(data or config.data), config.val_split, config.seed)
    if fingerprint != config.fingerprint:
        raise ResNetsError(
            f"The images in {data or config.data} are not those this run began with.",
            "Restore them, name their new place as DATA, or start a new run.",
        )
    run = _open(folder, config, splits, state, quiet=quiet)
    run.engine.take(state)
    return _go_on(run)


def _refuse_used(folder: Path) -> None:
    if (folder / checkpoint.NAME).is_file():
        raise ResNetsError(
            f"{folder} already holds a run.", f"Continue it with `resnets train --resume {folder}`, or choose another."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ResNetsError(f"{folder} already holds something else.", "Choose a new folder with --out.")


def _open(folder: Path, config: Config, splits: Splits, state: State, *, quiet: bool) -> Run:
    torch.set_num_threads(config.threads)
    train_pictures, val_pictures = read_data(config, splits, quiet=quiet)
    return Run(folder, config, Engine(config), state, train_pictures, val_pictures, quiet)


def _begin_folder(run: Run) -> None:
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResNetsError(
            f"{run.folder} cannot be made ({error.strerror}).", "Choose another folder with --out."
        ) from error
    with whole(run.folder / "config.yaml") as file:
        file.write(run.state.config.encode())
    checkpoint.save(run.state, run.folder)


def _go_on(run: Run) -> Path:
    with alone(run.folder / "config.yaml", str(run.folder)), Stop(run.folder) as stop:
        while run.state.epoch < run.config.preset.epochs:
            run_epoch(run, stop)
            close_epoch(run, measure(run))
        outputs.finish(run.folder, run.config, run.state, lambda state: measure(run, state))
    return run.folder
