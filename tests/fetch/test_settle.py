"""A file that has arrived, or lies there already: what it is held against, and what is kept of it."""

import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from dataclasses import replace

import pytest
from tests.fetch.fetching import BODY, KNOWN, OTHER, SHA, got, refused

from resnets.fetch import cache
from resnets.fetch import receipt as receipts
from resnets.published.row import Digest


def test_the_first_download_pins_a_sha256_that_no_other_file_replaces(row, server, capsys):
    path = got(row)
    assert "checked against nothing: no digest is known, so its sha256 is pinned" in capsys.readouterr().err
    server.put("/resnet-18.t7", OTHER)
    error = refused(row, again=True)
    assert f"its sha256 is {hashlib.sha256(OTHER).hexdigest()}, but the expected one is {SHA}, which was" in str(error)
    assert "`resnets cache clear resnet18.fb`" in error.remedy
    assert path.read_bytes() == BODY
    assert got(row) == path
    cache.remove(row)
    assert got(row).read_bytes() == OTHER


def test_a_pin_holds_where_the_file_itself_is_gone(row, server):
    got(row).unlink()
    server.put("/resnet-18.t7", OTHER)
    assert "pinned" in str(refused(row))


def test_a_file_put_there_by_hand_is_checked_once(row, server, folder):
    row = replace(row, digests=KNOWN, size=len(BODY))
    folder.mkdir(parents=True)
    (folder / "resnet-18.t7").write_bytes(BODY)
    assert cache.state(row).kind == "unchecked"
    assert got(row) == folder / "resnet-18.t7"
    assert cache.state(row).kind == "cached"
    assert cache.recorded(row).url == ""
    assert not server.requests


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (OTHER, "its sha256 is"),
        (BODY[:-1], "it has 299,999 bytes where 300,000 are expected and its sha256 is"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "it is a Git LFS pointer"),
    ],
    ids=["another", "cut off", "pointer"],
)
def test_a_wrong_file_put_there_by_hand_is_refused_and_left_alone(row, server, folder, body, said):
    row = replace(row, digests=KNOWN, size=len(BODY))
    folder.mkdir(parents=True)
    (folder / "resnet-18.t7").write_bytes(body)
    error = refused(row)
    assert f"{folder / 'resnet-18.t7'} is not resnet18.fb: " in error.problem
    assert said in error.problem
    assert (folder / "resnet-18.t7").read_bytes() == body
    assert not server.requests


def test_a_touched_file_is_read_again_and_its_receipt_renewed(row, server):
    path = got(row)
    os.utime(path, ns=(1, 1))
    assert cache.state(row).kind == "unchecked"
    assert got(row) == path
    assert cache.state(row).kind == "cached"
    assert len(server.requests) == 1


def test_a_changed_file_is_refused_with_the_way_to_have_it_again(row, server):
    path = got(row)
    path.write_bytes(OTHER)
    error = refused(row)
    assert "was changed since it was checked on" in error.problem
    assert SHA in error.problem
    assert "`resnets cache clear resnet18.fb`" in error.remedy
    assert path.read_bytes() == OTHER
    assert got(row, again=True).read_bytes() == BODY


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}', "[" * 100_000, "null"])
def test_a_damaged_receipt_is_none_and_the_file_is_checked_anew(row, folder, text):
    path = got(row)
    (folder / "receipt.json").write_text(text)
    assert cache.state(row).kind == "unchecked"
    assert got(row) == path
    assert cache.state(row).kind == "cached"


MD5 = hashlib.md5(BODY).hexdigest()


@pytest.mark.parametrize("text", [MD5, f"{MD5.upper()}  ./resnet-18.t7\r\n", f"MD5 (resnet-18.t7) = {MD5}\n"])
def test_the_md5_beside_a_file_is_fetched_compared_and_kept(row, server, folder, text):
    row = replace(row, checksum_url=server.url("/resnet-18-md5.txt"))
    server.put("/resnet-18-md5.txt", text.encode(), headers={"Content-Type": "text/plain"})
    got(row)
    assert cache.recorded(row).checked == "the MD5 beside the file"
    assert (folder / "resnet-18-md5.txt").read_bytes() == text.encode()
    (folder / "receipt.json").unlink()
    server.close()
    got(row)
    assert cache.recorded(row).checked == "the MD5 beside the file"


def test_nothing_is_written_through_a_link(row, server, folder, tmp_path):
    row = replace(row, checksum_url=server.url("/resnet-18-md5.txt"))
    server.put("/resnet-18-md5.txt", MD5.encode())
    (tmp_path / "theirs").write_text("mine")
    folder.mkdir(parents=True)
    for name in ("receipt.json", "resnet-18-md5.txt", "resnet-18.t7"):
        (folder / name).symlink_to(tmp_path / "theirs")
    got(row, again=True)
    assert cache.state(row).kind == "cached"
    assert (tmp_path / "theirs").read_text() == "mine"
    cache.remove(row)
    (folder).mkdir()
    (folder / ".lock").symlink_to(tmp_path / "none")
    assert f"{folder / '.lock'} cannot be read or written" in str(refused(row))
    assert not (tmp_path / "none").exists()


def test_another_md5_beside_a_file_refuses_it(row, server, folder):
    row = replace(row, checksum_url=server.url("/resnet-18-md5.txt"))
    server.put("/resnet-18-md5.txt", b"0" * 32)
    assert f"its md5 is {MD5}, but the expected one is {'0' * 32} (resnet-18-md5.txt)" in str(refused(row))
    assert os.listdir(folder) == [".lock"]


def test_an_md5_that_may_be_of_another_file_refuses_it(row, server, folder):
    row = replace(row, checksum_url=server.url("/resnet-18-md5.txt"))
    server.put("/resnet-18-md5.txt", f"{'0' * 32}  resnet-34.t7".encode())
    assert "of resnet-18-md5.txt it cannot be told which MD5" in str(refused(row))
    assert os.listdir(folder) == [".lock"]


@pytest.mark.parametrize(("text", "said"), [(None, "could not be had ("), (b"hello", "tells no MD5 of it")])
def test_without_the_md5_beside_it_a_file_is_kept_and_that_is_said(row, server, capsys, text, said):
    row = replace(row, checksum_url=server.url("/resnet-18-md5.txt"))
    if text is not None:
        server.put("/resnet-18-md5.txt", text)
    got(row)
    assert cache.recorded(row).checked.startswith(
        "nothing: no digest is known, so its sha256 is pinned; resnet-18-md5.txt"
    )
    assert said in capsys.readouterr().err


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
    assert ("its sha1 is" if digests else "which was pinned on") in error.problem
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


def test_a_checksum_text_that_is_deleted_is_fetched_again(row, server, folder):
    row = replace(row, checksum_url=server.url("/resnet-18-md5.txt"))
    server.put("/resnet-18-md5.txt", MD5.encode())
    got(row)
    (folder / "resnet-18-md5.txt").unlink()
    assert got(row) == folder / "resnet-18.t7"
    assert cache.recorded(row).checked == "the MD5 beside the file"
    assert [request.path for request in server.requests].count("/resnet-18.t7") == 1


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


def test_leftovers_of_a_killed_process_go(packed, folder):
    for name in (".unpack.0123", ".old.0123"):
        (folder / name / "deep").mkdir(parents=True)
    got(packed)
    assert sorted(os.listdir(folder)) == [".lock", "r18", "receipt.json"]
