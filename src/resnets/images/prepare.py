"""RGB pixels go in, the recipe's crops and the network's normalised input come out."""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.card import Recipe
from resnets.errors import ResNetsError
from resnets.images.decode import MAX_PIXELS, ImageError, Pixels, open_image
from resnets.images.resample import Box, Size, opencv_bilinear, torch7_bicubic

Crops = NDArray[np.uint8 | np.float32]

_PILLOW = {"pillow-bilinear": Image.Resampling.BILINEAR, "pillow-bicubic": Image.Resampling.BICUBIC}
_RESAMPLERS: dict[str, Callable[[Image.Image, Size, Box], Crops]] = {
    "torch7-bicubic": torch7_bicubic,
    "opencv-bilinear": opencv_bilinear,
}


def prepare(image: "Pixels | Image.Image", recipe: Recipe, crops: int = 1) -> Crops:
    """RGB pixels [h, w, 3] → the recipe's crops [crops, c, c, 3], RGB; grey and RGBA become RGB first.

    They are uint8; with the filter torch7-bicubic float32 on 0-255, some values a little below or above.
    `crops`: 1 is the centre; 2 is the centre and its mirror image; 10 is fb.resnet.torch's: the centre, then top left,
    top right, bottom left, bottom right, of the image and then of its mirror image.
    Raises ImageError where the image is smaller than the crop, or would be too large when resized.
    """
    source = open_image(image, "ignore", recipe.alpha)
    width, height = size = resized_size(*source.size, recipe)
    c = recipe.crop
    if width < c or height < c:
        raise ImageError(f"The image is {width} x {height} pixels, smaller than the recipe's crop of {c}.")
    if width * height > MAX_PIXELS:
        raise ImageError(f"The image would be {width:,} x {height:,} pixels when resized, too many.")
    centre = _corner(width - c, recipe.crop_rounding), _corner(height - c, recipe.crop_rounding)
    if crops in (1, 2):
        (cut,) = _cut(source, size, recipe, [centre])
        return cut[None] if crops == 1 else np.stack([cut, cut[:, ::-1]])
    if crops != 10:
        raise ResNetsError(f"There is no way to take {crops} crops of an image.", "Use 1, 2 or 10.")
    corners = [centre, (0, 0), (width - c, 0), (0, height - c), (width - c, height - c)]
    mirrored = [(width - c - x, y) for x, y in corners]  # where they lie in the image that is not mirrored yet
    cuts = _cut(source, size, recipe, corners + mirrored)
    return np.stack(cuts[:5] + [cut[:, ::-1] for cut in cuts[5:]])


def _cut(image: Image.Image, size: Size, recipe: Recipe, corners: list[tuple[int, int]]) -> list[Crops]:
    """Squares of the resized image, each by its left and top pixel."""
    c, (width, height) = recipe.crop, size
    boxes = [(x, y, x + c, y + c) for x, y in corners]
    if recipe.resize == "none" or recipe.filter in _PILLOW:
        resized = image if size == image.size else image.resize(size, _PILLOW[recipe.filter])
        if len(boxes) == 1:
            return [np.asarray(resized.crop(boxes[0]))]
        pixels: Crops = np.asarray(resized)
    else:
        resample = _RESAMPLERS[recipe.filter]
        if len(set(boxes)) * c * c <= width * height:
            made = {box: resample(image, size, box) for box in set(boxes)}
            return [made[box] for box in boxes]
        pixels = resample(image, size, (0, 0, width, height))
    return [pixels[top:bottom, left:right] for left, top, right, bottom in boxes]


def resized_size(width: int, height: int, recipe: Recipe) -> tuple[int, int]:
    """Width and height after the recipe's resize, in pixels."""
    if recipe.resize == "none":
        return width, height
    if recipe.resize == "square":
        return recipe.size, recipe.size
    short, long = min(width, height), max(width, height)
    if recipe.resize_rounding == "half-even":
        other = round(recipe.size * long / short)
    elif recipe.filter == "torch7-bicubic":
        # transforms.lua divides first: doubles, truncated, may end a pixel short (61 x 7 at 224: 1951, not 1952).
        other = int(long / short * recipe.size)
    else:
        other = recipe.size * long // short
    return (recipe.size, other) if width <= height else (other, recipe.size)


def _corner(room: int, rounding: str) -> int:
    if rounding == "half-even":
        return round(room / 2)
    return room // 2 if rounding == "floor" else -(-room // 2)


def normalise(array: Crops, recipe: Recipe, *, channels_last: bool = False) -> NDArray[np.float32]:
    """RGB crops [n, h, w, 3] on 0-255 → (x * scale - mean) / std, float32 [n, 3, h, w], in the recipe's order.

    With `channels_last` the same values lie in memory as [n, h, w, 3], the layout that torch trains fastest in.
    """
    n, h, w, channels = array.shape
    if channels != len(recipe.mean):
        raise ResNetsError(
            f"The recipe normalises {len(recipe.mean)} channels, and the image has {channels}.",
            "Use the model's own recipe.",
        )
    factors, offsets = _affine(recipe)
    if channels_last:
        rows = (array[..., ::-1] if recipe.order == "BGR" else array).reshape(n, h, w * channels)
        flat = np.empty(rows.shape, np.float32)
        # By whole rows: NumPy is four times slower where its innermost loop runs over three channels.
        np.multiply(rows, np.tile(factors, w), out=flat, casting="unsafe")
        flat += np.tile(offsets, w)
        return flat.reshape(n, h, w, channels).transpose(0, 3, 1, 2)
    out = np.empty((n, channels, h, w), np.float32)
    for i in range(channels):
        plane = array[..., channels - 1 - i if recipe.order == "BGR" else i]
        np.multiply(plane, factors[i], out=out[:, i], casting="unsafe")
        out[:, i] += offsets[i]
    return out


@cache
def _affine(recipe: Recipe) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mean, std = np.asarray(recipe.mean, np.float64), np.asarray(recipe.std, np.float64)
    return (recipe.scale / std).astype(np.float32), (-mean / std).astype(np.float32)
