import io
import random
import zipfile

import numpy as np
import pytest

from resnets.errors import ResNetsError
from resnets.weights import params
from resnets.weights.model import digest
from resnets.weights.mxnet.arrays import array, stored
from resnets.weights.source import DamagedError, Source


def read_arrays(source: Source) -> dict[str, np.ndarray]:
    return {name: array(one) for name, one in stored(source).items() if one.kind}


HEAD = b"\x93NUMPY\x01\x00"


def npz(save=np.savez, **arrays: object) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def of_entry(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", content)
    return file.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_saves_is_read(exported, save):
    lists = Source.of((exported / "exported-0000.params").read_bytes(), "x.params")
    found = Source.of(npz(save, **read_arrays(lists)), "x.params")
    assert digest(params.read(found).weights) == digest(params.read(lists).weights)
    odd = {
        "a": np.array(2.5),
        "b": np.zeros((0, 3), "<u2"),
        "c": np.array([True, False]),
        "d": np.arange(3, dtype="i8"),
    }
    for name, one in read_arrays(Source.of(npz(save, **odd), "x")).items():
        assert (one.dtype, one.shape, one.tobytes()) == (odd[name].dtype, odd[name].shape, odd[name].tobytes())


@pytest.mark.parametrize(
    ("data", "how"),
    [
        (npz(a=np.array([{}], object)), "elements of type |O"),
        (npz(a=np.asfortranarray(np.ones((2, 3)))), "no array that MXNet writes"),
        (npz(a=np.zeros(2, ">f4")), "elements of type >f4"),
        (of_entry(b"GLOBAL"), "no array of NumPy's"),
        (of_entry(HEAD + b"\xff\xff" + bytes(9)), "should have 65,535 bytes"),
        (of_entry(HEAD + b"\x39\x00{'descr': '<f4', 'fortran_order': False, 'shape': (9,), }"), "has 67 bytes"),
        (of_entry(HEAD + b"\x20\x00__import__('os').getcwd()".ljust(40)), "no array that MXNet writes"),
        (of_entry(HEAD + b"\x00\x04{'descr': '<f4', 'fortran_order': False, 'shape': (".ljust(1032, b"1")), "no array"),
        (npz(a=np.ones(4))[:-1], "directory"),
    ],
    ids=range(9),
)  # fmt: skip
def test_damage_is_said_and_nothing_is_unpickled(data, how):
    with pytest.raises(DamagedError, match=how.replace("|", r"\|")):
        read_arrays(Source.of(data, "x"))


def test_damaged_archives_never_read_as_other_numbers():
    arrays = {"a": np.arange(40, dtype="f4").reshape(8, 5), "b": np.arange(7)}
    whole = npz(**arrays)
    for seed in range(1500):
        order, bad = random.Random(seed), bytearray(whole)
        if order.random() < 0.7:
            bad[order.randrange(len(bad))] ^= 1 << order.randrange(8)
        else:
            del bad[order.randrange(len(bad)) :]
        try:
            found = read_arrays(Source.of(bytes(bad), "x"))
        except (DamagedError, ResNetsError):
            continue
        assert all(array.tobytes() in (arrays["a"].tobytes(), arrays["b"].tobytes()) for array in found.values())
