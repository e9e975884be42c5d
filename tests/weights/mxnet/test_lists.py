import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.errors import ResNetsError
from resnets.weights.mxnet.arrays import array
from resnets.weights.mxnet.lists import stored, write_arrays
from resnets.weights.source import DamagedError, Source

V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
FLAGS = {"f4": 0, "f8": 1, "f2": 2, "u1": 3, "i4": 4, "i1": 5, "i8": 6, "b1": 7, "i2": 8, "u2": 9, "u4": 10, "u8": 11}
ONE = np.arange(6, dtype="<f4").reshape(2, 3)
MORE = {"a": ONE, "bé": np.array([7, -8], "<i8"), "": np.zeros((1, 0, 2), "?")}


def arrays_of(data: bytes) -> dict[str, Any]:
    source = Source.of(data, "x.params")
    return {name: array(one) for name, one in stored(source).items() if one.kind}


def listed(*records: bytes, names: tuple[str, ...] = (), count: int | None = None) -> bytes:
    texts = b"".join(struct.pack("<Q", len(name.encode())) + name.encode() for name in names)
    count = len(records) if count is None else count
    return struct.pack("<3Q", 0x112, 0, count) + b"".join(records) + struct.pack("<Q", len(names)) + texts


def record(version: int, array: np.ndarray, flag: int | None = None) -> bytes:
    """An array as MXNet's NDArray::Save of that version lays it out; of version 0, which has no number of its own."""
    flag = FLAGS[array.dtype.str[1:]] if flag is None else flag
    head = struct.pack("<I", version) if version else b""
    head += struct.pack("<i", 0) if version in (V2, V3) else b""
    sizes = f"<i{array.ndim}{'q' if version else 'I'}"
    return head + struct.pack(sizes, array.ndim, *array.shape) + struct.pack("<3i", 2, 3, flag) + array.tobytes()


def boundaries(data: bytes) -> list[int]:
    """Where a number, a shape, the elements of an array or a name begins or ends."""
    found, at = [0, 8, 16], 24
    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        (rank,) = struct.unpack_from("<i", data, at + 8)
        found += [at, at + 4, at + 8, at + 12, (begin := at + 12 + 8 * rank), begin + 4, begin + 8, begin + 12]
        shape = struct.unpack_from(f"<{rank}q", data, at + 12)
        (flag,) = struct.unpack_from("<i", data, begin + 8)
        at = begin + 12 + int(np.prod(shape)) * np.dtype([*FLAGS][flag]).itemsize
    found.append(at)
    for _ in range(struct.unpack_from("<Q", data, at)[0]):
        at += 8
        found += [at, at + 8]
        at += struct.unpack_from("<Q", data, at)[0]
    return found


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return [*one] == [*other] and all(
        one[n].dtype == other[n].dtype and one[n].shape == other[n].shape and one[n].tobytes() == other[n].tobytes()
        for n in one
    )


def fuzzed(data: bytes, seed: int) -> bytes:
    """The file with flipped bytes, cut short, grown, or with an absurd number in the place of one."""
    order, bad = random.Random(seed), bytearray(data)
    match order.randrange(5):
        case 0:
            bad[order.randrange(len(bad))] ^= 1 << order.randrange(8)
        case 1:
            del bad[order.choice([*boundaries(data), order.randrange(len(bad))]) :]
        case 2:
            at = order.choice([place for place in boundaries(data) if place + 8 <= len(bad)])
            bad[at : at + 8] = struct.pack(
                "<q", order.choice((-1, 0, 1, 2**31, 2**62, -(2**63), order.getrandbits(40)))
            )
        case 3:
            bad += order.randbytes(order.randrange(1, 40))
        case 4:
            at, to = sorted(order.choices(boundaries(data), k=2))
            del bad[at:to]
    return bytes(bad)


def fuzz(data: bytes, seeds: range) -> int:
    """How many of these damaged copies still read, which they must do as the same names; all else is a DamagedError."""
    whole, read = stored(Source.of(data, "x")), 0
    for seed in seeds:
        bad = fuzzed(data, seed)
        try:
            found = arrays_of(bad)
        except (DamagedError, ResNetsError):
            continue
        read += 1
        assert sum(array.nbytes for array in found.values()) <= len(bad)
        assert len(found) <= len(whole)
    return read


def test_files_of_mxnet_are_rewritten_byte_for_byte(exported, request):
    paths = [exported / "exported-0000.params"]
    if (Path(__file__).resolve().parents[4] / "shared").is_dir():
        paths += sorted((request.getfixturevalue("shared") / "oracles" / "gluon").glob("*/*.params"))
    for path in paths:
        data = path.read_bytes()
        assert write_arrays(arrays_of(data)) == data


@pytest.mark.parametrize("version", [0, V1, V2, V3])
@pytest.mark.parametrize("kind", FLAGS)
def test_every_version_and_element_type_is_read(version, kind):
    array = np.array([[0, 1, 2], [3, 100, 1]]).astype(f"<{kind}")
    found = arrays_of(listed(record(version, array), record(version, ONE), names=("a", "b")))
    assert same(found, {"a": array, "b": ONE})


def test_scalars_are_those_of_numpys_shapes_and_arrays_without_data_are_left_out():
    scalar = record(V3, np.array(2.5, "<f4"))
    none = [struct.pack("<Iii", V2, 0, 0), struct.pack("<Iii", V3, 0, -1), struct.pack("<Ii", V1, 0), bytes(4)]
    found = arrays_of(listed(scalar, *none, record(V2, ONE), names=("a", *"bcde", "f")))
    assert same(found, {"a": np.array(2.5, "<f4"), "f": ONE})


def test_arrays_without_names_are_numbered():
    assert [*arrays_of(listed(record(V2, ONE), record(V2, ONE)))] == ["0", "1"]


@pytest.mark.parametrize(
    ("data", "how"),
    [
        (b"", "24 bytes should stand at byte 0"),
        (b"<html>" + bytes(40), "does not begin with"),
        (listed(record(V2, ONE), names=("a", "b")), "1 arrays and 2 names"),
        (listed(record(V2, ONE), record(V2, ONE), names=("a", "a")), "more than one array is called a"),
        (listed(record(V2, ONE), names=("a",)) + b"\0", "1 bytes follow"),
        (listed(record(V2, ONE), names=("a",), count=2**63), "it should hold 9,223,372,036,854,775,808 arrays"),
        (listed(record(V2, ONE), names=("a",), count=100), "12 bytes should stand at byte 96, and 9 are there"),
        (listed(record(V2, ONE, 13), names=("a",)), "element type 13"),
        (listed(record(V2, ONE, -1), names=("a",)), "element type -1"),
        (listed(struct.pack("<Iii", V2, 3, 1), names=("a",)), "storage type 3"),
        (listed(struct.pack("<Iii", V3, 1, 1), names=("a",)), "storage type 1"),
        (listed(struct.pack("<Iii2q", V2, 0, 2, 1 << 40, 1 << 40), names=("a",)), "the shape"),
        (listed(struct.pack("<Iii2q3i", V2, 0, 2, 1, -1, 1, 0, 0), names=("a",)), "the shape"),
        (listed(struct.pack("<Iii", V2, 0, 1 << 30), names=("a",)), "1,073,741,824 dimensions"),
        (listed(struct.pack("<I", 40) + bytes(400), names=("a",)), "40 dimensions"),
        (listed(struct.pack("<Iii2q3i", V2, 0, 2, 1 << 15, 1 << 15, 1, 0, 0), names=("a",)), "4,294,967,296 bytes"),
        (listed(record(V2, ONE)) [:-8] + struct.pack("<2Q", 1, 1 << 50), "1,125,899,906,842,624 bytes"),
        (listed(record(V2, ONE)) [:-8] + struct.pack("<2Q", 1, 2) + b"\xff\xff", "not UTF-8"),
    ],
)  # fmt: skip
def test_damage_is_said(data, how):
    with pytest.raises(DamagedError, match=how):
        arrays_of(data)


def test_a_file_cut_at_any_boundary_is_refused(exported):
    data = (exported / "exported-0000.params").read_bytes()
    small = write_arrays(MORE)
    for whole in (data, small):
        cuts = boundaries(whole)
        around = sorted({*cuts, *(place - 1 for place in cuts), *(place + 1 for place in cuts)} & {*range(len(whole))})
        for cut in around if whole is small else around[::20]:
            with pytest.raises(DamagedError):
                stored(Source.of(whole[:cut], "x"))


def test_many_records_of_nothing_are_refused_at_once():
    data = struct.pack("<3Q", 0x112, 0, 1 << 17) + bytes(4 << 17)
    with pytest.raises(DamagedError):
        stored(Source.of(data, "x"))


def test_damaged_files_never_crash(exported):
    read = fuzz(write_arrays(MORE), range(3000))
    read += fuzz((exported / "exported-0000.params").read_bytes(), range(60))
    assert 0 < read < 1500, "most damage is noticed; a flipped number of an array cannot be"


shapes = st.lists(st.integers(0, 4), min_size=1, max_size=5).map(tuple)
names = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.dictionaries(names, st.tuples(shapes, st.sampled_from([*FLAGS])), max_size=6), st.integers(0, 2**32 - 1))
def test_what_is_written_is_read(described, seed):
    draw = np.random.default_rng(seed)
    arrays = {
        name: draw.integers(0, 2 if kind == "b1" else 100, shape).astype(kind)
        for name, (shape, kind) in described.items()
    }
    data = write_arrays(arrays)
    assert same(arrays_of(data), arrays)
    assert write_arrays(arrays_of(data)) == data


def test_an_array_that_no_record_holds_is_an_error():
    for odd in (np.float32(1), np.zeros(2, complex)):
        with pytest.raises(ValueError, match="dimensions"):
            write_arrays({"a": np.asarray(odd)})
