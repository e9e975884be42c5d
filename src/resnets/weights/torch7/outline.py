"""The objects of a .t7 file go in; a short outline of them for people comes out, or what kind of file they are.

For files that are no models: those that fb.resnet.torch writes beside its checkpoints (checkpoints.lua,
extract-features.lua, datasets/*-gen.lua), and any other.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

from resnets.errors import plain
from resnets.weights.torch7.modules import networks
from resnets.weights.torch7.objects import Function, Object, Storage, Table, Tensor

MAX_LINES = 60
MAX_DEPTH = 4  # tables in tables that are shown
MAX_ENTRIES = 12  # of one table
MAX_TEXT = 60  # characters of a string


def outline(objects: Sequence[Any]) -> list[str]:
    """One line a value, indented by depth: `features: torch.FloatTensor 3 x 512`. At most MAX_LINES lines."""
    lines: list[str] = []
    seen: set[int] = set()
    for number, value in enumerate(objects, 1):
        _show(lines, f"object {number}" if len(objects) > 1 else "", value, 0, seen)
    return [*lines[: MAX_LINES - 1], "..."] if len(lines) > MAX_LINES else lines


def what(objects: Sequence[Any]) -> str | None:
    """What kind of file this is, as a phrase: `the features of 3 images`. None for a model, and what is not known."""
    if not objects or not isinstance(objects[0], Table) or networks(objects):
        return None
    table: Table = objects[0]
    if (model := pointer(objects)) is not None:
        epoch = table["epoch"]
        after = f" after epoch {_number(epoch)}" if isinstance(epoch, float) else ""
        return f"a pointer to the last checkpoint of a training, {_text(model)}{after}"
    for phrase in (_optimiser, _features, _cache, _archive):
        if found := phrase(table):
            return found
    return None


def pointer(objects: Sequence[Any]) -> str | None:
    """The model file that a run's latest.t7 names (checkpoints.lua); None for any other file."""
    top = objects[0] if objects else None
    model = top["modelFile"] if isinstance(top, Table) and not networks(objects) else None
    return model if isinstance(model, str) else None


def _optimiser(table: Table) -> str | None:
    """optimState_*.t7: what optim.sgd keeps (train.lua)."""
    if not isinstance(table["learningRate"], float) or table["momentum"] is None:
        return None
    state = table["dfdx"]
    arrays = f", {_count(state):,} numbers of momentum" if isinstance(state, Tensor) else ""
    return f"the state of an optimiser (learning rate {_number(table['learningRate'])}{arrays}), no network"


def _features(table: Table) -> str | None:
    """features.t7: extract-features.lua."""
    features = table["features"]
    if not isinstance(features, Tensor) or not isinstance(table["image_list"], Table):
        return None
    images = features.size[0] if len(features.size) > 1 else 1  # of one image, the batch's dimension is squeezed away
    return f"the features of {images:,} image{'s' * (images != 1)}, {_count(features) // images:,} numbers each"


def _cache(table: Table) -> str | None:
    """gen/imagenet.t7: datasets/imagenet-gen.lua."""
    classes, splits = table["classList"], [table[name] for name in ("train", "val")]
    if not isinstance(classes, Table) or not all(isinstance(split, Table) for split in splits):
        return None
    train, val = (_count(split["imageClass"]) for split in splits)
    return (
        f"the list of a data set: {train:,} images to train on and {val:,} to validate, {len(classes.pairs):,} classes"
    )


def _archive(table: Table) -> str | None:
    """CIFAR as Torch has it: one split, or both under their names (datasets/cifar10-gen.lua)."""
    splits = [table] if table["data"] is not None else [table[name] for name in ("train", "val", "test")]
    images = 0
    for split in splits:
        if split is None:
            continue
        data, labels = (split["data"], split["labels"] or split["label"]) if isinstance(split, Table) else (None, None)
        if not _count(data) or not _count(labels):
            return None
        images += _count(labels)
    return f"a data set of {images:,} images with their labels" if images else None


def _show(lines: list[str], name: str, value: Any, depth: int, seen: set[int]) -> None:
    """Appends the line of a value, and those of what it holds."""
    lead = "  " * depth + (f"{name}: " if name else "")
    inner = value.value if isinstance(value, Object) else value
    again = isinstance(value, (Table, Object)) and id(value) in seen
    lines.append(lead + _line(value) + (" (as above)" if again else ""))
    if again or not isinstance(inner, Table) or len(lines) > MAX_LINES:
        return
    seen |= {id(value), id(inner)}
    if depth == MAX_DEPTH:
        if inner.pairs:
            lines.append("  " * (depth + 1) + "...")
        return
    for key, one in inner.pairs[:MAX_ENTRIES]:
        _show(lines, _text(key) if isinstance(key, str) else _line(key), one, depth + 1, seen)
    if len(inner.pairs) > MAX_ENTRIES:
        lines.append("  " * (depth + 1) + f"... and {len(inner.pairs) - MAX_ENTRIES:,} more")


def _line(value: Any) -> str:
    """A value without what it holds."""
    match value:
        case None:
            return "nil"
        case bool():
            return "true" if value else "false"
        case float():
            return _number(value)
        case str():
            return f'"{_text(value)}"'
        case Table():
            return f"table of {len(value.pairs):,}"
        case Object():
            return _text(value.name)
        case Storage():
            return f"{value.name} of {value.count:,}"
        case Tensor():
            return f"{value.name} {' x '.join(f'{n:,}' for n in value.size) or 'without elements'}"
        case Function():
            return f"function, {len(value.code):,} bytes"
    return type(value).__name__


def _count(value: Any) -> int:
    """How many elements a tensor shows; 0 for what is none."""
    return prod(value.size) if isinstance(value, Tensor) and value.size else 0


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else f"{value:.9g}"


def _text(value: str) -> str:
    """A string without what a terminal would obey, shortened."""
    short = value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "..."
    return plain(short)
