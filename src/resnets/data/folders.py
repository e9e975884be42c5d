"""A folder of class folders goes in, the list of its images with their classes comes out; no image is opened."""

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.errors import ResNetsError, plain, some
from resnets.inputs import Passed, identity, is_image, listed, walk

VALIDATION_NAMES = ("val", "valid", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Images of one split. `files` are relative to `root`; `targets[i]` is the index of file i's class in `classes`.

    `ignored`: (suffix, files) of what is no image by its suffix, or hidden.
    """

    root: Path
    classes: tuple[str, ...]
    files: tuple[str, ...]
    targets: NDArray[np.int64]
    ignored: tuple[tuple[str, int], ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    def path(self, index: int) -> Path:
        """Where image `index` is."""
        return self.root / self.files[index]


def read_split(root: Path) -> Split:
    """The class folders under `root`: classes in byte order of their names, files in byte order within a class,
    found as `inputs.walk` finds them.

    Raises ResNetsError for a folder that is missing, unreadable or empty, and for classes without images or whose
    names differ only in case (they would be one class on another file system).
    """
    names = sorted((n for n, is_folder in _entries(root) if is_folder and not n.startswith(".")), key=os.fsencode)
    if not names:
        raise ResNetsError(
            f"{root} holds no class folders.", "Put the images of each class into a folder of its own there."
        )
    _refuse_twins(root, names)
    files: list[str] = []
    targets: list[int] = []
    passed, empty = Passed(), []
    above = frozenset({identity(root)})
    for index, name in enumerate(names):
        folder = os.path.join(root, name)
        found = [name + path[len(folder) :].replace(os.sep, "/") for path in walk(folder, passed, above)]
        files += found
        targets += [index] * len(found)
        if not found:
            empty.append(name)
    if passed.unread:
        raise ResNetsError(f"These folders cannot be read: {some(passed.unread)}.", "Mend their permissions.")
    if empty:
        raise ResNetsError(f"No images in {some(empty)} of {root}.", "Add images, or remove the folders.")
    return Split(root, tuple(names), tuple(files), np.array(targets, np.int64), tuple(passed.others.items()))


def _entries(folder: Path) -> list[tuple[str, bool]]:
    try:
        return listed(folder)
    except FileNotFoundError as error:
        raise ResNetsError(f"There is no folder {folder}.", "Check the path.") from error
    except NotADirectoryError as error:
        raise ResNetsError(f"{folder} is not a folder.", "Name the folder that holds the class folders.") from error
    except OSError as error:
        raise ResNetsError(f"{folder} cannot be read ({error.strerror}).", "Mend its permissions.") from error


def _refuse_twins(root: Path, names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    twins = []
    for name in names:
        if name.casefold() in seen:
            twins.append(f"{seen[name.casefold()]} and {name}")
        seen[name.casefold()] = name
    if twins:
        raise ResNetsError(
            f"Class names in {root} differ only in case: {'; '.join(twins)}.", "Rename or merge those folders."
        )


def align(split: Split, classes: Sequence[str], whose: str) -> Split:
    """The same images with targets that index `classes`: splits follow training by name, never by position.

    A class that the split lacks is named on stderr, and is in no figure that is measured on it.
    Raises ResNetsError that lists every class of the split that `classes` lacks.
    """
    unknown = [name for name in split.classes if name not in set(classes)]
    if unknown:
        raise ResNetsError(
            f"{split.root} has classes that {whose} lacks: {some(unknown)}.",
            "Rename those folders as they are called there, or remove them.",
        )
    there = set(split.classes)
    missing = [name for name in classes if name not in there]
    if missing:
        count = f"{len(missing):,} of {len(classes):,} classes"
        print(f"no images of {count} in {plain(str(split.root))}: {plain(some(missing))}", file=sys.stderr)
    position = {name: i for i, name in enumerate(classes)}
    table = np.array([position[name] for name in split.classes], np.int64)
    return Split(split.root, tuple(classes), split.files, table[split.targets], split.ignored)


def is_root(data: Path) -> bool:
    """Whether `data` is a data set's root, and not a folder of class folders: classes may be called train or test.

    A root has a `train` folder, or validation folders and nothing else; and what they hold is folders, not images.
    """
    inside = {name for name, is_folder in _entries(data) if is_folder and not name.startswith(".")}
    first = next((name for name in ("train", *VALIDATION_NAMES) if name in inside), None)
    if first is None or (first != "train" and not inside <= set(VALIDATION_NAMES)):
        return False
    return not any(is_image(name) and not is_folder for name, is_folder in _entries(data / first))


def find_validation(data: Path) -> Path | None:
    """The validation folder beside `train`, under whichever of its usual names."""
    return next((data / name for name in VALIDATION_NAMES if (data / name).is_dir()), None)


def read_training(data: Path, val_split: float | None, seed: int) -> tuple[Split, Split]:
    """(training, validation) of a dataset root, or of a folder of class folders where `val_split` cuts one off."""
    if not os.path.isdir(data):
        raise ResNetsError(f"There is no folder {data}.", "Name the folder that holds `train` and `val`.")
    has_train = (data / "train").is_dir() and is_root(data)
    train = read_split(data / "train" if has_train else data)
    validation = find_validation(data) if has_train else None
    if val_split is not None:
        if validation is not None:
            raise ResNetsError(f"{data} has its own {validation.name} folder.", "Leave --val-split out.")
        return _cut(train, val_split, seed)
    if validation is None:
        raise ResNetsError(
            f"{data} has no validation folder ({', '.join(VALIDATION_NAMES)}).",
            "Add one, or let --val-split 0.1 keep a tenth of each class for it.",
        )
    return train, align(read_split(validation), train.classes, str(train.root))


def _cut(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Keep `share` of each class for validation, at least one image of each, drawn with `seed`."""
    if not 0 < share < 1:
        raise ResNetsError(
            f"A validation share of {share} makes no sense.", "Give --val-split a number between 0 and 1."
        )
    held = np.zeros(len(split), bool)
    rng = np.random.default_rng([seed, 0x5A11])
    for index, name in enumerate(split.classes):
        members = np.flatnonzero(split.targets == index)
        count = max(1, round(share * len(members)))
        if count >= len(members):
            raise ResNetsError(
                f"Class {name} has only {len(members)} images: none would be left to train on.", "Add images."
            )
        held[rng.permutation(members)[:count]] = True
    return _subset(split, ~held), _subset(split, held)


def _subset(split: Split, keep: NDArray[np.bool_]) -> Split:
    files = tuple(f for f, kept in zip(split.files, keep, strict=True) if kept)
    return Split(split.root, split.classes, files, split.targets[keep], split.ignored)


def fingerprint(split: Split) -> str:
    """sha256 over classes, files and targets: tells a continued run that its data has changed."""
    sha = hashlib.sha256("\0".join(split.classes).encode("utf-8", "surrogateescape"))
    sha.update("\0".join(split.files).encode("utf-8", "surrogateescape"))
    sha.update(split.targets.tobytes())
    return sha.hexdigest()
