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
from resnets.errors import ResNetsError
from resnets.weights.model import Model, Runnable, absurd, checked
from resnets.weights.options import Options
from resnets.weights.wire import Buffer

MAX_HEADER = 32 << 20  # bytes; 1,202 layers and 21,000 labels need 3 MB
Place = tuple[int, int, tuple[int, ...]]  # first byte, byte after the last, shape
_METADATA = "__metadata__"


def write(model: Model, options: Options) -> bytes:
    """The whole file. Raises ResNetsError where outputs of a graph are asked for."""
    if options.outputs:
        raise ResNetsError(
            "A .safetensors file holds arrays and no graph, so it cannot have more outputs.",
            "Write a .onnx file instead.",
        )
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


def read(buffer: Buffer, source: str) -> Model:
    """The model, its arrays copied. Raises ResNetsError for a file that is damaged, or has no card of ours."""
    card, places = _open(buffer, source)
    arrays = {
        name: np.frombuffer(buffer, "<f4", (last - first) // 4, first).reshape(shape).astype(np.float32)
        for (first, last, shape), name in places
    }
    return checked(card, arrays, source)


def runnable(buffer: Buffer, source: str, outputs: tuple[str, ...]) -> Runnable:
    """The card and an ONNX model that is built from it."""
    from resnets.weights import onnx

    model = read(buffer, source)
    return Runnable(model.card, onnx.write(model, Options(outputs=outputs)), "logits")


def read_card(buffer: Buffer, source: str) -> Card | None:
    """The card alone; None where the file has none. The header is checked against the size of the file."""
    card, _ = _open(buffer, source)
    return card


def with_card(buffer: Buffer, source: str, card: Card) -> bytes:
    """The same arrays with another card."""
    return write(replace(read(buffer, source), card=card), Options())


def _open(buffer: Buffer, source: str) -> tuple[Card | None, list[tuple[Place, str]]]:
    """The card, and where each array lies. The arrays must follow each other without a gap and end with the file."""
    header, begin = _header(buffer, source)
    entries = {name: entry for name, entry in header.items() if name != _METADATA}
    places = sorted((_place(name, entry, begin, source), name) for name, entry in entries.items())
    at = begin
    for (first, last, _), name in places:
        if first != at or last > len(buffer):
            raise _damaged(source, f"array {name!r} should lie at bytes {first:,} to {last:,} of {len(buffer):,}")
        at = last
    if at != len(buffer):
        raise _damaged(source, f"{len(buffer) - at:,} bytes belong to no array")
    return _card(header), places


def _header(buffer: Buffer, source: str) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(buffer[:8], "little") if len(buffer) >= 8 else -1
    if not 2 <= length <= min(MAX_HEADER, len(buffer) - 8):
        raise _damaged(source, f"its header should be {max(length, 0):,} of {len(buffer):,} bytes")
    try:
        header = json.loads(bytes(buffer[8 : 8 + length]).decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _damaged(source, f"its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise _damaged(source, "its header is not a JSON object")
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
