import random
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.weights.source import Source
from resnets.weights.torch7.objects import ELEMENTS, UNVERSIONED, Function, Object, Storage, Table, Tensor, tensor
from resnets.weights.torch7.read import read
from resnets.weights.torch7.write import write

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "oracles" / "torch7"
FOLDER = SHARED if SHARED.is_dir() else ROOT / "tests" / "oracles" / "torch7"
OTHER = ("ascii", "bigendian", "long4", "legacy_function7")  # forms that torch.save does not write by default
FILES = [path for path in sorted(FOLDER.rglob("*.t7")) if path.name != "class_custom_write.t7"]


def back(data):
    return read(Source.of(data, "x.t7"))


def assert_same(a, b, *, bits=True):
    """Two lists of objects hold equal values, and in both the same of them are one. Any depth will do."""
    pairs, left, right = [(a, b)], {}, {}
    while pairs:
        x, y = pairs.pop()
        assert type(x) is type(y)
        if isinstance(x, float):
            assert np.float64(x).tobytes() == np.float64(y).tobytes()
        elif isinstance(x, (Table, Object, Tensor, Storage, Function)):
            assert left.setdefault(id(x), id(y)) == id(y)
            assert right.setdefault(id(y), id(x)) == id(x)
            if left.get((id(x), "walked")):
                continue
            left[id(x), "walked"] = True
            pairs += inner(x, y, bits)
        elif isinstance(x, (list, tuple)):
            assert len(x) == len(y)
            pairs += zip(x, y)
        else:
            assert x == y


def inner(x, y, bits):
    """What two objects of one kind hold, in pairs; their own fields are compared."""
    if isinstance(x, Table):
        return [(x.pairs, y.pairs)]
    if isinstance(x, Function):
        assert (x.kind, x.code) == (y.kind, y.code)
        return [(x.upvalues, y.upvalues)]
    assert x.name == y.name
    assert x.version == y.version
    if isinstance(x, Object):
        return [((*x.ahead, x.value), (*y.ahead, y.value))]
    if isinstance(x, Storage):
        assert x.count == y.count
        assert x.read(0, x.count).dtype == y.read(0, y.count).dtype
        if bits:
            assert x.read(0, x.count).tobytes() == y.read(0, y.count).tobytes()
        np.testing.assert_array_equal(x.read(0, x.count), y.read(0, y.count))
        return []
    assert (x.size, x.stride, x.offset) == (y.size, y.stride, y.offset)
    return [(x.storage, y.storage)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_torch_wrote_is_written_again(path):
    data = path.read_bytes()
    objects = back(data)
    again = write(objects)
    if not any(form in path.name for form in OTHER):
        assert again == data
        return
    assert_same(objects, back(again))
    twin = path.with_name(path.name.replace(".ascii", ""))
    if "ascii" in path.name and twin.exists() and twin != path and path.stat().st_size < 10_000:
        assert_same(objects, back(twin.read_bytes()), bits=False)  # the same value in both modes, but for a NaN's sign


def shapes(draw, kinds):
    """A storage and a view of it: any strides that stay inside."""
    kind = draw(st.sampled_from(kinds))
    seed = draw(st.integers(0, 1 << 30))
    count = draw(st.integers(0, 40))
    raw = random.Random(seed).randbytes(count * np.dtype(ELEMENTS[kind]).itemsize)
    storage = Storage(f"torch.{kind}Storage", count, 1, np.frombuffer(raw, ELEMENTS[kind]))
    size, stride, offset = [], [], draw(st.integers(0, count))
    left = count - 1 - offset
    while left >= 0 and len(size) < 5 and draw(st.booleans()):
        n = draw(st.integers(1, 4))
        step = draw(st.integers(0, left // max(n - 1, 1)))
        left -= (n - 1) * step
        size.append(n)
        stride.append(step)
    return storage, Tensor(f"torch.{kind}Tensor", tuple(size), tuple(stride), offset, storage)


@st.composite
def graphs(draw):
    """Objects that refer to one another in any way: cycles, tables as keys, shared storages, functions."""
    storages = [shapes(draw, tuple(ELEMENTS)) for _ in range(draw(st.integers(0, 3)))]
    versions = st.sampled_from([UNVERSIONED, 0, 1, 2, 17])
    things = [one for pair in storages for one in pair] + [tensor(np.empty(0), "Cuda")]
    tables = [Table() for _ in range(draw(st.integers(1, 6)))]
    things += tables
    names = st.sampled_from(["nn.Sequential", "my.Class", "nn.DataParallelTable", "tds.Hash"])
    for name, version in draw(st.lists(st.tuples(names, versions), max_size=4)):
        ahead = (draw(st.sampled_from(tables)),) if name == "nn.DataParallelTable" and version >= 2 else ()
        # The table of a tds.Hash is a part of it, not an object of the file.
        things.append(Object(name, version, Table() if name == "tds.Hash" else draw(st.sampled_from(tables)), ahead))
    for kind in draw(st.lists(st.sampled_from([7, 8]), max_size=2)):
        things.append(Function(kind, draw(st.binary(max_size=20)), draw(st.sampled_from(tables))))
    texts = st.binary(max_size=12).map(lambda data: data.decode("utf-8", "surrogateescape"))
    plain = st.none() | st.booleans() | st.floats() | texts
    values = st.sampled_from(things) | plain
    keys = st.sampled_from(things) | st.booleans() | st.floats(allow_nan=False) | texts
    for table in tables + [one.value for one in things if isinstance(one, Object) and one.name == "tds.Hash"]:
        pairs = draw(st.lists(st.tuples(keys, values.filter(lambda value: value is not None)), max_size=6))
        table.pairs = list({(type(key), key): (key, value) for key, value in pairs}.values())
    return draw(st.lists(values, min_size=1, max_size=4))


@settings(derandomize=True, max_examples=300, deadline=None)
@given(graphs())
def test_any_objects_come_back_as_they_were(objects):
    data = write(objects)
    found = back(data)
    assert_same(objects, found)
    assert write(found) == data


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.data())
def test_a_view_shows_what_numpy_shows(data):
    storage, view = shapes(data.draw, ("Byte", "Double", "CudaHalf"))
    found = back(write([view]))[0].array()
    strides = tuple(step * storage.elements.itemsize for step in view.stride)
    want = np.lib.stride_tricks.as_strided(storage.elements[view.offset :], view.size, strides) if view.size else []
    assert found.tobytes() == np.array(want, storage.elements.dtype).tobytes()
    assert found.flags.c_contiguous
    assert found.flags.writeable


def test_pypi_torchfile_reads_tables_and_tensors(tmp_path):
    torchfile = pytest.importorskip("torchfile")
    rng = np.random.default_rng(0)
    kinds = [kind for kind in ELEMENTS if kind not in ("Half", "CudaHalf", "CudaLong")]  # those it does not know
    arrays = {kind: (rng.standard_normal((3, 4)) * 100).astype(ELEMENTS[kind]) for kind in kinds}
    weight = tensor(arrays["Float"])
    module = Object("nn.Linear", 1, Table([("weight", weight), ("train", False), ("same", weight)]))
    table = Table([(kind, tensor(array, kind)) for kind, array in arrays.items()])
    table.pairs += [("module", module), ("list", Table([(1.0, "a"), (2.0, 2.5)]))]
    view = Tensor("torch.FloatTensor", (4, 2), (1, 4), 4, weight.storage)
    path = tmp_path / "x.t7"
    path.write_bytes(write([Table([*table.pairs, ("view", view)])]))
    found = torchfile.load(str(path))
    for kind, array in arrays.items():
        np.testing.assert_array_equal(found[kind.encode()], array)
    np.testing.assert_array_equal(found[b"view"], arrays["Float"][1:].T)
    assert found[b"module"].torch_typename() == b"nn.Linear"
    assert found[b"module"].weight is found[b"module"].same
    assert found[b"list"] == [b"a", 2.5]


def test_what_lua_does_not_know_is_refused():
    for odd in (b"bytes", [1], {"a": 1}, np.float32(1), 2**60):
        with pytest.raises((TypeError, ValueError)):
            write([odd])


def test_a_hash_and_a_vector_of_tds_are_read_and_written():
    """torch/tds, hash.lua and vec.lua: a long, then keys and values, or values alone."""

    def text(value):
        return struct.pack("<i", len(value)) + value

    number, nil, string = struct.pack("<id", 1, 2.5), struct.pack("<i", 0), struct.pack("<i", 2) + text(b"a")
    vector = struct.pack("<ii", 4, 2) + text(b"V 0") + text(b"tds.Vec") + struct.pack("<q", 3) + number + nil + string
    data = struct.pack("<ii", 4, 1) + text(b"V 0") + text(b"tds.Hash") + struct.pack("<q", 2)
    data += string + vector + number + struct.pack("<ii", 4, 1)
    (found,) = back(data)
    assert (found.name, found.version, found[2.5]) == ("tds.Hash", 0, found)
    assert found["a"].value.pairs == [(1.0, 2.5), (2.0, None), (3.0, "a")]
    assert write([found]) == data


def test_the_gpus_that_a_data_parallel_table_names_stand_before_its_fields():
    """DataParallelTable.lua of cunn, from its version 2 on; before, there are only the fields."""
    gpus, fields = Table([(1.0, 1.0)]), Table([("dimension", 1.0)])
    for version, ahead in ((1, ()), (2, (gpus,)), (3, (gpus,))):
        (found,) = back(write([Object("nn.DataParallelTable", version, fields, ahead)]))
        assert (found["dimension"], [one.items() for one in found.ahead]) == (1.0, [[1.0]] * len(ahead))


def test_depth_costs_nothing():
    top = table = Table()
    for _ in range(30_000):
        table.pairs.append((True, Table()))
        table = table[True]
    assert write(back(write([top]))) == write([top])
