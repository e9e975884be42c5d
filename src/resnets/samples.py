"""A model with the ONNX zoo's sample test data goes in; how far its outputs lie from the published ones comes out."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.engines.table import Session, opener
from resnets.errors import ResNetsError, plain, short
from resnets.weights import files, onnx
from resnets.weights.protobuf import tensors, wire
from resnets.weights.protobuf.outputs import answer, is_softmax
from resnets.weights.protobuf.scan import FLOAT, scan, tensor
from resnets.weights.source import DamagedError, small

ABSOLUTE = RELATIVE = 1e-3  # what the zoo's own workflow allows
MOST = 64 << 20  # bytes of a sample: an image of 224 pixels has 0.6 MB
MAX_IMAGES = 64  # of one input
MAX_SETS = 100
MAX_PARTS = 16  # inputs of a set, of which one is what a network here takes
MAX_DEPTH = 4  # folders below the model's
_SET = re.compile(r"test_data_set_(\d{1,6})")
_PART = re.compile(r"(input|output)_(\d{1,6})\.pb")
_SEQUENCE = 3  # the field of SequenceProto that holds its tensors; of a TensorProto, which never has it, the segment
Numbers = NDArray[Any]
Named = tuple[str, Numbers]


@dataclass(frozen=True)
class Sample:
    """One test_data_set of a tarball: its folder's name, and how far the model's answer lies from the published one.

    `difference`: the largest absolute one; `relative`: the same over the largest number of the published answer.
    `holds`: every number lies within ABSOLUTE + RELATIVE * |published|, as in the zoo's workflow. Of a quantised model
    that says which processor this is as well: the published answers are those of one with AVX512-VNNI, and on others
    the sums of its integers saturate or round otherwise. `top1_agreement` is the share of images, from 0 to 1, whose
    most probable class is the published one.
    """

    name: str
    difference: float
    holds: bool
    relative: float = 0.0
    top1_agreement: float = 1.0


@dataclass(frozen=True)
class _Opened:
    """A model as its samples know it: what they call its image, and what its session calls each of its answers.

    The empty name is that of the one answer. `softmax`: one is to be taken of what the session gives.
    """

    session: Session
    image: str
    answers: dict[str, str]
    softmax: bool = False


def run(model: Path) -> list[Sample]:
    """Run every test_data_set_N beside the model or below, in the order of their numbers; none where there is none.

    `test_data_N.npz`, which some archives hold too, are left alone: they are pickles. Raises ResNetsError for a set
    that lacks an input or an output, for a sample that is damaged, larger than any, no tensor or of another name or
    shape than the model's, and for what is no model.
    """
    found = list(_sets(model.parent))
    if not found:
        return []
    opened = _open(model)
    return [_compared(folder, opened) for folder in found]


def _sets(root: Path) -> Iterator[Path]:
    """The folders of samples below `root`, by number and then by path. No link is followed."""
    there = []
    for place, folders, _ in os.walk(root):
        path = Path(place)
        if len(path.relative_to(root).parts) >= MAX_DEPTH:
            folders.clear()
        there += [path / name for name in folders if _SET.fullmatch(name) and not (path / name).is_symlink()]
        folders[:] = [name for name in folders if not _SET.fullmatch(name)]
        if len(there) > MAX_SETS:
            raise ResNetsError(
                f"There are more than {MAX_SETS} sets of samples below {root}.", "Unpack one archive into one folder."
            )
    yield from sorted(there, key=lambda path: (int(path.name.rpartition("_")[2]), path))


def _open(model: Path) -> _Opened:
    """The file itself in ONNX Runtime; where that is too new for its opset, the network that was read from it."""
    with files.opened(model) as source:
        found = files.runnable(source)
        session = opener("onnxruntime")(found.model, 1)
        given = found.answer
        if onnx.outdated(source) is None:
            answers = {name: name for name in session.outputs}
            return _Opened(session, session.input, {**answers, **({"": given} if given else {})})
        theirs = scan(wire.Pages(source), source.name)
        image = next(name for name in theirs.inputs if name not in theirs.tensors)
        name = answer(theirs) or ""
        return _Opened(session, image, {name: given or "", "": given or ""}, is_softmax(theirs, name))


def _compared(folder: Path, opened: _Opened) -> Sample:
    x = _image(folder, opened)
    outputs = _parts(folder, "output")
    if len(outputs) != 1:
        raise _unfit(folder, f"has {len(outputs)} outputs, and a network that classifies has one answer")
    path, (name, published) = outputs[0]
    if name not in opened.answers:
        raise _unfit(path, f"is of an output {short(plain(name))!r}, which the model does not have")
    theirs = opened.answers[name]
    ours = opened.session.run(x, (theirs,))[theirs].astype(np.float64)
    if opened.softmax:
        powers = np.exp(ours - ours.max(axis=1, keepdims=True))
        ours = powers / powers.sum(axis=1, keepdims=True)
    if ours.shape != published.shape:
        raise _unfit(path, f"has the shape {published.shape}, and the model's answer {ours.shape}")
    return _sample(folder.name, ours, published.astype(np.float64))


def _sample(name: str, ours: Numbers, published: Numbers) -> Sample:
    apart = np.abs(ours - published)
    largest = float(apart.max()) if np.isfinite(apart).all() else float("inf")
    scale = max(float(np.abs(published).max()), float(np.finfo(np.float32).tiny))
    rows = (array.reshape(len(array), -1).argmax(1) for array in (ours, published))
    return Sample(
        name,
        largest,
        bool((apart <= ABSOLUTE + RELATIVE * np.abs(published)).all()),
        relative=largest / scale,
        top1_agreement=float(np.equal(*rows).mean()),
    )


def _image(folder: Path, opened: _Opened) -> NDArray[np.float32]:
    """The one input, [n, c, h, w]. Raises ResNetsError for any other number of them, another name, type or shape."""
    inputs = _parts(folder, "input")
    if len(inputs) != 1:
        raise _unfit(folder, f"has {len(inputs)} inputs, and a network for images has one")
    path, (name, array) = inputs[0]
    if name not in ("", opened.image):
        raise _unfit(path, f"is of an input {short(plain(name))!r}, and the model's is {opened.image!r}")
    if array.dtype != np.float32 or array.ndim != 4 or len(array) > MAX_IMAGES:
        raise _unfit(path, f"holds {array.dtype} of the shape {array.shape}, which are no images")
    takes = opened.session.shape
    if len(takes) == 4 and any(isinstance(n, int) and n != m for n, m in zip(takes[1:], array.shape[1:], strict=True)):
        raise _unfit(path, f"has the shape {array.shape}, and the model takes {takes}")
    return np.ascontiguousarray(array)


def _parts(folder: Path, what: str) -> list[tuple[Path, Named]]:
    """The tensors in the files of that name, by number."""
    there = [(match, folder / name) for name in os.listdir(folder) if (match := _PART.fullmatch(name))]
    mine = sorted((int(match[2]), path) for match, path in there if match[1] == what)
    return [(path, _tensor(path)) for _, path in mine[:MAX_PARTS]]


def _tensor(path: Path) -> Named:
    """The name of a TensorProto, often empty, and its numbers. Raises ResNetsError for anything else."""
    try:
        data = small(path, MOST)
    except OSError as error:
        raise _unfit(path, f"cannot be read ({error.strerror or error})") from error
    if data is None:
        raise _unfit(path, "is not there")
    try:
        return _decoded(data, path)
    except DamagedError as error:
        raise ResNetsError(f"{path} is truncated, damaged, or no tensor: {error}.", _AGAIN) from error


def _decoded(data: bytes, path: Path) -> Named:
    reader = wire.Reader(data)
    if any(number == _SEQUENCE for number, _, _ in reader.fields((0, len(data)))):
        raise _unfit(path, "holds a sequence of tensors, which no network for images takes")
    name, there, external = tensor(reader, (0, len(data)))
    if external:
        raise _unfit(path, "keeps its numbers in another file")
    if prod(there.shape) * tensors.SIZES.get(there.kind, 1) > MOST:
        raise DamagedError(f"its shape is {there.shape}")
    array = tensors.array(data, there)
    if array is None or array.size == 0 or (there.kind == FLOAT and not np.isfinite(array).all()):
        raise _unfit(path, f"holds no finite numbers of a type that networks here have (type {there.kind})")
    return name, array


_AGAIN = "Fetch the archive again."


def _unfit(path: Path, how: str) -> ResNetsError:
    return ResNetsError(f"{path} {how}.", _AGAIN)
