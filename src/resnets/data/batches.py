"""Pictures go in, batches of arrays come out, prepared by threads a few batches ahead and in a fixed order.

What a batch holds depends on the seed, the epoch and the position alone, never on threads or on where a run began.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from resnets.data.augment import Augmentation
from resnets.data.pictures import Pictures
from resnets.errors import ResNetsError
from resnets.parallel import in_order

Prepare = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Batch:
    """`images` float32 [n, 3, h, w], normalised, any layout; `targets` int64 [n]; `bad`: (file, reason) left out."""

    images: NDArray[np.float32]
    targets: NDArray[np.int64]
    bad: tuple[tuple[str, str], ...] = ()


def order(images: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch sees the images."""
    return np.random.default_rng([seed, epoch]).permutation(images)


def batches_per_epoch(images: int, batch: int, *, whole: bool) -> int:
    """`whole`: only full batches (fixed shapes). A last batch of one image is left out: batch norm needs two."""
    full, rest = divmod(images, batch)
    return max(1, full + (0 if whole or rest < 2 else 1))


def training_batches(
    pictures: Pictures,
    augment: Augmentation,
    normalise: Callable[[NDArray[Any]], NDArray[np.float32]],
    *,
    batch: int,
    seed: int,
    epoch: int,
    start: int,
    stop: int,
    workers: int,
) -> Iterator[Batch]:
    """Batches `start` to `stop` of one epoch, augmented: images [n, h, w, 3] → float32 [n, 3, h, w]."""
    sequence = order(len(pictures), seed, epoch)

    def make(number: int) -> Batch:
        images, targets, bad = [], [], []
        for index in sequence[number * batch : (number + 1) * batch].tolist():
            # One stream an image: what is drawn for one does not depend on the others.
            rng = Generator(Philox(key=(seed << 64) | (epoch << 32) | index))
            try:
                images.append(augment(pictures.image(index), rng))
            except ResNetsError as error:
                bad.append((pictures.split.files[index], error.problem))
                continue
            targets.append(pictures.split.targets[index])
        if not images:
            raise ResNetsError(f"No image of a whole batch could be read, {bad[0][0]} among them.", "Mend the files.")
        return Batch(normalise(np.stack(images)), np.array(targets, np.int64), tuple(bad))

    return in_order(lambda _, numbers: [make(n) for n in numbers], range(start, stop), workers, most=1, ahead=2)


def validation_batches(
    pictures: Pictures, normalise: Callable[[NDArray[Any]], NDArray[np.float32]], *, batch: int, workers: int
) -> Iterator[Batch]:
    """All images in order; `pictures` loads prepared crops."""

    def make(number: int) -> Batch:
        images, targets, bad = [], [], []
        for index in range(number * batch, min((number + 1) * batch, len(pictures))):
            try:
                images.append(pictures.image(index))
            except ResNetsError as error:
                bad.append((pictures.split.files[index], error.problem))
                continue
            targets.append(pictures.split.targets[index])
        stacked = np.stack(images) if images else np.empty((0, 1, 1, 3), np.uint8)
        return Batch(normalise(stacked), np.array(targets, np.int64), tuple(bad))

    every = range(-(-len(pictures) // batch))
    return in_order(lambda _, numbers: [make(n) for n in numbers], every, workers, most=1, ahead=2)
