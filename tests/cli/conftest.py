"""What the tests of verbs that download need: a mirror on this machine, and an empty cache."""

import os
from dataclasses import replace

import pytest
from tests.cli.mirrored import BODY, RESNET18, RESNET34, SHA256

from resnets.published.row import Digest
from resnets.published.table import PUBLISHED


@pytest.fixture
def mirror(server, monkeypatch, tmp_path):
    """A mirror with two files, and an empty cache."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("RESNETS_OFFLINE")
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RESNETS_MIRROR", server.base)
    for name, row in list(PUBLISHED.items()):  # nothing but the mirror is asked
        monkeypatch.setitem(PUBLISHED, name, replace(row, urls=(f"{server.base}/nothing/{row.file}",)))
    for name, value in SHA256.items():
        row = replace(PUBLISHED[name], digests=(Digest("sha256", value, "a test"),))
        monkeypatch.setitem(PUBLISHED, name, row)
    server.put(RESNET18, BODY)
    server.put(RESNET34, BODY[::-1])
    return server
