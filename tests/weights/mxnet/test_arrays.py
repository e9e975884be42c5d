import struct

import numpy as np
import pytest

from resnets.errors import ResNetsError
from resnets.weights.mxnet.arrays import array, refuse_sparse, stored
from resnets.weights.source import Source

V2 = 0xF993FAC9
ONE = np.arange(6, dtype="<f4").reshape(2, 3)


def arrays_of(data: bytes) -> dict[str, np.ndarray]:
    source = Source.of(data, "x.params")
    return {name: array(one) for name, one in stored(source).items() if one.kind}


def listed(*records: bytes, names: tuple[str, ...]) -> bytes:
    texts = b"".join(struct.pack("<Q", len(name)) + name.encode() for name in names)
    return struct.pack("<3Q", 0x112, 0, len(records)) + b"".join(records) + struct.pack("<Q", len(names)) + texts


def record(array: np.ndarray, flag: int) -> bytes:
    shape = struct.pack(f"<i{array.ndim}q", array.ndim, *array.shape)
    return struct.pack("<Ii", V2, 0) + shape + struct.pack("<3i", 1, 0, flag) + array.tobytes()


def test_bfloat16_becomes_float32_exactly():
    values = np.array([1.0, -0.15625, 3.3895314e38, np.inf], "<f4")
    upper = (values.view("<u4") >> 16).astype("<u2")
    assert arrays_of(listed(record(upper, 12), names=("a",)))["a"].tolist() == values.tolist()


def test_sparse_arrays_are_named():
    rows = struct.pack("<Iiiqqi2q", V2, 1, 2, 1, 3, 2, 9, 3) + struct.pack("<4iiq", 1, 0, 0, 6, 1, 1)
    csr = struct.pack("<Iiiqi2q", V2, 2, 1, 2, 2, 4, 4) + struct.pack("<3iiiqiiq", 1, 0, 0, 6, 1, 5, 6, 1, 2)
    sparse = [rows + bytes(12 + 8), csr + bytes(8 + 40 + 16)]
    data = listed(record(ONE, 0), *sparse, names=("a", "embedding", "other"))
    with pytest.raises(ResNetsError, match=r"embedding \(row_sparse\), other \(csr\)"):
        refuse_sparse(stored(Source.of(data, "x.params")).values(), "x.params")
