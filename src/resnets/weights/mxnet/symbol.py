"""The symbol that MXNet exports with a .params file goes in; whether its network is that of the arrays comes out.

NAME-symbol.json lies beside NAME-0000.params. It is compared with the network that the arrays' names imply, step by
step, and is the network where names imply none.
"""

import json
import math
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from resnets.catalog import Architecture
from resnets.errors import ResNetsError, plain, some
from resnets.network import Shape, Step, steps
from resnets.weights.model import Model
from resnets.weights.mxnet.arrays import stored
from resnets.weights.mxnet.graph import walk
from resnets.weights.recognise import recognise
from resnets.weights.source import Source
from resnets.weights.trunk import OddError, trunk_of

MAX_BYTES = 16 << 20  # of the JSON: five times that of 1,202 layers
_COMPARED = ("channels", "kernel", "stride", "padding", "groups", "zeros")


@dataclass(frozen=True)
class Graph:
    """A symbol's network, its arrays under their names in the file. `fixed`: the gammas that count as 1."""

    path: Path
    steps: list[Step]
    fixed: frozenset[str]


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
        found_steps, fixed = walk(json.loads(text), shapes)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError) as error:
        raise ResNetsError(
            f"{path} is damaged, or no symbol of MXNet's ({type(error).__name__}: {plain(str(error))[:200]}).",
            f"Export it again, or move it away to use {source.path.name} by its names alone.",
        ) from error
    return Graph(path, found_steps, frozenset(fixed))


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
        f" {len(graph.steps)} steps are those of the network"
    )


def recognised(graph: Graph, source: str) -> tuple[Architecture, dict[str, str]]:
    """The network that the symbol alone describes, and the name in the file of each array by canonical name."""
    return recognise(graph.steps, f"{graph.path.name} beside {source}")


def compare(graph: Graph, architecture: Architecture, keys: Mapping[str, str] | None = None) -> None:
    """Raises ResNetsError that lists every step in which the symbol is not that network. `keys`: as of `recognised`."""
    try:
        theirs, ours = trunk_of(graph.steps).steps, trunk_of(steps(architecture)).steps
        differing = [_difference(a, b, keys) for a, b in zip_longest(ours, theirs)]
    except OddError as error:
        differing = [str(error)]
    found = [text for text in differing if text]
    if found:
        raise ResNetsError(
            f"{graph.path} is not of the network that the arrays beside it have by their names: {some(found, 50)}.",
            "Give the symbol that was exported with these arrays, or move it away to use them by their names alone.",
        )


def _difference(ours: Step | None, theirs: Step | None, keys: Mapping[str, str] | None) -> str:
    if ours is None or theirs is None:
        return f"{plain(theirs.name)} is one too many" if theirs else f"{ours.name if ours else ''} is missing"
    if ours.op != theirs.op:
        return f"{plain(theirs.name)} is {plain(theirs.op)} instead of {ours.op}"
    pairs = [(name, getattr(ours, name), getattr(theirs, name)) for name in _COMPARED]
    found = [f"{name} {b} instead of {a}" for name, a, b in pairs if a != b]
    if not math.isclose(ours.eps, theirs.eps, rel_tol=1e-6):
        found.append(f"eps {theirs.eps:g} instead of {ours.eps:g}")
    if len(ours.arrays) != len(theirs.arrays):
        found.append(f"{len(theirs.arrays)} arrays instead of {len(ours.arrays)}")
    elif keys is not None:
        names = [(keys[name], key) for (name, _), (key, _) in zip(ours.arrays, theirs.arrays, strict=True)]
        found += [f"{plain(b)} instead of {plain(a)}" for a, b in names if a != b]
    return f"{plain(theirs.name)} has {', '.join(found)}" if found else ""


def _text(path: Path) -> bytes | None:
    """The bytes of a regular file of a sane size; None where there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ResNetsError(
            f"{path} cannot be read ({error.strerror}).", "Check its permissions, or move it away."
        ) from error
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise ResNetsError(
                f"{path} is no regular file of at most {MAX_BYTES >> 20} MB, so no symbol of MXNet's.", "Move it away."
            )
        return file.read(MAX_BYTES)
