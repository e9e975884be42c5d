"""Batches: their order and content follow from seed, epoch and position alone; bad images are named, not replaced."""

from pathlib import Path

import numpy as np

from resnets.card import RECIPES
from resnets.data import augment, batches, pictures
from resnets.data.folders import read_split
from resnets.images.decode import decode
from resnets.images.prepare import normalise


def load(path: Path) -> np.ndarray:
    return decode(path)


def read(root: Path, **changes) -> pictures.Pictures:
    found = pictures.read_pictures(read_split(root), load, label="reading", quiet=True)
    return pictures.Pictures(**{**found.__dict__, **changes})


def run(source: pictures.Pictures, *, epoch: int = 0, start: int = 0, workers: int = 2) -> list[batches.Batch]:
    kind = augment.compose([augment.random_crop(32, 4, (124, 116, 104)), augment.random_flip()])
    recipe = RECIPES["resnets"]
    last = batches.batches_per_epoch(len(source), 5, whole=False)
    made = batches.training_batches(
        source,
        kind,
        lambda x: normalise(x, recipe),
        batch=5,
        seed=7,
        epoch=epoch,
        start=start,
        stop=last,
        workers=workers,
    )
    return list(made)


def same(a: list[batches.Batch], b: list[batches.Batch]) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(x.images, y.images) and np.array_equal(x.targets, y.targets) for x, y in zip(a, b)
    )


def test_an_epoch_sees_every_image_once_in_an_order_of_its_own(photo_data: Path) -> None:
    source = read(photo_data / "train")
    first, second = run(source), run(source, epoch=1)
    assert [len(b.targets) for b in first] == [5, 5, 5, 5, 4]
    assert sorted(np.concatenate([b.targets for b in first]).tolist()) == sorted(source.split.targets.tolist())
    assert not same(first, second)
    assert first[0].images.shape == (5, 3, 32, 32)
    assert first[0].images.dtype == np.float32


def test_an_image_is_cut_anew_in_every_epoch(photo_data: Path) -> None:
    source = read(photo_data / "train")
    one = read(photo_data / "train", kept=[source.image(0)] * len(source))
    first, second = ({b.images[i].tobytes() for b in run(one, epoch=e) for i in range(len(b.images))} for e in (0, 1))
    assert len(first) > 20
    assert len(first & second) < 5


def test_threads_memory_and_the_place_of_the_start_change_nothing(photo_data: Path) -> None:
    source = read(photo_data / "train")
    whole = run(source)
    assert same(whole, run(source, workers=1))
    assert same(whole[2:], run(source, start=2))
    assert same(whole, run(read(photo_data / "train", kept=None)))


def test_a_last_batch_of_one_is_left_out() -> None:
    assert batches.batches_per_epoch(11, 5, whole=False) == 2
    assert batches.batches_per_epoch(12, 5, whole=False) == 3
    assert batches.batches_per_epoch(12, 5, whole=True) == 2
    assert batches.batches_per_epoch(3, 5, whole=True) == 1


def test_a_bad_image_met_on_the_way_is_left_out_of_its_batch(broken: Path) -> None:
    source = pictures.Pictures(read_split(broken), load, None)
    made = run(source)
    assert sum(len(b.targets) for b in made) == 299
    assert [file for b in made for file, _ in b.bad] == ["cat/077.jpg"]
