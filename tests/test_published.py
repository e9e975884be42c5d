"""Every row of the table can be opened by name once its file is there: a stand-in of its layout, in the cache."""

import os
import shutil
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from tests.standins.rows import Maker, architecture_of, layout, placed

from resnets.classify import Classifier
from resnets.fetch import cache
from resnets.images.decode import open_image
from resnets.images.prepare import normalise, prepare
from resnets.labels import lists
from resnets.network import array_shapes
from resnets.published.row import Published
from resnets.published.table import PUBLISHED
from resnets.weights import files

RELATIVE = 1e-4


def _size(row: Published) -> tuple[int, str, str]:
    a = architecture_of(row)
    return sum(prod(shape) for shape in array_shapes(a).values()), repr(a), layout(row)


ROWS = sorted(PUBLISHED.values(), key=_size)  # those that share a stand-in come one after another
FIRST = {layout(row): row.name for row in reversed(ROWS)}  # of each layout the smallest
# What of a layout another one shows in less time: another opset, the archive of the same, a network of 275 MB.
COSTLY = ("torchvision-legacy-half", "caffe2-6", "caffe2-7", "caffe2-8", "caffe2-3-tar", "caffe2-6-tar", "caffe2-7-tar")
COSTLY = (*COSTLY, "caffe2-8-tar", "caffe2-9-tar", "zoo12-tar", "zoo12-int8-tar", "zoo12-qdq-tar")
FEW = [row.name for row in ROWS if FIRST[layout(row)] == row.name and layout(row) not in COSTLY]


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A folder in memory where the system has one: stand-ins of all rows are 30 GB, a few hundred MB at a time."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def maker(room) -> Maker:
    (room / "stand-ins").mkdir()
    return Maker(room / "stand-ins")


@pytest.fixture
def check(maker, room, monkeypatch, photos) -> Iterator[Callable[[str], None]]:
    """Puts a row's stand-in into an empty cache and classifies a photograph by the row's name."""
    monkeypatch.setenv("RESNETS_CACHE", str(room / "cache"))

    def run(name: str) -> None:
        row, made = PUBLISHED[name], maker.made(PUBLISHED[name])
        monkeypatch.setitem(PUBLISHED, name, placed(row, made, cache.place(row)))
        check_row(PUBLISHED[name], photos["cat"], made.logits)

    yield run
    shutil.rmtree(room / "cache", ignore_errors=True)


def check_row(row: Published, photo: Path, logits) -> None:
    classifier = Classifier(row.name, threads=1)
    card = classifier.card
    assert (card.name, card.recipe, card.labels) == (row.name, row.recipe, lists.read(row.labels))
    assert (card.licence, card.source["published"]) == (row.licence, row.name)
    found = classifier.classify(photo, top=len(card.labels))
    assert {p.index: (p.id, p.label) for p in found} == {i: (x.id, x.name) for i, x in enumerate(card.labels)}
    x = normalise(prepare(open_image(photo, row.recipe.exif, row.recipe.alpha), row.recipe), row.recipe)
    expected = logits(x)[0].astype(np.float64)
    expected -= expected.max() + np.log(np.exp(expected - expected.max()).sum())
    probabilities = np.array([p.probability for p in sorted(found, key=lambda p: p.index)])
    there = probabilities > 1e-30  # a file's own softmax makes zeros of others
    assert there.sum() >= len(found) / 10
    assert np.ptp(expected[there]) > 1
    difference = np.abs(np.log(probabilities[there]) - expected[there]).max()
    assert difference <= RELATIVE * np.abs(expected[there]).max()
    if row.architecture is not None:
        known = card.architecture or files.load(row.name).architecture
        assert known == row.architecture


@pytest.mark.parametrize("name", FEW)
def test_a_file_of_each_layout_is_opened_by_name(check, name):
    check(name)


@pytest.mark.matrix
@pytest.mark.parametrize("name", [row.name for row in ROWS])
def test_every_row_is_opened_by_name(check, name):
    check(name)
