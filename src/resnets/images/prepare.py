"""RGB pixels go in, the recipe's crops and the network's normalised input come out."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.card import Recipe
from resnets.errors import ResNetsError
from resnets.images.decode import MAX_PIXELS, ImageError, Pixels, open_image

_FILTERS = {"pillow-bilinear": Image.Resampling.BILINEAR, "pillow-bicubic": Image.Resampling.BICUBIC}


def prepare(image: "Pixels | Image.Image", recipe: Recipe, crops: int = 1) -> Pixels:
    """RGB pixels [h, w, 3] → the recipe's crops, uint8 [crops, c, c, 3], RGB; grey and RGBA become RGB first.

    `crops`: 1 is the centre; 2 is the centre and its mirror image; 10 is fb.resnet.torch's: the centre, then top left,
    top right, bottom left, bottom right, of the image and then of its mirror image.
    Raises ImageError where the image is smaller than the crop, and ResNetsError for a filter that is not there yet.
    """
    resized = _resize(open_image(image, "ignore", recipe.alpha), recipe)
    width, height = resized.size
    c = recipe.crop
    if width < c or height < c:
        raise ImageError(f"The image is {width} x {height} pixels, smaller than the recipe's crop of {c}.")
    left, top = _corner(width - c, recipe.crop_rounding), _corner(height - c, recipe.crop_rounding)
    if crops in (1, 2):
        centre = np.asarray(resized.crop((left, top, left + c, top + c)))
        return centre[None] if crops == 1 else np.stack([centre, centre[:, ::-1]])
    if crops != 10:
        raise ResNetsError(f"There is no way to take {crops} crops of an image.", "Use 1, 2 or 10.")
    corners = ((left, top), (0, 0), (width - c, 0), (0, height - c), (width - c, height - c))
    pixels = np.asarray(resized)
    return np.stack([view[y : y + c, x : x + c] for view in (pixels, pixels[:, ::-1]) for x, y in corners])


def _resize(image: Image.Image, recipe: Recipe) -> Image.Image:
    if recipe.resize == "none":
        return image
    if recipe.filter not in _FILTERS:
        raise ResNetsError(f"The filter {recipe.filter} is not available yet.", f"Use {' or '.join(_FILTERS)}.")
    size = resized_size(*image.size, recipe)
    if size[0] * size[1] > MAX_PIXELS:
        raise ImageError(f"The image would be {size[0]:,} x {size[1]:,} pixels when resized, too many.")
    return image if size == image.size else image.resize(size, _FILTERS[recipe.filter])


def resized_size(width: int, height: int, recipe: Recipe) -> tuple[int, int]:
    """Width and height after the recipe's resize, in pixels."""
    if recipe.resize == "none":
        return width, height
    if recipe.resize == "square":
        return recipe.size, recipe.size
    short, long = min(width, height), max(width, height)
    exact = recipe.size * long
    other = exact // short if recipe.resize_rounding == "floor" else round(exact / short)
    return (recipe.size, other) if width <= height else (other, recipe.size)


def _corner(room: int, rounding: str) -> int:
    if rounding == "half-even":
        return round(room / 2)
    return room // 2 if rounding == "floor" else -(-room // 2)


def normalise(
    array: "NDArray[np.uint8] | NDArray[np.float32]", recipe: Recipe, *, channels_last: bool = False
) -> NDArray[np.float32]:
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
