"""A State goes in; results.csv, model files and plots of a run folder come out, and can be made again."""

import csv
import io
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from resnets import catalog, plots
from resnets.card import Card, Label, describe
from resnets.evaluate import Tally
from resnets.files import whole
from resnets.models.builder import arrays_of
from resnets.training.checkpoint import State, Tensors
from resnets.training.config import Config
from resnets.weights.files import save
from resnets.weights.model import Model

FILES = ("results.csv", "last.safetensors", "best.safetensors", "best.onnx")
PLOT = "plots/convergence.png"
COLUMNS = (
    "epoch",
    "train_loss",
    "train_top1_error",
    "val_top1_error",
    "val_top5_error",
    "learning_rate",
    "images_per_second",
    "data_wait",
    "seconds",
)


def write_results(run: Path, state: State) -> None:
    """results.csv, whole, from the rows of the state."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_number(row[column]) for column in COLUMNS] for row in state.rows)
    with whole(run / "results.csv") as file:
        file.write(text.getvalue().encode())


def _number(value: float) -> str:
    return f"{value:.6g}"


def write(run: Path, config: Config, state: State) -> None:
    """What each epoch leaves beside its state: results, and the weights of the last and the best epoch."""
    write_results(run, state)
    last, best = _models(config, state, {}, {})
    save(last, run / "last.safetensors")
    if state.best_epoch == state.epoch or not (run / "best.safetensors").is_file():
        save(best, run / "best.safetensors")


def finish(run: Path, config: Config, state: State, measure: Callable[[Tensors, str], Tally]) -> None:
    """What the end of a run leaves: measured models, best.onnx, the plot where matplotlib is installed.

    `measure` takes weights and a word for the progress line.
    """
    last_score = _score(config, measure(state.average or state.network, "measuring the last weights in float32"))
    best_score = _score(config, measure(state.best, "measuring the best weights in float32"))
    if state.best_epoch != state.epoch:
        best_score["note"] = f"epoch {state.best_epoch} of {state.epoch}, chosen by its error on these images"
    last, best = _models(config, state, last_score, best_score)
    write_results(run, state)
    save(last, run / "last.safetensors")
    save(best, run / "best.safetensors")
    save(best, run / "best.onnx")
    (run / "plots").mkdir(exist_ok=True)
    if plots.drawable():
        plots.convergence([run], run / PLOT)
    else:
        print(f"no chart: {plots.MISSING}; then `resnets plot {run}` draws it", file=sys.stderr)


def _models(config: Config, state: State, last: dict[str, Any], best: dict[str, Any]) -> tuple[Model, Model]:
    return (
        model(config, state.average or state.network, last, epoch=state.epoch),
        model(config, state.best, best, epoch=state.best_epoch),
    )


def _score(config: Config, tally: Tally) -> dict[str, Any]:
    return {
        "data": f"{Path(config.data).name}/{config.measured_on}",
        "images": tally.images,
        "crops": 1,
        "crop": config.recipe.crop,
        "recipe": describe(config.recipe),
        "top1_error": round(tally.top1_error, 4),
        "top1_interval": [round(bound, 4) for bound in tally.top1_interval],
        "top5_error": round(tally.top5_error, 4),
        "date": datetime.now(UTC).date().isoformat(),
    }


def model(config: Config, state: Tensors, score: dict[str, Any] | None, *, epoch: int) -> Model:
    """A state dict as a model with its card."""
    card = Card(
        name=catalog.named(config.architecture) or config.name,
        architecture=config.architecture,
        labels=tuple(Label(name, name) for name in config.classes),
        recipe=config.recipe,
        input_channels=config.architecture.input_channels,
        source={
            "trained_on": Path(config.data).name,
            "images": config.train_images,
            "preset": config.preset.name,
            "epochs": epoch,
            "seed": config.seed,
            "precision": config.precision,
        },
        scores=(score,) if score else (),
    )
    return Model(config.architecture, arrays_of(config.architecture, state), card)


def complete(run: Path) -> bool:
    """Whether everything that a finished run leaves is there."""
    return all((run / name).is_file() for name in (*FILES, PLOT) if name != PLOT or plots.drawable())
