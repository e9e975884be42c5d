"""What is broken in a .t7 file, by accident or on purpose, ends in one error or costs no more than the file is long."""

import contextlib
import random
import struct
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnets.errors import ResNetsError
from resnets.weights.source import DamagedError, Source
from resnets.weights.torch7 import read as reader
from resnets.weights.torch7.objects import Storage, Table, Tensor, tensor
from resnets.weights.torch7.outline import outline, what
from resnets.weights.torch7.read import read
from resnets.weights.torch7.write import write

ROOT = Path(__file__).resolve().parents[3]
MISC = ROOT / "tests" / "oracles" / "torch7" / "misc"
SMALL = [path for path in sorted(MISC.glob("*.t7")) if path.name != "class_custom_write.t7"]
ODD = (-1, 0, 1, 2, 3, 5, 8, 255, 2**15, 2**31 - 1, -(2**31))
LONGS = (-1, 0, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))


def survives(data: bytes) -> list[Any] | None:
    """The objects of a file that may be damaged; None where it is refused. Nothing else may happen."""
    try:
        objects = read(Source.of(data, "x.t7"))
    except ResNetsError as error:
        if "x.t7" not in error.problem:
            raise AssertionError("the error does not name the file") from error
        return None
    assert len(outline(objects)) <= 60
    what(objects)
    every_array(objects)
    return objects


def every_array(objects: list[Any]) -> None:
    """Asks for all elements of all tensors and storages. A view that repeats too much is refused."""
    seen, left = set(), list(objects)
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Table):
            left += [value for pair in one.pairs for value in pair]
        elif isinstance(one, Tensor):
            left.append(one.storage)
            try:
                assert one.array().shape == (one.size or (0,))
            except DamagedError:
                assert np.prod(one.size, dtype=float) > one.storage.count
        elif isinstance(one, Storage):
            assert len(one.read(0, one.count)) == one.count
        else:
            left += [getattr(one, name) for name in ("value", "upvalues") if hasattr(one, name)]


def boundaries(data: bytes) -> list[int]:
    """Every byte at which the reader begins an object."""
    found: set[int] = set()

    class Noting(reader._Walk):
        def begin(self):
            found.add(self.mode.at)
            return super().begin()

    mode = next(reader._modes(Source.of(data, "x.t7")))
    walk = Noting(mode)
    with contextlib.suppress(DamagedError):
        walk.objects()
    return sorted(found)


def mutants(data: bytes, rng: random.Random, count: int) -> Iterator[bytes]:
    """Files that are like this one but for an accident: cut, flipped, or with an absurd number in place of another."""
    cuts = boundaries(data)
    for _ in range(count):
        broken = bytearray(data)
        match rng.randrange(6):
            case 0:
                del broken[rng.choice(cuts) + rng.randrange(-2, 9) :]
            case 1:
                broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
            case 2:
                for _ in range(rng.randrange(1, 8)):
                    broken[rng.randrange(len(broken))] = rng.choice((0, 1, 3, 4, 8, 10, 32, 48, 255))
            case 3:
                at = max(0, min(len(broken) - 8, rng.choice(cuts) + 4 * rng.randrange(8)))
                broken[at : at + 4] = struct.pack("<i", rng.choice(ODD))
            case 4:
                at = max(0, min(len(broken) - 8, rng.choice(cuts) + 4 * rng.randrange(24)))
                broken[at : at + 8] = struct.pack("<q", rng.choice(LONGS))
            case 5:
                first, second = sorted((rng.choice(cuts), rng.choice(cuts)))
                broken[first:second] = b"" if rng.random() < 0.5 else data[first:second] * 2
        yield bytes(broken)


def fuzz(files: list[Path], count: int, seed: int) -> int:
    """Tries `count` mutants of each file; how many were read all the same. Any other end than an error is raised."""
    rng, read_all_the_same = random.Random(seed), 0
    for path in files:
        for broken in mutants(path.read_bytes(), rng, count):
            began = time.perf_counter()
            read_all_the_same += survives(broken) is not None
            assert time.perf_counter() - began < 10, path
    return read_all_the_same


def test_mutants_end_in_an_error_or_are_read():
    read_all_the_same = fuzz(SMALL, 30, seed=1)
    assert 0 < read_all_the_same < 20 * len(SMALL)  # most are noticed; those in the middle of an array cannot be


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.name)
def test_a_file_cut_short_is_noticed_wherever_it_is_cut(path):
    data = path.read_bytes()
    objects = read(Source.of(data, "x.t7"))
    for end in range(len(data)):
        found = survives(data[:end])
        if found is not None:  # between two objects of a file nothing is missing
            assert write(found) == write(objects[: len(found)])
            assert len(found) < len(objects)


@pytest.mark.parametrize("name", ["resnet20-cifar10-B.t7", "thin8-published50.cuda.t7", "resnet20-cifar10-A.ascii.t7"])
def test_a_model_cut_short_is_noticed(shared, name):
    data = (shared / "oracles" / "torch7" / "models" / name).read_bytes()
    cuts = boundaries(data)
    assert len(cuts) > 2500
    for end in [*cuts[1 :: len(cuts) // 30], *(cut + 3 for cut in cuts[:: len(cuts) // 10]), len(data) - 1]:
        assert survives(data[:end]) is None


def test_a_flipped_byte_in_a_model_is_an_error_or_a_value(shared):
    folder = shared / "oracles" / "torch7" / "models"
    read = fuzz([folder / "resnet20-cifar10-B.t7", folder / "thin8-preresnet18-B.t7"], 25, seed=2)
    assert 0 < read < 50


# Pieces of files: an object's code and index, a header, a number.
def head(code, index):
    return struct.pack("<ii", code, index)


def text(value):
    return struct.pack("<i", len(value)) + value


def named(index, name):
    return head(4, index) + text(b"V 1") + text(name)


def longs(*numbers):
    return struct.pack(f"<{len(numbers)}q", *numbers)


def view(rank, *numbers, storage=None):
    inner = named(2, b"torch.FloatStorage") + longs(4) + bytes(16) if storage is None else storage
    return named(1, b"torch.FloatTensor") + struct.pack("<i", rank) + longs(*numbers) + inner


NIL = struct.pack("<i", 0)
TRUE = struct.pack("<ii", 5, 1)
REFUSED = {
    "nothing": (b"", "does not begin like one"),
    "a web page": (b"<!DOCTYPE html><html>", "does not begin like one"),
    "a pointer of git": (b"version https://git-lfs.github.com/spec/v1\n", "does not begin like one"),
    "an unknown type": (head(3, 1) + struct.pack("<ii", 1, 9) + TRUE, "9 before byte 16 is no type"),
    "a negative type": (head(3, 1) + struct.pack("<ii", 1, -2) + TRUE, "-2 before byte 16 is no type"),
    "a string of negative length": (struct.pack("<ii", 2, -5), "claims -5 bytes"),
    "a string longer than the file": (struct.pack("<ii", 2, 2**31 - 1) + b"a", "claims 2,147,483,647 bytes, and 1"),
    "a table of negative size": (head(3, 1) + struct.pack("<i", -1), "claims -1 entries"),
    "a table larger than the file": (head(3, 1) + struct.pack("<i", 2**30), "claims 1,073,741,824 entries"),
    "a key nil": (head(3, 1) + struct.pack("<i", 1) + NIL + TRUE, "a key twice, or one that is nil"),
    "a key NaN": (head(3, 1) + struct.pack("<iid", 1, 1, float("nan")) + TRUE, "a key twice, or one that is nil"),
    "a key twice": (head(3, 1) + struct.pack("<i", 2) + TRUE * 4, "a key twice"),
    "a boolean of 2": (struct.pack("<ii", 5, 2), "a boolean before byte 8 is 2"),
    "an index of 0": (head(3, 0) + struct.pack("<i", 0), "the index 0"),
    "an index of another type": (head(3, 1) + struct.pack("<i", 1) + TRUE + head(4, 1), "object 1 is of two types"),
    "an object that is its own fields": (named(1, b"my.Class") + head(4, 1), "my.Class before byte .* has no fields"),
    "an object whose fields are a number": (named(1, b"my.Class") + struct.pack("<id", 1, 1), "has no fields"),
    "a class without a name": (named(1, b"") + head(3, 2) + NIL, "no name of a class"),
    "a class with control characters": (named(1, b"a\x1b[2J") + head(3, 2) + NIL, "no name of a class"),
    "a storage of negative size": (named(1, b"torch.FloatStorage") + longs(-1), "has -1 elements"),
    "a storage larger than the file": (named(1, b"torch.FloatStorage") + longs(2**62), "should stand at byte"),
    "a tensor of 17 dimensions": (view(17, *[1] * 35), "has 17 dimensions"),
    "a tensor of -1 dimensions": (view(-1, 1), "has -1 dimensions"),
    "a negative size": (view(1, -4, 1, 1), "has sizes"),
    "a size of 0": (view(2, 0, 4, 4, 1, 1), "has sizes"),
    "a negative stride": (view(1, 2, -1, 2), "has sizes"),
    "an offset of 0": (view(1, 2, 1, 0), "begins at element 0"),
    "an offset beyond the storage": (view(1, 1, 1, 5), "reaches beyond the 4 elements"),
    "a size beyond the storage": (view(1, 5, 1, 1), "reaches beyond"),
    "a stride beyond the storage": (view(2, 2, 2, 3, 1, 1), "reaches beyond"),
    "sizes whose product overflows": (view(4, *[2**31] * 4, *[0] * 4, 1), "reaches beyond"),
    "a tensor over a number": (view(1, 1, 1, 1, storage=struct.pack("<id", 1, 1)), "has no torch.FloatStorage"),
    "a tensor over nothing": (view(1, 1, 1, 1, storage=NIL), "has no torch.FloatStorage"),
    "a tensor over itself": (view(1, 1, 1, 1, storage=head(4, 1)), "has no torch.FloatStorage"),
    "a tensor over another type": (
        view(1, 1, 1, 1, storage=named(2, b"torch.IntStorage") + longs(4) + bytes(16)),
        "has no torch.FloatStorage",
    ),
    "a function without upvalues": (head(8, 1) + text(b"\x1bLJ") + TRUE, "no table of upvalues"),
    "bytes after the last object": (TRUE + b"\x00\x00", "should stand at byte 8"),
    "ASCII without a number": (b"3\n1\nx\n", "a number should stand at byte 4"),
    "ASCII with too few numbers": (b"4\n1\n3\nV 1\n17\ntorch.LongStorage\n3\n1 222\n", "3 numbers should stand"),
    "ASCII with words for numbers": (b"4\n1\n3\nV 1\n18\ntorch.FloatStorage\n2\n1 eee\n", "2 numbers should stand"),
    "ASCII with numbers run together": (
        b"4\n1\n3\nV 1\n18\ntorch.FloatStorage\n99\n" + b"1 " * 98 + b"1-1\n",
        "99 numbers should stand",
    ),
    "ASCII with a number too large for its type": (
        b"4\n1\n3\nV 1\n18\ntorch.ShortStorage\n2\n1 32768\n",
        "2 numbers should stand",
    ),
    "ASCII with a float too large for its type": (
        b"4\n1\n3\nV 1\n18\ntorch.FloatStorage\n2\n1 1e39\n",
        "2 numbers should stand",
    ),
    "ASCII with a whole number too large": (
        b"4\n1\n3\nV 1\n17\ntorch.ByteStorage\n" + b"9" * 30 + b"\n",
        "a number should",
    ),
    "an ASCII line that does not end": (b"2\n3\nabc", "a line should end at byte 7"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_each_of_these_is_one_clear_error(name):
    data, message = REFUSED[name]
    with pytest.raises(ResNetsError, match=message):
        read(Source.of(data, "x.t7"))


def test_a_view_that_repeats_its_elements_without_measure_is_refused_when_it_is_asked_for():
    (found,) = read(Source.of(view(2, 2**20, 2**20, 0, 0, 1), "x.t7"))
    with pytest.raises(DamagedError, match="a tensor of 1048576 x 1048576 is a view of 4 elements"):
        found.array()


def test_the_stride_of_a_single_element_may_be_anything():
    (found,) = read(Source.of(view(2, 1, 2, 2**63 - 1, 2, 2), "x.t7"))
    assert found.array().tolist() == [[0, 0]]


def test_longs_of_four_bytes_are_believed_only_where_a_tensor_shows_them():
    """A FloatStorage of 8-byte longs that lacks its last 4 bytes could be one of 4-byte longs, with other numbers."""
    whole = named(1, b"torch.FloatStorage") + longs(3) + struct.pack("<3f", 1, 2, 3)
    assert read(Source.of(whole, "x.t7"))[0].read(0, 3).tolist() == [1, 2, 3]
    assert survives(whole[:-4]) is None


@pytest.mark.parametrize("depth", [50_000, pytest.param(1_000_000, marks=pytest.mark.matrix)])
def test_tables_in_one_another_are_read_at_any_depth(depth):
    data = b"".join(struct.pack("<iiiii", 3, i, 1, 5, 1) for i in range(1, depth + 1)) + NIL
    objects = read(Source.of(data, "x.t7"))
    levels, one = 0, objects[0]
    while one is not None:
        one, levels = one[True], levels + 1
    assert levels == depth
    assert len(outline(objects)) < 10
    del objects, one  # Python takes them down one by one, not on its stack


def test_reading_leaves_the_arrays_in_the_file(tmp_path):
    path = tmp_path / "big.t7"
    weight = np.arange(4_000_000, dtype=np.float32)
    path.write_bytes(write([Table([("weight", tensor(weight)), ("gradWeight", tensor(weight))])]))
    tracemalloc.start()
    with path.open("rb", buffering=0) as file:
        (table,) = read(Source(str(path), path.stat().st_size, file))
        assert tracemalloc.get_traced_memory()[1] < 2e6
        found = table["weight"].array()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, weight)
    assert peak < 1.1 * weight.nbytes + 2e6
