import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from resnets.card import KEY
from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.weights import files, safetensors
from resnets.weights.model import Model
from resnets.weights.options import Options
from resnets.weights.source import Source

TINY = replace(find("resnet20-cifar"), blocks=(1, 1, 1), classes=3)


@pytest.fixture(scope="module")
def model(random_model: Callable[..., Model]) -> Model:
    found: Model = random_model(TINY)
    return found


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
        (changed("fc.bias", dtype="F16", shape=[6]), r"not float32, as the card needs them: fc.bias \(F16\)"),
        (changed("fc.bias", dtype="F16"), "12 bytes for the shape"),
        (changed("fc.bias", dtype="F4"), "an element type that the format has not, 'F4'"),
        (changed("fc.bias", dtype=[]), "an element type that the format has not"),
        (lambda header: header.update({"fc.bias": 7}), "does not describe"),
        (lambda header: header.pop("fc.bias"), "(belong to no array|should lie at)"),
        (
            lambda header: header.update({"fc2.bias": header.pop("fc.bias")}),
            "1 missing: fc.bias; 1 not part .*: fc2.bias",
        ),
        (lambda header: header.pop("__metadata__"), "Say which network it is with --architecture"),
        (lambda header: header.update({"__metadata__": {KEY: 7}}), "Say which network it is with --architecture"),
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


def foreign(model: Model, kind: str) -> bytes:
    """The arrays as timm's files have them: named for torch, of other floats, counters among them."""
    from safetensors.numpy import save

    arrays = {name: array.astype(kind) for name, array in model.weights.items()}
    return save({**arrays, "bn1.num_batches_tracked": np.zeros((), np.int64)}, {"format": "pt"})


@pytest.mark.parametrize(("kind", "how"), [("float32", ""), ("float16", "exactly"), ("float64", "rounded")])
def test_files_of_others_are_read_by_their_names(random_model, kind, how):
    model = random_model(replace(find("resnet18"), blocks=(1, 1, 1, 1), widths=(4, 6, 8, 10), stem_widths=(4,)))
    found = files.read(Source.of(foreign(model, kind), "net.safetensors"))
    assert found.architecture == model.architecture
    for name, array in model.weights.items():
        np.testing.assert_array_equal(found.weights[name], array.astype(kind).astype(np.float32))
    assert how in "".join(found.notes[1:])
    assert len(found.notes) == 1 + bool(how)
    assert found.card.source["names"] == "torchvision"


def test_bfloat16_is_read(random_model):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save

    model = random_model(replace(find("resnet18"), blocks=(1, 1, 1, 1), widths=(4, 6, 8, 10), stem_widths=(4,)))
    state = {name: torch.from_numpy(array).bfloat16() for name, array in model.weights.items()}
    found = files.read(Source.of(save(state), "net.safetensors"))
    for name, tensor in state.items():
        np.testing.assert_array_equal(found.weights[name], tensor.float().numpy())


def test_a_given_network_is_checked(model, data):
    theirs = Source.of(foreign(model, "float32"), "net.safetensors")
    assert files.read(theirs, replace(TINY, classes=9)).architecture == TINY
    with pytest.raises(ResNetsError, match=r"60 missing: layer1\.1\.conv1\.weight"):
        files.read(theirs, find("resnet20-cifar"))
    with pytest.raises(ResNetsError, match="another network than the one that was given"):
        files.read(Source.of(data, "m.safetensors"), find("resnet18"))


def test_names_of_others_are_written_without_a_card(random_model):
    model = random_model(replace(TINY, shortcut_zeros="both"))
    data = safetensors.write(model, Options(names="akamaster"))
    assert safetensors.read_card(Source.of(data, "m")) is None
    found = files.read(Source.of(data, "m.safetensors"))
    assert found.architecture == model.architecture
    assert all((found.weights[name] == model.weights[name]).all() for name in model.weights)
    assert "bn1.num_batches_tracked" in parts(data)[0]
