"""A scanned ONNX file goes in, the Model that its graph is comes out, whoever wrote it and whatever its names are."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from resnets import card as cards
from resnets.card import Card, Recipe
from resnets.catalog import Architecture
from resnets.errors import ResNetsError
from resnets.network import same, steps
from resnets.weights.model import Arrays, Model, derived_card, fit, verify
from resnets.weights.nodes.topology import Topology, topology
from resnets.weights.protobuf.scan import Scan
from resnets.weights.protobuf.tensors import Placed
from resnets.weights.protobuf.wire import Buffer
from resnets.weights.recognise import recognise
from resnets.weights.source import Source

MAX_BYTES = 2**31 - 1  # of all arrays: what protobuf could hold


def recovered(
    buffer: Buffer, found: Scan, places: dict[str, Placed], card: Card | None, recipe: Recipe | None, file: Source
) -> Model:
    """The model, its arrays in memory of their own. It gives logits, whatever stands behind them in the graph.

    `recipe`: what the graph says of its pixels, for a file without a card. Raises ResNetsError for a graph that is no
    residual network, or another one than its card says.
    """
    there = topology(buffer, found, places, file.name)
    if card is not None and card.architecture is not None and _as_written(card.architecture, there):
        architecture, keys = card.architecture, {name: name for name in there.arrays}
    else:
        architecture, keys, there = _network(there, file.name)
    weights = fit(architecture, _kept(there, keys, file.name), file.name)
    if card is None:
        card = derived_card(architecture, file.path, recipe, notes=[*there.notes])
    else:
        card = _described(architecture, card, file.name)
    verify(card, weights, file.name)
    return Model(card.architecture or architecture, weights, card, there.notes)


def _kept(there: Topology, keys: Mapping[str, str], source: str) -> Arrays:
    """The arrays by canonical name, float32 and in a row. A file may name one array many times."""
    if sum(there.arrays[key].nbytes for key in keys.values()) > MAX_BYTES:
        raise ResNetsError(
            f"The arrays of {source} would take more than {MAX_BYTES:,} bytes.", "No residual network is so large."
        )
    kept: dict[int, NDArray[np.float32]] = {}
    for key in keys.values():
        view = there.arrays[key]
        if id(view) not in kept:  # what was read from a file has its own memory already
            kept[id(view)] = np.require(view, np.float32, ("C", "W"))
    return {name: kept[id(there.arrays[key])] for name, key in keys.items()}


def _described(architecture: Architecture, card: Card, source: str) -> Card:
    """The file's card for that network."""
    if card.architecture is not None and not same(card.architecture, architecture):
        raise ResNetsError(
            f"The graph in {source} is another network than its card describes.",
            f"Remove its {cards.KEY} property to use the graph as it is.",
        )
    if card.architecture is None:
        card = replace(card, architecture=architecture, input_channels=architecture.input_channels)
    return replace(card, output="logits")


def _as_written(architecture: Architecture, there: Topology) -> bool:
    """Has the graph just the steps of that network, and under the names that `write` gives them?

    Then nothing is to be recognised: of networks that look alike it is the one that the card says.
    """
    # A graph says eps as a 32-bit float.
    ours = (replace(step, eps=float(str(np.float32(step.eps)))) for step in steps(architecture))
    return tuple(ours) == there.steps


def _network(there: Topology, source: str) -> tuple[Architecture, dict[str, str], Topology]:
    """What is recognised, and in what: an exporter that folds batch norms leaves out biases that come out as zeros."""
    try:
        return (*recognise(there.steps, source), there)
    except ResNetsError:
        completed = there.with_zero_biases()
        with suppress(ResNetsError):
            if completed is not None:
                return (*recognise(completed.steps, source), completed)
        raise
