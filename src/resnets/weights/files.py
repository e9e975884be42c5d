"""A name or a path goes in, a Model comes out, and back: every model file comes in and goes out through here."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from resnets.card import Card
from resnets.catalog import Architecture
from resnets.errors import ResNetsError, utf8
from resnets.files import write_whole
from resnets.network import same
from resnets.weights.fold import fold as folded
from resnets.weights.formats import format_of
from resnets.weights.model import Model, Runnable, digest, fit
from resnets.weights.names import resolve
from resnets.weights.options import Options
from resnets.weights.sniff import refuse_other
from resnets.weights.source import READ, DamagedError, Source, Stamp

MAX_BYTES = 2**31 - 1  # protobuf's own limit; the largest network of the catalog has a quarter of it


def load(name_or_path: str | Path | None = None, *, quiet: bool = False) -> Model:
    """The model of a name or a file: its architecture, its arrays, and its card with labels and recipe.

    `name_or_path`: a file's path; the name of a bundled model (None: the default one); that of published weights
    (`resnets.list_models(pretrained=True)`), or hf:OWNER/NAME for a repository of the Hugging Face Hub. Published
    weights are downloaded when they are first used, checked, and kept in the cache. What is downloaded is told on
    stderr, and so are what has come and what it was checked against; `quiet=True` silences that. With
    RESNETS_OFFLINE=1 in the environment nothing is downloaded.

    Raises ResNetsError for a name that nothing is known of, what cannot be had, is no model, or is damaged.
    """
    with opened(resolve(name_or_path, quiet=quiet)) as source:
        return read(source)


def read(source: Source, given: Architecture | None = None) -> Model:
    """The model of an open file. `given`: its network, for files that do not say all of it; checked against the arrays.

    Raises ResNetsError for what is damaged, no model, or another network than the one given.
    """
    with _told(source):
        found: Model = format_of(source.path).room.read(source, given)
        card = _completed(found.card, source)
        notes = found.notes if card is found.card else _notes(found, card)
        return replace(found, card=replace(card, name=utf8(card.name), source=_readable(card.source)), notes=notes)


def _notes(found: Model, card: Card) -> tuple[str, ...]:
    """What there is to tell of a file, with what there was when its card was completed; each once."""
    told, taken = ([*map(str, v)] if isinstance(v := card.source.get(n), list) else [] for n in ("notes", "config"))
    said = [f"config.json beside it gives {', '.join(taken)}."] if taken else []
    return tuple(dict.fromkeys((*found.notes, *said, *told)))


def _completed(card: Card, source: Source) -> Card:
    """The card, where it says nothing of pixels or labels, with what the file's publisher says."""
    if source.file is None or None not in (card.recipe, card.labels):
        return card
    from resnets.weights.origin import completed

    return completed(card, source.path)


def network_of(path: Path, called: Path) -> Architecture:
    """The network of a file that will be called so; nothing that is published of it is looked at."""
    with opened(path, called) as source, _told(source):
        found: Model = format_of(called).room.read(source, None)
        return found.architecture


def _readable(source: dict[str, Any]) -> dict[str, Any]:
    """What a card says of its origin, with names of files that JSON can hold."""
    return {name: utf8(value) if isinstance(value, str) else value for name, value in source.items()}


@contextmanager
def _told(source: Source) -> Iterator[None]:
    """What a reader says of bytes that contradict themselves becomes an error that names the file."""
    try:
        yield
    except DamagedError as error:
        what = format_of(source.path).what
        raise ResNetsError(
            f"{source.name} is truncated, damaged, or no {what} file: {error}.", "Copy or download the file again."
        ) from error


def save(
    model: Model,
    path: str | Path,
    *,
    opset: int | None = None,
    fold: bool = False,
    outputs: tuple[str, ...] = (),
    names: str | None = None,
    force: bool = False,
) -> Model:
    """Write a model in the format of the suffix, whole or not at all, and return what was written.

    `fold` folds batch norms into convolutions; `opset` and `outputs` (`features`, `feature_map`) concern .onnx; `names`
    are those of another framework, such as `torchvision`. What is about to be written is read back first: unless the
    same architecture and arrays come back nothing is written, but for `force`. Raises ResNetsError for that, an unknown
    suffix, arrays with NaN or infinity, a missing folder.
    """
    path = Path(path)
    written, data, _ = encode(model, path, Options(opset, outputs, names, force), fold=fold)
    write_whole(path, data)
    return written


def encode(model: Model, path: Path, options: Options, *, fold: bool = False) -> tuple[Model, bytes, list[str]]:
    """The model as it will be written at `path`, the bytes of that file, and the fields that reading it back loses."""
    form = format_of(path)
    if options.names not in (None, *form.names):
        raise ResNetsError(
            f"A {path.suffix} file has no names called {options.names!r}.", f"Use --names {' or '.join(form.names)}."
        )
    if (options.outputs or options.opset) and form.module != "onnx":
        what = "outputs besides the logits" if options.outputs else "opset"
        raise ResNetsError(f"A {path.suffix} file has no {what}.", "Leave that out, or write an .onnx file.")
    model = sealed(folded(model) if fold else model)
    data: bytes = form.room.write(model, options)
    try:
        back = read(Source.of(data, str(path)))
    except ResNetsError:
        if not options.force:
            raise
        return model, data, ["architecture", "weights_sha256"]
    lost = [] if same(back.architecture, model.architecture) else ["architecture"]
    lost += [] if digest(back.weights) == model.card.weights_sha256 else ["weights_sha256"]
    if lost and not options.force:
        raise ResNetsError(
            f"A {path.suffix} file cannot hold this model: it would lose {', '.join(lost)}.",
            "Choose another format, or use --force.",
        )
    return model, data, lost


def sealed(model: Model) -> Model:
    """The model with a card that states its architecture and the digest of its arrays, float32 and in order."""
    weights = {name: np.ascontiguousarray(array, np.float32) for name, array in model.weights.items()}
    weights = fit(model.architecture, weights, "the model")
    card = replace(
        model.card,
        architecture=model.architecture,
        input_channels=model.architecture.input_channels,
        weights_sha256=digest(weights),
    )
    return Model(model.architecture, weights, card)


def runnable(source: Source, outputs: tuple[str, ...] = ()) -> Runnable:
    """The card and the bytes of an ONNX model for an engine, with `features` or `feature_map` on request.

    An .onnx file is given as it is, checked but without importing the onnx package; for others the graph is built.
    """
    form = format_of(source.path)
    if form.module != "onnx":
        return built(sealed(read(source)), outputs)
    with _told(source):
        found: Runnable = form.room.runnable(source, outputs)
        return found._replace(card=_completed(found.card, source))


def beside(source: Source) -> list[Path]:
    """Other files that hold some of the model: an ONNX file's external data."""
    form = format_of(source.path)
    found: list[Path] = form.room.beside(source) if form.module == "onnx" else []
    return found


def built(model: Model, outputs: tuple[str, ...] = ()) -> Runnable:
    """A model as an engine opens it, its graph built."""
    from resnets.weights import onnx

    return Runnable(model.card, onnx.write(model, Options(outputs=outputs)), "logits")


def read_card(source: Source) -> Card | None:
    """The card of a file, or None where it has none, without reading its arrays."""
    form = format_of(source.path)
    with _told(source):
        found: Card | None = form.room.read_card(source) if form.card else None
        return found


def card_of(source: Source) -> Card:
    """The card of a file; where it has none, what its network and its name give."""
    card = read_card(source)
    if card is None:
        foreign = format_of(source.path).module == "onnx"
        card = runnable(source).card if foreign else read(source).card
    return replace(card, name=utf8(card.name))


def with_card(source: Source, card: Card) -> bytes:
    """The same file with another card. Raises ResNetsError for a format that has no place for one."""
    form = format_of(source.path)
    if not form.card:
        raise ResNetsError(
            f"A {form.what} file has no place for a card.", "Convert it to .onnx, .safetensors or .pth first."
        )
    with _told(source):
        found: bytes = form.room.with_card(source, card)
        return found


@contextmanager
def opened(path: Path, called: Path | None = None) -> Iterator[Source]:
    """The file, open, once its kind, its size and its beginning have been looked at.

    `called`: what it will be called, for one that has no name of its own yet.
    """
    called = called or path
    form = format_of(called)
    try:
        handle = os.open(path, READ)
    except OSError as error:
        raise ResNetsError(
            f"{path} cannot be read ({error.strerror}).", "Check the path and its permissions."
        ) from error
    with FileIO(handle) as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ResNetsError(f"{path} is not a regular file.", "Give a model file.")
        if not 0 < found.st_size <= MAX_BYTES:
            raise ResNetsError(
                f"{path} has {found.st_size:,} bytes, which no model has.", "Copy or download the file again."
            )
        stamp: Stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        source = Source(str(called), found.st_size, file, stamp)
        refuse_other(source.at(0, min(512, source.size)), called, form.module)
        yield source
