"""A file that has arrived, or lies there already: what it is held against, and what is kept of it."""

import hashlib
import os
from dataclasses import replace

import pytest
from tests.fetch.fetching import BODY, KNOWN, OTHER, SHA, got, refused

from resnets.fetch import cache


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
    assert error.remedy == "`resnets fetch resnet18.fb --again` downloads it once more."
    assert path.read_bytes() == OTHER
    assert got(row, again=True).read_bytes() == BODY  # as the pin says, which other bytes would have been refused by
    assert cache.recorded(row).checked == "the sha256 that was pinned"


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


def test_a_text_with_the_md5_that_was_put_there_by_hand_stays_as_it_is(row, folder):
    row = replace(row, checksum_url="https://127.0.0.1/resnet-18-md5.txt")
    folder.mkdir(parents=True)
    (folder / "resnet-18.t7").write_bytes(BODY)
    text = MD5.encode() + b" resnet-18.t7\n" + b"# and more\n" * 1000
    (folder / "resnet-18-md5.txt").write_bytes(text)
    got(row)
    assert cache.recorded(row).checked == "the MD5 beside the file"
    assert (folder / "resnet-18-md5.txt").read_bytes() == text


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


def test_offline_the_md5_of_a_file_put_there_by_hand_is_not_asked_for(row, server, folder, monkeypatch):
    row = replace(row, checksum_url=server.url("/resnet-18-md5.txt"))
    server.put("/resnet-18-md5.txt", MD5.encode())
    monkeypatch.setenv("RESNETS_OFFLINE", "1")
    folder.mkdir(parents=True)
    (folder / "resnet-18.t7").write_bytes(BODY)
    assert got(row) == folder / "resnet-18.t7"
    assert cache.recorded(row).checked.endswith("resnet-18-md5.txt could not be had (it is not beside the file)")
    assert not server.requests


def test_a_checksum_text_that_is_deleted_is_fetched_again(row, server, folder):
    row = replace(row, checksum_url=server.url("/resnet-18-md5.txt"))
    server.put("/resnet-18-md5.txt", MD5.encode())
    got(row)
    (folder / "resnet-18-md5.txt").unlink()
    assert got(row) == folder / "resnet-18.t7"
    assert cache.recorded(row).checked == "the MD5 beside the file"
    assert [request.path for request in server.requests].count("/resnet-18.t7") == 1
