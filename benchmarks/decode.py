"""A folder of JPEGs goes in; out comes how fast Pillow and simplejpeg decode them, and whether their pixels are equal.

Why images.py uses Pillow alone: both are libjpeg-turbo, and what the network needs next, resizing, is Pillow's, so that
pixels from elsewhere are copied once more. The last line is the ratio that counts, of decoding plus resizing.

    python benchmarks/decode.py FOLDER [--turns 9]
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from resnets.card import RECIPES
from resnets.images.decode import SUFFIXES
from resnets.images.prepare import prepare
from resnets.inputs import Passed, walk


def with_pillow(data: bytes) -> Image.Image:
    """Decoded by Pillow."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def with_simplejpeg(data: bytes) -> Image.Image:
    """Decoded by simplejpeg, handed to Pillow."""
    return Image.fromarray(simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False))


def milliseconds(files: list[bytes], work: Callable[[bytes], object]) -> float:
    """Mean time for one file."""
    began = time.perf_counter()
    for data in files:
        work(data)
    return 1000 * (time.perf_counter() - began) / len(files)


def same(data: bytes) -> bool | None:
    """Do both give the same pixels? None where simplejpeg refuses the file."""
    try:
        return np.array_equal(np.asarray(with_pillow(data)), np.asarray(with_simplejpeg(data)))
    except ValueError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    jpegs = SUFFIXES & {".jpg", ".jpeg"}
    paths = [path for path in walk(options.folder, Passed()) if Path(path).suffix.lower() in jpegs]
    files = [Path(path).read_bytes() for path in paths]
    answers = [same(data) for data in files]
    print(f"{len(files)} files: {answers.count(True)} equal, {answers.count(False)} not, {answers.count(None)} refused")
    files = [data for data, equal in zip(files, answers, strict=True) if equal is not None]
    recipe = RECIPES["resnets"]
    works: dict[str, Callable[[bytes], object]] = {
        "Pillow": with_pillow,
        "simplejpeg": with_simplejpeg,
        "Pillow, resized": lambda data: prepare(with_pillow(data), recipe),
        "simplejpeg, resized": lambda data: prepare(with_simplejpeg(data), recipe),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.turns):
        for name, work in works.items():
            times[name].append(milliseconds(files, work))
    for name, found in times.items():
        print(f"{name}: {statistics.median(found):.3f} ms an image")
    ratios = [a / b for a, b in zip(times["Pillow, resized"], times["simplejpeg, resized"], strict=True)]
    print(f"simplejpeg would be {statistics.median(ratios):.3f} x as fast as Pillow")


if __name__ == "__main__":
    main()
