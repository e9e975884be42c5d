import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from resnets.card import KEY
from resnets.errors import ResNetsError
from resnets.weights import files, safetensors
from resnets.weights.model import Model
from resnets.weights.options import Options
from resnets.weights.source import Source


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Model:
    return files.load(tiny_model)


@pytest.fixture(scope="module")
def data(model: Model) -> bytes:
    return safetensors.write(model, Options())


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header: dict[str, Any] | bytes, arrays: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + arrays


def test_the_package_reads_what_we_write(model, data, tmp_path):
    (tmp_path / "m.safetensors").write_bytes(data)
    with safe_open(tmp_path / "m.safetensors", "np") as file:
        assert file.metadata()[KEY].startswith('{"format": 1')
        assert set(file.keys()) == set(model.weights)
        for name, array in model.weights.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)


def test_equal_models_are_equal_files(model, data):
    turned = Model(model.architecture, dict(reversed(model.weights.items())), model.card)
    assert safetensors.write(turned, Options()) == data
    header, _ = parts(data)
    assert list(header) == sorted(header)
    assert int.from_bytes(data[:8], "little") % 8 == 0


def test_every_truncation_is_noticed(data):
    for length in {*range(0, len(data), len(data) // 200), *range(12), len(data) - 1}:
        with pytest.raises(ResNetsError, match="truncated"):
            safetensors.read(Source.of(data[:length], "m"))


def changed(name: str, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header[name].update(fields)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (changed("fc.bias", data_offsets=[0, 12]), "should lie at bytes"),
        (changed("fc.bias", data_offsets=[10**15, 10**15 + 12]), "should lie at bytes"),
        (changed("fc.bias", data_offsets=[-12, 0]), "none can have"),
        (changed("fc.bias", data_offsets=[0.0, 12.0]), "none can have"),
        (changed("fc.bias", data_offsets="no"), "none can have"),
        (changed("fc.bias", shape=[10**9] * 9), "none can have"),
        (changed("fc.bias", shape=[2, 2]), "12 bytes for the shape"),
        (lambda header: header.update({"x": {**header["fc.bias"], "shape": [0, 2**62]}}), "none can have"),
        (changed("fc.bias", shape=[1] * 99), "none can have"),
        (changed("fc.bias", shape=[True, 3]), "none can have"),
        (changed("fc.bias", dtype="F16"), "is F16, and resnets reads F32"),
        (changed("fc.bias", dtype=[]), "reads F32"),
        (lambda header: header.update({"fc.bias": 7}), "does not describe"),
        (lambda header: header.pop("fc.bias"), "(belong to no array|should lie at)"),
        (
            lambda header: header.update({"fc2.bias": header.pop("fc.bias")}),
            "1 missing: fc.bias; 1 not part .*: fc2.bias",
        ),
        (lambda header: header.pop("__metadata__"), "has no card"),
        (lambda header: header.update({"__metadata__": {KEY: 7}}), "has no card"),
    ],
)
def test_a_header_that_lies_is_refused(data, change, reason):
    header, arrays = parts(data)
    change(header)
    with pytest.raises(ResNetsError, match=reason):
        safetensors.read(Source.of(joined(header, arrays), "m"))


@pytest.mark.parametrize("text", [b"[]", b"7 ", b"{", b"\xff\xfe", b'{"a": 1, "a": 2}', b"[" * 100_000])
def test_a_header_that_is_no_object_is_refused(text):
    with pytest.raises(ResNetsError, match="header"):
        safetensors.read(Source.of(joined(text, b""), "m"))


def test_bytes_behind_the_arrays_are_refused(data):
    with pytest.raises(ResNetsError, match="4 bytes belong to no array"):
        safetensors.read(Source.of(data + b"1234", "m"))


def test_a_header_may_not_be_endless(data):
    with pytest.raises(ResNetsError, match="header should be"):
        safetensors.read(Source.of((2**62).to_bytes(8, "little") + data[8:], "m"))


def test_more_outputs_need_a_graph(model):
    with pytest.raises(ResNetsError, match="no graph"):
        safetensors.write(model, Options(outputs=("features",)))
