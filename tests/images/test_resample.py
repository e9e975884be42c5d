"""Against what Torch7 and OpenCV themselves made of the same pixels."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.images import resample
from resnets.images.resample import opencv_bilinear, torch7_bicubic

ORACLES = Path(__file__).resolve().parents[1] / "oracles" / "torch7" / "preproc"
BOTH = pytest.mark.parametrize("resize", [torch7_bicubic, opencv_bilinear], ids=lambda f: f.__name__)


def noise(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def whole(resize, image, size):
    return resize(image, size, (0, 0, *size))


def stored(folder, entry):
    """An array that Torch7 wrote as [3, h, w], as [h, w, 3]."""
    return np.fromfile(folder / entry["file"], entry["dtype"]).reshape(entry["shape"]).transpose(1, 2, 0)


@pytest.mark.parametrize("name", ["scale11", "scale20", "scale37", "scale40", "scale64", "scale256"])
def test_bicubic_is_torch7s_larger_and_smaller(name, request):
    here = (ORACLES / f"synthetic_37x53.{name}.bin").exists()
    folder = ORACLES if here else request.getfixturevalue("shared") / "oracles" / "torch7" / "preproc"
    listed = json.loads((ORACLES / "synthetic.json").read_text())
    theirs = stored(folder, listed[name])
    # Its input has fractions of a level. Resizing is linear: the three bytes of each value, one by one, add up.
    rest, found = stored(ORACLES, listed["input"]).astype(np.float64) * 255, 0.0
    for digit in range(3):
        byte = np.floor(rest)
        image = Image.fromarray(byte.astype(np.uint8))
        found = found + whole(torch7_bicubic, image, theirs.shape[1::-1]).astype(np.float64) / 256**digit
        rest = (rest - byte) * 256
    assert np.abs(found / 255 - theirs).max() < 2e-6


@pytest.mark.parametrize("photo", ["n01440764_tench", "n01871265_tusker", "n02692877_airship"])
def test_bicubic_is_torch7s_on_photographs(photo, shared):
    folder = shared / "oracles" / "torch7" / "preproc"
    listed = json.loads((folder / "preproc.json").read_text())[photo]["files"]
    image = Image.fromarray(np.ascontiguousarray(stored(folder, listed["decoded_u8"])))
    for name in [name for name in ("scale256", "scale320") if name in listed]:
        theirs = stored(folder, listed[name])
        found = whole(torch7_bicubic, image, theirs.shape[1::-1])
        assert found.dtype == np.float32
        assert np.abs(found / 255 - theirs).max() < 2e-6


def test_bilinear_is_opencvs_bit_for_bit(photos):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    sizes = [tuple(rng.integers(1, 700, 4).tolist()) for _ in range(60)]
    sizes += [tuple(rng.integers(1, 9, 4).tolist()) for _ in range(60)]
    sizes += [(512, 512, 256, 256), (300, 200, 300, 200), (1, 300, 256, 256), (300, 1, 256, 256), (1, 1, 7, 5)]
    sizes += [(3001, 2003, 256, 256), (5, 3, 1500, 1100)]
    images = [(noise(w, h, seed=w * h), (to_w, to_h)) for w, h, to_w, to_h in sizes]
    images += [(Image.open(path).convert("RGB"), (256, 256)) for path in photos.values()]
    for image, size in images:
        theirs = cv2.resize(np.asarray(image), size, interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(whole(opencv_bilinear, image, size), theirs), (image.size, size)


def test_bilinear_in_numbers():
    """What cv2.resize of OpenCV 5.0 gave; where it cuts off, rounding would give another number in nine places."""
    pixels = np.array([[3, 250, 7, 99], [80, 41, 200, 13], [255, 0, 129, 64]], np.uint8)
    image = Image.fromarray(np.repeat(pixels[..., None], 3, axis=2))
    assert whole(opencv_bilinear, image, (6, 5))[..., 1].tolist() == [
        [3, 126, 209, 47, 53, 99],
        [34, 100, 152, 98, 74, 64],
        [80, 61, 67, 174, 107, 13],
        [185, 101, 40, 134, 100, 43],
        [255, 127, 21, 107, 96, 64],
    ]


@BOTH
def test_a_part_is_that_part_of_the_whole(resize, monkeypatch):
    for image, size in ((noise(61, 47), (90, 33)), (noise(400, 300), (31, 29))):
        everything = whole(resize, image, size)
        monkeypatch.setattr(resample, "BAND", 200)  # many bands
        for left, top, right, bottom in ((0, 0, *size), (7, 5, 8, 25), (20, 28, 31, 29)):
            part = resize(image, size, (left, top, right, bottom))
            assert np.array_equal(part, everything[top:bottom, left:right])
            assert part.dtype == everything.dtype
        monkeypatch.undo()


@BOTH
@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (2, 2), (40, 30)])
def test_one_colour_stays_that_colour_whatever_the_sizes(resize, size):
    for shape in ((1, 1), (1, 100), (100, 1), (2, 3), (300, 200)):
        found = whole(resize, Image.new("RGB", shape, (7, 130, 255)), size)
        assert found.shape == (size[1], size[0], 3)
        assert np.abs(found.astype(np.float64) - (7, 130, 255)).max() < 1e-3


def test_bicubic_keeps_the_last_pixel_where_one_is_left():
    image = noise(9, 6)
    assert np.array_equal(whole(torch7_bicubic, image, (1, 1))[0, 0], np.asarray(image)[-1, -1])


def test_bicubic_goes_beyond_black_and_white():
    edge = Image.fromarray(np.repeat(np.repeat(np.uint8([[0, 0, 255, 255]]), 4, 0)[..., None], 3, 2))
    found = whole(torch7_bicubic, edge, (20, 20))
    assert found.min() < -5
    assert found.max() > 260


@BOTH
def test_memory_is_that_of_the_part_and_not_of_the_image(resize):
    image = Image.new("RGB", (9000, 6000), "white")
    tracemalloc.start()
    try:
        resize(image, (384, 256), (80, 16, 304, 240))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20  # as one float32 array the image takes 648 MB
    finally:
        tracemalloc.stop()
