"""Which addresses are tried, and what of them is shown."""

import pytest

from resnets.fetch import sources
from resnets.published.table import PUBLISHED


def test_the_mirror_comes_first_and_the_hub_may_be_elsewhere(monkeypatch):
    row = PUBLISHED["resnet18-v1.zoo7"]
    monkeypatch.setenv("RESNETS_MIRROR", "http://mirror/base//")
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example/")
    first, second, *others = sources.addresses(row)
    assert first == "http://mirror/base/resnet18-v1.zoo7/resnet18-v1-7.onnx"
    assert second == row.urls[0].replace("https://huggingface.co/", "https://hub.example/")
    assert tuple(others) == row.urls[1:]


def test_the_md5_is_asked_for_where_the_file_is(monkeypatch):
    row = PUBLISHED["resnet18-v1.zoo-s3"]
    monkeypatch.setenv("RESNETS_MIRROR", "http://mirror")
    assert sources.checksums(row) == ["http://mirror/resnet18-v1.zoo-s3/resnet18v1-md5.txt", row.checksum_url]
    assert sources.checksums(PUBLISHED["resnet18.fb"]) == []


@pytest.mark.parametrize(("value", "offline"), [("", False), ("0", False), ("1", True), ("true", True), ("00", True)])
def test_offline(monkeypatch, value, offline):
    monkeypatch.setenv("RESNETS_OFFLINE", value)
    assert sources.offline() is offline


def test_a_password_in_an_address_is_never_shown():
    assert sources.shown("https://me:secret@host:81/a?b") == "https://host:81/a?b"
    assert sources.host("https://me:secret@host:81/a") == "host:81"
