"""A Model goes in, the bytes of a .safetensors file come out, and back.

The format (https://huggingface.co/docs/safetensors): eight bytes of header length, a JSON header, the arrays in a row.
The header is ours, its keys sorted, so that equal models are equal files.
"""

import json
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from resnets import card as cards
from resnets.card import Card
from resnets.catalog import Architecture
from resnets.errors import ResNetsError
from resnets.weights.model import Model, absurd, checked
from resnets.weights.options import Options
from resnets.weights.source import Source

MAX_HEADER = 32 << 20  # bytes; 1,202 layers and 21,000 labels need 3 MB
Place = tuple[int, int, tuple[int, ...]]  # first byte, byte after the last, shape
_METADATA = "__metadata__"


def write(model: Model, options: Options) -> bytes:
    """The whole file."""
    header: dict[str, Any] = {_METADATA: {cards.KEY: cards.to_json(model.card), "format": "pt"}}
    at = 0
    for name in sorted(model.weights):
        size = model.weights[name].nbytes
        header[name] = {"dtype": "F32", "shape": list(model.weights[name].shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # arrays begin at a multiple of eight bytes
    arrays = (np.ascontiguousarray(model.weights[name], "<f4").data for name in sorted(model.weights))
    return b"".join((len(text).to_bytes(8, "little"), text, *arrays))


def read(file: Source, given: Architecture | None = None) -> Model:
    """The model. Raises ResNetsError for a file that is damaged, or has no card of ours."""
    card, places = _open(file)
    arrays = {name: file.array("<f4", shape, first) for (first, _, shape), name in places}
    return checked(card, arrays, file.name)


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
    for (first, last, _), name in places:
        if first != at or last > file.size:
            raise _damaged(file.name, f"array {name!r} should lie at bytes {first:,} to {last:,} of {file.size:,}")
        at = last
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
    if kind != "F32":
        raise ResNetsError(
            f"Array {name!r} of {source} is {kind}, and resnets reads F32.", "Convert the arrays to float32 first."
        )
    if any(type(n) is not int or n < 0 for n in (*shape, first, last)) or absurd(shape):
        raise _damaged(source, f"the header gives array {name!r} a shape or place that none can have")
    if last - first != 4 * prod(shape):
        raise _damaged(source, f"array {name!r} has {last - first:,} bytes for the shape {shape}")
    return begin + first, begin + last, shape


def _damaged(source: str, how: str) -> ResNetsError:
    return ResNetsError(
        f"{source} is truncated, damaged, or no .safetensors file: {how}.", "Copy or download the file again."
    )
