"""A file goes over the loopback; out comes how fast `download` brings it to the disk, against `curl -o FILE`.

One server in a process of its own (sendfile, faster than either) serves both, in turns. `download` also hashes the file
and flushes it to the disk, which curl does not; how long it takes without the flush, and how long curl takes with
`sync FILE` after it, is printed beside. Seconds inside the process, of the whole process with Python's start and all
imports (from compiled files), and the memory at most. Goal: at least 90 % of curl's rate, hashing and flush included;
memory that does not grow with the file.

    python benchmarks/fetch_speed.py [--megabytes 200] [--turns 11] [--folder FOLDER]
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CHILD = """
import sys, time
from pathlib import Path
from resnets.fetch import download as room
from resnets.fetch.partial import Part
if sys.argv[4] == "no flush":
    Part.flush = lambda part: None
    room.Part = Part
began = time.perf_counter()
found = room.download(sys.argv[1], Path(sys.argv[2]), size=int(sys.argv[3]))
import resource
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, found.digests["sha256"])
"""


def serve(path: Path) -> None:
    """Prints its port, then gives everybody the file."""
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    size = path.stat().st_size
    head = f'HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nETag: "a"\r\nConnection: close\r\n\r\n'.encode()

    def answer(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as request, path.open("rb") as file:
            while request.readline().strip():
                pass
            connection.sendall(head)
            sent = 0
            while sent < size:
                sent += os.sendfile(connection.fileno(), file.fileno(), sent, size - sent)

    while True:
        threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()


def run(kind: str, url: str, place: Path, size: int) -> dict[str, float]:
    """One download by a fresh process: seconds of the process, and what it says of itself."""
    for path in (place, place.with_name(f"{place.name}.json")):
        path.unlink(missing_ok=True)
    curl = ["curl", "--silent", "--show-error", "--fail", "-o", str(place), url]
    command = curl if kind.startswith("curl") else [sys.executable, "-c", CHILD, url, str(place), str(size), kind]
    began = time.perf_counter()
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    if kind == "curl, sync":
        subprocess.run(["sync", str(place)], check=True)
    seconds = time.perf_counter() - began
    assert place.stat().st_size == size
    return {
        "process": seconds,
        "inside": float(found[0]) if found else seconds,
        "memory": float(found[1]) if found else 0,
    }


def measured(url: str, place: Path, size: int, turns: int) -> dict[str, dict[str, list[float]]]:
    """The seconds of each kind, in turns; a first round warms the disk's cache and is left out."""
    kinds = ("curl", "download", "no flush", "curl, sync")
    found: dict[str, dict[str, list[float]]] = {kind: {"process": [], "inside": [], "memory": []} for kind in kinds}
    for turn in range(turns + 1):
        for kind in kinds:
            for name, value in run(kind, url, place, size).items():
                if turn:
                    found[kind][name].append(value)
    return found


def report(found: dict[str, dict[str, list[float]]], size: int, small: float) -> bool:
    """Prints the lines; whether the goals are reached."""
    for kind, numbers in found.items():
        middle = {name: statistics.median(values) for name, values in numbers.items()}
        print(
            f"{kind:11} inside {middle['inside']:.3f} s ({size / 1e6 / middle['inside']:5.0f} MB/s), "
            f"fastest {min(numbers['inside']):.3f} s; process {middle['process']:.3f} s"
        )
    ratios = {}
    for name in ("inside", "process"):
        pairs = [c / d for c, d in zip(found["curl"]["process"], found["download"][name], strict=True)]
        ratios[name] = statistics.median(pairs)
        print(
            f"rate against curl, {name}: {ratios[name]:.2f} (median of the pairs, {min(pairs):.2f} to {max(pairs):.2f})"
        )
    more = (max(found["download"]["memory"]) - small) / 1024
    print(f"memory: {more:.1f} MiB more than for a file of 1 MB")
    return ratios["inside"] >= 0.9 and more < 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--folder", help="where the files lie; default: the system's temporary folder")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        small = 0.0
        for megabytes in (1, options.megabytes):
            file, size = folder / "file", megabytes * 1_000_000
            with file.open("wb") as out:
                for _ in range(megabytes):
                    out.write(os.urandom(1_000_000))
            command = [sys.executable, __file__, "--serve", str(file)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout is not None
                url = f"http://127.0.0.1:{int(server.stdout.readline())}/file"
                found = measured(url, folder / "out", size, 2 if megabytes == 1 else options.turns)
                server.terminate()
            if megabytes == 1:
                small = max(found["download"]["memory"])
    sys.exit(0 if report(found, size, small) else 1)


if __name__ == "__main__":
    main()
