"""A name or a path goes in, a Model comes out, and back: every model file comes in and goes out through here."""

import mmap
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from resnets import catalog
from resnets.card import Card
from resnets.errors import ResNetsError, did_you_mean
from resnets.files import write_whole
from resnets.weights import onnx, safetensors
from resnets.weights.fold import fold as folded
from resnets.weights.model import Model, Runnable, digest, fit
from resnets.weights.options import Options
from resnets.weights.wire import Buffer

BUNDLED = Path(__file__).parent.parent / "bundled"
Stamp = tuple[int, int, int, int]  # device, file, size, time of the last change
LARGE = 64 << 20
MAX_BYTES = 2**31 - 1  # protobuf's own limit; the largest network of the catalog has a quarter of it


@dataclass(frozen=True)
class Format:
    """One kind of file: how it is read, written, made ready for ONNX Runtime, and its card read and exchanged."""

    read: Callable[[Buffer, str], Model]
    write: Callable[[Model, Options], bytes]
    runnable: Callable[[Buffer, str, tuple[str, ...]], Runnable]
    read_card: Callable[[Buffer, str], Card | None]
    with_card: Callable[[Buffer, str, Card], bytes]


FORMATS: dict[str, Format] = {
    ".onnx": Format(onnx.read, onnx.write, onnx.runnable, onnx.read_card, onnx.with_card),
    ".safetensors": Format(
        safetensors.read, safetensors.write, safetensors.runnable, safetensors.read_card, safetensors.with_card
    ),
}


def load(name_or_path: str | Path | None = None) -> Model:
    """The model of a bundled name or a file. Raises ResNetsError for what is no model, is damaged, or has no card."""
    path = resolve(name_or_path)
    return format_of(path).read(contents(path), str(path))


def save(
    model: Model,
    path: str | Path,
    *,
    opset: int = 13,
    fold: bool = False,
    outputs: tuple[str, ...] = (),
    force: bool = False,
) -> Model:
    """Write a model in the format of the suffix, whole or not at all, and return what was written.

    `fold` folds batch norms into convolutions; `opset` and `outputs` (`features`, `feature_map`) concern .onnx. What
    is about to be written is read back first: unless the same architecture and arrays come back nothing is written,
    but for `force`. Raises ResNetsError for that, an unknown suffix, arrays with NaN or infinity, a missing folder.
    """
    path = Path(path)
    written, data, _ = encode(model, path, Options(opset, outputs), fold=fold, force=force)
    write_whole(path, data)
    return written


def encode(
    model: Model, path: Path, options: Options, *, fold: bool = False, force: bool = False
) -> tuple[Model, bytes, list[str]]:
    """The model as it will be written at `path`, the bytes of that file, and the fields that reading it back loses."""
    form = format_of(path)
    model = sealed(folded(model) if fold else model)
    data = form.write(model, options)
    back = form.read(data, str(path))
    lost = [
        name for name in ("architecture", "weights_sha256") if getattr(back.card, name) != getattr(model.card, name)
    ]
    if lost and not force:
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


def runnable(path: str | Path, outputs: tuple[str, ...] = ()) -> Runnable:
    """The card and the bytes of an ONNX model for an engine, with `features` or `feature_map` on request.

    An .onnx file is given as it is, checked but without importing the onnx package; for others the graph is built.
    """
    path = Path(path)
    return format_of(path).runnable(contents(path), str(path), outputs)


def read_card(path: str | Path) -> Card | None:
    """The card of a file, or None where it has none, without reading its arrays."""
    path = Path(path)
    with _mapped(path) as view:
        return format_of(path).read_card(view, str(path))


def bundled() -> dict[str, Path]:
    """The models in the package by name; the first is the default."""
    return {path.stem: path for path in sorted(BUNDLED.glob("*.onnx"))}


def resolve(name_or_path: str | Path | None = None) -> Path:
    """The file of a bundled model's name, of a path, or of the default bundled model where None is given."""
    known = bundled()
    if name_or_path is None:
        if not known:
            raise ResNetsError("This installation has no bundled model.", "Give a model file with --model.")
        return next(iter(known.values()))
    name = str(name_or_path)
    path = Path(name_or_path).expanduser()
    if name in known and not os.path.isfile(path):
        return known[name]
    if os.path.isdir(path):  # which, unlike Path's, says no to a name that is too long
        inside = [str(file) for file in sorted(path.iterdir()) if file.suffix in FORMATS]
        raise ResNetsError(
            f"{name} is a folder, not a model file.",
            f"Use {' or '.join(inside)}." if inside else "Give a file inside it.",
        )
    if os.path.lexists(path):
        return path
    raise _unknown(name, path, list(known))


def _unknown(name: str, path: Path, known: list[str]) -> ResNetsError:
    if name in catalog.ARCHITECTURES:
        return ResNetsError(
            f"{name} is an architecture, not a model: it has no weights.",
            f"Use a model file or a bundled model ({', '.join(known) or 'none is installed'}). A fresh, untrained"
            f" one is made by `resnets create {name} {name}.onnx`.",
        )
    if path.suffix in FORMATS or path.parent != Path("."):
        return ResNetsError(f"There is no file {name}.", "Check the path.")
    bundled = f"Bundled: {', '.join(known) or 'none'}; or give a path to a file."
    hint = did_you_mean(name, [*known, *catalog.ARCHITECTURES], bundled)
    return ResNetsError(f"There is no model called {name!r}, and no file of that name.", hint)


def format_of(path: Path) -> Format:
    """How files of that suffix are read and written."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ResNetsError(
            f"{path} has the suffix {suffix or '(none)'}, which is not a format of models that resnets knows.",
            f"Use {' or '.join(FORMATS)}.",
        )
    return FORMATS[suffix]


def contents(path: Path) -> bytes:
    """All bytes of a model file, once its size and its beginning have been looked at; of a large one, its structure."""
    return stamped(path)[0]


def stamped(path: Path) -> tuple[bytes, Stamp]:
    """`contents`, and which file they are: another file under that name, or other contents, have another stamp."""
    if path.is_file() and path.stat().st_size > LARGE:
        read_card(path)  # by way of a mapping: gigabytes of something else are not read in to be refused
    with _opened(path) as handle, os.fdopen(handle, "rb", closefd=False) as file:
        found = os.fstat(handle)
        return file.read(), (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    with _opened(path) as handle, mmap.mmap(handle, 0, access=mmap.ACCESS_READ) as mapping, memoryview(mapping) as view:
        yield view


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    format_of(path)
    try:
        # A pipe under a model's name would block for ever.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise ResNetsError(
            f"{path} cannot be read ({error.strerror}).", "Check the path and its permissions."
        ) from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ResNetsError(f"{path} is not a regular file.", "Give a model file.")
        if not 0 < status.st_size <= MAX_BYTES:
            raise ResNetsError(
                f"{path} has {status.st_size:,} bytes, which no model has.", "Copy or download the file again."
            )
        _sniff(os.read(handle, 512), path)
        os.lseek(handle, 0, os.SEEK_SET)
        yield handle
    finally:
        os.close(handle)


_OTHER = (  # what a file begins with, what that is, what to do
    (rb"version https://git-lfs", "a git-lfs pointer, not the model itself", "Fetch the model with `git lfs pull`."),
    (rb"\s*<(!doctype|html|\?xml)", "a web page", "Download the file itself, not the page about it."),
    (rb"PK\x03\x04", "a zip archive, as torch.save writes it", "Give a model that resnets has written."),
    (rb"\x80[\x02-\x05]", "a pickle", "Give a model that resnets has written."),
    (rb"\x1f\x8b\x08", "a gzip archive", "Unpack it first."),
)


def _sniff(head: bytes, path: Path) -> None:
    """Raises ResNetsError where a file's beginning shows that it is something else than its suffix says."""
    if head[8:9] == b"{":  # a .safetensors header; the length before it may look like anything
        return
    for pattern, what, remedy in _OTHER:
        if re.match(pattern, head, re.IGNORECASE):
            raise ResNetsError(f"{path} is {what}.", remedy)
