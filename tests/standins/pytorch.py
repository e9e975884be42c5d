"""A Model goes in, a .pth comes out as torch.save wrote torchvision's: with the counters of batch norms, or without.

The state dict of a module carries `_metadata`. Before PyTorch 1.6 (`legacy`) a file is four pickles in a row and then
the storages; since then it is a zip archive. Of the wide networks' first weights all but the batch norms' numbers are
of half precision: so the sizes that torchvision prints say.
"""

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from resnets.weights.dialects.named import renamed
from resnets.weights.model import Model
from resnets.weights.pytorch import archive

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {"float32": b"Float", "float16": b"Half", "int64": b"Long"}


def write(model: Model, path: Path, *, counters: bool, legacy: bool = False, half: bool = False) -> None:
    """The whole file, in torchvision's names."""
    arrays = renamed(model, "torchvision")
    arrays = {name: array for name, array in arrays.items() if counters or array.ndim}
    if half:
        names = halved(arrays)
        arrays = {name: array.astype(np.float16) if name in names else array for name, array in arrays.items()}
    whole = _state(arrays, legacy)
    if not legacy:
        root = path.stem
        entries: dict[str, bytes | memoryview] = {f"{root}/data.pkl": whole}
        for number, array in enumerate(arrays.values()):
            entries[f"{root}/data/{number}"] = np.ascontiguousarray(array).reshape(-1).data.cast("B")
        path.write_bytes(archive.write({**entries, f"{root}/version": b"3\n"}))
        return
    machine = {"protocol_version": _PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    with path.open("wb") as file:
        for value in (_MAGIC, _PROTOCOL, machine):
            file.write(pickle.dumps(value, 2))
        file.write(whole)
        file.write(pickle.dumps([str(number) for number in range(len(arrays))], 2))
        for array in arrays.values():
            file.write(struct.pack("<q", array.size))
            file.write(np.ascontiguousarray(array).reshape(-1).data)


def halved(arrays: Mapping[str, np.ndarray]) -> set[str]:
    """The arrays that belong to no batch norm."""
    return {name for name in arrays if f"{name.rpartition('.')[0]}.running_var" not in arrays}


def _state(arrays: dict[str, np.ndarray], legacy: bool) -> bytes:
    parts = [b"\x80\x02ccollections\nOrderedDict\n)R("]
    for number, (name, array) in enumerate(arrays.items()):
        strides = tuple(step // array.itemsize for step in np.ascontiguousarray(array).reshape(array.shape).strides)
        parts += [
            _text(name), b"ctorch._utils\n_rebuild_tensor_v2\n((", _text("storage"),
            b"ctorch\n" + _STORAGES[array.dtype.name] + b"Storage\n", _text(str(number)), _text("cpu"),
            _number(array.size), b"N" * legacy, b"tQK\x00", _row(array.shape), _row(strides),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]  # fmt: skip
    metadata = b"ccollections\nOrderedDict\n)R(" + _text("") + b"}" + _text("version") + b"K\x01su"
    return b"".join((*parts, b"u}", _text("_metadata"), metadata, b"sb."))


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _row(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_number, values)) + b"t"
