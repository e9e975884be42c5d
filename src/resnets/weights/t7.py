"""A Torch7 file goes in, a Model comes out, and back: the network is what the file's own module tree says.

A run's `latest.t7` leads to the model file that it names, in the same folder.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from resnets.catalog import Architecture
from resnets.errors import ResNetsError
from resnets.weights.files import opened
from resnets.weights.model import Model, agree, derived_card, fit, verify
from resnets.weights.options import Options
from resnets.weights.recognise import recognise
from resnets.weights.source import Source
from resnets.weights.torch7 import cover
from resnets.weights.torch7.export import export
from resnets.weights.torch7.modules import root
from resnets.weights.torch7.objects import Object
from resnets.weights.torch7.outline import pointer, what
from resnets.weights.torch7.read import parse
from resnets.weights.torch7.steps import Tree
from resnets.weights.torch7.tree import walk
from resnets.weights.torch7.write import write as written

USUAL = (32, 224)  # pixels of the images of fb's networks, for CIFAR and ImageNet


def read(source: Source, given: Architecture | None) -> Model:
    """The network of the module tree, its arrays as float32; gradients and buffers are never read.

    Raises ResNetsError for a file that holds no network, one that is no residual network (the module's path and why),
    and one that is not the network `given`; DamagedError for a broken file.
    """
    with _led(source) as (file, objects):
        found = walk(_network(objects, file.name), file.name)
        architecture, keys = recognise(found.steps, file.name)
        pixels = cover.side(found)
        agree(given, architecture, file.name)
        weights = fit(architecture, {name: found.arrays[key]() for name, key in keys.items()}, file.name)
        followed = file is not source
        card = derived_card(architecture, file.path, sha256=file.sha256() if followed else None)
        verify(card, weights, file.name)
        notes = (f"{source.path.name} leads to {file.path.name}",) if followed else ()
        return Model(architecture, weights, card, (*notes, *_notes(found, pixels)))


def write(model: Model, options: Options) -> bytes:
    """The module tree that fb.resnet.torch would have built, of classes of nn or cudnn (`options.names`).

    Raises ResNetsError for a network that those classes cannot say.
    """
    return written([export(model, options.names)])


def tree(source: Source) -> Object:
    """The module that the file holds, as it stands; its arrays are read from the source while that is open."""
    with _led(source) as (file, objects):
        if file is not source:  # which is closed when we leave
            objects = parse(Source.of(file.whole(), file.name))
        return _network(objects, file.name)


def side(module: Object) -> int | None:
    """The one size of square images, in pixels, that Torch runs a stored network on; None where any size will do.

    224 of the published files, 32 of those for CIFAR: cover.py. Raises ResNetsError where there is no such size.
    """
    return cover.side(walk(module, "the module tree"))


def _network(objects: list[Any], source: str) -> Object:
    found = root(objects, source)
    if found is None:
        raise ResNetsError(
            f"{source} is no model: it holds {what(objects) or 'no network'}.",
            "Give the file of a model, such as model_best.t7 of the same training.",
        )
    return found


@contextmanager
def _led(source: Source) -> Iterator[tuple[Source, list[Any]]]:
    """The file itself, or the one that fb's latest.t7 names (checkpoints.lua), and its objects.

    Only a file beside it is followed, and only once.
    """
    objects = parse(source)
    name = pointer(objects)
    if name is None:
        yield source, objects
        return
    beside = source.path.with_name(re.split(r"[/\\]", name)[-1] or "?")
    if beside.is_symlink() or not beside.is_file():
        raise ResNetsError(
            f"{source.name} leads to {beside.name}, which is no file beside it.",
            "Copy that file into the same folder, or give it by its own name.",
        )
    with opened(beside) as file:
        yield file, parse(file)


def _notes(found: Tree, pixels: int | None) -> Iterator[str]:
    if pixels is not None and pixels not in USUAL:
        yield f"its last pooling fits images of {pixels}x{pixels} alone: the converted network takes others as well"
    for module in found.left_out:
        yield f"{module} at the end is left out: the converted network gives logits"
    kinds = {tensor.name for tensor in found.tensors}
    double = sorted(kind for kind in kinds if "Double" in kind)
    if double:
        yield f"arrays of type {', '.join(double)} are rounded to float32"
