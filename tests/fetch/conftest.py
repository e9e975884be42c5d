"""What the tests of downloads need: an environment without proxies, a server, an empty cache, a row to fetch."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fetch.fetching import BODY
from tests.fetch.server import Server

from resnets.published.row import Published
from resnets.published.table import PUBLISHED


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of this machine stands between a test and its server."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the row's files will lie, which is not there yet; and leave to use the network."""
    for name in ("RESNETS_OFFLINE", "RESNETS_MIRROR", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "resnet18.fb"


@pytest.fixture
def row(server: Server, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Published:
    """A row of one file of 300,000 bytes, of which neither size nor digest is known."""
    server.put("/resnet-18.t7", BODY)
    row = replace(PUBLISHED["resnet18.fb"], urls=(server.url("/resnet-18.t7"),), size=None, digests=())
    monkeypatch.setitem(PUBLISHED, row.name, row)
    return row


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """Where the part of a file is to lie."""
    return tmp_path / ".model.part"
