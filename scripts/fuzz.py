"""Good model files of every format go in; damaged ones are read until one is not refused, nor read as it should be.

    python scripts/fuzz.py [SUFFIX ...] [--count N] [--seed N]

Each input is a small real file with bits flipped, cut off, doubled, with bytes of another file inside, or with numbers
in it replaced by those that sizes and offsets break on. It must be refused with a ResNetsError or give a whole model,
of finite numbers; where the file keeps a digest of its arrays, only the model that was written. Anything else is a
fault: it is written to fuzz-fault.SUFFIX, and the status is 1.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from resnets.card import Card
from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.initialise import initialise
from resnets.weights import files
from resnets.weights.formats import FORMATS
from resnets.weights.model import Model, digest
from resnets.weights.source import Source

SLOW = 10.0  # seconds for a file of 20 kB: a hang
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def seeds(suffix: str) -> Iterator[bytes]:
    """Small models of several kinds, written in every dialect that the format has."""
    base = replace(find("resnet20-cifar"), blocks=(1, 1), widths=(4, 8), stem_widths=(4,), classes=3, shortcut="B")
    folder = Path(tempfile.mkdtemp())
    for architecture in (
        base,
        replace(find("resnet50"), blocks=(1, 1), widths=(4, 8), stem_widths=(4,), classes=3),
        replace(
            find("resnet18-v2"),
            blocks=(1, 1),
            widths=(4, 8),
            stem_widths=(4,),
            classes=3,
            preact_first=("branch", "both"),
        ),
    ):
        model = Model(architecture, initialise(architecture), Card("m", architecture))
        for names in (None, *FORMATS[suffix].names):
            path = folder / f"m{suffix}"
            try:
                files.save(model, path, names=names)
            except ResNetsError:
                continue  # a dialect that has no such network
            yield path.read_bytes()


def damaged(data: bytes, others: list[bytes], draw: random.Random) -> bytes:
    """One file, damaged in one to four ways."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        # Half of the places lie in the first kilobyte or the last: there is the structure.
        edge = draw.choice((draw.randrange(1024), len(out) - 1 - draw.randrange(1024)))
        at = max(0, min(edge if draw.random() < 0.5 else draw.randrange(len(out) + 1), len(out)))
        match draw.randrange(7):
            case 0 if at < len(out):
                out[at] ^= 1 << draw.randrange(8)
            case 1 if at < len(out):
                out[at] = draw.randrange(256)
            case 2:
                del out[at:]
            case 3:
                del out[at : at + draw.choice((1, 4, 8, 100, 5000))]
            case 4:
                out[at:at] = out[at : at + draw.choice((1, 4, 8, 100, 5000))]
            case 5:
                width = draw.choice((1, 2, 4, 8))
                number = draw.choice(NUMBERS) % (1 << 8 * width)
                out[at : at + width] = number.to_bytes(width, draw.choice(("little", "big")))
            case _:
                other = draw.choice(others)
                start = draw.randrange(len(other))
                length = draw.choice((4, 16, 200, 4000))
                out[at : at + length] = other[start : start + length]
        if not out:
            break
    return bytes(out)


def fault(data: bytes, suffix: str, good: set[str]) -> tuple[bool, str | None]:
    """Whether a damaged file was read, and what is wrong with that. `good`: digests of what was written."""
    began = time.perf_counter()
    try:
        model = files.read(Source.of(data, f"fuzzed{suffix}"))
    except ResNetsError:
        model = None
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"
    if time.perf_counter() - began > SLOW:
        return model is not None, f"it took {time.perf_counter() - began:.0f} seconds"
    if model is None:
        return False, None
    if not all(np.isfinite(array).all() for array in model.weights.values()):
        return True, "arrays with NaN or infinity"
    if model.card.weights_sha256 is not None and digest(model.weights) not in good:
        return True, "arrays that are not those of the card's digest"
    return True, None


def fuzz(suffix: str, count: int, seed: int) -> tuple[int, bytes | None, str | None]:
    """(damaged files that were still read, the one that was a fault, why) of `count` inputs."""
    originals = list(seeds(suffix))
    good = {digest(files.read(Source.of(data, f"m{suffix}")).weights) for data in originals}
    draw, read = random.Random(f"{suffix} {seed}"), 0
    for _ in range(count):
        data = damaged(draw.choice(originals), originals, draw)
        was_read, why = fault(data, suffix, good)
        if why is not None:
            return read, data, why
        read += was_read
    return read, None, None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suffix", nargs="*", default=list(FORMATS))
    parser.add_argument("--count", type=int, default=2000, help="inputs of each format")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for suffix in arguments.suffix:
        began = time.perf_counter()
        read, data, why = fuzz(suffix, arguments.count, arguments.seed)
        if data is not None:
            Path(f"fuzz-fault{suffix}").write_bytes(data)
            print(f"{suffix}: {why}: see fuzz-fault{suffix}")
            return 1
        rate = arguments.count / (time.perf_counter() - began)
        print(f"{suffix}: {arguments.count:,} inputs without a fault, {read:,} of them read, {rate:,.0f} a second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
