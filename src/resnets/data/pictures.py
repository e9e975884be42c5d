"""The images of a split, decoded once and kept in memory when they fit, read again each time when they do not."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.data.folders import Split
from resnets.errors import ResNetsError, plain
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
    """`split`'s images through `load`, as [h, w, 3] uint8.

    `kept` is None where they do not fit into memory; in it, the reason stands for an image that cannot be read. The
    split is whole either way: what a run trains on does not depend on the memory that was free.
    """

    split: Split
    load: Loader
    kept: list[Image | str] | None
    bad: tuple[tuple[str, str], ...] = ()  # (file, reason) of those found unreadable so far

    def __len__(self) -> int:
        return len(self.split)

    def image(self, index: int) -> Image:
        """Image `index`. Raises ResNetsError where it cannot be read."""
        if self.kept is None:
            return self.load(self.split.path(index))
        found = self.kept[index]
        if isinstance(found, str):
            raise ResNetsError(found, "Mend or remove the file.")
        return found


def read_pictures(split: Split, load: Loader, *, label: str, quiet: bool = False) -> Pictures:
    """Decode a split once. Unreadable images are named on stderr and left out; too many of them stop everything.

    `load` raises ResNetsError for an image that cannot be read.
    """
    size = _mean_bytes(split, load)
    if size * len(split) > MEMORY_SHARE * available_memory():
        return Pictures(split, load, None)
    images: list[Image | str] = []
    with Progress(label, len(split), quiet=quiet) as progress:
        for found in _each(split, load):
            images.append(found)
            progress.advance()
    bad = tuple((file, found) for file, found in zip(split.files, images) if isinstance(found, str))
    refuse_many(bad, len(bad), len(split))
    report_bad(bad, split)
    return Pictures(split, load, images, bad)


def report_bad(bad: tuple[tuple[str, str], ...], split: Split) -> None:
    """Name unreadable images on stderr."""
    for file, reason in bad[:NAMED]:
        print(plain(f"left out {split.root / file}: {reason}"), file=sys.stderr)
    if len(bad) > NAMED:
        print(f"left out {len(bad) - NAMED} more", file=sys.stderr)


def refuse_many(bad: tuple[tuple[str, str], ...], count: int, total: int) -> None:
    """Raises ResNetsError when `count`, more than BAD_SHARE of `total` images (and more than one), cannot be read.

    `bad` are those of them that are to be named, as (file, reason).
    """
    if count > max(1, BAD_SHARE * total):
        first = "; ".join(f"{file}: {reason}" for file, reason in bad[:NAMED])
        raise ResNetsError(
            f"{count} of {total} images cannot be read, more than {BAD_SHARE:.0%} ({first}).",
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
        with open("/sys/fs/cgroup/memory.stat") as file:  # the cache of files counts as used, and is given up on demand
            used -= int(dict(line.split() for line in file)["inactive_file"])
        if limit != "max":
            found.append(int(limit) - used)
    except (OSError, KeyError, ValueError):
        pass
    return min(found, default=4 << 30)
