"""A scanned ONNX file goes in; where each of its arrays lies comes out, those in files beside it checked before use.

External data, as onnx.proto calls it: a tensor names another file, an offset and a length. Such a name comes from
anywhere, so only the plain name of a regular file in the model's own folder is taken; files are mapped, not read.
"""

import errno
import mmap
import os
import stat
from math import prod

from resnets.errors import ResNetsError
from resnets.weights.protobuf.scan import RAW, Outside, Scan, Tensor
from resnets.weights.protobuf.tensors import SIZES, Placed
from resnets.weights.protobuf.wire import Buffer
from resnets.weights.source import Source

_COPY = "Copy the file again together with the model, or save the model as one file."
_PLAIN = "Save the model as one file: onnx.save(onnx.load(path), new_path)."
_FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC")  # a pipe would block for ever; not all systems have all


def placed(found: Scan, buffer: Buffer, source: Source) -> dict[str, Placed]:
    """The initializers by name, with the bytes that hold them: `buffer`, or a file beside the model.

    Raises ResNetsError for the first that points to what is no such file, or lies beyond its end.
    """
    files: dict[str, memoryview] = {}
    places: dict[str, Placed] = {}
    for name, tensor in found.tensors.items():
        there = tensor.outside
        if there is None:
            places[name] = (buffer, tensor)
            continue
        if there.location not in files:
            files[there.location] = _mapped(there.location, name, source)
        view = files[there.location]
        places[name] = (view, _within(tensor, there, name, len(view), source))
    return places


def _within(tensor: Tensor, there: Outside, name: str, size: int, source: Source) -> Tensor:
    """The tensor with the span of its bytes in a file of that size."""
    wanted = prod(tensor.shape) * SIZES.get(tensor.kind, 0) if tensor.kind in SIZES else None
    length = there.length if there.length is not None else wanted
    if length is None or wanted not in (None, length):
        raise ResNetsError(
            f"{source.name} says that tensor {name!r} has {length or 0:,} bytes in {there.location!r}, and its shape"
            f" {tensor.shape} needs {wanted or 'another number'}.",
            _COPY,
        )
    if there.offset + length > size:
        raise ResNetsError(
            f"Tensor {name!r} of {source.name} should lie at bytes {there.offset:,} to {there.offset + length:,} of"
            f" {there.location!r}, which has {size:,}.",
            _COPY,
        )
    return Tensor(tensor.kind, tensor.shape, (there.offset, there.offset + length), RAW)


def _mapped(location: str, name: str, source: Source) -> memoryview:
    """The bytes of the file of that name beside the model."""
    if source.file is None:
        raise ResNetsError(
            f"{source.name} keeps tensor {name!r} in another file, and it is not read from a folder.", _PLAIN
        )
    if location in ("", ".", "..") or any(c in location for c in "/\\\0") or (os.name == "nt" and ":" in location):
        raise ResNetsError(
            f"{source.name} keeps tensor {name!r} in {location!r}, and resnets only reads a file beside the model,"
            " named without a folder.",
            _PLAIN,
        )
    path = source.path.parent / location
    try:
        handle = os.open(path, os.O_RDONLY | sum(getattr(os, flag, 0) for flag in _FLAGS))
    except OSError as error:
        raise _unreadable(location, name, source, error) from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            what = "has a second name (a hard link)" if stat.S_ISREG(status.st_mode) else "is not a regular file"
            raise ResNetsError(
                f"{source.name} keeps tensor {name!r} in {location!r}, which {what}.", "Put a copy of the file there."
            )
        if not status.st_size:
            return memoryview(b"")  # which cannot be mapped
        return memoryview(mmap.mmap(handle, 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise _unreadable(location, name, source, error) from error
    finally:
        os.close(handle)


def _unreadable(location: str, name: str, source: Source, error: OSError) -> ResNetsError:
    if error.errno == errno.ENOENT:
        why, remedy = "which is not there", f"Put {location!r} into the folder of the model."
    elif error.errno in (errno.ELOOP, errno.EMLINK):
        why, remedy = "which is a link", "Put a copy of the file there."
    else:
        why, remedy = f"which cannot be read ({error.strerror})", "Check the file and its permissions."
    return ResNetsError(f"{source.name} keeps tensor {name!r} in {location!r} beside it, {why}.", remedy)
