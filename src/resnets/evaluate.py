"""Logits and labels go in; top-1 and top-5 errors with 95 % intervals come out. Torch and ONNX are scored alike."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resnets.errors import ResNetsError, some

if TYPE_CHECKING:
    from resnets.card import Label

Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


def ranks(logits: NDArray[Any], labels: ArrayLike) -> NDArray[np.int64]:
    """How many classes stand before the right one, per row: 0 is a right answer. Equal scores rank by class number.

    `logits` [n, k], `labels` [n]. A row that is not all finite ranks its label last, and not among five either, so that
    a broken network is never right.
    """
    right = np.asarray(labels, np.int64)
    own = logits[np.arange(len(logits)), right][:, None]
    before = np.arange(logits.shape[1]) < right[:, None]
    rank: NDArray[np.int64] = ((logits > own) | ((logits == own) & before)).sum(axis=1)
    rank[~np.isfinite(logits).all(axis=1)] = max(5, logits.shape[1])
    return rank


def says_top5(classes: int) -> bool:
    """Whether a top-5 error says anything: among five classes or fewer every answer is among the first five."""
    return classes > 5


def wilson(wrong: int, images: int) -> tuple[float, float]:
    """The 95 % interval of an error rate, in percent (Wilson 1927, eq. 4): right for small counts and near 0 too."""
    if not images:
        return 0.0, 100.0
    share, z2 = wrong / images, Z95 * Z95 / images
    middle = (share + z2 / 2) / (1 + z2)
    half = Z95 * sqrt(share * (1 - share) / images + z2 / images / 4) / (1 + z2)
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)


@dataclass
class Tally:
    """Counts of right and wrong answers, fed batch by batch; no logits are kept.

    `images` have been read and scored, with a wrong answer where it was not finite numbers, of which there are
    `not_finite`; `errors` could not be read, and are in no percentage.
    """

    images: int = 0
    top1_wrong: int = 0
    top5_wrong: int = 0
    errors: int = 0
    not_finite: int = 0
    _seen: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _wrong: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, logits: NDArray[Any], labels: ArrayLike) -> None:
        """Score `logits` [n, k] against `labels` [n], class numbers from 0."""
        labels = np.asarray(labels, np.int64)
        rank = ranks(logits, labels)
        self.images += len(rank)
        self.top1_wrong += int((rank > 0).sum())
        self.top5_wrong += int((rank > 4).sum())
        self.not_finite += int((~np.isfinite(logits).all(axis=1)).sum())
        k = logits.shape[1]
        if len(self._seen) < k:
            self._seen, self._wrong = (np.pad(x, (0, k - len(x))) for x in (self._seen, self._wrong))
        self._seen += np.bincount(labels, minlength=k)
        self._wrong += np.bincount(labels[rank > 0], minlength=k)

    def take(self, logits: NDArray[Any] | None, label: int) -> None:
        """One image: its logits [k], or None where it could not be read."""
        if logits is None:
            self.errors += 1
        else:
            self.add(logits[None], [label])

    @property
    def top1_error(self) -> float:
        """Percent of images whose first answer is wrong; NaN before any image."""
        return 100 * self.top1_wrong / self.images if self.images else float("nan")

    @property
    def top5_error(self) -> float:
        """Percent of images whose label is not among the first five answers."""
        return 100 * self.top5_wrong / self.images if self.images else float("nan")

    @property
    def top1_interval(self) -> tuple[float, float]:
        """95 % interval of the top-1 error, in percent."""
        return wilson(self.top1_wrong, self.images)

    @property
    def top5_interval(self) -> tuple[float, float]:
        """95 % interval of the top-5 error, in percent."""
        return wilson(self.top5_wrong, self.images)

    def classes(self) -> list[tuple[int, int]]:
        """(images, wrong first answers) of every class, by class number."""
        return list(zip(self._seen.tolist(), self._wrong.tolist(), strict=True))


def match(folders: Sequence[str], labels: "Sequence[Label]", whose: str) -> tuple[NDArray[np.int64], list[str]]:
    """Class number of each folder, by the label's id, then its name; and the ids of labels that have no folder.

    Never by position. Raises ResNetsError that lists every folder that is no label, two labels' name, or one's twin.
    """
    ids = {label.id: i for i, label in enumerate(labels)}
    names: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        names.setdefault(label.name, []).append(i)
    found = [[ids[folder]] if folder in ids else names.get(folder, []) for folder in folders]
    unknown = [folder for folder, numbers in zip(folders, found, strict=True) if not numbers]
    double = [folder for folder, numbers in zip(folders, found, strict=True) if len(numbers) > 1]
    taken = Counter(numbers[0] for numbers in found if len(numbers) == 1)
    twins = [
        folder for folder, numbers in zip(folders, found, strict=True) if len(numbers) == 1 and taken[numbers[0]] > 1
    ]
    missing = [label.id for i, label in enumerate(labels) if i not in taken]
    groups = (("no class of the model", unknown), ("the name of several classes", double), ("one class twice", twins))
    wrong = [f"{some(folders)} ({len(folders)}: {what})" for what, folders in groups if folders]
    if wrong:
        left = f"classes without a folder: {some(missing) or 'none'}"
        raise ResNetsError(
            f"Folders do not match the classes of {whose}: {'; '.join(wrong)}; {left}.",
            "Call each folder by its class's id, or choose the labels with --labels.",
        )
    return np.array([numbers[0] for numbers in found], np.int64), missing
