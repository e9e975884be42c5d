"""A network, its arrays and its card: the value that every reader returns and every writer takes."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resnets.card import Card, Recipe
from resnets.catalog import Architecture, differing, named
from resnets.errors import ResNetsError, plain, some
from resnets.network import Shape, array_shapes, same

EXTRA_OUTPUTS = ("features", "feature_map")  # what a graph may give besides `logits`
Arrays = dict[str, NDArray[np.float32]]  # canonical name → array
MAX_RANK, MAX_SIZE = 16, 1 << 31  # dimensions and numbers of an array in a file
MAX_NAME = 4096  # characters of its name there
MAX_LISTED = 2000  # names in a sentence: more than 152 layers have


@dataclass(frozen=True)
class Model:
    """`weights` are float32, by canonical name, in the order of the network's steps.

    `notes`: what its reader has to tell about the file, one sentence each: what names implied, what was rounded.
    """

    architecture: Architecture
    weights: Arrays
    card: Card
    notes: tuple[str, ...] = ()


class Runnable(NamedTuple):
    """What an engine opens: an ONNX model's bytes. A foreign graph's card holds its name and kind of output alone.

    `answer` is the output that holds the logits, or the probabilities where the card says so; None: no one knows which.
    """

    card: Card
    model: bytes
    answer: str | None


def absurd(shape: Sequence[int]) -> bool:
    """Is that no shape of an array? Beside a zero there may be any number, and NumPy stumbles over large ones there."""
    return len(shape) > MAX_RANK or prod(n or 1 for n in shape) > MAX_SIZE


def digest(weights: Arrays) -> str:
    """sha256 over name, dtype, shape and bytes of every array in the order of names: the same in every format."""
    sha = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.data if array.dtype.byteorder in "<=|" else array.astype(array.dtype.newbyteorder("<")).data)
    return sha.hexdigest()


def fit(architecture: Architecture, weights: Arrays, source: str) -> Arrays:
    """The arrays in the order of the network's steps. Raises ResNetsError that lists every mismatch, grouped."""
    wanted = array_shapes(architecture)
    found = mismatches(wanted, {name: array.shape for name, array in weights.items()})
    if found:
        raise ResNetsError(
            f"The arrays of {source} do not fit the network: {'; '.join(found)}.",
            "Use the architecture that the weights belong to.",
        )
    return {name: weights[name] for name in wanted}


def mismatches(wanted: Mapping[str, Shape], found: Mapping[str, Shape]) -> list[str]:
    """Everything in which two sets of names and shapes differ, grouped, one phrase a group."""
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    other = [
        f"{name} {found[name]} instead of {shape}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    groups = (("missing", missing), ("not part of the network", extra), ("of another shape", other))
    return [f"{len(names)} {what}: {plain(some(names, MAX_LISTED))}" for what, names in groups if names]


def derived_card(architecture: Architecture, path: Path, recipe: Recipe | None = None, **origin: Any) -> Card:
    """The card of a file without one: what its network and its name give. `origin`: of it, what is not empty."""
    return Card(
        named(replace(architecture, batch_norm="standard")) or path.stem,
        architecture,
        recipe=recipe,
        input_channels=architecture.input_channels,
        source={"file": path.name, **{key: value for key, value in origin.items() if value}},
    )


def checked(card: Card, weights: Arrays, source: str) -> Model:
    """The model that a file with a card holds. Raises ResNetsError where arrays do not fit or were changed."""
    if card.architecture is None:
        raise ResNetsError(
            f"{source} holds a foreign graph, which is used as it is and has no arrays by name.",
            "Use it for prediction, or give a model with an architecture in its card.",
        )
    weights = fit(card.architecture, weights, source)
    verify(card, weights, source)
    return Model(card.architecture, weights, card)


def agree(given: Architecture | None, found: Architecture, source: str) -> None:
    """Raises ResNetsError where another network was given than the file's own, but for classes and input channels."""
    if given is None:
        return
    given = replace(given, classes=found.classes, input_channels=found.input_channels)
    if not same(given, found):
        fields = (f"{name} is {here!r}, not {there!r}" for name, (there, here) in differing(given, found).items())
        raise ResNetsError(
            f"{source} holds another network than the one that was given: {', '.join(fields)}.",
            "Leave --architecture out: the file says which network it is.",
        )


def verify(card: Card, weights: Arrays, source: str) -> None:
    """Raises ResNetsError for NaN, infinity, negative variances, and for arrays that the card was not written for."""
    odd = [name for name, array in weights.items() if not np.isfinite(array).all()]
    if odd:
        raise ResNetsError(
            f"{len(odd)} arrays of {source} hold NaN or infinity: {', '.join(odd)}.",
            "Use an earlier checkpoint of the training.",
        )
    eps = card.architecture.eps if card.architecture else 0.0
    negative = [
        n for n, array in weights.items() if n.endswith("running_var") and array.size and array.min() + eps <= 0
    ]
    if negative:
        raise ResNetsError(
            f"{len(negative)} running variances of {source} are below zero: {some(negative)}.",
            "Copy or download the file again, or use an earlier checkpoint.",
        )
    if card.weights_sha256 is not None and digest(weights) != card.weights_sha256:
        raise ResNetsError(
            f"The arrays of {source} are not the ones that its card was written for: the file is damaged, or another"
            " tool changed it.",
            "Copy or download the file again.",
        )
