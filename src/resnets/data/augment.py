"""Training-time augmentation: each function returns one that takes an image and a random generator, and gives an image.

Images are [h, w, 3], uint8, or float32 on 0-255 and unclamped once colours have been changed. Those of
fb.resnet.torch's datasets/transforms.lua keep its arithmetic and its ranges.
"""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Image = NDArray[Any]  # [h, w, 3], uint8 or float32
Augmentation = Callable[[Image, Generator], Image]

GREY = np.array((0.299, 0.587, 0.114), np.float32)
# Principal components of ImageNet's colours on [0, 1]: fb.resnet.torch's datasets/imagenet.lua, after AlexNet.
EIGENVALUES = np.array((0.2175, 0.0188, 0.0045), np.float32)
EIGENVECTORS = np.array(
    ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203)), np.float32
)


def compose(parts: list[Augmentation]) -> Augmentation:
    """All of them, one after the other."""

    def augment(image: Image, rng: Generator) -> Image:
        for part in parts:
            image = part(image, rng)
        return image

    return augment


def random_flip() -> Augmentation:
    """Mirror left to right, every other time."""

    def augment(image: Image, rng: Generator) -> Image:
        return image[:, ::-1] if rng.random() < 0.5 else image

    return augment


def random_crop(size: int, pad: int, colour: tuple[int, ...]) -> Augmentation:
    """A `size` x `size` window at a random place of the image padded by `pad` pixels of `colour` on each side.

    fb.resnet.torch pads with zeros after normalising: `colour` is therefore the recipe's mean, in whole levels.
    """
    background = np.array(colour, np.uint8)

    def augment(image: Image, rng: Generator) -> Image:
        h, w = image.shape[:2]
        top, left = rng.integers(0, (h + 2 * pad - size + 1, w + 2 * pad - size + 1)) - pad
        if 0 <= top <= h - size and 0 <= left <= w - size:
            return image[top : top + size, left : left + size]
        crop = np.empty((size, size, image.shape[2]), np.uint8)
        crop[:] = background
        from_y, to_y = max(top, 0), min(top + size, h)
        from_x, to_x = max(left, 0), min(left + size, w)
        crop[from_y - top : to_y - top, from_x - left : to_x - left] = image[from_y:to_y, from_x:to_x]
        return crop

    return augment


def cutout(side: int, colour: tuple[int, ...]) -> Augmentation:
    """Cover a `side` x `side` square, whole inside the image, with `colour` (arXiv:1708.04552)."""
    background = np.array(colour, np.uint8)

    def augment(image: Image, rng: Generator) -> Image:
        top, left = rng.integers(0, (image.shape[0] - side + 1, image.shape[1] - side + 1))
        covered = image.copy()
        covered[top : top + side, left : left + side] = background
        return covered

    return augment


def random_resized_crop(size: int, smallest: float = 0.08) -> Augmentation:
    """A crop of `smallest` to all of the area, 3:4 to 4:3 in shape, resized to `size` x `size`; bicubic, antialiased.

    fb.resnet.torch's RandomSizedCrop: the aspect is drawn evenly, not by its logarithm; ten tries, then the centre.
    """
    from PIL import Image as Pillow

    def augment(image: Image, rng: Generator) -> Image:
        box = _window(image.shape[0], image.shape[1], smallest, rng)
        resized = Pillow.fromarray(image).resize((size, size), Pillow.Resampling.BICUBIC, box=box)
        return np.asarray(resized)

    return augment


def _window(h: int, w: int, smallest: float, rng: Generator) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the crop, in pixels."""
    for _ in range(10):
        area = rng.uniform(smallest, 1.0) * h * w
        aspect = rng.uniform(3 / 4, 4 / 3)
        width, height = round(sqrt(area * aspect)), round(sqrt(area / aspect))
        if rng.random() < 0.5:
            width, height = height, width
        if 0 < width <= w and 0 < height <= h:
            top, left = int(rng.integers(0, h - height + 1)), int(rng.integers(0, w - width + 1))
            return left, top, left + width, top + height
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    return left, top, left + side, top + side


def colour_jitter(strength: float = 0.4) -> Augmentation:
    """Brightness, contrast and saturation, each by 1 ± `strength`, in random order, not clamped."""

    def augment(image: Image, rng: Generator) -> Image:
        changed = image.astype(np.float32)
        for kind in rng.permutation(3):
            alpha = np.float32(1 + rng.uniform(-strength, strength))
            if kind == 0:  # towards black
                changed *= alpha
                continue
            grey = changed @ GREY
            other = np.float32(grey.mean()) if kind == 1 else grey[:, :, None]
            changed *= alpha
            changed += (1 - alpha) * other
        return changed

    return augment


def lighting(strength: float = 0.1) -> Augmentation:
    """Add a random multiple of the principal components of ImageNet's colours (AlexNet, section 4.1)."""

    def augment(image: Image, rng: Generator) -> Image:
        alpha = rng.normal(0, strength, 3).astype(np.float32)
        shifted: Image = image + 255 * (EIGENVECTORS @ (alpha * EIGENVALUES))
        return shifted

    return augment
