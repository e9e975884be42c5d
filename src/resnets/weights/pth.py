"""A PyTorch checkpoint goes in, the Model in it comes out, and back: .pth, .pt and .th files, without torch.

Ours hold `{"state_dict": arrays by canonical name, "resnets.card": JSON}`. Others are state dicts, alone or in the
wrappers that training scripts put around them.
"""

import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets import card as cards
from resnets.card import Card
from resnets.catalog import Architecture
from resnets.weights.dialects.named import read_named, renamed
from resnets.weights.dialects.table import Stored
from resnets.weights.model import Model, agree, checked
from resnets.weights.options import Options
from resnets.weights.pytorch import archive, checkpoint
from resnets.weights.pytorch.checkpoint import Checkpoint
from resnets.weights.pytorch.pickled import ELEMENTS, Tensor
from resnets.weights.pytorch.state import state_of
from resnets.weights.source import DamagedError, Source

STATE = "state_dict"


def read(source: Source, given: Architecture | None = None) -> Model:
    """The model. `given`: its network, where names do not say all of it.

    Raises ResNetsError where the file is no checkpoint of a residual network, where its pickle wants something
    called, and where a card of ours is not that of the arrays; DamagedError for a broken file.
    """
    opened = checkpoint.opened(source)
    card = _card(opened)
    if card is not None and card.architecture is not None:
        agree(given, card.architecture, source.name)
        return checked(card, _plain_arrays(opened, check=card.weights_sha256 is None), source.name)
    tensors, notes = state_of(opened)
    return read_named(
        {name: _stored(opened, tensor) for name, tensor in tensors.items()},
        source,
        given,
        most=_bytes(opened),
        notes=notes,
    )


def read_card(source: Source) -> Card | None:
    """The card alone; None where the file has none of ours."""
    return _card(checkpoint.opened(source))


def with_card(source: Source, card: Card) -> bytes:
    """The same arrays with another card."""
    return write(replace(read(source), card=card), Options())


def write(model: Model, options: Options) -> bytes:
    """The whole file: a zip archive that `torch.load(weights_only=True)` reads, the same bytes for the same model.

    `options.names`: names of another framework, as a bare state dict without a card. Raises ResNetsError where these
    cannot say this network.
    """
    if options.names is None:
        arrays: dict[str, NDArray[Any]] = dict(model.weights)
        pickle = _Pickle()
        pickle.dictionary({STATE: arrays, cards.KEY: cards.to_json(model.card)})
    else:
        arrays = renamed(model, options.names, force=options.force)
        pickle = _Pickle()
        pickle.state(arrays)
    root = "archive/"
    files: dict[str, bytes | memoryview] = {f"{root}data.pkl": pickle.whole(), f"{root}byteorder": b"little"}
    for number, array in enumerate(arrays.values()):
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        files[f"{root}data/{number}"] = little.reshape(-1).data.cast("B")
    files[f"{root}version"] = b"3\n"
    return archive.write(files)


class _Pickle:
    """A pickle of protocol 2, of the few things that a checkpoint of ours is made of."""

    def __init__(self) -> None:
        self.parts = [b"\x80\x02"]
        self.storages = 0

    def whole(self) -> bytes:
        return b"".join((*self.parts, b"."))

    def text(self, value: str) -> None:
        data = value.encode()
        self.parts.append(b"X" + struct.pack("<I", len(data)) + data)

    def numbers(self, values: tuple[int, ...]) -> None:
        self.parts += [b"(", *(b"J" + struct.pack("<i", value) for value in values), b"t"]

    def dictionary(self, values: Mapping[str, Any]) -> None:
        self.parts.append(b"}(")
        for name, value in values.items():
            self.text(name)
            self.text(value) if isinstance(value, str) else self.state(value)
        self.parts.append(b"u")

    def state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """An OrderedDict of tensors, each with a storage of its own."""
        self.parts.append(b"ccollections\nOrderedDict\n)R(")
        for name, array in arrays.items():
            self.text(name)
            self.tensor(array)
        self.parts.append(b"u")

    def tensor(self, array: NDArray[Any]) -> None:
        kind = {"f": b"Float", "i": b"Long"}[array.dtype.kind]
        self.parts.append(b"ctorch._utils\n_rebuild_tensor_v2\n((")
        self.text("storage")
        self.parts.append(b"ctorch\n" + kind + b"Storage\n")
        self.text(str(self.storages))
        self.text("cpu")
        self.parts.append(b"J" + struct.pack("<i", array.size) + b"tQK\x00")
        self.numbers(array.shape)
        self.numbers(tuple(step // array.itemsize for step in np.empty(array.shape, array.dtype).strides))
        self.parts.append(b"\x89ccollections\nOrderedDict\n)RtR")
        self.storages += 1


def _card(opened: Checkpoint) -> Card | None:
    text = opened.value.get(cards.KEY) if type(opened.value) is dict else None
    return cards.from_json(text) if isinstance(text, str) else None


def _plain_arrays(opened: Checkpoint, *, check: bool) -> dict[str, NDArray[np.float32]]:
    """The arrays of a file of ours. `check`: nothing but the archive's own checksums says that they are whole."""
    state = opened.value.get(STATE)
    if type(state) is not dict or any(type(n) is not str or not isinstance(t, Tensor) for n, t in state.items()):
        raise DamagedError("its state dict is no dictionary of tensors")
    if any(tensor.kind != "float32" for tensor in state.values()):
        raise DamagedError("its tensors are not all float32")
    if sum(4 * tensor.elements for tensor in state.values()) > _bytes(opened):
        raise DamagedError("its arrays share their bytes, and together have more than the file")
    return {name: opened.array(tensor, check=check) for name, tensor in state.items()}


def _bytes(opened: Checkpoint) -> int:
    """How many bytes all storages have, unpacked."""
    return sum(entry.size for entry in opened.entries.values()) or sum(one.size for one in opened.storages.values())


def _stored(opened: Checkpoint, tensor: Tensor) -> Stored:
    size = tensor.elements * ELEMENTS[tensor.kind][1]
    return Stored(tensor.shape, tensor.kind, size, lambda: opened.array(tensor))
