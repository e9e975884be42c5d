"""A scanned ONNX file goes in; where each of its arrays lies comes out, those in files beside it checked before use.

External data, as onnx.proto calls it: a tensor names another file, an offset and a length. Such a name comes from
anywhere, so only the plain name of a regular file in the model's own folder is taken, and nothing else of it is read.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any

from numpy.typing import DTypeLike, NDArray

from resnets.errors import ResNetsError, short
from resnets.weights.protobuf.scan import RAW, Outside, Scan, Tensor
from resnets.weights.protobuf.tensors import SIZES, Placed
from resnets.weights.protobuf.wire import Buffer
from resnets.weights.source import Source

_COPY = "Copy the file again together with the model, or save the model as one file."
_PLAIN = "Save the model as one file: onnx.save(onnx.load(path), new_path)."
_FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC")  # a pipe would block for ever; not all systems have all
MAX_BYTES = 2**31 - 1  # of all arrays in other files: what ONNX Runtime takes from memory


@dataclass(frozen=True)
class Neighbour:
    """A file beside the model: opened, and looked at, whenever an array is read, so there may be one for each array.

    `named_by`: the first tensor that names it, for errors.
    """

    path: Path
    named_by: str
    model: str

    @contextmanager
    def opened(self) -> Iterator[Source]:
        location = short(self.path.name)
        try:
            handle = os.open(self.path, os.O_RDONLY | sum(getattr(os, flag, 0) for flag in _FLAGS))
        except OSError as error:
            raise self._unreadable(location, error) from error
        with ExitStack() as stack:
            stack.callback(os.close, handle)
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                what = "has a second name (a hard link)" if stat.S_ISREG(status.st_mode) else "is not a regular file"
                raise ResNetsError(
                    f"{self.model} keeps tensor {self.named_by!r} in {location!r}, which {what}.",
                    "Put a copy of the file there.",
                )
            yield Source(str(self.path), status.st_size, FileIO(handle, closefd=False))

    def array(self, dtype: DTypeLike, shape: tuple[int, ...], offset: int) -> NDArray[Any]:
        """As Source.array."""
        with self.opened() as file:
            return file.array(dtype, shape, offset)

    def part(self, start: int, end: int) -> bytes:
        """Those bytes."""
        with self.opened() as file:
            return file.at(start, end - start)

    def _unreadable(self, location: str, error: OSError) -> ResNetsError:
        if error.errno == errno.ENOENT:
            why, remedy = "which is not there", f"Put {location!r} into the folder of the model."
        elif error.errno in (errno.ELOOP, errno.EMLINK):
            why, remedy = "which is a link", "Put a copy of the file there."
        else:
            why, remedy = f"which cannot be read ({error.strerror})", "Check the file and its permissions."
        return ResNetsError(f"{self.model} keeps tensor {self.named_by!r} in {location!r} beside it, {why}.", remedy)


def placed(found: Scan, buffer: Buffer, source: Source) -> dict[str, Placed]:
    """The initializers by name, with what holds their bytes: `buffer`, or a file beside the model.

    Raises ResNetsError for the first that points to what is no such file, or lies beyond its end; and where all of them
    together are larger than the files, which a few bytes that many tensors share would make of any number.
    """
    sizes: dict[str, int] = {}
    files = {}
    places: dict[str, Placed] = {}
    taken = 0
    for name, tensor in found.tensors.items():
        there = tensor.outside
        if there is None:
            places[name] = (buffer, tensor)
            continue
        if there.location not in files:
            files[there.location] = _beside(there.location, name, source)
            with files[there.location].opened() as file:
                sizes[there.location] = file.size
        inside = _within(tensor, there, name, sizes[there.location], source)
        places[name] = (files[there.location], inside)
        taken += inside.data[1] - inside.data[0]
    if taken > min(sum(sizes.values()), MAX_BYTES):
        raise ResNetsError(
            f"The tensors that {source.name} keeps in other files have {taken:,} bytes, more than the files or than"
            f" {MAX_BYTES:,}.",
            _PLAIN,
        )
    return places


def beside(found: Scan, source: Source) -> list[Path]:
    """The files beside the model that hold some of its arrays, each once."""
    named = {tensor.outside.location: name for name, tensor in found.tensors.items() if tensor.outside}
    return [_beside(location, name, source).path for location, name in named.items()]


def _within(tensor: Tensor, there: Outside, name: str, size: int, source: Source) -> Tensor:
    """The tensor with the span of its bytes in a file of that size."""
    wanted = prod(tensor.shape) * SIZES.get(tensor.kind, 0) if tensor.kind in SIZES else None
    length = there.length if there.length is not None else wanted
    if length is None or wanted not in (None, length):
        raise ResNetsError(
            f"{source.name} says that tensor {short(name)!r} has {length or 0:,} bytes in"
            f" {short(there.location)!r}, and its shape {tensor.shape} needs {wanted or 'another number'}.",
            _COPY,
        )
    if there.offset + length > size:
        raise ResNetsError(
            f"Tensor {short(name)!r} of {source.name} should lie at bytes {there.offset:,} to"
            f" {there.offset + length:,} of {short(there.location)!r}, which has {size:,}.",
            _COPY,
        )
    return Tensor(tensor.kind, tensor.shape, (there.offset, there.offset + length), RAW)


def _beside(location: str, name: str, source: Source) -> Neighbour:
    """The file of that name beside the model, not yet looked at."""
    name = short(name)
    if source.file is None:
        raise ResNetsError(
            f"{source.name} keeps tensor {name!r} in another file, and it is not read from a folder.", _PLAIN
        )
    if location in ("", ".", "..") or any(c in location for c in "/\\\0") or (os.name == "nt" and ":" in location):
        raise ResNetsError(
            f"{source.name} keeps tensor {name!r} in {short(location)!r}, and resnets only reads a file beside the"
            " model, named without a folder.",
            _PLAIN,
        )
    return Neighbour(source.path.parent / location, name, source.name)
