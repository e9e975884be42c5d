"""A Model goes in, the bytes of a .safetensors file come out, and back.

The format (https://huggingface.co/docs/safetensors): eight bytes of header length, a JSON header, the arrays in a row.
The header is ours, its keys sorted, so that equal models are equal files. A file without a card of ours is read by
the names of its arrays.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resnets import card as cards
from resnets.card import Card
from resnets.catalog import Architecture
from resnets.errors import ResNetsError, plain, some
from resnets.weights.dialects.named import read_named, renamed
from resnets.weights.dialects.table import Stored, as_float32
from resnets.weights.model import Model, absurd, agree, checked
from resnets.weights.options import Options
from resnets.weights.source import Source

MAX_HEADER = 32 << 20  # bytes; 1,202 layers and 21,000 labels need 3 MB
_METADATA = "__metadata__"
_KINDS = {  # the format's name of an element type: its bytes, ours
    "F64": (8, "float64"), "F32": (4, "float32"), "F16": (2, "float16"), "BF16": (2, "bfloat16"), "I64": (8, "int64"),
    "I32": (4, "int32"), "I16": (2, "int16"), "I8": (1, "int8"), "U64": (8, "uint64"), "U32": (4, "uint32"),
    "U16": (2, "uint16"), "U8": (1, "uint8"), "BOOL": (1, "bool"), "F8_E4M3": (1, "float8"), "F8_E5M2": (1, "float8"),
    "C64": (8, "complex64"),
}  # fmt: skip
_DTYPES = {"float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}


class Place(NamedTuple):
    """Where an array lies: its first byte, the byte after its last, its shape, and the format's name of its type."""

    first: int
    last: int
    shape: tuple[int, ...]
    kind: str


def write(model: Model, options: Options) -> bytes:
    """The whole file.

    `options.names`: names of another framework, without a card. Raises ResNetsError where these cannot say this
    network.
    """
    if options.names is None:
        return _written(model.weights, {cards.KEY: cards.to_json(model.card), "format": "pt"})
    return _written(renamed(model, options.names, force=options.force), {"format": "pt"})


def _written(arrays: Mapping[str, NDArray[Any]], metadata: dict[str, str]) -> bytes:
    header: dict[str, Any] = {_METADATA: metadata}
    at = 0
    for name in sorted(arrays):
        size = arrays[name].nbytes
        kind = {"f": "F32", "i": "I64"}[arrays[name].dtype.kind]
        header[name] = {"dtype": kind, "shape": list(arrays[name].shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # arrays begin at a multiple of eight bytes
    in_order = (np.ascontiguousarray(arrays[name]) for name in sorted(arrays))
    little = (array.astype(array.dtype.newbyteorder("<"), copy=False).data for array in in_order)
    return b"".join((len(text).to_bytes(8, "little"), text, *little))


def read(file: Source, given: Architecture | None = None) -> Model:
    """The model. `given`: its network, for a file without a card whose names do not say all of it.

    Raises ResNetsError for a file that is damaged, or whose arrays do not fit its card, the network that was given,
    or the one that their names imply.
    """
    card, places = _open(file)
    if card is not None and card.architecture is not None:
        agree(given, card.architecture, file.name)
        odd = [f"{name} ({place.kind})" for place, name in places if place.kind != "F32"]
        if odd:
            raise ResNetsError(
                f"Arrays of {file.name} are not float32, as the card needs them: {plain(some(odd))}.",
                "Copy or download the file again.",
            )
    if card is not None:
        arrays = {name: file.array("<f4", place.shape, place.first) for place, name in places if place.kind == "F32"}
        return checked(card, arrays, file.name)
    return read_named({name: _stored(file, place) for place, name in places}, file, given, most=file.size)


def _stored(file: Source, place: Place) -> Stored:
    kind = _KINDS[place.kind][1]
    return Stored(
        place.shape,
        kind,
        place.last - place.first,
        lambda: as_float32(file.array(_DTYPES[kind], place.shape, place.first), kind),
    )


def read_card(file: Source) -> Card | None:
    """The card alone; None where the file has none. The header is checked against the size of the file."""
    card, _ = _open(file)
    return card


def with_card(file: Source, card: Card) -> bytes:
    """The same arrays with another card."""
    return write(replace(read(file), card=card), Options())


def _open(file: Source) -> tuple[Card | None, list[tuple[Place, str]]]:
    """The card, and where each array lies. The arrays must follow each other without a gap and end with the file."""
    header, begin = _header(file)
    entries = {name: entry for name, entry in header.items() if name != _METADATA}
    places = sorted((_place(name, entry, begin, file.name), name) for name, entry in entries.items())
    at = begin
    for place, name in places:
        if place.first != at or place.last > file.size:
            where = f"bytes {place.first:,} to {place.last:,} of {file.size:,}"
            raise _damaged(file.name, f"array {name!r} should lie at {where}")
        at = place.last
    if at != file.size:
        raise _damaged(file.name, f"{file.size - at:,} bytes belong to no array")
    return _card(header), places


def _header(file: Source) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(file.at(0, 8), "little") if file.size >= 8 else -1
    if not 2 <= length <= min(MAX_HEADER, file.size - 8):
        raise _damaged(file.name, f"its header should be {max(length, 0):,} of {file.size:,} bytes")
    try:
        header = json.loads(file.at(8, length).decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _damaged(file.name, f"its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise _damaged(file.name, "its header is not a JSON object")
    return header, 8 + length


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _card(header: dict[str, Any]) -> Card | None:
    metadata = header.get(_METADATA)
    text = metadata.get(cards.KEY) if isinstance(metadata, dict) else None
    return cards.from_json(text) if isinstance(text, str) else None


def _place(name: str, entry: Any, begin: int, source: str) -> Place:
    try:
        kind, shape, (first, last) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise _damaged(source, f"the header does not describe array {name!r}") from error
    if type(kind) is not str or kind not in _KINDS:
        raise _damaged(source, f"array {name!r} has an element type that the format has not, {str(kind)[:40]!r}")
    if any(type(n) is not int or n < 0 for n in (*shape, first, last)) or absurd(shape):
        raise _damaged(source, f"the header gives array {name!r} a shape or place that none can have")
    if last - first != _KINDS[kind][0] * prod(shape):
        raise _damaged(source, f"array {name!r} has {last - first:,} bytes for the shape {shape}")
    return Place(begin + first, begin + last, shape, kind)


def _damaged(source: str, how: str) -> ResNetsError:
    return ResNetsError(
        f"{source} is truncated, damaged, or no .safetensors file: {how}.", "Copy or download the file again."
    )
