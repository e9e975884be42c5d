"""Which addresses are tried, and what of them is shown."""

import pytest

from resnets.errors import ResNetsError
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


@pytest.mark.parametrize("name", ["RESNETS_MIRROR", "HF_ENDPOINT"])
@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("127.0.0.1:8101", "Write http://127.0.0.1:8101, or unset it."),
        ("localhost:8101/a/", "Write http://localhost:8101/a/, or unset it."),
        ("mirror.example", "Write http://mirror.example, or unset it."),
        ("/tmp/mirror", "A folder can be served with `python -m http.server`; or unset it."),
        ("file:///tmp/mirror", "A folder can be served with `python -m http.server`; or unset it."),
        ("~/mirror", "A folder can be served with `python -m http.server`; or unset it."),
        ("ftp://host/a", "Write one of those, or unset it."),
        ("http:///a", "Write one of those, or unset it."),
        ("http://host:port", "Write one of those, or unset it."),
        ("http://[::1", "Write one of those, or unset it."),
        ("http://a b/", "Write one of those, or unset it."),
    ],
)
def test_a_mirror_that_is_no_address_is_refused_up_front(monkeypatch, name, value, remedy):
    monkeypatch.setenv(name, value)
    row = PUBLISHED["resnet18-v1.zoo7"]
    with pytest.raises(ResNetsError) as error:
        sources.addresses(row)
    assert error.value.problem == f"{name} is '{value}', which is no http:// or https:// address."
    assert error.value.remedy == remedy
    assert sources.addresses(PUBLISHED["resnet18.fb"]) if name == "HF_ENDPOINT" else True


def test_a_mirror_with_a_password_is_refused_and_the_password_not_shown(monkeypatch):
    monkeypatch.setenv("RESNETS_MIRROR", "https://me:secret@host/a")
    with pytest.raises(ResNetsError, match="RESNETS_MIRROR holds a user name, which is not supported") as error:
        sources.addresses(PUBLISHED["resnet18.fb"])
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("value", ["HTTP://host", "https://[::1]:81/a", "http://127.0.0.1:8101/"])
def test_a_mirror_that_is_an_address(monkeypatch, value):
    monkeypatch.setenv("RESNETS_MIRROR", value)
    assert sources.addresses(PUBLISHED["resnet18.fb"])[0] == f"{value.rstrip('/')}/resnet18.fb/resnet-18.t7"
