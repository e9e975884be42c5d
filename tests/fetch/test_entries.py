"""What lies in the folder of the cache: rows, and what no row knows."""

import os

import pytest
from tests.fetch.fetching import got, refused

from resnets.errors import ResNetsError
from resnets.fetch import cache
from resnets.fetch.entries import Entry, entries


def test_entries_are_rows_and_folders_that_no_row_knows(row, folder):
    assert entries() == []
    got(row)
    (folder.parent / "mine" / "deep").mkdir(parents=True)
    (folder.parent / "mine" / "deep" / "x").write_bytes(b"12345")
    (folder.parent / "a file").write_bytes(b"")
    mine, known = entries()
    assert mine == Entry("mine", folder.parent / "mine", 5)
    assert (known.name, known.row, known.state) == (row.name, row, cache.state(row))
    assert known.bytes == sum(path.stat().st_size for path in folder.iterdir())


def test_a_download_that_failed_before_a_byte_came_leaves_no_entry(row, server, folder):
    server.put("/resnet-18.t7", status=404)
    refused(row)
    assert os.listdir(folder) == [".lock"]
    assert entries() == []
    (folder.parent / "mine").mkdir()
    (folder.parent / "mine" / ".lock").touch()  # not ours
    (folder / "other.t7").touch()
    assert [one.name for one in entries()] == ["mine", row.name]


def test_a_cache_that_cannot_be_read_is_not_an_empty_one(row, folder, monkeypatch):
    folder.parent.write_bytes(b"no folder")
    assert entries() == []
    folder.parent.unlink()
    got(row)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ResNetsError, match=r"cannot be read \(Permission denied\)\. Mend its permissions, or name"):
        entries()
