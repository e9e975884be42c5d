"""Formats go in; out comes what reading about 100 MB of weights costs in each, against reading the same file as bytes.

For every format a file is written in a process of its own, then read in fresh ones: how long, with the file in the
disk's cache, and how much memory at most beyond that of a process that only imports. Goals: at most 1.5 x the time of
numpy.fromfile of the same file plus 0.2 s, and at most 1.3 x the file in memory.

    python benchmarks/read_weights.py [FORMAT ...] [--turns 7] [--architecture resnet50]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from resnets.initialise import create
from resnets.weights import files, formats
from resnets.weights.torch7.objects import Table, Tensor, tensor
from resnets.weights.torch7.read import read as read_t7
from resnets.weights.torch7.write import parts


def model(path: Path, architecture: str) -> None:
    """A model in the format of the suffix."""
    files.save(create(architecture), path)


def tensors(path: Path, architecture: str) -> None:
    """A .t7 of the network's arrays in a table, with nothing else."""
    weights = create(architecture).weights
    with path.open("wb") as file:
        file.writelines(parts([Table([(name, tensor(array)) for name, array in weights.items()])]))


def gradients(path: Path, architecture: str) -> None:
    """The same with as many gradients: twice the file, of which half is wanted."""
    weights = create(architecture).weights
    pairs = [(name, tensor(array)) for name, array in weights.items()]
    pairs += [(f"gradient of {name}", tensor(np.zeros_like(array))) for name, array in weights.items()]
    with path.open("wb") as file:
        file.writelines(parts([Table(pairs)]))


def read_model(path: Path) -> Any:
    with files.opened(path) as source:
        return files.read(source)


def read_tensors(path: Path) -> Any:
    with files.opened(path) as source:
        (table,) = read_t7(source)
        return [t.array() for name, t in table.pairs if isinstance(t, Tensor) and not name.startswith("gradient")]


# format: its suffix, what writes such a file, what reads it
FORMATS: dict[str, tuple[str, Callable[[Path, str], None], Callable[[Path], Any]]] = {
    suffix[1:]: (suffix, model, read_model) for suffix in formats.FORMATS if suffix not in (".pt", ".th")
} | {
    "t7-tensors": (".t7", tensors, read_tensors),
    "t7-gradients": (".t7", gradients, read_tensors),
}


def child(*arguments: str) -> list[float]:
    """Runs this script again in a fresh process for one step, and returns the numbers that it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *arguments]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return [float(word) for word in found.stdout.split()]


def step(name: str, kind: str, path: Path, architecture: str) -> None:
    """What a fresh process does: make the file, or import, or read it, and print seconds and the most memory in MB."""
    suffix, write, read = FORMATS[kind]
    if name == "make":
        write(path, architecture)
        return
    _ = formats.FORMATS[suffix].room
    began = time.perf_counter()
    kept = np.fromfile(path, np.uint8) if name == "bytes" else read(path) if name == "read" else None
    seconds = time.perf_counter() - began
    del kept
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measure(kind: str, folder: Path, turns: int, architecture: str) -> bool:
    """Prints one format's line; whether it reaches the goals."""
    path = folder / f"{kind}{FORMATS[kind][0]}"
    child("--step", "make", kind, str(path), "--architecture", architecture)
    size = path.stat().st_size / 1e6
    found: dict[str, list[list[float]]] = {"bytes": [], "read": [], "import": []}
    for _ in range(turns):
        for name, results in found.items():
            results.append(child("--step", name, kind, str(path)))
    path.unlink()
    seconds = {name: statistics.median(one[0] for one in results) for name, results in found.items()}
    memory = {name: statistics.median(one[1] for one in results) for name, results in found.items()}
    ratio = seconds["read"] / seconds["bytes"]
    more = (memory["read"] - memory["import"]) * 1.048576 / size
    reached = seconds["read"] <= 1.5 * seconds["bytes"] + 0.2 and more <= 1.3
    print(
        f"{kind:14} {size:7.1f} MB  read {seconds['read']:.3f} s  fromfile {seconds['bytes']:.3f} s  ratio {ratio:.2f}"
        f"  memory {more:.2f} x the file  {'ok' if reached else 'TOO MUCH'}"
    )
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("formats", nargs="*", help=f"of {', '.join(FORMATS)}; default: all")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--architecture", default="resnet50", help="102 MB of weights")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        kind, path = options.formats
        step(options.step, kind, Path(path), options.architecture)
        return
    with tempfile.TemporaryDirectory() as folder:
        results = [
            measure(kind, Path(folder), options.turns, options.architecture) for kind in options.formats or FORMATS
        ]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
