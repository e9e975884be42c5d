import io
import pickle
import random
import struct
import sys
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from resnets.errors import ResNetsError
from resnets.weights.pytorch import checkpoint
from resnets.weights.pytorch.pickled import Tensor
from resnets.weights.source import DamagedError, Source

torch = pytest.importorskip("torch")


def saved(value, **options):
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def opened(data):
    return checkpoint.opened(Source.of(data, "m.pth"))


def arrays(data):
    found = opened(data)
    return {name: found.array(one) for name, one in found.value.items() if isinstance(one, Tensor)}


FORMS = [{"_use_new_zipfile_serialization": new, "pickle_protocol": p} for new in (True, False) for p in (2, 3, 4, 5)]


@pytest.fixture(scope="module")
def tensors():
    base = torch.arange(120, dtype=torch.float32)
    return OrderedDict(
        whole=torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)),
        front=base[:10],
        back=base[60:].view(5, 3, 4),
        turned=base[20:44].view(2, 3, 4).permute(2, 0, 1),
        strided=base[1::7],
        half=torch.tensor([1.5, -65504.0, 6e-8], dtype=torch.float16),
        bfloat=torch.tensor([1.5, -3e38, 1e-40], dtype=torch.bfloat16),
        double=torch.tensor([1 / 3, 1e30], dtype=torch.float64),
        none=torch.zeros(0, 3),
        scalar=torch.tensor(2.5),
        parameter=torch.nn.Parameter(torch.ones(3, 2)),
        channels_last=torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    )


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_what_torch_saves_is_read_as_torch_reads_it(tensors, form):
    found = arrays(saved(tensors, **form))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], tensor.detach().float().numpy(), name)


def test_other_things_in_a_checkpoint_are_left_alone():
    import argparse
    from pathlib import Path

    network = torch.nn.Linear(3, 2)
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    value = {
        "w": torch.ones(2),
        "optimizer": optimiser.state_dict(),
        "args": argparse.Namespace(lr=0.1, path=Path("x")),
        "accuracy": np.float64(76.1),
        "array": np.arange(3),
        "set": {1, 2},
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "size": torch.Size([1, 2]),
        "rng": torch.get_rng_state(),
        "numpy": np.random.default_rng(0).bit_generator.state,
        "old_numpy": np.random.get_state(),  # noqa: NPY002
        "int": torch.arange(3),
        "small": torch.zeros(2, dtype=torch.uint16),
        "complex": torch.zeros(2, dtype=torch.complex64),
    }
    for form in FORMS:
        found = opened(saved(value, **form))
        np.testing.assert_array_equal(found.array(found.value["w"]), [1, 1])
        assert found.value["int"].kind == "int64"
        assert found.value["size"] == (1, 2)
        assert found.value["small"].kind == "uint16"


def test_a_tensor_with_attributes_and_a_bare_one():
    tensor = torch.ones(3)
    tensor.note = "kept"
    np.testing.assert_array_equal(arrays(saved({"a": tensor}))["a"], [1, 1, 1])


def rezipped(data, change, method=zipfile.ZIP_STORED):
    """The archive with its files changed by a function from their dictionary to it."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        files = change({name: file.read(name) for name in file.namelist()})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return out.getvalue()


def test_archives_packed_again_or_of_a_big_endian_machine_are_read():
    value = {"a": torch.arange(7.0), "b": torch.arange(7.0).double()[1:]}
    data = saved(value)
    packed = rezipped(data, dict, zipfile.ZIP_DEFLATED)

    def turn(files):
        for name, content in files.items():
            if name.endswith("byteorder"):
                files[name] = b"big"
            elif "/data/" in name:
                files[name] = np.frombuffer(content, "<f4" if len(content) == 28 else "<f8").byteswap().tobytes()
        return files

    for one in (packed, rezipped(data, turn)):
        found = arrays(one)
        np.testing.assert_array_equal(found["a"], value["a"])
        np.testing.assert_array_equal(found["b"], value["b"])


def test_a_file_without_checksums_is_read():
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        data = saved({"a": torch.ones(5)})
    finally:
        torch.serialization.set_crc32_options(before)
    np.testing.assert_array_equal(arrays(data)["a"], np.ones(5))


def test_files_of_other_kinds_are_named():
    with pytest.raises(ResNetsError, match="is a pickle, but not one"):
        opened(pickle.dumps({"a": [1]}))
    out = io.BytesIO()
    np.savez(out, a=np.ones(3))
    with pytest.raises(ResNetsError, match="is a zip archive, but not one"):
        opened(out.getvalue())
    tar = bytearray(512)
    tar[257:262] = b"ustar"
    with pytest.raises(ResNetsError, match=r"tar archive, as PyTorch before 0\.2"):
        opened(bytes(tar))
    with pytest.raises(ResNetsError, match=r"whole pickled module.*torch\.nn\.modules\.linear\.Linear"):
        opened(saved(torch.nn.Linear(2, 2)))
    with pytest.raises(ResNetsError, match=r"quantised tensor.*_rebuild_qtensor"):
        opened(b"\x80\x02ctorch._utils\n_rebuild_qtensor\n.")


class Shell:
    def __reduce__(self):
        import os

        return os.system, ("echo this was run; exit 3",)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_checkpoint_that_calls_something_is_refused_by_that_name(form, capfd):
    with pytest.raises(ResNetsError, match=r"its pickle calls (posix|nt)\.system\. Nothing of it was run"):
        opened(saved({"state_dict": {"a": torch.ones(3)}, "x": Shell()}, **form))
    assert capfd.readouterr().out == ""
    for name in ("builtins.eval", "builtins.exec", "builtins.getattr", "torch.load", "torch.hub.load", "os.system",
                 "subprocess.Popen", "functools.partial", "torch.storage._load_from_bytes", "operator.attrgetter",
                 "numpy.load", "__torch__.Net", "builtins.__import__", "numpy.dtypes.x.y"):  # fmt: skip
        module, _, last = name.rpartition(".")
        for data in (f"c{module}\n{last}\n.", f"(i{module}\n{last}\n."):
            with pytest.raises(ResNetsError, match=f"calls {name}"):
                opened(data.encode())


def pickled(storage=("storage", "torch FloatStorage", "0", "cpu", 4), tail="K\x00(K\x04t(K\x01t"):
    """data.pkl of {"a": a tensor}, of a storage and what follows it."""
    kind, cls, key, place, count = storage
    cls = cls.replace(" ", "\n")
    head = f"\x80\x02}}(Va\nctorch._utils\n_rebuild_tensor_v2\n((V{kind}\nc{cls}\nV{key}\nV{place}\n"
    number = b"\x8a\x08" + struct.pack("<q", count)
    return head.encode("latin-1") + number + b"tQ" + tail.encode("latin-1") + b"\x89}tRu."


@pytest.mark.parametrize(
    ("storage", "tail", "reason"),
    [
        (None, "K\x01(K\x04t(K\x01t", "reaches beyond its storage"),
        (None, "K\x00(K\x05t(K\x01t", "reaches beyond its storage"),
        (None, "K\x00(K\x02t(K\x04t", "reaches beyond its storage"),
        (None, "K\x00(K\x04t(J\xff\xff\xff\xfft", "a shape or a place that none can have"),
        (None, "J\xff\xff\xff\xff(K\x04t(K\x01t", "a shape or a place that none can have"),
        (None, "K\x00(J\xff\xff\xff\xfft(K\x01t", "a shape or a place that none can have"),
        (None, "K\x00(\x8a\x07\xff\xff\xff\xff\xff\xff\x00K\x00t(K\x00K\x00t", "a shape or a place that none can have"),
        (None, "K\x00(K\x04K\x04t(K\x01t", "a shape or a place that none can have"),
        (None, "K\x00(K\x04K\x7ft(K\x00K\x00t", "more elements than its storage"),
        (None, "K\x00(K\x04K\x7ft(K\x01K\x00t", "more elements than its storage"),
        (("storage", "torch FloatStorage", "0", "cpu", 2**40), "K\x00(K\x04t(K\x01t", "has 16 bytes instead of"),
        (("storage", "torch FloatStorage", "7", "cpu", 4), "K\x00(K\x04t(K\x01t", "'7' is missing"),
        (("storage", "torch DoubleStorage", "0", "cpu", 4), "K\x00(K\x04t(K\x01t", "has 16 bytes instead of 32"),
        (("storage", "collections OrderedDict", "0", "cpu", 4), "K\x00(K\x04t(K\x01t", "storage of the class"),
        (("file", "torch FloatStorage", "0", "cpu", 4), "K\x00(K\x04t(K\x01t", "something that is no storage"),
        (("storage", "torch FloatStorage", "0", "cpu", -1), "K\x00(K\x04t(K\x01t", "a storage that none can be"),
    ],
)
def test_tensors_that_reach_for_other_bytes_are_refused(storage, tail, reason):
    parts = pickled(tail=tail) if storage is None else pickled(storage, tail)
    swap = {"archive/data.pkl": parts}
    data = rezipped(saved({"a": torch.ones(4)}), lambda files: {**files, **swap})
    with pytest.raises(DamagedError, match=reason):
        arrays(data)


def test_the_forged_file_is_well_made_but_for_what_is_forged():
    swap = {"archive/data.pkl": pickled()}
    data = rezipped(saved({"a": torch.ones(4)}), lambda files: {**files, **swap})
    np.testing.assert_array_equal(arrays(data)["a"], np.ones(4))


def test_storages_of_an_old_file_have_to_fill_it():
    data = saved({"a": torch.ones(4)}, _use_new_zipfile_serialization=False)
    for changed, reason in (
        (data + b"more", "4 bytes belong to no storage"),
        (data[:-24] + struct.pack("<q", 5) + data[-16:], "should have 4 elements"),
        (data[:-24] + struct.pack("<q", -1) + data[-16:], "should have 4 elements"),
        (data.replace(b"M\xe9\x03.", b"M\xe8\x03.", 1), "of the protocol 1001"),
    ):
        with pytest.raises(DamagedError, match=reason):
            opened(changed)


@pytest.mark.parametrize("form", FORMS[:1] + FORMS[4:5], ids=str)
def test_every_truncation_is_noticed(tensors, form):
    data = saved(tensors, **form)
    for length in range(0, len(data), 3):
        with pytest.raises((DamagedError, ResNetsError)):
            arrays(data[:length])


def test_a_changed_byte_of_an_archive_is_noticed_or_harmless(tensors):
    data = saved({name: tensor.detach() for name, tensor in tensors.items()})
    right = {name: tensor.detach().float().numpy() for name, tensor in tensors.items()}
    chance = random.Random(0)
    noticed = 0
    for at in range(0, len(data), 5):
        changed = bytearray(data)
        changed[at] ^= 1 << chance.randrange(8)
        try:
            found = arrays(bytes(changed))
        except (DamagedError, ResNetsError):
            noticed += 1
            continue
        for name, array in found.items():
            np.testing.assert_array_equal(array, right[name], f"byte {at}")
    assert noticed > 400


def test_memory_is_not_taken_for_what_is_not_used(tmp_path):
    import tracemalloc

    path = tmp_path / "large.pth"
    torch.save({"a": torch.ones(10), "gradients": torch.ones(5_000_000)}, path)
    with path.open("rb", buffering=0) as file:
        tracemalloc.start()
        found = checkpoint.opened(Source(str(path), path.stat().st_size, file))
        found.array(found.value["a"])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2_000_000
    assert sys.getsizeof(found.value) < 1000
