import hashlib
from io import FileIO
from pathlib import Path

import numpy as np
import pytest

from resnets.weights.source import WINDOW, DamagedError, Source, small

DATA = np.random.default_rng(0).integers(0, 256, 3 * WINDOW + 17, np.uint8).tobytes()


@pytest.fixture(params=["file", "memory"])
def source(request, tmp_path: Path):
    if request.param == "memory":
        yield Source.of(DATA, "m")
        return
    (tmp_path / "m").write_bytes(DATA)
    with FileIO(tmp_path / "m") as file:
        yield Source("m", len(DATA), file)


def test_bytes_are_those_of_the_place(source):
    places = [(0, 4), (3, 0), (WINDOW - 2, 4), (2 * WINDOW, WINDOW + 17), (1, 2 * WINDOW), (len(DATA) - 1, 1), (7, 9)]
    for offset, count in places:
        assert source.at(offset, count) == DATA[offset : offset + count]
    assert source.whole() == b"".join(source.chunks()) == DATA
    assert source.digests("md5", "sha256") == (hashlib.md5(DATA).hexdigest(), hashlib.sha256(DATA).hexdigest())
    assert source.sha256() == hashlib.sha256(DATA).hexdigest()


def test_arrays_have_memory_of_their_own_and_the_order_of_the_machine(source):
    array = source.array(">f4", (5, 3), 3)
    assert (array.dtype, array.shape) == (np.dtype(np.float32), (5, 3))
    assert array.dtype.isnative
    assert array.tobytes() == np.frombuffer(DATA, ">f4", 15, 3).astype(np.float32).tobytes()
    assert array.flags.aligned
    assert array.flags.writeable
    array[:] = 0
    assert source.at(3, 60) == DATA[3:63]
    assert source.array("<f8", (0, 4), 5).shape == (0, 4)
    assert source.array("<i8", (), 8) == np.frombuffer(DATA, "<i8", 1, 8)[0]


@pytest.mark.parametrize(("offset", "count"), [(0, len(DATA) + 1), (len(DATA), 1), (-1, 1), (5, -1), (1 << 70, 4)])
def test_nothing_is_given_or_allocated_beyond_the_end(source, offset, count):
    with pytest.raises(DamagedError):
        source.at(offset, count)
    with pytest.raises(DamagedError):
        source.array("u1", (count,), offset) if count > 0 else source.check(offset, count)
    with pytest.raises(DamagedError):
        source.array("<f4", (1 << 40, 1 << 20), 0)


def test_a_file_that_shrinks_while_it_is_open_is_damaged(tmp_path):
    (tmp_path / "m").write_bytes(DATA)
    with FileIO(tmp_path / "m") as file:
        source = Source("m", len(DATA), file)
        (tmp_path / "m").write_bytes(DATA[:100])
        with pytest.raises(DamagedError, match="bytes are missing at its end"):
            source.at(50, 100)


def test_a_small_file_is_read_and_no_other(tmp_path):
    path = tmp_path / "x"
    assert small(path, 3) is None
    path.write_bytes(b"abc")
    assert small(path, 3) == b"abc"
    for most, where in ((2, path), (9, tmp_path)):
        with pytest.raises(OSError, match=r"no regular file|Is a directory"):
            small(where, most)
