"""The options of a verb that uses a model go in; that model, opened, comes out, and what is told of its recipe."""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from resnets.cli.results import RECIPES
from resnets.errors import ResNetsError, plain, short

C = TypeVar("C", bound=Callable[..., Any])


def model_options(command: C) -> C:
    """The options of every verb that opens a model."""
    for option in (
        click.option("--quiet", is_flag=True, help="Print nothing but the results and errors."),
        click.option("--threads", type=click.IntRange(1), help="Threads to use. Default: one for each core."),
        click.option("--flip", is_flag=True, help="Average over the image and its mirror image."),
        click.option(
            "--crops", type=click.Choice(["1", "10"]), default="1", show_default=True, help="Crops to average over."
        ),
        click.option(
            "--labels", help="Label list: imagenet-1k, cifar10, cifar100, or a file. Default: the model's own."
        ),
        click.option("--recipe", help=f"How pixels are prepared: {RECIPES}. Default: the model's own."),
        click.option(
            "-m",
            "--model",
            help="A file, the name of a bundled model or of published weights (`resnets list`), which are downloaded"
            " once, or hf:OWNER/NAME. Default: the bundled model.",
        ),
    ):
        command = option(command)
    return command


def classifier_of(options: dict[str, Any], quiet: bool) -> Any:
    """The Classifier that the options mean, downloaded where it is not there. Raises ResNetsError without a recipe."""
    from resnets.card import RECIPES
    from resnets.classify import Classifier

    _quieten()
    found = Classifier(
        _there(options["model"], quiet), recipe=options["recipe"], labels=options["labels"], threads=options["threads"]
    )
    taken, notes = _stated(found)
    if found.card.recipe is None:
        command = shlex.join(["resnets", *sys.argv[1:], "--recipe", "torchvision"])
        raise ResNetsError(
            " ".join([f"{found.path} does not say how its images are to be prepared.", *notes]),
            f"Name the recipe it was trained with ({', '.join(RECIPES)}), for instance: {command}",
        )
    if not quiet:
        _tell(found, [part for part in taken if options.get(part.split()[0]) is None], notes)
    return found


def _there(model: str | None, quiet: bool) -> str | Path | None:
    """A model as it was given, or where a name may have to be downloaded the path of its file."""
    if model is None or os.path.isfile(model):
        return model
    from resnets.cli.downloads import resumable
    from resnets.weights.names import resolve

    with resumable(model):
        return resolve(model, quiet=quiet)


def _quieten() -> None:
    import warnings

    warnings.filterwarnings("ignore", module=r"PIL\.")  # each image that matters gets a row with its error


def _stated(classifier: Any) -> tuple[list[str], list[str]]:
    """What was taken from a config.json beside the file, and what there is to say of that, or of a row of the table.

    Nothing of a file with a card of its own: there that is the history of another.
    """
    from resnets.weights import files

    source = classifier.card.source
    taken, notes = ([*map(str, v)] if isinstance(v := source.get(name), list) else [] for name in ("config", "notes"))
    if taken or notes:
        with files.opened(classifier.path) as file:
            if files.read_card(file) is not None and not source.get("published"):
                return [], []
    return taken, notes


def _tell(classifier: Any, taken: list[str], notes: list[str]) -> None:
    """A line on what is used of config.json, and one with remarks."""
    hub = str(classifier.card.source.get("hub", "")).partition("@")[0]
    if taken:
        click.echo(plain(f"config.json of {hub or classifier.path} gives {short(', '.join(taken))}"), err=True)
    if notes:
        click.echo(plain(f"{hub or classifier.path}: {short(' '.join(notes), 600)}"), err=True)
