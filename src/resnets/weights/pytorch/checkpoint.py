"""A file of torch.save goes in, a Checkpoint comes out: its plain values, and its tensors as arrays on demand.

Three forms: a zip archive (torch 1.6 and later; TorchScript's are such archives too), a row of pickles with the
storages behind them (before), and a tar archive (before 0.2), which is refused. After torch/serialization.py.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.errors import ResNetsError
from resnets.weights.dialects.table import as_float32
from resnets.weights.pytorch import archive, pickled
from resnets.weights.pytorch.archive import Entry, Place
from resnets.weights.pytorch.pickled import ELEMENTS, Storage, Tensor
from resnets.weights.source import DamagedError, Source

MAGIC = 0x1950A86A20F9469CFC6C  # MAGIC_NUMBER of torch/serialization.py
PROTOCOL = 1001


@dataclass(eq=False)
class Checkpoint:
    """`value` as `pickled.load` gives it. `scripted`: TorchScript's, so that it is a tree of modules."""

    value: Any
    source: Source
    scripted: bool = False
    order: str = "<"
    storages: dict[str, Place] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)  # of an archive, by the key of their storage
    _checked: set[str] = field(default_factory=set)

    def array(self, tensor: Tensor, *, check: bool = True) -> NDArray[np.float32]:
        """The elements of a floating-point tensor as float32, in memory of their own.

        Of the storage only what the tensor spans is kept. Raises DamagedError where the bytes are not there, or, with
        `check`, do not have the checksum that the file gives.
        """
        _, width, kind = ELEMENTS[tensor.kind]
        place, first = self._place(tensor.storage), tensor.storage.first * ELEMENTS[tensor.storage.kind][1]
        at, dtype = place.offset + first + tensor.offset * width, self.order + ("u2" if kind == "bf16" else kind)
        whole = tensor.elements * width == place.size
        if tensor.contiguous:
            found = place.source.array(dtype, tensor.shape, at)
        elif tensor.elements > tensor.span:
            raise DamagedError("a tensor has more elements than its storage")
        else:
            flat = place.source.array(dtype, (tensor.span,), at)
            found = np.lib.stride_tricks.as_strided(flat, tensor.shape, [n * width for n in tensor.stride])
        if not check:
            pass
        elif whole and tensor.contiguous and np.dtype(dtype).isnative:
            place.check_array(found)
        elif tensor.storage.key not in self._checked:
            place.check()
            self._checked.add(tensor.storage.key)
        return as_float32(found, tensor.kind)

    def _place(self, storage: Storage) -> Place:
        if storage.key not in self.storages:
            if storage.key not in self.entries:
                raise DamagedError(f"its storage {storage.key!r} is missing")
            self.storages[storage.key] = archive.opened(self.source, self.entries[storage.key])
        place = self.storages[storage.key]
        need = (storage.first + storage.count) * ELEMENTS[storage.kind][1]
        if place.size < need or (storage.first == 0 and place.size > need and storage.key in self.entries):
            raise DamagedError(f"its storage {storage.key!r} has {place.size:,} bytes instead of {need:,}")
        return place


def opened(source: Source) -> Checkpoint:
    """The checkpoint of a file. Nothing but its structure is read, and nothing of it is run.

    Raises ResNetsError for what torch.save has not written, or writes no more; DamagedError for a broken file.
    """
    head = source.at(0, min(source.size, 512))
    if head[:4] == b"PK\x03\x04":
        return _archived(source)
    if head[257:262] == b"ustar":
        raise ResNetsError(
            f"{source.name} is a tar archive, as PyTorch before 0.2 wrote it.",
            "Load and save it again with a newer PyTorch.",
        )
    return _rowed(source)


def _archived(source: Source) -> Checkpoint:
    entries = archive.entries(source)
    roots = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(roots) != 1:
        raise ResNetsError(
            f"{source.name} is a zip archive, but not one that torch.save has written.",
            "Give the file that torch.save has written, or unpack this one if that lies inside.",
        )
    root = roots[0]
    order = archive.content(source, entries[f"{root}byteorder"]) if f"{root}byteorder" in entries else b"little"
    if order not in (b"little", b"big"):
        raise DamagedError("its byte order is neither little nor big")
    scripted = f"{root}constants.pkl" in entries
    data = Source.of(archive.content(source, entries[f"{root}data.pkl"]), source.name)
    value, end, _ = pickled.load(data, 0, source.name, scripted=scripted)
    if end != data.size:
        raise DamagedError(f"{data.size - end:,} bytes follow its pickle")
    data_folder = f"{root}data/"
    stored = {name.removeprefix(data_folder): one for name, one in entries.items() if name.startswith(data_folder)}
    return Checkpoint(value, source, scripted, "<" if order == b"little" else ">", entries=stored)


def _rowed(source: Source) -> Checkpoint:
    magic, at, _ = pickled.load(source, 0, source.name)
    if magic != MAGIC:
        raise ResNetsError(
            f"{source.name} is a pickle, but not one that torch.save has written.",
            "Save the state dict with torch.save.",
        )
    protocol, at, _ = pickled.load(source, at, source.name)
    if protocol != PROTOCOL:
        raise DamagedError(f"it should be of the protocol {PROTOCOL}")
    _, at, _ = pickled.load(source, at, source.name)  # what kind of machine wrote it: storages are little-endian on all
    value, at, known = pickled.load(source, at, source.name)
    keys, at, _ = pickled.load(source, at, source.name)
    if type(keys) is not list or any(type(key) is not str or key not in known for key in keys):
        raise DamagedError("the list of its storages is none")
    storages: dict[str, Place] = {}
    for key in keys:
        kind, count = known[key]
        size = count * ELEMENTS[kind][1]
        if int.from_bytes(source.at(at, 8), "little", signed=True) != count or key in storages:
            raise DamagedError(f"the storage at byte {at:,} should have {count:,} elements")
        source.check(at + 8, size)
        storages[key] = Place(source, at + 8, size, None)
        at += 8 + size
    if at != source.size:
        raise DamagedError(f"{source.size - at:,} bytes belong to no storage")
    return Checkpoint(value, source, storages=storages)
