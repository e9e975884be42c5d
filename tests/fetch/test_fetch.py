"""Published weights by name: downloaded, checked, kept; and what is said where that fails."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fetch.fetching import BODY, KNOWN, OTHER, SHA, got, refused

from resnets.fetch import cache
from resnets.published.row import Published


def test_a_file_is_downloaded_checked_and_kept(row, server, folder, capsys):
    row = replace(row, digests=KNOWN, size=len(BODY))
    path = got(row)
    assert path == folder / "resnet-18.t7"
    assert path.read_bytes() == BODY
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"resnet18.fb: downloading resnet-18.t7 from 127.0.0.1:{server.port} (0.3 MB)"
    assert lines[-1] == ("resnet18.fb: 0.3 MB, checked against the first 8 digits of the sha256 (the file's name)")
    assert sorted(os.listdir(folder)) == [".lock", "receipt.json", "resnet-18.t7"]
    kept = cache.recorded(row)
    assert (kept.url, kept.size, kept.sha256) == (server.url("/resnet-18.t7"), len(BODY), SHA)
    assert cache.state(row) == cache.State("cached", len(BODY), path)
    server.close()
    assert got(row) == path  # from the cache, and without a word
    assert capsys.readouterr().err == ""


def test_quiet_says_nothing(row, capsys):
    got(row, quiet=True)
    assert capsys.readouterr() == ("", "")


def test_again_downloads_anew(row, server):
    got(row)
    got(row, again=True)
    assert len(server.requests) == 2


def test_a_file_that_is_not_the_one_is_removed_and_both_digests_are_told(row, server, folder):
    row = replace(row, digests=KNOWN)
    server.put("/resnet-18.t7", OTHER)
    found = hashlib.sha256(OTHER).hexdigest()
    error = refused(row)
    assert f"its sha256 is {found}, but the expected one begins with {SHA[:8]} (the file's name)" in error.problem
    assert str(folder / "resnet-18.t7") in error.remedy
    assert os.listdir(folder) == [".lock"]
    assert len(server.requests) == 1  # what came in one piece would come again


def test_what_was_joined_wrongly_is_fetched_once_more_from_the_start(row, server, folder, capsys):
    row = replace(row, digests=KNOWN, size=len(BODY))
    folder.mkdir(parents=True)
    cache.part(row).write_bytes(OTHER[:100_000])
    state = {"url": row.urls[0], "validator": f'"{SHA[:16]}"', "total": len(BODY)}
    cache.part(row).with_name(f"{cache.part(row).name}.json").write_text(json.dumps(state))
    assert got(row).read_bytes() == BODY
    assert [request.range for request in server.requests] == ["bytes=100000-", None]
    lines = capsys.readouterr().err
    assert "going on at 0.1 MB" in lines
    assert "once more from the start" in lines


def test_a_wrong_file_over_a_line_that_breaks_is_refused_after_one_restart(row, server):
    row = replace(row, digests=KNOWN, size=len(BODY), urls=(server.url("/wrong.t7"), *row.urls))
    for _ in range(30):
        server.once("/wrong.t7", body=OTHER, status=200, after=100_000)
    assert got(row).read_bytes() == BODY
    asked = [request.range for request in server.requests]
    assert asked == [None, "bytes=100000-", "bytes=200000-"] * 2 + [None]


def test_the_part_of_another_file_is_not_used(row, server, folder):
    row = replace(row, digests=KNOWN, size=len(BODY))
    folder.mkdir(parents=True)
    cache.part(row).write_bytes(OTHER[:100_000])
    assert got(row).read_bytes() == BODY
    assert [request.range for request in server.requests] == [None]


def test_addresses_in_turn_and_every_reason_is_told(row, server, monkeypatch):
    row = replace(row, urls=(server.url("/gone.t7"), server.url("/page.t7")), digests=KNOWN)
    server.put("/page.t7", b"<html><title>Sign in</title></html>", headers={"Content-Type": "text/html"})
    monkeypatch.setenv("RESNETS_MIRROR", server.url("/mirror/"))
    error = refused(row)
    assert [request.path for request in server.requests] == [
        "/mirror/resnet18.fb/resnet-18.t7",
        "/gone.t7",
        "/page.t7",
    ]
    here = f"127.0.0.1:{server.port}"
    assert error.problem == (
        f"resnet18.fb could not be downloaded: {here} (RESNETS_MIRROR) and {here}: status 404 (Not Found);"
        f" {here}: the server gives a web page (Sign in), not the file."
    )
    assert f"by hand from {server.url('/gone.t7')} and put it at {cache.place(row)}." in error.remedy


def test_a_mirror_is_tried_first_and_held_to_the_digests(row, server, monkeypatch):
    row = replace(row, digests=KNOWN)
    monkeypatch.setenv("RESNETS_MIRROR", server.url("/mirror"))
    server.put("/mirror/resnet18.fb/resnet-18.t7", OTHER)
    assert got(row).read_bytes() == BODY
    assert cache.recorded(row).url == server.url("/resnet-18.t7")


def test_hf_endpoint_stands_for_the_hub(row, server, monkeypatch):
    row = replace(row, urls=("https://huggingface.co/timm/x/resolve/main/resnet-18.t7",))
    server.put("/hub/timm/x/resolve/main/resnet-18.t7", BODY)
    monkeypatch.setenv("HF_ENDPOINT", server.url("/hub/"))
    assert got(row).read_bytes() == BODY


def test_offline_nothing_is_fetched_again(row, monkeypatch):
    path = got(row)
    monkeypatch.setenv("RESNETS_OFFLINE", "1")
    assert got(row) == path
    assert refused(row, again=True).problem == "resnet18.fb is not fetched again: RESNETS_OFFLINE forbids downloading."


@pytest.mark.parametrize("value", ["1", "true", "yes", "no"])
def test_offline_names_file_address_and_place(row, server, folder, monkeypatch, value):
    monkeypatch.setenv("RESNETS_OFFLINE", value)
    error = refused(row)
    assert "RESNETS_OFFLINE" in error.problem
    assert server.url("/resnet-18.t7") in error.problem
    assert str(folder / "resnet-18.t7") in error.remedy
    assert not server.requests
    assert not folder.exists()
    monkeypatch.setenv("RESNETS_OFFLINE", "0")
    path = got(row)
    monkeypatch.setenv("RESNETS_OFFLINE", value)
    assert got(row) == path
    assert "RESNETS_OFFLINE" in str(refused(row, again=True))


def test_a_cache_that_cannot_be_made_is_named(row, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "file" / "cache"))
    error = refused(row)
    assert (
        f"{tmp_path / 'file' / 'cache' / 'resnet18.fb'} cannot be made: {tmp_path / 'file'} is no folder"
        in error.problem
    )
    assert "RESNETS_CACHE" in error.remedy


def test_too_small_a_disk_is_told_before_the_download(row, folder, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    error = refused(row)
    assert f"The disk is full: resnet18.fb needs 0.3 MB more in {folder}, which has 0.001 MB" in error.problem
    assert "RESNETS_CACHE" in error.remedy


CHILD = """
import os, sys
from dataclasses import replace
from pathlib import Path
from resnets.published.row import Digest
from resnets.published.table import PUBLISHED
from resnets.fetch.fetch import fetch
from resnets.errors import ResNetsError
url, sha = sys.argv[1:3]
row = replace(PUBLISHED["resnet18.fb"], urls=(url,), size=None, digests=(Digest("sha256", sha, "a test"),))
{}
try:
    print(fetch(row))
except ResNetsError as error:
    sys.exit(str(error))
"""


def child(row: Published, more: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD.replace("{}", more), row.urls[0], SHA]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_disk_that_fills_up_is_named_and_what_came_is_kept(row, server, folder):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    process = child(row, limit)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"{folder} cannot be read or written (File too large)" in said
    assert cache.state(row) == cache.State("partial", 100_000)
    assert got(row).read_bytes() == BODY
    assert server.requests[-1].range == "bytes=100000-"


def test_four_processes_at_once_download_it_once(row, server):
    server.once("/resnet-18.t7", wait=1.0)
    processes = [child(row) for _ in range(4)]
    ends = [process.communicate(timeout=30) for process in processes]
    assert {out.strip() for out, _ in ends} == {str(cache.place(row))}
    assert len(server.requests) == 1
    assert sum("another process is downloading it: waiting" in said for _, said in ends) == 3


def test_who_waits_can_be_interrupted(row, server):
    server.once("/resnet-18.t7", wait=20)
    thread = threading.Thread(target=refused, args=(row,), daemon=True)
    thread.start()
    while not server.requests:
        time.sleep(0.01)
    with child(row) as process:
        while "waiting" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=5) != 0
    server.close()
    thread.join(10)


READ_ONLY = """
import os, sys
from resnets.fetch.fetch import fetch
from resnets.fetch import cache, connection, contents
from resnets.published.table import PUBLISHED
from resnets.errors import ResNetsError
if os.geteuid() == 0:
    os.setgroups([])
    os.setuid(65534)  # root may write everywhere
row = PUBLISHED["resnet18.fb"]
try:
    print(fetch(row))
except ResNetsError as error:
    print(error)
"""


def test_a_cache_that_can_only_be_read(row, folder):
    """Whole files are used, with a receipt at once and without one after they have been checked; nothing is written."""
    with tempfile.TemporaryDirectory() as readable:  # tmp_path is for its owner alone
        there = Path(readable, "resnet18.fb")

        def said() -> str:
            for path in (there, Path(readable)):
                path.chmod(0o555)
            environment = {**os.environ, "RESNETS_CACHE": readable, "RESNETS_OFFLINE": "1"}
            done = subprocess.run([sys.executable, "-c", READ_ONLY], capture_output=True, text=True, env=environment)
            assert done.returncode == 0, done.stderr
            return done.stdout + done.stderr

        there.mkdir()
        assert "RESNETS_OFFLINE forbids" in said()
        there.chmod(0o755)
        (there / "resnet-18.t7").write_bytes(BODY)
        assert said().startswith(f"{there / 'resnet-18.t7'}\nresnet18.fb: ")
        assert os.listdir(there) == ["resnet-18.t7"]
        shutil.copy2(got(row), there)
        there.chmod(0o755)
        shutil.copy2(folder / "receipt.json", there)
        assert said() == f"{there / 'resnet-18.t7'}\n"
        os.utime(there / "resnet-18.t7", (1, 1))
        assert said().startswith(f"{there / 'resnet-18.t7'}\nresnet18.fb: ")
        for path in (there, Path(readable)):
            path.chmod(0o755)
