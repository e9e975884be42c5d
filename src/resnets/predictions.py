"""The logits of an image go in; its most probable classes, best first, come out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.card import Label
from resnets.engines.table import logarithms
from resnets.errors import ResNetsError


@dataclass(frozen=True)
class Prediction:
    """One class and how probable it is, from 0 to 1. `id` is None where the model has no labels."""

    index: int | None
    id: str | None
    label: str
    probability: float


def softmax(logits: NDArray[Any], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities along the last axis, computed in float64."""
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def top(
    logits: NDArray[Any],
    labels: Sequence[Label] | None,
    k: int = 5,
    *,
    temperature: float = 1.0,
    output: str = "logits",
) -> list[Prediction]:
    """The k most probable classes of one image's `logits` [classes], best first; equal ones by class number.

    `output` "probabilities": the values are probabilities, whose logarithms are divided by the temperature. A `k` above
    the classes gives all.
    """
    if logits.ndim != 1:
        raise ResNetsError(
            f"`top` wants the logits of one image, [classes], not {list(logits.shape)}.", "Pass one row at a time."
        )
    check_labels(labels, len(logits))
    probabilities = softmax(logits if output == "logits" else logarithms(logits), temperature)
    best = np.argsort(-probabilities, kind="stable")[: max(k, 0)]
    return [
        Prediction(
            int(i), labels[i].id if labels else None, labels[i].name if labels else str(i), float(probabilities[i])
        )
        for i in best
    ]


def check_labels(labels: Sequence[Label] | None, classes: int) -> None:
    if labels is not None and len(labels) != classes:
        raise ResNetsError(
            f"There are {len(labels)} labels, but the network has {classes} classes.",
            "Use the list that the network was trained with.",
        )
