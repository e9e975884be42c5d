"""A part file goes on after a kill, Ctrl-C or a full disk; what is not known to belong together is begun again."""

import hashlib
import json
import signal
import subprocess
import sys
import threading
import time

import pytest
from tests.fetch.downloading import BODY, OTHER, SHA, SHORT

from resnets.fetch.download import DownloadError, Patience, download
from resnets.fetch.partial import state_file

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

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        download(server.url("/model"), part, told=told)
    assert time.monotonic() - began < 5  # what has come is written soon, though the block is not full
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


def test_a_part_that_cannot_be_opened_leaves_no_thread(server, part):
    part.mkdir()
    before = threading.active_count()
    with pytest.raises(IsADirectoryError):
        download(server.url("/model"), part)
    assert threading.active_count() == before


def test_a_state_is_never_written_through_a_link(server, part, tmp_path):
    server.put("/model", BODY)
    theirs = tmp_path / "thesis.txt"
    theirs.write_text("mine")
    state_file(part).symlink_to(theirs)
    server.once("/model", after=100_000)
    with pytest.raises(DownloadError):
        download(server.url("/model"), part, patience=Patience(tries=1))
    assert theirs.read_text() == "mine"
    assert json.loads(state_file(part).read_text("utf-8"))["url"] == server.url("/model")
    part.unlink()
    part.symlink_to(theirs)
    with pytest.raises(OSError, match="symbolic"):
        download(server.url("/model"), part)
    assert theirs.read_text() == "mine"


@pytest.mark.parametrize("begun", [True, False])
def test_where_nothing_comes_no_part_is_left(server, part, begun):
    if begun:
        part.write_bytes(BODY[:1000])
    server.once("/model", status=404)
    with pytest.raises(DownloadError):
        download(server.url("/model"), part, patience=SHORT)
    assert part.exists() == begun
    server.put("/model", BODY, headers={"Content-Length": str(len(BODY) - 5)})
    with pytest.raises(DownloadError, match="more than it has announced"):
        download(server.url("/model"), part, patience=SHORT)
    assert not part.exists()
    assert not state_file(part).exists()
