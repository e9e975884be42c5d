"""Every row of the table can be opened once its file is there: a stand-in of its layout, put into the cache, by name."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from resnets.classify import Classifier
from resnets.fetch import cache
from resnets.images.decode import open_image
from resnets.images.prepare import normalise, prepare
from resnets.labels import lists
from resnets.published.row import Published
from resnets.published.table import PUBLISHED
from resnets.weights import files

pytest.importorskip("onnx")
from tests.standins.rows import Maker, architecture_of, layout, placed  # noqa: E402

RELATIVE = 1e-4


def _depth(row: Published) -> tuple[int, str, str]:
    a = architecture_of(row)
    return sum(a.blocks) * max(a.widths) * a.base_width, repr(a), layout(row)


ROWS = sorted(PUBLISHED.values(), key=_depth)  # those that share a stand-in come one after another
FIRST = {layout(row): row.name for row in reversed(ROWS)}  # of each layout the smallest
SMALLEST = [row.name for row in ROWS if row.name in FIRST.values()]


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    folder = tmp_path_factory.mktemp("stand-ins")
    yield Maker(folder)
    for left in folder.iterdir():
        left.unlink()


@pytest.fixture
def check(maker, tmp_path, monkeypatch, photos):
    """Puts a row's stand-in into an empty cache and classifies a photograph by the row's name."""
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path))

    def run(name: str) -> None:
        row, made = PUBLISHED[name], maker.made(PUBLISHED[name])
        monkeypatch.setitem(PUBLISHED, name, placed(row, made, cache.place(row)))
        check_row(PUBLISHED[name], photos["cat"], made.logits)
        for path in tmp_path.rglob("*"):
            if path.is_file():
                path.unlink()

    return run


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
    assert there.sum() > 100
    assert np.ptp(expected[there]) > 1
    difference = np.abs(np.log(probabilities[there]) - expected[there]).max()
    assert difference <= RELATIVE * np.abs(expected[there]).max()
    if row.architecture is not None:
        known = card.architecture or files.load(row.name).architecture
        assert known == row.architecture


@pytest.mark.parametrize("name", SMALLEST)
def test_a_file_of_each_layout_is_opened_by_name(check, name):
    check(name)


@pytest.mark.matrix
@pytest.mark.parametrize("name", [row.name for row in ROWS])
def test_every_row_is_opened_by_name(check, name):
    check(name)
