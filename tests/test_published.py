"""Every row of the table can be opened by name once its file is there: a stand-in of its layout, in the cache."""

import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from tests.standins.rows import TEST_SETS, Maker, architecture_of, layout, placed, restated

from resnets import samples
from resnets.classify import Classifier
from resnets.errors import ResNetsError
from resnets.fetch import cache
from resnets.fetch.fetch import fetch
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
# What of a layout others show in less time: of another opset, the archive of the same, a network of 275 MB.
COSTLY = ("torchvision-legacy-half", "caffe2-6", "caffe2-7", "caffe2-8", "caffe2-3-tar", "caffe2-6-tar", "caffe2-7-tar")
COSTLY = (*COSTLY, "caffe2-8-tar", "caffe2-9-tar", "zoo12", "zoo12-tar", "zoo12-int8-tar", "zoo12-qdq-tar")
FEW = [row.name for row in ROWS if FIRST[layout(row)] == row.name and layout(row) not in COSTLY]


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A folder in memory where the system has one: stand-ins are some hundred MB at a time, all of them many GB."""
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
        if row.size and row.architecture and not row.member:  # a publisher's size is that of these names and shapes
            assert made.file.stat().st_size == pytest.approx(row.size, rel=2e-4)
        monkeypatch.setitem(PUBLISHED, name, placed(row, made, cache.place(row)))
        check_row(PUBLISHED[name], photos["cat"], made.logits)

    yield run
    shutil.rmtree(room / "cache", ignore_errors=True)


def check_row(row: Published, photo: Path, logits) -> None:
    classifier = Classifier(row.name, threads=1)
    receipt = cache.recorded(row)
    assert all(digest.algorithm in receipt.checked for digest in row.digests)
    assert ("MD5 beside" in receipt.checked) == (row.checksum_url is not None)
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
    if row.file.endswith(".tar.gz"):
        assert [one.holds for one in samples.run(classifier.path)] == [True] * TEST_SETS


@pytest.mark.parametrize("name", FEW)
def test_a_file_of_each_layout_is_opened_by_name(check, name):
    check(name)


@pytest.mark.matrix
@pytest.mark.parametrize("name", [row.name for row in ROWS])
def test_every_row_is_opened_by_name(check, name):
    check(name)


def _rule(row: Published) -> tuple[object, ...]:
    """By what a file of the row is known."""
    digests = tuple((digest.algorithm, len(digest.value), digest.member) for digest in row.digests)
    return digests, row.size is None, row.member, row.checksum_url is None


RULES = {_rule(row): row.name for row in reversed(ROWS)}


def _content(row: Published, member: bytes) -> bytes:
    """What would come of a row whose model has these bytes."""
    if row.member is None:
        return member
    written = BytesIO()
    if row.file.endswith(".zip"):
        with zipfile.ZipFile(written, "w") as file:
            file.writestr(f"model{row.member}", member)
    else:
        with tarfile.open(fileobj=written, mode="w:gz") as file:
            entry = tarfile.TarInfo(f"model/model{row.member}")
            entry.size = len(member)
            file.addfile(entry, BytesIO(member))
    return written.getvalue()


@pytest.mark.parametrize("name", RULES.values())
def test_one_wrong_byte_is_refused_by_what_the_row_knows(name, tmp_path, monkeypatch):
    """Under each rule: the file is taken, and one whose model differs in a byte is not, with the digest named."""
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path))
    good = np.random.default_rng(0).bytes(1000)
    bad = bytes([*good[:500], good[500] ^ 1, *good[501:]])
    place = cache.place(PUBLISHED[name])
    place.parent.mkdir()
    place.write_bytes(_content(PUBLISHED[name], good))
    row = restated(PUBLISHED[name], place, good)
    monkeypatch.setitem(PUBLISHED, name, row)
    text = place.with_name((row.checksum_url or "").rpartition("/")[2]).read_bytes() if row.checksum_url else b""
    model = fetch(row, quiet=True)
    assert model.read_bytes() == good
    if not (row.digests or row.checksum_url):  # the first file has pinned its sha256
        model.write_bytes(bad)
        with pytest.raises(ResNetsError, match="was changed since it was checked on") as caught:
            Classifier(name)
        assert "sha256" in caught.value.problem
        return
    shutil.rmtree(place.parent)
    place.parent.mkdir()
    place.write_bytes(_content(row, bad))
    if row.checksum_url:
        place.with_name(row.checksum_url.rpartition("/")[2]).write_bytes(text)
    algorithm, value = (row.digests[0].algorithm, row.digests[0].value) if row.digests else ("md5", text[:32].decode())
    with pytest.raises(ResNetsError, match=f"its {algorithm} is [0-9a-f]+, but the expected one .* {value}"):
        Classifier(name)
