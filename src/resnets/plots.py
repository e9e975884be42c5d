"""Run folders go in, PNG charts come out. matplotlib is imported when the first chart is drawn."""

import csv
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from resnets.errors import ResNetsError
from resnets.files import whole

SHOWN = ("epoch", "train_loss", "train_top1_error", "val_top1_error", "learning_rate")
MISSING = "matplotlib is not installed (pip install 'resnets[report]')"
Rows = dict[str, list[float]]  # column → one number an epoch


def read_results(run: Path) -> Rows:
    """The columns of a run's results.csv."""
    path = run / "results.csv" if run.is_dir() else run
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: [float(row[name]) for row in rows] for name in SHOWN if rows[0]}
    except (OSError, IndexError, KeyError, ValueError, TypeError) as error:
        raise ResNetsError(
            f"{path} holds no results of a run.", "Name a run folder in which an epoch has ended."
        ) from error


def drawable() -> bool:
    """Whether charts can be drawn here."""
    return find_spec("matplotlib") is not None


def convergence(runs: Sequence[Path], out: Path) -> None:
    """Errors, loss and learning rate by epoch, one colour a run: training dashed, validation solid.

    Raises ResNetsError, before anything is drawn, where `out` is not called .png.
    """
    if out.suffix.lower() != ".png":
        raise ResNetsError(
            f"A chart is a PNG image, and {out} is not called so.", "Give a file name that ends in .png."
        )
    if not drawable():
        raise ResNetsError(f"No chart can be drawn: {MISSING}.", "Install it, then run the same command again.")
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (errors, losses, rates) = plt.subplots(
        3, 1, figsize=(8, 9), sharex=True, height_ratios=(3, 2, 1), layout="constrained"
    )
    for run in runs:
        rows = read_results(run)
        name = (run if run.is_dir() else run.parent).resolve().name.encode("utf-8", "backslashreplace").decode()
        final = rows["val_top1_error"][-1]
        (line,) = errors.plot(
            rows["epoch"], rows["val_top1_error"], ".-", label=f"{name}: validation, ends at {final:.2f} %"
        )
        errors.plot(
            rows["epoch"],
            rows["train_top1_error"],
            ".--",
            color=line.get_color(),
            label=f"{name}: training (augmented)",
        )
        losses.plot(rows["epoch"], rows["train_loss"], ".--", color=line.get_color())
        rates.plot(rows["epoch"], rows["learning_rate"], ".-", color=line.get_color())
    errors.set_ylabel("top-1 error (%)")
    errors.legend()
    losses.set_ylabel("training loss")
    rates.set_ylabel("learning rate")
    rates.set_xlabel("epoch")
    rates.xaxis.get_major_locator().set_params(integer=True)
    for axes in (errors, losses, rates):
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=0)
    with whole(out) as file:
        figure.savefig(file, format="png", dpi=110)
    plt.close(figure)
