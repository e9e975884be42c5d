"""Downloads end whole or not at all, go on where they stood, and say what a server has done to them."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resnets.fetch.download import DownloadError, Patience, download, state_file, text

BODY = b"\x80\x02" + random.Random(0).randbytes(300_000)
OTHER = b"\x80\x03" + random.Random(1).randbytes(300_000)
SHA = hashlib.sha256(BODY).hexdigest()
SHORT = Patience(connect=0.5, stall=0.4, slowest=1000, tries=3, pause=0.01)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / ".model.part"


def begun(server, part: Path, path: str = "/model", **how) -> None:
    """Leaves the first 100,000 bytes of the file behind, as a process that was killed would."""
    server.once(path, after=100_000, **how)
    with pytest.raises(DownloadError):
        download(server.url(path), part, patience=Patience(tries=1))
    assert part.read_bytes() == BODY[:100_000]
    server.requests.clear()


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


@pytest.mark.parametrize("then", ["close", "reset", "stall"])
def test_a_broken_connection_is_taken_up_where_it_broke(server, part, then):
    server.put("/model", BODY)
    for _ in range(4):  # more often than it would be tried without getting further
        server.once("/model", after=50_000, then=then)
    found = download(server.url("/model"), part, patience=SHORT)
    assert part.read_bytes() == BODY
    assert found.digests["sha256"] == SHA
    assert found.resumed
    assert [request.range for request in server.requests] == [
        None, "bytes=50000-", "bytes=100000-", "bytes=150000-", "bytes=200000-",
    ]  # fmt: skip
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
        ({"wait": 9.0}, r"no answer within 0\.4 seconds; 3 attempts"),
    ],
)
def test_a_trickle_does_not_hold_us(server, part, how, message):
    server.put("/model", BODY, **how)
    began = time.monotonic()
    with pytest.raises(DownloadError, match=message):
        download(server.url("/model"), part, patience=SHORT)
    assert time.monotonic() - began < 4


def test_a_trickle_that_brings_a_few_bytes_each_time_is_no_progress(server, part):
    server.put("/model", BODY)
    begun(server, part)
    server.put("/model", BODY, drip=0.02)
    with pytest.raises(DownloadError, match=r"fewer than 1,000 bytes a second came for 0\.4 seconds; 3 attempts"):
        download(server.url("/model"), part, patience=SHORT)
    there = part.stat().st_size
    assert 100_000 < there < 100_200
    assert part.read_bytes() == BODY[:there]


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


@pytest.mark.parametrize("checks", [True, False])
def test_a_file_that_changes_between_two_parts_is_never_joined(server, part, checks):
    server.put("/model", BODY)
    begun(server, part)
    server.put("/model", OTHER, checks=checks)
    found = download(server.url("/model"), part, patience=SHORT)
    assert part.read_bytes() == OTHER
    assert found.digests["sha256"] == hashlib.sha256(OTHER).hexdigest()
    assert not found.resumed


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


def test_a_part_that_is_whole_costs_one_byte(server, part):
    server.put("/model", BODY)
    download(server.url("/model"), part)
    assert download(server.url("/model"), part, patience=SHORT).digests["sha256"] == SHA
    assert (server.requests[1].range, server.requests[1].sent) == (f"bytes={len(BODY) - 1}-", 1)
    server.put("/model", BODY, chunked=True)  # whole, though nobody had said how long it is
    state = json.loads(state_file(part).read_text("utf-8"))
    state_file(part).write_text(json.dumps(state | {"total": None}), "utf-8")
    assert download(server.url("/model"), part, patience=SHORT).digests["sha256"] == SHA
    assert server.requests[2].range == f"bytes={len(BODY)}-"


@pytest.mark.parametrize("state", ["", "{}", "[1]", '{"url": 1, "validator": null, "total": 1}', "VALIDATOR", None])
def test_a_part_of_which_nothing_sound_is_known_is_begun_again(server, part, state):
    server.put("/model", OTHER)
    part.write_bytes(BODY[:1000])
    if state == "VALIDATOR":
        state = json.dumps({"url": server.url("/model"), "validator": '"a"\r\nX: y', "total": len(BODY)})
    if state is not None:
        state_file(part).write_text(state, "utf-8")
    download(server.url("/model"), part, checkable=True, patience=SHORT)
    assert part.read_bytes() == OTHER
    assert server.requests[0].range is None


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, part, status):
    server.put("/model", BODY)
    server.once("/model", status=status, headers={"Retry-After": "0.2"})
    server.once("/model", status=status, headers={"Retry-After": "99999"})  # as long as patience lasts
    began = time.monotonic()
    download(server.url("/model"), part, patience=SHORT)
    assert 0.4 <= time.monotonic() - began < 2
    assert len(server.requests) == 3


CHILD = """
import sys, resource
from pathlib import Path
from resnets.fetch.download import download
def told(done, total):
    print(done, flush=True)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = download(sys.argv[1], Path(sys.argv[2]), told=told)
print(found.digests["sha256"], found.resumed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_killed_is_continued_by_the_next(server, part, end):
    body = BODY * 20
    server.put("/model", body)
    server.once("/model", after=4_000_000, then="stall")
    command = [sys.executable, "-c", CHILD, server.url("/model"), str(part)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        while int(child.stdout.readline()) < 1_000_000:
            pass
        child.send_signal(end)
    assert child.returncode != 0
    there = part.stat().st_size
    assert 1_000_000 <= there <= 4_000_000
    assert part.read_bytes() == body[:there]
    found = download(server.url("/model"), part, patience=SHORT)
    assert (found.digests["sha256"], found.resumed) == (hashlib.sha256(body).hexdigest(), True)
    assert server.requests[1].range == f"bytes={there}-"


def test_ctrl_c_leaves_a_part_that_goes_on(server, part):
    server.put("/model", BODY)
    server.once("/model", after=200_000, then="stall")

    def told(done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(server.url("/model"), part, told=told)
    assert part.read_bytes() == BODY[:200_000]
    assert download(server.url("/model"), part, patience=SHORT).resumed
    assert part.read_bytes() == BODY


def test_memory_does_not_grow_with_the_file(server, part):
    server.put("/model", b"\x80" + bytes(99_999_999))
    command = [sys.executable, "-c", CHILD, server.url("/model"), str(part)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1].split()
    assert found[0] == hashlib.sha256(part.read_bytes()).hexdigest()
    assert int(found[2]) < 20_000  # KB above what Python and the libraries take


FULL = """
import errno, resource, sys
from pathlib import Path
from resnets.fetch.download import download
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    download(sys.argv[1], Path(sys.argv[2]))
except OSError as error:
    print(errno.errorcode[error.errno])
"""


def test_an_error_of_the_disk_stays_one_and_loses_nothing(server, part, tmp_path):
    server.put("/model", BODY)
    run = subprocess.run([sys.executable, "-c", FULL, server.url("/model"), str(part)], capture_output=True, text=True)
    assert run.stdout == "EFBIG\n", run.stderr
    assert part.read_bytes() == BODY[:200_000]
    assert download(server.url("/model"), part, patience=SHORT).resumed
    assert part.read_bytes() == BODY
    with pytest.raises(FileNotFoundError):
        download(server.url("/model"), tmp_path / "missing" / "part")
    with pytest.raises(IsADirectoryError):
        download(server.url("/model"), tmp_path)


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
