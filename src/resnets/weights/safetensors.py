"""A Model goes in, the bytes of a .safetensors file come out, and back.

The format (https://huggingface.co/docs/safetensors): eight bytes of header length, a JSON header, the arrays in a row.
The header is ours, its keys sorted, so that equal models are equal files.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets import card as cards
from resnets.card import Card
from resnets.errors import ResNetsError
from resnets.weights.model import Arrays, Model, checked
from resnets.weights.options import Options
from resnets.weights.wire import Buffer

MAX_HEADER = 32 << 20  # bytes; 1,202 layers and 21,000 labels need 3 MB
ITEM = {"F32": 4}
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
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # arrays begin at a multiple of eight bytes
    arrays = (np.ascontiguousarray(model.weights[name], "<f4").data for name in sorted(model.weights))
    return b"".join((len(text).to_bytes(8, "little"), text, *arrays))


def read(buffer: Buffer, source: str) -> Model:
    """The model, its arrays copied. Raises ResNetsError for a file that is damaged, or has no card of ours."""
    card, arrays = _open(buffer, source)
    return checked(card, {name: array.copy() for name, array in arrays.items()}, source)


def runnable(buffer: Buffer, source: str, outputs: tuple[str, ...]) -> tuple[Card | None, bytes]:
    """The card and an ONNX model that is built from it."""
    from resnets.weights import onnx

    model = read(buffer, source)
    return model.card, onnx.write(model, Options(outputs=outputs))


def read_card(buffer: Buffer, source: str) -> Card | None:
    """The card alone; None where the file has none."""
    header, _ = _header(buffer, source)
    return _card(header)


def with_card(buffer: Buffer, source: str, card: Card) -> bytes:
    """The same arrays with another card."""
    return write(replace(read(buffer, source), card=card), Options())


def _open(buffer: Buffer, source: str) -> tuple[Card | None, Arrays]:
    header, begin = _header(buffer, source)
    card = _card(header)
    entries = {name: entry for name, entry in header.items() if name != _METADATA}
    return card, _arrays(buffer, entries, begin, source)


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


def _arrays(buffer: Buffer, entries: dict[str, Any], begin: int, source: str) -> dict[str, NDArray[np.float32]]:
    """Views of all arrays. They must follow each other without a gap and end with the file."""
    spans = sorted((_entry(name, entry, source), name) for name, entry in entries.items())
    at = 0
    arrays = {}
    for (first, last, shape), name in spans:
        if first != at or last > len(buffer) - begin:
            raise _damaged(
                source, f"array {name!r} should lie at bytes {first:,} to {last:,} of {len(buffer) - begin:,}"
            )
        arrays[name] = np.frombuffer(buffer, "<f4", (last - first) // 4, begin + first).reshape(shape)
        at = last
    if at != len(buffer) - begin:
        raise _damaged(source, f"{len(buffer) - begin - at:,} bytes belong to no array")
    return arrays


def _entry(name: str, entry: Any, source: str) -> tuple[int, int, tuple[int, ...]]:
    try:
        kind, shape, (first, last) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise _damaged(source, f"the header does not describe array {name!r}") from error
    if kind not in ITEM:
        raise ResNetsError(
            f"Array {name!r} of {source} is {kind}, and resnets reads F32.", "Convert the arrays to float32."
        )
    if any(type(n) is not int or n < 0 for n in (*shape, first, last)) or len(shape) > 16:
        raise _damaged(source, f"the header gives array {name!r} a shape or place that is no whole number")
    size = ITEM[kind]
    for n in shape:
        size *= n
    if last - first != size:
        raise _damaged(source, f"array {name!r} has {last - first:,} bytes for the shape {shape}")
    return first, last, shape


def _damaged(source: str, how: str) -> ResNetsError:
    return ResNetsError(
        f"{source} is truncated, damaged, or no .safetensors file: {how}.", "Copy or download the file again."
    )
