"""What a server may give in place of a file is named; a file that has changed is never joined."""

import hashlib

import pytest
from tests.fetch.downloading import BODY, OTHER, SHA, SHORT, begun

from resnets.fetch.download import DownloadError, download, text


def test_a_file_comes_whole_with_its_digests(server, part):
    server.put("/model", BODY)
    counts = []
    found = download(
        server.url("/model"),
        part,
        size=len(BODY),
        algorithms=("sha256", "md5", "sha1"),
        told=lambda done, total: counts.append((done, total)),
    )
    assert part.read_bytes() == BODY
    assert (found.size, found.url, found.resumed) == (len(BODY), server.url("/model"), False)
    assert found.digests == {name: hashlib.new(name, BODY).hexdigest() for name in ("sha256", "md5", "sha1")}
    assert counts[0] == (0, len(BODY))
    assert counts[-1] == (len(BODY), len(BODY))
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert server.requests[0].headers["user-agent"].startswith("resnets")
    assert "range" not in server.requests[0].headers


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"body": b"<!DOCTYPE html><title>Sign in</title>" + bytes(900)}, r"a web page \(Sign in\), not the file"),
        ({"headers": {"Content-Type": "text/html; charset=utf-8"}}, "a web page, not the file"),
        ({"body": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 102442450\n"}, "102,442,450 bytes"),
        ({"body": b'{"error": "gated"}'}, r'a JSON text \(\{"error": "gated"\}\)'),
        ({"body": b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>"}, "an XML text.*NoSuchKey"),
        ({"body": b""}, "an empty file"),
        ({"body": OTHER[:-1]}, "has 300,001 bytes, not 300,002"),
        ({"headers": {"Content-Encoding": "gzip"}}, "packs the file on the way"),
        ({"status": 404}, r"status 404 \(Not Found\)$"),
        ({"status": 403}, r"status 403 \(Forbidden\)$"),
        ({"status": 204}, "status 204"),
        ({"redirect": "file:///etc/passwd"}, "redirects to file:///etc/passwd"),
    ],
)
def test_what_is_not_the_file_is_named_at_once_and_nothing_is_lost(server, part, how, message, ranges):
    server.put("/model", BODY)
    begun(server, part)
    server.put("/model", **{"body": BODY, "ranges": ranges, "etag": '"new"', **how})
    with pytest.raises(DownloadError, match=message):
        download(server.url("/model"), part, size=len(BODY), patience=SHORT)
    assert len(server.requests) == 1
    assert part.read_bytes() == BODY[:100_000]


def test_a_range_that_is_ignored_starts_over(server, part):
    server.put("/model", BODY, ranges=False)
    begun(server, part)
    found = download(server.url("/model"), part, patience=SHORT)
    assert part.read_bytes() == BODY
    assert (found.digests["sha256"], found.resumed) == (SHA, False)
    assert [request.range for request in server.requests] == ["bytes=100000-"]


@pytest.mark.parametrize(
    ("how", "path", "why"),
    [
        ({}, "/model", None),
        ({"ranges": False}, "/model", "the server gives no parts"),
        ({"body": OTHER}, "/model", "the file there has changed"),
        ({"headers": {"ETag": None}}, "/mirror", "the part is of another address"),
    ],
)
def test_it_goes_on_once_the_server_has_agreed_and_else_begins_again_with_a_reason(server, part, how, path, why):
    server.put("/model", BODY)
    begun(server, part)
    server.put(path, **{"body": BODY, "late": 0.3, **how})
    told, noticed = [], []
    download(server.url(path), part, told=lambda *now: told.append(now), noticed=noticed.append)
    assert noticed == ([] if why is None else [f"begins again: {why}"])
    assert told[0] == (100_000 if why is None else 0, len(BODY))


def test_the_part_of_a_file_of_another_size_is_told(server, part):
    server.put("/model", BODY)
    begun(server, part)
    server.put("/model", BODY + b"more")
    noticed = []
    download(server.url("/model"), part, size=len(BODY) + 4, noticed=noticed.append)
    assert noticed == ["begins again: the part is of another file"]


@pytest.mark.parametrize("checks", [True, False])
def test_a_file_that_changes_between_two_parts_is_never_joined(server, part, checks):
    server.put("/model", BODY)
    begun(server, part)
    server.put("/model", OTHER, checks=checks)
    found = download(server.url("/model"), part, patience=SHORT)
    assert part.read_bytes() == OTHER
    assert found.digests["sha256"] == hashlib.sha256(OTHER).hexdigest()
    assert not found.resumed


@pytest.mark.parametrize("checks", [True, False])
def test_a_file_that_becomes_shorter_while_it_comes(server, part, checks):
    server.put("/model", OTHER[:50_000], checks=checks)
    server.once("/model", body=BODY, after=100_000)
    found = download(server.url("/model"), part, patience=SHORT)
    assert part.read_bytes() == OTHER[:50_000]
    assert found.digests["sha256"] == hashlib.sha256(OTHER[:50_000]).hexdigest()


@pytest.mark.parametrize("span", ["bytes 0-200001/300002", "bytes 100000-9/300002", "bytes 100000-100009/300002", None])
def test_other_bytes_than_those_asked_for_are_not_joined(server, part, span):
    server.put("/model", BODY)
    begun(server, part)
    server.once("/model", headers={"Content-Range": span})
    assert download(server.url("/model"), part, patience=SHORT).digests["sha256"] == SHA
    assert [request.range for request in server.requests] == ["bytes=100000-", None]


def test_a_length_that_is_announced_too_long(server, part):
    server.put("/model", BODY, total=len(BODY) + 10)
    with pytest.raises(DownloadError, match="attempts got no further"):
        download(server.url("/model"), part, patience=SHORT)
    assert len(server.requests) <= 6


def test_a_length_that_is_announced_too_short(server, part):
    server.put("/model", BODY, headers={"Content-Length": "200000"})
    with pytest.raises(DownloadError, match="more than it has announced"):
        download(server.url("/model"), part, patience=SHORT)
    with pytest.raises(DownloadError, match="has 200,000 bytes, not 300,002"):
        download(server.url("/model"), part, size=len(BODY), patience=SHORT)


def test_a_file_in_chunks_and_one_without_a_length(server, part, monkeypatch):
    server.put("/model", BODY, chunked=True)
    server.once("/model", chunked=True, after=100_000)
    assert download(server.url("/model"), part, patience=SHORT).digests["sha256"] == SHA
    assert server.requests[1].range == "bytes=100000-"
    with pytest.raises(DownloadError, match="has 300,002 bytes, not 300,003"):
        download(server.url("/model"), part.with_name("longer"), size=len(BODY) + 1, patience=SHORT)
    with pytest.raises(DownloadError, match="sends more than 300,001 bytes"):
        download(server.url("/model"), part.with_name("shorter"), size=len(BODY) - 1, patience=SHORT)
    monkeypatch.setattr("resnets.fetch.download.MOST", 200_000)
    with pytest.raises(DownloadError, match="sends more than 200,000 bytes"):
        download(server.url("/model"), part.with_name("endless"), patience=SHORT)
    server.put("/model", BODY, headers={"Content-Length": None})
    with pytest.raises(DownloadError, match="does not say how long"):
        download(server.url("/model"), part.with_name("unknown"), patience=SHORT)
    assert download(server.url("/model"), part.with_name("x"), size=len(BODY), patience=SHORT).digests["sha256"] == SHA


def test_a_part_without_a_validator_goes_on_only_where_a_digest_will_tell(server, part):
    server.put("/model", BODY, headers={"ETag": 'W/"weak"'})
    begun(server, part)
    download(server.url("/model"), part, patience=SHORT)
    assert server.requests[0].range is None
    part.write_bytes(BODY[:100_000])
    found = download(server.url("/model"), part, checkable=True, patience=SHORT)
    assert (server.requests[1].range, "if-range" in server.requests[1].headers) == ("bytes=100000-", False)
    assert (found.digests["sha256"], found.resumed) == (SHA, True)


def test_a_part_goes_on_from_another_mirror_only_where_a_digest_will_tell(server, part):
    server.put("/model", BODY)
    server.put("/mirror", BODY)
    begun(server, part)
    assert download(server.url("/mirror"), part, checkable=True, patience=SHORT).digests["sha256"] == SHA
    assert [(r.range, "if-range" in r.headers) for r in server.requests] == [("bytes=100000-", False)]
    part.write_bytes(BODY[:100_000])
    assert not download(server.url("/mirror"), part, patience=SHORT).resumed


def test_a_short_text(server):
    server.put("/sum-md5.txt", b"0123456789abcdef  model.onnx\n")
    assert text(server.url("/sum-md5.txt")) == "0123456789abcdef  model.onnx\n"
    server.once("/sum-md5.txt", after=3, then="reset")
    assert text(server.url("/sum-md5.txt"), patience=SHORT).startswith("0123456789abcdef")
    server.put("/long.txt", bytes(5000))
    with pytest.raises(DownloadError, match="longer than the 4,096 bytes"):
        text(server.url("/long.txt"), patience=SHORT)
    server.put("/page.txt", b"<html>Sign in" * 500, headers={"Content-Type": "text/html"})
    with pytest.raises(DownloadError, match="a web page"):
        text(server.url("/page.txt"), patience=SHORT)
    with pytest.raises(DownloadError, match="status 404"):
        text(server.url("/none.txt"), patience=SHORT)
