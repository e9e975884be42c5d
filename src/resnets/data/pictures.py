"""The images of a split, decoded once and kept in memory when they fit, read again each time when they do not."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.data.folders import Split, without
from resnets.errors import ResNetsError
from resnets.parallel import cores, in_order
from resnets.progress import Progress

Image = NDArray[Any]  # [h, w, 3] uint8
Loader = Callable[[Path], Image]

MEMORY_SHARE = 0.5  # of what is free now: the rest is for the network, and for everyone else on the machine
SAMPLE = 64  # images whose size stands for that of all
BAD_SHARE = 0.01  # of unreadable images, above which something is wrong with the folder and not with a file
NAMED = 20  # unreadable files that are listed by name


@dataclass(frozen=True)
class Pictures:
    """`split`'s images through `load`, as [h, w, 3] uint8. `kept` is None where they do not fit into memory."""

    split: Split
    load: Loader
    kept: list[Image] | None
    bad: tuple[tuple[str, str], ...] = ()  # (file, reason) of those left out

    def __len__(self) -> int:
        return len(self.split)

    def image(self, index: int) -> Image:
        """Image `index`; raises what `load` raises where it was not kept and cannot be read."""
        return self.load(self.split.path(index)) if self.kept is None else self.kept[index]


def read_pictures(split: Split, load: Loader, *, label: str, quiet: bool = False) -> Pictures:
    """Decode a split once. Unreadable images are named on stderr and left out; too many of them stop everything.

    `load` raises ResNetsError for an image that cannot be read.
    """
    size = _mean_bytes(split, load)
    if size * len(split) > MEMORY_SHARE * available_memory():
        return Pictures(split, load, None)
    images: list[Image] = []
    bad: dict[int, str] = {}
    with Progress(label, len(split), quiet=quiet) as progress:
        for index, found in enumerate(_each(split, load)):
            if isinstance(found, str):
                bad[index] = found
            else:
                images.append(found)
            progress.advance()
    named = tuple((split.files[index], reason) for index, reason in bad.items())
    refuse_many(named, len(split))
    report_bad(named, split)
    return Pictures(without(split, list(bad)), load, images, named)


def report_bad(bad: tuple[tuple[str, str], ...], split: Split) -> None:
    """Name unreadable images on stderr."""
    for file, reason in bad[:NAMED]:
        print(f"left out {split.root / file}: {reason}", file=sys.stderr)
    if len(bad) > NAMED:
        print(f"left out {len(bad) - NAMED} more", file=sys.stderr)


def refuse_many(bad: tuple[tuple[str, str], ...], total: int) -> None:
    """Raises ResNetsError when more than BAD_SHARE of `total` images (and more than one) cannot be read."""
    if len(bad) > max(1, BAD_SHARE * total):
        first = "; ".join(f"{file}: {reason}" for file, reason in bad[:NAMED])
        raise ResNetsError(
            f"{len(bad)} of {total} images cannot be read, more than {BAD_SHARE:.0%} ({first}).",
            "Mend or remove those files.",
        )


def _each(split: Split, load: Loader) -> Iterator[Image | str]:
    """Every image in order, or the reason why it could not be read; decoded on all cores, a bounded number ahead."""

    def attempt(index: int) -> Image | str:
        try:
            return np.ascontiguousarray(load(split.path(index)))
        except ResNetsError as error:
            return error.problem

    return in_order(lambda _, chunk: [attempt(index) for index in chunk], range(len(split)), cores(), most=32)


def _mean_bytes(split: Split, load: Loader) -> float:
    sizes = []
    for index in np.linspace(0, len(split) - 1, min(SAMPLE, len(split))).astype(int):
        try:
            sizes.append(load(split.path(int(index))).nbytes)
        except ResNetsError:
            continue
    return float(np.mean(sizes)) if sizes else 0.0


def available_memory() -> int:
    """Bytes that may be taken without swapping, within the limits of the control group; 4 GiB where nobody says."""
    found = []
    try:
        with open("/proc/meminfo") as file:
            rows = dict(line.split(":", 1) for line in file)
        found.append(int(rows["MemAvailable"].split()[0]) * 1024)
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        if limit != "max":
            found.append(int(limit) - used)
    except (OSError, KeyError, ValueError):
        pass
    return min(found, default=4 << 30)
