"""Augmentations: each does what fb.resnet.torch's (or its paper) does, and never touches the image it was given."""

import numpy as np
import pytest

from resnets.data import augment

GREY = (124, 116, 104)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def draws(kind: augment.Augmentation, image: np.ndarray, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [kind(image, rng) for _ in range(count)]


def test_random_crop_is_a_window_of_the_padded_image(image: np.ndarray) -> None:
    padded = np.empty((40, 40, 3), np.uint8)
    padded[:] = GREY
    padded[4:36, 4:36] = image
    windows = {padded[y : y + 32, x : x + 32].tobytes(): (y, x) for y in range(9) for x in range(9)}
    found = [
        windows[np.ascontiguousarray(crop).tobytes()] for crop in draws(augment.random_crop(32, 4, GREY), image, 2000)
    ]
    assert len(set(found)) == 81  # every place, the corners and the whole image among them


def test_flip_mirrors_every_other_image(image: np.ndarray) -> None:
    mirrored = [np.array_equal(x, image[:, ::-1]) for x in draws(augment.random_flip(), image, 1000)]
    assert 440 < sum(mirrored) < 560


def test_cutout_covers_one_whole_square_and_leaves_the_original(image: np.ndarray) -> None:
    before = image.copy()
    for covered in draws(augment.cutout(8, GREY), image, 200):
        ys, xs = np.nonzero((covered != image).any(axis=2))
        assert np.ptp(ys) < 8
        assert np.ptp(xs) < 8
        assert (covered == GREY).all(axis=2).sum() >= 64
    np.testing.assert_array_equal(image, before)


def test_resized_crops_have_the_areas_and_shapes_of_the_original() -> None:
    rng = np.random.default_rng(2)
    boxes = np.array([augment._window(300, 400, 0.08, rng) for _ in range(4000)])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2] <= 400).all()
    assert (boxes[:, 3] <= 300).all()
    area, aspect = width * height / (300 * 400), width / height
    assert 0.075 < area.min() < 0.1
    assert area.max() > 0.95
    assert 0.72 < aspect.min() < 0.78
    assert 1.28 < aspect.max() < 1.37


def test_a_sliver_falls_back_to_its_centre() -> None:
    assert augment._window(10, 1000, 0.9, np.random.default_rng(0)) == (495, 0, 505, 10)


def test_resized_crop_gives_the_size_asked_for(image: np.ndarray) -> None:
    crops = draws(augment.random_resized_crop(48), image, 20)
    assert {crop.shape for crop in crops} == {(48, 48, 3)}
    assert len({crop.tobytes() for crop in crops}) == 20


def test_colour_jitter_keeps_its_fixed_points() -> None:
    """Saturation and contrast leave an even grey alone, brightness scales it: the mean moves by at most 40 %."""
    grey = np.full((16, 16, 3), 100, np.uint8)
    means = [float(x.mean()) for x in draws(augment.colour_jitter(0.4), grey, 300)]
    assert all(np.ptp(x) < 1e-3 for x in draws(augment.colour_jitter(0.4), grey, 20))
    assert 60 <= min(means) < 65
    assert 135 < max(means) <= 140.001


def test_colour_jitter_does_not_clamp(image: np.ndarray) -> None:
    assert max(x.max() for x in draws(augment.colour_jitter(0.4), image, 50)) > 255


def test_lighting_moves_all_pixels_alike_along_the_components(image: np.ndarray) -> None:
    shifts = np.array([(x - image)[0, 0] for x in draws(augment.lighting(0.1), image, 4000)])
    first = draws(augment.lighting(0.1), image, 1)[0] - image
    assert np.ptp(first, axis=(0, 1)).max() < 1e-3
    # standard deviation of channel i: 255 * 0.1 * sqrt(sum_j (vector[i, j] * value[j])^2)
    expected = 25.5 * np.sqrt(((augment.EIGENVECTORS * augment.EIGENVALUES) ** 2).sum(axis=1))
    np.testing.assert_allclose(shifts.std(axis=0), expected, rtol=0.06)


def test_same_generator_same_image(image: np.ndarray) -> None:
    every = augment.compose([augment.random_crop(32, 4, GREY), augment.random_flip(), augment.cutout(8, GREY)])
    a, b = (every(image, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
