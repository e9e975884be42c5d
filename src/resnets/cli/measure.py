"""A folder goes in, its images with class numbers come out; a tally goes in, JSON and text of `evaluate` come out."""

import math
import os
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from resnets.card import Card, describe
from resnets.classify import Classifier
from resnets.cli.results import show
from resnets.data.folders import VALIDATION_NAMES, Split, find_validation, is_root, read_split
from resnets.errors import ResNetsError, plain, some
from resnets.evaluate import Tally, match, says_top5
from resnets.inputs import passed_over


def labelled(data: Path, card: Card, quiet: bool = False) -> tuple[Split, NDArray[np.int64], list[str]]:
    """The images under DATA, the model's class number of each, and the ids of the model's classes that have no folder.

    Raises ResNetsError, before any image is read, for folders that do not match the model's labels.
    """
    if card.labels is None:
        raise ResNetsError(
            f"The model {card.name} has no labels, so that folders cannot be matched with its classes.",
            "Name them with --labels.",
        )
    split = read_split(split_of(data))
    numbers, missing = match(split.classes, card.labels, card.name)
    if split.ignored and not quiet:
        click.echo(passed_over(dict(split.ignored)), err=True)
    if missing and not quiet:
        count = f"{len(missing):,} of the model's {len(card.labels):,} classes"
        click.echo(plain(f"no folder for {count}: {some(missing)}"), err=True)
    return split, numbers[split.targets], missing


def split_of(data: Path) -> Path:
    """DATA itself where it holds class folders; its val (valid, validation, test) where it is a data set's root."""
    if not os.path.isdir(data):
        raise ResNetsError(f"There is no folder {data}.", "Name a folder of class folders.")
    if not is_root(data):
        return data
    found = find_validation(data)
    if found is None:
        raise ResNetsError(
            f"{data} has a train folder, but none to measure on ({', '.join(VALIDATION_NAMES)}).",
            f"Name the folder of class folders itself, for instance {data / 'train'}.",
        )
    return found


def result(tally: Tally, classifier: Classifier, crops: int, data: Path, missing: list[str]) -> dict[str, Any]:
    """What `evaluate --json` writes; percentages are null where no image could be read."""
    labels = classifier.card.labels or ()
    classes = [
        {"id": label.id, "name": label.name, "images": seen, "top1_error": _percent(100 * wrong / seen)}
        for label, (seen, wrong) in zip(labels, tally.classes(), strict=False)
        if seen
    ]
    return {
        "model": str(classifier.path),
        "name": classifier.card.name,
        "data": str(data),
        "images": tally.images,
        "errors": tally.errors,
        "not_finite": tally.not_finite,
        "top1_error": _percent(tally.top1_error),
        "top1_interval": [_percent(bound) for bound in tally.top1_interval] if tally.images else None,
        "top5_error": _percent(tally.top5_error),
        "top5_interval": [_percent(bound) for bound in tally.top5_interval] if tally.images else None,
        "crops": crops,
        "crop": classifier.recipe.crop,
        "recipe": describe(classifier.recipe),
        "missing_classes": missing,
        "classes": classes,
    }


def _percent(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def text(found: dict[str, Any], classes: int) -> str:
    """The result of a model of so many classes for people, never without its conditions."""
    crops = {1: "1 crop", 2: "the centre crop and its mirror image"}.get(found["crops"], f"{found['crops']} crops")
    conditions = f"{found['images']:,} images, {crops} of {found['crop']}, recipe {found['recipe']}"
    head = plain(f"{found['name']} on {found['data']}: {conditions}")
    if not found["images"]:
        return head
    rows = []
    for k in ("top1", "top5") if says_top5(classes) else ("top1",):
        low, high = found[f"{k}_interval"]
        rows.append(f"  top-{k[-1]} error  {found[f'{k}_error']:6.2f} %   (95 % interval {low:.2f} to {high:.2f})")
    return "\n".join([head, *rows])


def report(found: dict[str, Any], json_to: str | None, classes: int) -> int:
    """Print the result, or write it as JSON where `json_to` says; the exit status."""
    show(found, text(found, classes), json_to)
    images, errors, broken = found["images"], found["errors"], found["not_finite"]
    if errors:
        click.echo(f"{errors:,} of {errors + images:,} images could not be read", err=True)
    if broken:
        click.echo(f"{broken:,} of {images:,} answers were not finite numbers, and count as wrong", err=True)
    return 1 if errors or broken else 0
