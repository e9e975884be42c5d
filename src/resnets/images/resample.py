"""An RGB image, a size and a box go in; that part of the resized image comes out, as Torch7 or OpenCV would make it.

Both are separable and take few source pixels for each of theirs, however much they shrink: no antialiasing. What each
output row and column takes is two tables, of source indices and of weights, both [taps, length]; they are kept for
sizes seen before. Only the part that is asked for is computed, a band of rows at a time.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.images.decode import Pixels

Floats = NDArray[np.float32]
Size = tuple[int, int]  # width, height
Box = tuple[int, int, int, int]  # left, top, right, bottom: of the resized image
Indices = NDArray[np.int64]
Taps = tuple[Indices, NDArray[Any]]

BAND = 1 << 15  # source pixels worked on at once: what they become stays in a core's cache
_ONE = 2048  # OpenCV's fixed-point 1 (INTER_RESIZE_COEF_SCALE)


def torch7_bicubic(image: Image.Image, size: Size, box: Box) -> Floats:
    """`box` of the image resized to `size` by Torch7's image.scale(…, 'bicubic'): float32 [h, w, 3] on 0-255.

    Catmull-Rom between the corners' centres, not clamped, so it goes beyond 0 and 255. Torch works on [0, 1].
    Source: torch/image, generic/image.c, Main_scaleCubic_rowcol.
    """
    left, top, right, bottom = box
    rows, down = _torch7_taps(image.height, size[1], top, bottom)
    columns, across = _torch7_taps(image.width, size[0], left, right)
    out = np.empty((bottom - top, (right - left) * 3), np.float32)
    for part, region, here, flat in _bands(image, rows, columns):
        # Columns before rows, where Torch goes the other way: the same sums, and whole rows are cheap to pick.
        pixels = region.astype(np.float32)
        tall = _weighted(pixels, here, down[:, part, None], axis=0)
        out[part] = _weighted(tall, flat, _for_channels(across), axis=1)
    return out.reshape(bottom - top, right - left, 3)


def opencv_bilinear(image: Image.Image, size: Size, box: Box) -> Pixels:
    """`box` of the image resized to `size` by cv2.resize(…, interpolation=INTER_LINEAR): uint8 [h, w, 3], equal to it.

    Source: opencv, modules/imgproc/src/resize.cpp, HResizeLinear and VResizeLinear for 8 bits.
    """
    left, top, right, bottom = box
    rows, down = _opencv_taps(image.height, size[1], top, bottom)
    columns, across = _opencv_taps(image.width, size[0], left, right)
    out = np.empty((bottom - top, (right - left) * 3), np.uint8)
    for part, region, here, flat in _bands(image, rows, columns):
        used, place = np.unique(here, return_inverse=True)
        wide = _weighted(region[used].astype(np.int32), flat, _for_channels(across), axis=1) >> 4
        high = [
            (np.take(wide, index, axis=0) * weights[:, None]) >> 16
            for index, weights in zip(place.reshape(here.shape), down[:, part])
        ]
        out[part] = (high[0] + high[1] + 2) >> 2
    return out.reshape(bottom - top, right - left, 3)


def _bands(image: Image.Image, rows: Indices, columns: Indices) -> Iterator[tuple[slice, Pixels, Indices, Indices]]:
    """Some output rows, the pixels they need [h, w * 3], which of its rows these are, and which of its columns."""
    left, right = int(columns.min()), int(columns.max()) + 1
    flat = ((columns - left)[:, :, None] * 3 + np.arange(3)).reshape(len(columns), -1)
    source = (int(rows.max()) + 1 - int(rows.min())) * (right - left)
    length = rows.shape[1]
    step = max(1, length * BAND // source)
    for start in range(0, length, step):
        part = slice(start, min(start + step, length))
        top, bottom = int(rows[:, part].min()), int(rows[:, part].max()) + 1
        region = np.asarray(image.crop((left, top, right, bottom)))
        yield part, region.reshape(bottom - top, -1), rows[:, part] - top, flat


def _weighted(pixels: NDArray[Any], index: Indices, weights: NDArray[Any], axis: int) -> NDArray[Any]:
    total = np.take(pixels, index[0], axis=axis) * weights[0]
    for i, w in zip(index[1:], weights[1:]):
        tap = np.take(pixels, i, axis=axis)
        tap *= w
        total += tap
    return np.asarray(total)


def _for_channels(weights: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(weights, 3, axis=1)


@lru_cache(maxsize=128)
def _torch7_taps(source: int, target: int, start: int, stop: int) -> Taps:
    """Four source samples and their weights for the target samples from `start` to `stop`."""
    if source == 1:
        return np.zeros((1, stop - start), np.int64), np.ones((1, stop - start), np.float32)
    # Positions in float32, as in C: in an image a thousand pixels wide, rounding moves one by a ten-thousandth.
    step = np.float32(source - 1) / np.float32(max(target - 1, 1))
    at = np.arange(start, stop).astype(np.float32) * step
    first = np.minimum(at.astype(np.int64), source - 2)
    x = np.minimum(at - first, 1.0)
    last = np.arange(start, stop) == target - 1  # copied, not computed
    first[last], x[last] = source - 2, 1.0
    index = first + np.arange(-1, 3)[:, None]
    x2, x3 = x * x, x * x * x
    weights = np.stack([2 * x2 - x - x3, 2 - 5 * x2 + 3 * x3, x + 4 * x2 - 3 * x3, x3 - x2]) / 2
    # Beyond the image lies the line through its outermost two samples: 2 * outer - inner.
    for outside, beyond, outer, inner in ((index[0] < 0, 0, 1, 2), (index[3] >= source, 3, 2, 1)):
        weights[outer, outside] += 2 * weights[beyond, outside]
        weights[inner, outside] -= weights[beyond, outside]
        weights[beyond, outside] = 0
    return index.clip(0, source - 1), weights.astype(np.float32)


@lru_cache(maxsize=128)
def _opencv_taps(source: int, target: int, start: int, stop: int) -> Taps:
    """Two source samples and their fixed-point weights for the target samples from `start` to `stop`."""
    step = 1 / (target / source)  # two divisions, as there
    at = ((np.arange(start, stop) + 0.5) * step - 0.5).astype(np.float32)
    first = np.floor(at).astype(np.int64)
    x = at - first.astype(np.float32)
    # Beyond the image both taps are its outermost sample, with their weights as they are: down, each is cut off.
    index = np.stack([first, first + 1]).clip(0, source - 1)
    weights = np.rint(np.stack([np.float32(1) - x, x]) * np.float32(_ONE)).astype(np.int32)
    return index, weights
