"""A folder of photographs goes in; out comes how near `Classifier.run` comes to the limit of engine and decoder.

The limit is 1 / (1 / engine alone + 1 / decoding, resizing and normalising alone), each on all cores. All three are
measured in turns in this process, several times; the rates printed are medians over the turns, the share the median of
the turns' own shares. Goal: 95 % or more.

    python benchmarks/classify_folder.py FOLDER [--models resnet18,resnet50] [--seconds 6] [--turns 5]
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np

from resnets.classify import BATCH_PIXELS, Classifier
from resnets.images.decode import open_image
from resnets.images.prepare import normalise, prepare
from resnets.initialise import create
from resnets.inputs import Passed, expand
from resnets.parallel import cores
from resnets.weights.files import save


def on_all_cores(seconds: float, work: Callable[[int], int]) -> float:
    """Things a second that `work(thread)` gets done, called again and again in a thread for each core."""
    counts, began = [0] * cores(), time.perf_counter()

    def loop(thread: int) -> None:
        while time.perf_counter() - began < seconds:
            counts[thread] += work(thread)

    threads = [threading.Thread(target=loop, args=(i,)) for i in range(len(counts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def measure(model: Path, files: list[str], seconds: float, turns: int) -> dict[str, float]:
    """Rates in images a second: decoding alone, the engine alone, the two together, and their limit."""
    classifier = Classifier(model)
    recipe, session = classifier.recipe, classifier._session(1, ("logits",))
    batch = max(1, min(16, BATCH_PIXELS // recipe.crop**2))
    x = np.random.default_rng(0).standard_normal((batch, 3, recipe.crop, recipe.crop)).astype(np.float32)
    lanes = [cycle(files[i:] + files[:i]) for i in range(0, len(files), max(1, len(files) // cores()))]

    def decode(thread: int) -> int:
        normalise(prepare(open_image(next(lanes[thread])), recipe), recipe)
        return 1

    def run(thread: int) -> int:
        return len(session.run(x, ("logits",))["logits"])

    def together() -> float:
        rows = classifier.run(cycle(files))
        for _ in range(2 * batch * cores()):  # past the small chunks of the beginning
            next(rows)
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            count += next(rows).error is None
        rate = count / (time.perf_counter() - began)
        rows.close()  # type: ignore[attr-defined]
        return rate

    run(0)
    turned = [
        (
            on_all_cores(seconds / 4, decode),
            on_all_cores(seconds / 2, run),
            together(),
            on_all_cores(seconds / 2, run),
            on_all_cores(seconds / 4, decode),
        )
        for _ in range(turns)
    ]
    rows = [((a + e) / 2, (b + d) / 2, c) for a, b, c, d, e in turned]
    shares = [whole * (1 / decoded + 1 / engine) for decoded, engine, whole in rows]
    decoded, engine, whole = (statistics.median(column) for column in zip(*rows, strict=True))
    return {
        "decode": decoded,
        "engine": engine,
        "end to end": whole,
        "limit": 1 / (1 / decoded + 1 / engine),
        "share": statistics.median(shares),
        "lowest share": min(shares),
        "highest share": max(shares),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--models", default="resnet18,resnet50", help="architectures; their weights are random")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    files = [file for file in expand([options.folder], Passed()) if isinstance(file, str)]
    print(f"{len(files)} images, {cores()} cores")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models.split(","):
            model = Path(folder) / f"{name}.onnx"
            save(create(name), model)
            found = measure(model, files, options.seconds, options.turns)
            rates = ", ".join(f"{key} {found[key]:.1f}" for key in ("decode", "engine", "end to end", "limit"))
            spread = f"{found['lowest share']:.1%} to {found['highest share']:.1%}"
            print(f"{name}: {rates} images/s: {found['share']:.1%} of the limit (turns: {spread})", flush=True)


if __name__ == "__main__":
    main()
