"""The bytes of an .npz, as MXNet 2 saves parameters, go in; where each array lies comes out. Nothing is unpickled.

A zip archive of .npy files (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): a magic number,
the length of a header that is a Python dictionary as text, the elements. The text is matched, not evaluated.
"""

import re
from math import prod

import numpy as np

from resnets.weights.model import MAX_NAME, absurd
from resnets.weights.mxnet.lists import DTYPES, MAX_ARRAYS, Stored
from resnets.weights.pytorch import archive
from resnets.weights.source import DamagedError, Source

_HEADER = re.compile(
    r"\{'descr': '([^']{1,20})', 'fortran_order': (True|False), 'shape': \(((?:\d{1,19}, ?)*(?:\d{1,19})?)\),? *\}\s*"
)
_KINDS = {np.dtype(kind).newbyteorder("<").str: kind for kind in DTYPES if kind != "bfloat16"}
_LONGEST = 4096  # bytes of a header: NumPy pads to 128


def begins(source: Source) -> bool:
    """Does the file begin as a zip archive does?"""
    return source.size > 4 and source.at(0, 4) == b"PK\x03\x04"


def stored(source: Source) -> dict[str, Stored]:
    """What the archive holds, by name, in its order. Raises DamagedError; every entry is read once for its checksum."""
    found = archive.entries(source)
    if len(found) > MAX_ARRAYS:
        raise DamagedError(f"it should hold {len(found):,} arrays")
    longest = max(map(len, found), default=0) - len(".npy")
    if longest > MAX_NAME:
        raise DamagedError(f"the name of an array has {longest:,} characters")
    odd = [name for name in found if not name.endswith(".npy")]
    if odd:
        raise DamagedError(f"its entry {odd[0][:200]!r} is no array of NumPy's")
    return {name[:-4]: _stored(name[:-4], archive.opened(source, entry)) for name, entry in found.items()}


def _stored(name: str, place: archive.Place) -> Stored:
    place.check()
    source, begin = place.source, place.offset
    head = source.at(begin, min(place.size, 12))
    if len(head) < 12 or head[:6] != b"\x93NUMPY" or head[6] not in (1, 2, 3):
        raise DamagedError(f"its entry {name[:200]!r} is no array of NumPy's")
    width = 2 if head[6] == 1 else 4
    length, first = int.from_bytes(head[8 : 8 + width], "little"), 8 + width
    if length > min(_LONGEST, place.size - first):
        raise DamagedError(f"the header of {name[:200]!r} should have {length:,} bytes")
    match = _HEADER.fullmatch(str(source.at(begin + first, length), "latin-1"))
    if match is None or match[2] == "True":
        raise DamagedError(f"the header of {name[:200]!r} describes no array that MXNet writes")
    kind = _KINDS.get(match[1], "")
    shape = tuple(int(n) for n in re.findall(r"\d+", match[3]))
    if not kind or absurd(shape):
        raise DamagedError(f"array {name[:200]!r} has elements of type {match[1]} and the shape {shape}")
    if first + length + prod(shape) * np.dtype(kind).itemsize != place.size:
        raise DamagedError(f"array {name[:200]!r} of shape {shape} has {place.size:,} bytes")
    return Stored(name, kind, shape, begin + first + length, source)
