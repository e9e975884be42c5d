"""An archive that has arrived, or lies there already: its files in place of it, or what is wrong with it."""

import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import pytest
from tests.fetch.fetching import BODY, OTHER, SHA, got, refused

from resnets.fetch import cache, settle, unpack
from resnets.fetch import receipt as receipts
from resnets.published.row import Digest


def archive(*members: tuple[str, bytes], zipped: bool = False) -> bytes:
    held = io.BytesIO()
    if zipped:
        with zipfile.ZipFile(held, "w") as opened:
            for name, data in members:
                opened.writestr(name, data)
        return held.getvalue()
    with tarfile.open(fileobj=held, mode="w:gz", compresslevel=1) as opened:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))
    return held.getvalue()


WHOLE = archive(("r18/r18.onnx", BODY), ("r18/test_data_set_0/input_0.pb", b"1"))
INSIDE = Digest("sha1", hashlib.sha1(BODY).hexdigest()[:8], "its name", member=True)


@pytest.fixture
def packed(row, server):
    """A row of a tarball with a model and sample data, of which the publisher tells the model's digest alone."""
    server.put("/r18.tar.gz", WHOLE)
    return replace(row, file="r18.tar.gz", urls=(server.url("/r18.tar.gz"),), member=".onnx", digests=(INSIDE,))


def test_an_archive_is_unpacked_and_removed(packed, folder, capsys):
    path = got(packed)
    assert path == folder / "r18" / "r18" / "r18.onnx"
    assert path.read_bytes() == BODY
    assert sorted(os.listdir(folder)) == [".lock", "r18", "receipt.json"]
    kept = cache.recorded(packed)
    assert [one.path for one in kept.kept] == ["r18/r18/r18.onnx", "r18/r18/test_data_set_0/input_0.pb"]
    assert kept.checked == "the first 8 digits of the sha1 of the model inside (its name)"
    assert kept.sha256 == hashlib.sha256(WHOLE).hexdigest()
    assert cache.state(packed) == cache.State("cached", len(BODY) + 1, path)
    assert cache.check(packed) == []
    assert got(packed, again=True) == path
    assert sorted(os.listdir(folder)) == [".lock", "r18", "receipt.json"]


def test_a_changed_model_of_an_archive_is_told_though_its_receipt_was_changed_too(packed, folder):
    sha256 = Digest("sha256", SHA[:8], "the table", member=True)
    path = got(packed)
    path.write_bytes(OTHER)
    receipt = cache.recorded(packed)
    assert receipt is not None
    edited = receipts.kept(folder, receipt.model, hashlib.sha256(OTHER).hexdigest())
    receipts.write(folder, replace(receipt, kept=(edited, *receipt.kept[1:])))
    (said,) = cache.check(packed)
    assert said.startswith("r18/r18/r18.onnx: its sha1 is ")
    assert cache.recorded(replace(packed, digests=(sha256,))) is None
    assert cache.check(packed) == [said]


@pytest.mark.parametrize("digests", [(INSIDE,), ()])
def test_an_archive_put_there_by_hand_after_its_model_was_deleted(packed, server, folder, digests):
    packed = replace(packed, digests=digests)
    path = got(packed)
    server.close()
    path.unlink()
    (folder / "r18.tar.gz").write_bytes(archive(("r18/r18.onnx", OTHER)))
    error = refused(packed)
    assert ("its sha1 is" if digests else "which was pinned by") in error.problem
    assert f"Put r18.tar.gz from {packed.urls[0]} there" in error.remedy
    assert bool(cache.check(packed)) == (not digests)  # a digest of the member says nothing of the archive
    assert (folder / "r18.tar.gz").exists()
    (folder / "r18.tar.gz").write_bytes(WHOLE)
    assert cache.check(packed) == []
    assert got(packed) == path
    assert path.read_bytes() == BODY
    assert sorted(os.listdir(folder)) == [".lock", "r18", "receipt.json"]
    path.write_bytes(OTHER)
    (folder / "r18.tar.gz").write_bytes(WHOLE)
    assert got(packed).read_bytes() == BODY


def test_a_zip_put_there_by_hand_is_unpacked(packed, server, folder):
    row = replace(packed, file="m-1234.zip", member=".params")
    folder.mkdir(parents=True)
    (folder / "m-1234.zip").write_bytes(archive(("m-1234.params", BODY), zipped=True))
    assert got(row) == folder / "m-1234" / "m-1234.params"
    assert not (folder / "m-1234.zip").exists()
    assert not server.requests


def test_another_model_inside_an_archive_is_refused(packed, server, folder):
    server.put("/r18.tar.gz", archive(("r18/r18.onnx", OTHER)))
    found = hashlib.sha1(OTHER).hexdigest()
    assert f"of r18.onnx inside it: its sha1 is {found}, but the expected one begins with" in str(refused(packed))
    assert os.listdir(folder) == [".lock"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (WHOLE[:-1000], "it is damaged or cut off"),
        (archive(("../../evil.onnx", b"")), "leads out of it: '../../evil.onnx'"),
        (archive(("a.onnx", b""), ("b.onnx", b"")), "it should hold one .onnx file, and holds 2: a.onnx, b.onnx"),
        (archive(("a.onnx", bytes(17 << 20))), "it unpacks to more bytes than an archive of its size can hold"),
    ],
    ids=["cut off", "elsewhere", "two", "bomb"],
)
def test_a_bad_archive_is_refused(packed, server, folder, tmp_path, body, said):
    server.put("/r18.tar.gz", body)
    assert said in str(refused(packed))
    assert os.listdir(folder) == [".lock"]
    folder.joinpath("r18.tar.gz").write_bytes(body)
    assert said in str(refused(packed))
    assert sorted(os.listdir(folder)) == [".lock", "r18.tar.gz"]
    assert sorted(os.listdir(tmp_path)) == ["cache"]


def test_a_changed_file_of_an_archive_is_told(packed, folder):
    (got(packed).parent / "test_data_set_0" / "input_0.pb").write_bytes(b"2")
    assert "r18/r18/test_data_set_0/input_0.pb: its sha256 is" in refused(packed).problem
    cache.remove(packed)
    got(packed)
    shutil.rmtree(folder / "r18" / "r18" / "test_data_set_0")
    assert cache.state(packed).kind == "absent"
    got(packed)
    assert cache.check(packed) == []


def test_leftovers_of_a_killed_process_go_before_anything_is_unpacked(packed, folder, monkeypatch):
    seen = []

    def unpacked(*given):
        seen.extend(sorted(path.name[:8] for path in folder.iterdir()))
        return unpack.unpack(*given)

    for name in (".unpack.0123", ".old.0123"):
        (folder / name / "deep").mkdir(parents=True)
    monkeypatch.setattr(settle, "unpack", SimpleNamespace(unpack=unpacked, UnpackError=unpack.UnpackError))
    got(packed)
    assert seen == [".lock", ".r18.tar", ".r18.tar", ".unpack."]  # the part with its state, and the new one
    assert sorted(os.listdir(folder)) == [".lock", "r18", "receipt.json"]
