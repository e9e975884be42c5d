"""Processes that fetch weights are killed; whether the cache ever holds half a file, and who goes on, comes out.

    python scripts/kill_downloads.py --kills 100
    python scripts/kill_downloads.py --steps

A server on 127.0.0.1 sends a file slowly. Processes fetch it by a row's name through RESNETS_MIRROR, into a cache of
their own, and are killed (SIGKILL) at random moments; after each kill the file in the cache must be whole or not there,
and the next process must ask for the bytes behind those that have come. Every other file is a tarball.
--steps kills instead before each single thing that a process does to a file of the cache, from the first to the last.
Ends with status 1 and the first thing that did not hold.
"""

import argparse
import hashlib
import io
import os
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from resnets.fetch import cache
from resnets.fetch.partial import state_file
from resnets.published.row import Digest, Published
from resnets.published.table import PUBLISHED

NAMES = ("resnet18.fb", "resnet18-v1.zoo7-tar")  # a plain file, and an archive

# What every process runs: the table gets the stand-in's size and digest, and then the row is fetched as ever.
PROGRAM = """
import os, sys
from dataclasses import replace
from resnets.published.row import Digest
from resnets.published.table import PUBLISHED
from resnets.fetch.fetch import fetch
name, size, sha256 = sys.argv[1], int(sys.argv[2]), sys.argv[3]
row = replace(PUBLISHED[name], size=size, digests=(Digest("sha256", sha256, "the script"),))
"""
FETCH = f"{PROGRAM}print(fetch(row, quiet=True))\n"
# One fork after the other is killed before its first, second, ... deed in the cache; another then fetches to the end.
STEPS = (
    PROGRAM
    + """
import shutil, signal
def run(step):
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    if step:
        seen = 0
        folder = os.environ["RESNETS_CACHE"]
        def watch(event, args):
            nonlocal seen
            if event.startswith(("open", "os.", "shutil.")) and any(folder in str(one) for one in args[:2]):
                seen += 1
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(watch)
    fetch(row, quiet=True)
    os._exit(0)
step = 0
while True:
    step += 1
    killed = run(step)
    print({0: "finished", signal.SIGKILL: "killed"}.get(killed, "failed"), flush=True)
    sys.stdin.readline()
    if not killed:
        break
    print("resumed" if run(0) == 0 else "failed", flush=True)
    sys.stdin.readline()
"""
)


@dataclass
class Host:
    """A server of files by path, `rate` bytes a second. `asked`: the first byte of each request, as they came."""

    rate: float
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    def __enter__(self) -> "Host":
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = self.files.get(request.path)
        if body is None:
            request.send_error(404)
            return
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range") or "")
        start = int(asked[1]) if asked else 0
        self.asked.append(start)
        request.send_response(206 if asked else 200)
        request.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        request.send_header("Content-Length", str(len(body) - start))
        if asked:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.end_headers()
        piece = max(1, int(self.rate / 100))
        try:
            for at in range(start, len(body), piece):
                request.wfile.write(body[at : at + piece])
                time.sleep(piece / self.rate)
        except OSError:  # it was killed
            pass


@dataclass(frozen=True)
class Case:
    """A row, the file that stands in for its own, and the sha256 of the model that must come of it."""

    row: Published
    body: bytes
    model: str

    def command(self, program: str) -> list[str]:
        digest = hashlib.sha256(self.body).hexdigest()
        return [sys.executable, "-c", program, self.row.name, str(len(self.body)), digest]

    def whole(self) -> bool:
        """Whether its model is there. Raises AssertionError where a file of its name is something else."""
        home = cache.home(self.row)
        found = [cache.place(self.row)] if self.row.member is None else [*home.glob(f"[!.]*/**/*{self.row.member}")]
        there = [path for path in found if path.exists()]
        for path in there:
            assert hashlib.sha256(path.read_bytes()).hexdigest() == self.model, f"{path} is not whole"
        assert len(there) == 1 or cache.state(self.row).kind != "cached", f"{home}: cached, and not there"
        return len(there) == 1

    def arrived(self) -> int:
        """How many bytes the next process need not ask for."""
        part = cache.part(self.row)
        return part.stat().st_size if part.exists() and state_file(part).exists() else 0


def cases(size: int) -> list[Case]:
    """A plain file and a tarball, of about so many bytes that cannot be packed."""
    found = []
    for seed, name in enumerate(NAMES):
        model = body = random.Random(seed).randbytes(size)
        if PUBLISHED[name].member is not None:
            held = io.BytesIO()
            with tarfile.open(fileobj=held, mode="w:gz", compresslevel=1) as archive:
                for path, data in (("r/r.onnx", model), ("r/test_data_set_0/input_0.pb", b"1")):
                    info = tarfile.TarInfo(path)
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
            body = held.getvalue()
        known = (Digest("sha256", hashlib.sha256(body).hexdigest(), "the script"),)
        row = replace(PUBLISHED[name], size=len(body), digests=known)
        found.append(Case(row, body, hashlib.sha256(model).hexdigest()))
    return found


def killed_at_random(host: Host, all_cases: list[Case], kills: int, draw: random.Random) -> dict[str, float]:
    """Start and kill processes; a file that has come is cleared, and the next one begun.

    Every fourth is killed at any time from its start on, the others once they have asked for the file.
    """
    counts = {"killed": 0, "parts": 0, "resumed": 0, "finished": 0, "least": 0.0, "most": 0.0}
    case, took, turn = all_cases[0], _unhindered(all_cases[0]), 0
    cache.remove(case.row)
    came: list[float] = []
    while counts["killed"] < kills or not counts["resumed"]:
        before = case.arrived()
        host.asked.clear()
        process = subprocess.Popen(case.command(FETCH), stdout=subprocess.DEVNULL)
        while (before or counts["killed"] % 4) and not host.asked and process.poll() is None:
            time.sleep(0.005)
        try:
            process.wait(draw.uniform(0, took if host.asked else took * 1.1))
        except subprocess.TimeoutExpired:
            process.kill()
        ended = process.wait()
        counts["parts"] += before > 0
        if host.asked and before:
            start = before - (before == len(case.body))  # of a whole part the last byte is asked for again
            assert host.asked[0] == start, f"{before} bytes were there, and byte {host.asked[0]} was asked for"
            counts["resumed"] += 1
        assert ended in (0, -9), f"a process ended with status {ended}"
        counts["killed" if ended else "finished"] += 1
        came.append(case.arrived() / len(case.body))
        if case.whole() and (not ended or draw.random() < 0.5):
            cache.remove(case.row)
            turn += 1
            case = all_cases[turn % len(all_cases)]
    assert counts["resumed"] == counts["parts"]
    subprocess.run(case.command(FETCH), stdout=subprocess.DEVNULL, check=True)
    assert case.whole()
    partly = sorted(share for share in came if share) or [0.0]
    return {**counts, "least": partly[0], "most": partly[-1]}


def _unhindered(case: Case) -> float:
    began = time.monotonic()
    subprocess.run(case.command(FETCH), stdout=subprocess.DEVNULL, check=True)
    assert case.whole()
    return time.monotonic() - began


def killed_at_each_step(case: Case) -> int:
    """How many steps there were. After each kill the file is whole or not there, and then comes whole."""
    steps = 0
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(case.command(STEPS), **pipes) as process:  # type: ignore[call-overload]
        while (said := process.stdout.readline().strip()) != "finished":
            steps += said == "killed"
            assert said in ("killed", "resumed"), f"after step {steps} it did not go on: {said or 'no word'}"
            there = case.whole()
            assert there or said == "killed"
            if said == "resumed":
                assert cache.state(case.row).kind == "cached"
                cache.remove(case.row)
            process.stdin.write("\n")
            process.stdin.flush()
        assert case.whole()
    return steps


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--steps", action="store_true", help="kill before each thing that is done to the cache")
    parser.add_argument("--size", type=int, default=4_000_000, help="bytes of a file")
    parser.add_argument("--rate", type=float, default=8e6, help="bytes a second")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    os.environ.pop("RESNETS_OFFLINE", None)
    all_cases = cases(asked.size)
    with tempfile.TemporaryDirectory() as folder, Host(1e9 if asked.steps else asked.rate) as host:
        os.environ.update(RESNETS_CACHE=str(Path(folder, "cache")), RESNETS_MIRROR=host.base, NO_PROXY="127.0.0.1")
        host.files = {f"/{case.row.name}/{case.row.file}": case.body for case in all_cases}
        if asked.steps:
            for case in all_cases:
                print(f"{case.row.file}: killed at each of {killed_at_each_step(case)} steps, whole or not there")
            return 0
        found = killed_at_random(host, all_cases, asked.kills, random.Random(asked.seed))
    print(
        f"{found['killed']} killed, {found['finished']} came to their end; {found['parts']} found a part of the file"
        f" ({found['least']:.0%} to {found['most']:.0%}) and went on where it ended; the file was always whole or not"
        " there"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
