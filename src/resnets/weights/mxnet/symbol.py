"""The symbol that MXNet exports with a .params file goes in; whether its network is that of the arrays comes out.

NAME-symbol.json lies beside NAME-0000.params. It is compared with the network that the arrays' names imply, step by
step, and is the network where names imply none.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from resnets.catalog import Architecture
from resnets.errors import ResNetsError, plain, some
from resnets.network import Shape, steps
from resnets.weights.model import Model
from resnets.weights.mxnet.arrays import stored
from resnets.weights.mxnet.graph import Network, walk
from resnets.weights.recognise import difference, recognise
from resnets.weights.source import Source, small
from resnets.weights.trunk import OddError, trunk_of

MAX_BYTES = 16 << 20  # of the JSON: five times that of 1,202 layers


@dataclass(frozen=True)
class Graph:
    """A symbol's network, its arrays under their names in the file."""

    path: Path
    network: Network

    @property
    def notes(self) -> list[str]:
        """What there is to tell of it."""
        name = plain(self.network.left_out)
        return (
            [f"{name}, the softmax at the end of {self.path.name}, is left out: the logits are kept."] if name else []
        )


def beside(source: Source, shapes: Mapping[str, Shape]) -> Graph | None:
    """The graph of the symbol beside a file of arrays of these shapes; None where none lies there.

    Raises ResNetsError for one that is no symbol.
    """
    found = re.fullmatch(r"(.+)-\d{4,}\.params", source.path.name)
    if source.file is None or found is None:
        return None
    path = source.path.with_name(f"{found[1]}-symbol.json")
    text = _text(path)
    if text is None:
        return None
    try:
        network = walk(json.loads(text), shapes)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError) as error:
        raise ResNetsError(
            f"{path} is damaged, or no symbol of MXNet's ({type(error).__name__}: {plain(str(error))[:200]}).",
            f"Export it again, or move it away to use {source.path.name} by its names alone.",
        ) from error
    return Graph(path, network)


def check(source: Source, model: Model) -> str | None:
    """Compare the symbol beside a .params file with the network that was read from it; None where no symbol is there.

    Returns the sentence for the proof. Raises ResNetsError that lists every step in which they differ.
    """
    graph = beside(source, {name: one.shape for name, one in stored(source).items() if one.kind})
    if graph is None:
        return None
    compare(graph, model.architecture)
    return (
        f"checked against {graph.path.name}: strides, pads, groups, epsilons and connections of its"
        f" {len(graph.network.steps)} steps are those of the network"
    )


def recognised(graph: Graph, source: str) -> tuple[Architecture, dict[str, str]]:
    """The network that the symbol alone describes, and the name in the file of each array by canonical name."""
    return recognise(graph.network.steps, f"{graph.path.name} beside {source}")


def compare(graph: Graph, architecture: Architecture, keys: Mapping[str, str] | None = None) -> None:
    """Raises ResNetsError that lists every step in which the symbol is not that network. `keys`: as of `recognised`."""
    try:
        theirs, ours = trunk_of(graph.network.steps).steps, trunk_of(steps(architecture)).steps
        differing = [difference(a, b, keys) for a, b in zip_longest(ours, theirs)]
    except OddError as error:
        differing = [str(error)]
    found = [text for text in differing if text]
    if found:
        raise ResNetsError(
            f"{graph.path} is not of the network that the arrays beside it have by their names: {some(found, 50)}.",
            "Give the symbol that was exported with these arrays, or move it away to use them by their names alone.",
        )


def _text(path: Path) -> bytes | None:
    try:
        return small(path, MAX_BYTES)
    except OSError as error:
        raise ResNetsError(
            f"{path} cannot be read as a symbol of MXNet's ({error.strerror}).",
            "Check its permissions, or move it away.",
        ) from error
