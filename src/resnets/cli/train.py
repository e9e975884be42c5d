"""Verbs that make models: train, and plot for its runs."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from resnets.errors import ResNetsError, plain


@click.command("train")
@click.argument("data", required=False, type=click.Path(path_type=Path))
@click.option("--architecture", help="Network, by a name that `resnets list` shows. Default: the preset's.")
@click.option(
    "--preset",
    help="How to train. For photographs quick-photos, fb-imagenet; for images of 32 pixels quick-cifar, fb-cifar. "
    "Default: fb-imagenet or fb-cifar, whichever fits --architecture. One of the two must be given.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The new run folder; a name under runs/ where none is given."
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    help="Go on with this run folder. DATA only if the images have moved.",
)
@click.option("--epochs", type=click.IntRange(1), help="Passes over the images; scales the schedule.")
@click.option("--batch", type=click.IntRange(2), help="Images a step.")
@click.option("--crop", type=click.IntRange(32), help="Side of the training image, in pixels.")
@click.option("--lr", "learning_rate", type=click.FloatRange(0, min_open=True), help="Peak learning rate.")
@click.option("--weight-decay", type=click.FloatRange(0), help="Weight decay.")
@click.option("--workers", type=click.IntRange(1), help="Threads that prepare images.")
@click.option(
    "--threads", type=click.IntRange(1), help="Threads that compute, on a CPU. Another number gives other bits."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@click.option("--precision", default="auto", show_default=True, help="auto, float32, bfloat16 or float16.")
@click.option(
    "--val-split", type=float, help="Keep this share of each class for validation, where there is no val folder."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="All that is random follows from it.",
)
@click.option("--compile", is_flag=True, help="torch.compile, with batches of one shape.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def train_command(data: Path | None, resume: Path | None, out: Path | None, quiet: bool, **settings: Any) -> None:
    """Train a network from scratch on DATA, a folder with train/LABEL/ and val/LABEL/.

    \b
    resnets train cifar10-jpeg --preset quick-cifar --out runs/first
    resnets train --resume runs/first
    """
    loop = _loop()
    if resume is not None:
        _refuse_changes()
        run = loop.resume(resume, data, quiet=quiet)
    elif data is None:
        raise ResNetsError(
            "Nothing says what to train on.", "Name the folder that holds `train` and `val`, or give --resume RUN."
        )
    else:
        run = loop.train(data, settings.pop("preset"), out=out, quiet=quiet, **settings)
    if not quiet:
        click.echo(plain(f"try it: resnets classify -m {run}/best.onnx IMAGE"), err=True)


def _loop() -> Any:
    try:
        with _unbroken():
            from resnets.training import loop
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ResNetsError(
            "Training needs torch, which is not installed.", "Run: pip install 'resnets[train]'"
        ) from error
    return loop


@contextmanager
def _unbroken() -> Iterator[None]:
    """Hold Ctrl-C back for a moment: in the middle of importing torch it would abort the process with a core dump."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _refuse_changes() -> None:
    """A run that goes on keeps its settings: any other option given beside --resume is a misunderstanding."""
    context = click.get_current_context()
    given = [
        name
        for name in context.params
        if name not in ("data", "resume", "quiet")
        and context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        flags = ", ".join(f"--{'lr' if name == 'learning_rate' else name.replace('_', '-')}" for name in given)
        raise ResNetsError(
            f"A run that is resumed keeps its settings, so it takes no {flags}.",
            "Give --resume alone, or start a new run.",
        )


@click.command("plot")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default="convergence.png", show_default=True, help="The PNG file."
)
def plot_command(runs: tuple[Path, ...], out: Path) -> None:
    """Draw error, loss and learning rate by epoch of one or several run folders (or results.csv files).

    \b
    resnets plot runs/first runs/second --out compared.png
    """
    from resnets.plots import convergence

    convergence(runs, out)
    click.echo(os.fsencode(plain(str(out))))
