"""Files of every kind become the RGB pixels that a person would see."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from resnets.card import Recipe
from resnets.images.decode import ImageError, decode, open_image
from resnets.images.prepare import prepare

RED, WHITE = (255, 0, 0), (255, 255, 255)


def saved(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def gradient(width=61, height=43):
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([across * 4, down * 5, (across + down) * 2], -1).astype(np.uint8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image_upright(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(gradient()), kind, exif=exif)
    with Image.open(io.BytesIO(data)) as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    assert np.array_equal(decode(data), upright)
    if kind != "TIFF":  # Pillow turns TIFF itself, whatever it is asked
        assert decode(data, exif="ignore").shape == (43, 61, 3)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_cost_the_pixels():
    data = saved(Image.fromarray(gradient()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(data).shape == (43, 61, 3)


def transparent_palette():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    return saved(image, transparency=0)


@pytest.mark.parametrize(
    ("data", "on_white", "dropped"),
    [
        (saved(Image.new("RGBA", (4, 4), (255, 0, 0, 0))), WHITE, RED),
        (saved(Image.new("RGBA", (4, 4), (255, 0, 0, 128))), (255, 127, 127), RED),
        (saved(Image.new("LA", (4, 4), (80, 0))), WHITE, (80, 80, 80)),
        (saved(Image.new("RGB", (4, 4), RED), transparency=RED), WHITE, RED),
        (transparent_palette(), WHITE, RED),
        (saved(Image.new("L", (4, 4), 7)), (7, 7, 7), (7, 7, 7)),
        (saved(Image.new("1", (4, 4), 1)), WHITE, WHITE),
    ],
)
def test_transparency_is_laid_on_white_or_dropped(data, on_white, dropped):
    assert np.ptp(np.array([*decode(data)[0, 0], *on_white]).reshape(2, 3), axis=0).max() <= 1
    assert tuple(decode(data, alpha="drop")[0, 0]) == dropped


@pytest.mark.parametrize("kind", ["PNG", "PPM", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    values = np.array([[0, 257, 40000, 65535]], np.uint16)
    assert decode(saved(Image.fromarray(values), kind))[0, :, 0].tolist() == [0, 1, 156, 255]


def test_pixels_without_a_range_are_refused():
    with pytest.raises(ImageError, match="32-bit pixels"):
        decode(saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))


def test_cmyk_is_converted(photos):
    photo = Image.open(photos["coffee"]).convert("CMYK")
    data = saved(photo, "JPEG", quality=95)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.mode == "CMYK"
        assert np.array_equal(decode(data), np.asarray(opened.convert("RGB")))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_several(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, (0, 0, 255), WHITE)]
    data = saved(
        frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
    )
    assert tuple(decode(data)[3, 3]) == RED


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"])
def test_every_kind_of_file_is_read_as_pillow_reads_it(kind):
    from PIL import features

    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    data = saved(Image.fromarray(gradient()), kind)
    assert np.array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_arrays_and_pillow_images_are_images_too():
    assert np.array_equal(open_image(gradient()), gradient())
    assert open_image(Image.new("LA", (3, 2))).mode == "RGB"
    with pytest.raises(ImageError, match=r"float64 \(3, 3\)"):
        open_image(np.zeros((3, 3)))


def test_whatever_is_prepared_becomes_rgb():
    recipe, pixels = Recipe(size=32, crop=32), gradient()
    opaque = np.concatenate([pixels, np.full((43, 61, 1), 255, np.uint8)], -1)
    grey = pixels[..., 0]
    assert np.array_equal(prepare(opaque, recipe, 10), prepare(pixels, recipe, 10))
    assert np.array_equal(prepare(Image.fromarray(opaque), recipe), prepare(pixels, recipe))
    for image in (grey, grey[..., None], Image.fromarray(grey)):
        assert np.array_equal(prepare(image, recipe, 2), prepare(np.stack([grey] * 3, -1), recipe, 2))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "RGB"])
@pytest.mark.parametrize("alpha", ["white", "drop"])
def test_colours_are_converted_in_bands_of_the_same_pixels(mode, alpha, monkeypatch):
    if mode == "I;16":
        image = Image.fromarray(gradient()[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(gradient()).convert(mode)
    if mode in ("P", "RGB"):
        image.info["transparency"] = bytes(range(256)) if mode == "P" else tuple(gradient()[20, 30])
    expected = np.asarray(open_image(image, alpha=alpha))
    monkeypatch.setattr("resnets.images.decode.BAND", 1000)
    assert np.array_equal(open_image(image, alpha=alpha), expected)
