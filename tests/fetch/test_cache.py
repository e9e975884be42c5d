"""What lies in the cache, in what state, and how it goes."""

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fetch.fetching import BODY, KNOWN, OTHER, SHA, got, refused

from resnets import files
from resnets.errors import ResNetsError
from resnets.fetch import cache
from resnets.fetch import receipt as receipts
from resnets.fetch.entries import entries
from resnets.fetch.partial import state_file
from resnets.published.row import Digest


def test_the_folder_is_the_users_or_the_one_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNETS_CACHE", "~/models")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "models"
    monkeypatch.setenv("RESNETS_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == tmp_path / "xdg" / "resnets"


@pytest.mark.parametrize("homeless", [False, True])
def test_a_folder_that_cannot_be_told_is_an_error_where_it_is_needed_alone(row, tmp_path, monkeypatch, homeless):
    file = tmp_path / "mine.t7"
    file.write_bytes(BODY)
    monkeypatch.setenv("RESNETS_CACHE", "" if homeless else "~nosuchuser/x")
    if homeless:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # what it does with neither HOME nor such a user
    for needed in (lambda: got(row), lambda: cache.state(row), entries, lambda: cache.check(row)):
        with pytest.raises(ResNetsError, match=r"cannot be told.* Name another one in RESNETS_CACHE"):
            needed()
    assert cache.row_of(file) is None
    assert cache.verified(file) is None


def test_a_new_folder_is_the_users_alone(row, folder):
    got(row)
    assert folder.parent.stat().st_mode & 0o777 == 0o700


def test_the_states_of_a_row(row, folder):
    place = cache.place(row)
    assert cache.state(row) == cache.State("absent")
    folder.mkdir(parents=True)
    cache.part(row).write_bytes(b"")  # of a process that was killed before anything came
    assert cache.state(row) == cache.State("absent")
    cache.part(row).write_bytes(b"123")
    assert cache.state(row) == cache.State("partial", 3)
    place.write_bytes(BODY)
    assert cache.state(row) == cache.State("unchecked", len(BODY))
    got(row)
    assert cache.state(row) == cache.State("cached", len(BODY), place)
    place.write_bytes(BODY + b"1")
    assert cache.state(row) == cache.State("unchecked", len(BODY) + 1)
    place.unlink()
    assert cache.state(row) == cache.State("partial", 3)


def test_a_receipt_of_another_file_than_the_rows_counts_for_nothing(row):
    got(row)
    assert cache.recorded(row) is not None
    assert cache.recorded(replace(row, digests=KNOWN)) is not None
    assert cache.recorded(replace(row, digests=(replace(KNOWN[0], value="0" * 64),))) is None
    assert cache.recorded(replace(row, file="other.t7")) is None


def test_check_reads_every_file_again(row, folder):
    row = replace(row, digests=KNOWN)
    path = got(row)
    assert cache.check(row) == []
    kept = path.stat()
    path.write_bytes(OTHER)
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))  # so that the state says cached
    assert cache.state(row).kind == "cached"
    (said,) = cache.check(row)
    assert said.startswith("resnet-18.t7: its sha256 is ")
    assert SHA in said
    (folder / "receipt.json").unlink()
    (said,) = cache.check(row)
    assert f"the expected one begins with {SHA[:8]} (the file's name)" in said
    path.unlink()
    with pytest.raises(ResNetsError, match="is not in the cache"):
        cache.check(row)


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_check_believes_the_table_before_a_receipt(row, folder, algorithm):
    known = (Digest(algorithm, hashlib.new(algorithm, BODY).hexdigest()[:8], "the table"),)
    row = replace(row, digests=known)
    path = got(row)
    path.write_bytes(OTHER)
    receipt = receipts.read(folder)
    assert receipt is not None
    sha256 = hashlib.sha256(OTHER).hexdigest()
    entry = receipts.kept(folder, row.file, sha256)
    receipts.write(folder, replace(receipt, sha256=sha256, kept=(entry,)))  # edited, together with the file
    (said,) = cache.check(row)
    assert f"the expected one begins with {known[0].value} (the table)" in said
    receipts.write(folder, replace(receipt, kept=(entry,)))  # the file's entry alone
    assert cache.recorded(row) is None
    os.utime(path, ns=(1, 1))
    receipts.write(folder, replace(receipt, sha256=sha256, kept=(entry,)))
    assert "(the table)" in str(refused(row))


def test_a_receipt_of_another_size_than_the_rows_counts_for_nothing(row):
    got(row)
    assert cache.recorded(replace(row, size=len(BODY))) is not None
    assert cache.recorded(replace(row, size=len(BODY) + 1)) is None
    assert cache.check(replace(row, size=len(BODY) + 1)) == [
        "resnet-18.t7: it has 300,000 bytes where 300,001 are expected"
    ]


def test_check_reads_the_checksum_beside_a_download(row, folder, server):
    row = replace(row, checksum_url=server.url("/resnet-18-md5.txt"))
    folder.mkdir(parents=True)
    cache.place(row).write_bytes(BODY)
    text = folder / "resnet-18-md5.txt"
    assert (cache.check(row), cache.comparable(row)) == ([], False)
    text.write_text("no digest")
    assert (cache.check(row), cache.comparable(row)) == ([], False)
    text.write_text(f"{hashlib.md5(BODY).hexdigest()}  resnet-18.t7\n")
    assert (cache.check(row), cache.comparable(row)) == ([], True)
    text.write_text(f"{hashlib.md5(OTHER).hexdigest()}  resnet-18.t7\n")
    (said,) = cache.check(row)
    assert said.startswith("resnet-18.t7: its md5 is ")
    assert said.endswith(f"the expected one is {hashlib.md5(OTHER).hexdigest()} (resnet-18-md5.txt)")
    text.write_text(f"{'0' * 32}\n{'1' * 32}\n")
    assert cache.check(row) == [
        "resnet-18.t7: of resnet-18-md5.txt it cannot be told which MD5 of 2 in it is that of resnet-18.t7"
    ]
    text.unlink()
    os.mkfifo(text)
    assert (cache.check(row), cache.comparable(row)) == ([], False)


def test_an_archive_beside_its_model_keeps_nothing_from_being_checked(row, folder):
    kept, packed = got(row).stat(), replace(row, file="r18.tar.gz", member=".t7")
    receipt = cache.recorded(row)
    assert receipt is not None
    receipts.write(folder, replace(receipt, file=packed.file))
    cache.place(packed).write_bytes(b"garbage")
    cache.place(row).write_bytes(OTHER)
    os.utime(cache.place(row), ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert cache.check(packed)[0].startswith("resnet-18.t7: its sha256 is ")


def test_what_check_can_compare_with(row, folder):
    of_the_model = (replace(KNOWN[0], member=True),)
    folder.mkdir(parents=True)
    cache.place(row).write_bytes(BODY)
    assert [cache.comparable(replace(row, digests=known)) for known in ((), of_the_model, KNOWN)] == [
        False,
        False,
        True,
    ]
    got(row)
    assert cache.comparable(row)
    cache.place(row).unlink()
    assert cache.comparable(row)  # with a receipt, whose file is missing


def test_a_kept_file_that_is_missing_is_told(row):
    got(row).unlink()
    assert cache.check(row) == ["resnet-18.t7 is missing"]


def test_remove_takes_all_of_a_row_or_its_part_alone(row, folder):
    got(row)
    cache.part(row).write_bytes(b"123")
    state_file(cache.part(row)).write_bytes(b"{}")
    assert cache.remove(row, partial=True) == 5
    assert cache.state(row).kind == "cached"
    assert cache.remove(row) > len(BODY)
    assert not folder.exists()
    assert cache.remove(row) == 0


def test_remove_leaves_what_is_not_ours(row, server, folder, capsys):
    row = replace(row, checksum_url=server.url("/resnet-18-md5.txt"))
    server.put("/resnet-18-md5.txt", hashlib.md5(BODY).hexdigest().encode())
    got(row)
    (folder / "old" / "deep").mkdir(parents=True)
    for name in (".unpack.01234567", ".old.01234567"):
        (folder / name).mkdir()
        (folder / name / "x").write_bytes(b"")
    for name in ("thesis.txt", "old/deep/listed", "old/deep/other", ".receipt.json.01234567.part"):
        (folder / name).write_bytes(b"12345")
    receipt = cache.recorded(row)
    assert receipt is not None
    listed = replace(receipt.kept[0], path="old/deep/listed")
    receipts.write(folder, replace(receipt, kept=(*receipt.kept, listed)))
    before = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert cache.remove(row, partial=True) == 0
    capsys.readouterr()
    assert cache.remove(row) == before - 10
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == [
        "old", "old/deep", "old/deep/other", "thesis.txt",
    ]  # fmt: skip
    assert capsys.readouterr().err == f"{folder}: old, thesis.txt left alone: not what was downloaded of resnet18.fb\n"


def test_remove_follows_no_link(row, folder, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").write_bytes(BODY)
    folder.parent.mkdir()
    folder.symlink_to(theirs)
    for partial in (False, True):
        with pytest.raises(ResNetsError, match="is a link, and what it leads to is left alone"):
            cache.remove(row, partial=partial)
    folder.unlink()
    got(row)
    packed = replace(row, file="r18.tar.gz", member=".onnx")
    receipt = receipts.read(folder)
    assert receipt is not None
    (folder / "mine").symlink_to(theirs)
    (folder / "r18").symlink_to(theirs)
    (folder / ".old.01234567").symlink_to(theirs)
    receipts.write(folder, replace(receipt, kept=(*receipt.kept, replace(receipt.kept[0], path="mine/thesis.txt"))))
    cache.part(packed).symlink_to(theirs / "thesis.txt")
    cache.remove(packed)
    assert sorted(os.listdir(folder)) == ["mine"]
    assert (theirs / "thesis.txt").read_bytes() == BODY


def test_remove_of_a_part_alone_leaves_no_empty_folder(row, folder):
    folder.mkdir(parents=True)
    cache.part(row).write_bytes(b"123")
    assert cache.remove(row, partial=True) == 3
    assert not folder.exists()


def test_what_another_process_downloads_is_not_removed(row, folder):
    folder.mkdir(parents=True)
    with files.alone(folder / cache.LOCK, "x"), pytest.raises(ResNetsError, match="Another process is at work"):
        cache.remove(row)


def test_the_row_of_a_path(row, folder):
    assert cache.row_of(folder / "resnet-18.t7") == row
    assert cache.row_of(folder / "deep" / "model") == row
    assert cache.row_of(folder) is None
    assert cache.row_of(Path("resnet-18.t7")) is None


def test_the_row_of_a_path_through_links(row, folder, tmp_path, monkeypatch):
    path = got(row)
    (tmp_path / "mine.t7").symlink_to(path)
    (tmp_path / "link").symlink_to(folder.parent)
    elsewhere = tmp_path / "elsewhere.t7"
    elsewhere.write_bytes(BODY)
    for way in (
        path,
        tmp_path / "mine.t7",
        tmp_path / "link" / row.name / row.file,
        folder / ".." / row.name / row.file,
    ):
        assert cache.row_of(way) == row
    assert cache.row_of(folder / ".." / ".." / "elsewhere.t7") is None
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "link"))
    assert cache.row_of(path) == cache.row_of(cache.place(row)) == row
    path.unlink()
    path.symlink_to(elsewhere)  # put there by hand
    assert cache.row_of(cache.place(row)) == row
    for way in ("~nosuchuser/x", "a\0b"):
        with monkeypatch.context() as changed:
            changed.setattr(os, "environ", {**os.environ, "RESNETS_CACHE": way})
            assert cache.row_of(path) is None
            assert cache.verified(path) is None


def test_a_file_is_verified_while_it_is_as_in_its_receipt(row, folder, tmp_path):
    folder.mkdir(parents=True)
    path = folder / row.file
    path.write_bytes(BODY)
    assert cache.verified(path) is None
    got(row)
    (tmp_path / "mine.t7").symlink_to(path)
    for way in (path, tmp_path / "mine.t7"):
        found = cache.verified(way)
        assert found == (row, cache.recorded(row), cache.recorded(row).kept[0])
        assert found[2].sha256 == SHA
    shutil.copy(path, folder / "other.t7")
    assert cache.verified(folder / "other.t7") is None
    assert cache.verified(folder / "receipt.json") is None
    assert cache.verified(tmp_path / "none") is None
    os.utime(path, ns=(1, 1))
    assert cache.verified(path) is None
