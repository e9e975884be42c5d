"""Connections that break, stall or trickle: taken up where they stood, and given up when they get no further."""

import threading
import time
from dataclasses import replace

import pytest
from tests.fetch.downloading import BODY, SHA, SHORT, begun

from resnets.fetch.download import DownloadError, download, text
from resnets.fetch.transfer import Transfer


@pytest.mark.parametrize(("then", "times"), [("close", 4), ("reset", 4), ("stall", 2)])
def test_a_broken_connection_is_taken_up_where_it_broke(server, part, then, times):
    server.put("/model", BODY)
    for _ in range(times):  # 4: more often than it would be tried without getting further
        server.once("/model", after=50_000, then=then)
    found = download(server.url("/model"), part, patience=SHORT)
    assert part.read_bytes() == BODY
    assert found.digests["sha256"] == SHA
    assert found.resumed
    asked = [request.range for request in server.requests]
    assert asked == [None, *(f"bytes={(i + 1) * 50_000}-" for i in range(times))]
    assert len({request.headers["if-range"] for request in server.requests[1:]}) == 1


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"then": "close"}, "ended before the file did; 3 attempts"),
        ({"then": "reset"}, "the connection was reset; 3 attempts"),
        ({"then": "stall"}, r"not a byte came for 0\.4 seconds; 3 attempts"),
    ],
)
def test_a_server_that_never_gets_further_is_given_up(server, part, how, message):
    server.put("/model", BODY, after=0, **how)
    began = time.monotonic()
    with pytest.raises(DownloadError, match=message):
        download(server.url("/model"), part, patience=SHORT)
    assert len(server.requests) == 3
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"drip": 0.02}, r"fewer than 1,000 bytes a second came for 0\.4 seconds; 3 attempts"),
        ({"pace": 0.02}, r"no answer within 0\.4 seconds; 3 attempts"),
    ],
)
def test_a_trickle_does_not_hold_us(server, part, how, message):
    server.put("/model", BODY, **how)
    began = time.monotonic()
    with pytest.raises(DownloadError, match=message):
        download(server.url("/model"), part, patience=SHORT)
    assert time.monotonic() - began < 4


def test_no_thread_is_left_behind(server, part):
    server.put("/model", BODY, after=100_000, then="stall")
    for _ in range(20):
        with Transfer(server.url("/model"), {}, SHORT) as transfer:
            transfer.head()
            assert any(thread.name == "transfer" for thread in threading.enumerate())
        assert not any(thread.name == "transfer" for thread in threading.enumerate())


def test_a_trickle_that_brings_a_few_bytes_each_time_is_no_progress(server, part):
    server.put("/model", BODY)
    begun(server, part)
    server.put("/model", BODY, drip=0.02)
    with pytest.raises(DownloadError, match=r"fewer than 1,000 bytes a second came for 0\.4 seconds; 3 attempts"):
        download(server.url("/model"), part, patience=SHORT)
    there = part.stat().st_size
    assert 100_000 < there < 100_200
    assert part.read_bytes() == BODY[:there]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, part, status):
    server.put("/model", BODY)
    server.once("/model", status=status, headers={"Retry-After": "0.2"})
    server.once("/model", status=status, headers={"Retry-After": "99999"})  # as long as patience lasts
    began = time.monotonic()
    download(server.url("/model"), part, patience=SHORT)
    assert 0.4 <= time.monotonic() - began < 2
    assert len(server.requests) == 3


def test_every_attempt_that_another_follows_is_told_with_the_pause(server, part):
    server.put("/model", BODY)
    server.once("/model", status=503, headers={"Retry-After": "1"})
    server.once("/model", after=50_000, then="stall")
    noticed = []
    download(server.url("/model"), part, noticed=noticed.append, patience=replace(SHORT, stall=2.0))
    assert noticed == [
        "status 503 (Service Unavailable), trying again in 1 s",
        "not a byte came for 2 seconds, trying again",
    ]
    noticed.clear()
    with pytest.raises(DownloadError):
        download(server.url("/none"), part.with_name("none"), noticed=noticed.append, patience=SHORT)
    assert noticed == []
    server.put("/sum-md5.txt", b"0123456789abcdef  model.onnx\n")
    server.once("/sum-md5.txt", status=500)
    text(server.url("/sum-md5.txt"), noticed=noticed.append, patience=SHORT)
    assert noticed == ["status 500 (Internal Server Error), trying again"]
