"""Crops and numbers of every recipe, against what each was made after."""

import io
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resnets.card import CHOICES, RECIPES, Recipe
from resnets.errors import ResNetsError
from resnets.images.decode import ImageError, decode
from resnets.images.prepare import normalise, prepare, resized_size
from resnets.images.resample import opencv_bilinear, torch7_bicubic


def gradient(width=61, height=43):
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([across * 4, down * 5, (across + down) * 2], -1).astype(np.uint8)


@pytest.mark.peers
@pytest.mark.parametrize("crops", [1, 10])
def test_torchvisions_recipe_is_torchvisions(peers, shared, photos, crops):
    import tarfile

    from torchvision import transforms

    recipe = RECIPES["torchvision"]
    files = [path.read_bytes() for path in photos.values()]
    with tarfile.open(shared / "data" / "imagenet-samples.tar") as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        files += [archive.extractfile(member).read() for member in members[:: 4 if crops == 1 else 20]]
    # torchvision: TL, TR, BL, BR, centre. fb.resnet.torch, and so we: the centre first.
    crop = transforms.CenterCrop(224) if crops == 1 else transforms.TenCrop(224)
    cut = transforms.Compose([transforms.Resize(256), crop])
    normal = transforms.Compose([transforms.ToTensor(), transforms.Normalize(recipe.mean, recipe.std)])
    for data in files:
        theirs = cut(Image.open(io.BytesIO(data)).convert("RGB"))
        theirs = [theirs] if crops == 1 else [theirs[i] for i in (4, 0, 1, 2, 3, 9, 5, 6, 7, 8)]
        ours = prepare(decode(data, exif=recipe.exif, alpha=recipe.alpha), recipe, crops)
        assert np.array_equal(ours, np.stack([np.asarray(c) for c in theirs]))
        assert np.abs(normalise(ours, recipe)[0] - normal(theirs[0]).numpy()).max() < 1e-6


def test_the_zoos_recipe_is_its_script(photos):
    """imagenet_preprocess.py: the other side round()ed, bilinear, the corner at side // 2 - 112."""
    image = Image.open(photos["coffee"]).convert("RGB")
    for size in ((331, 500), (500, 333), (375, 500), (257, 300)):
        photo = image.resize(size)
        short = min(size)
        wide, high = (round(side * 256 / short) for side in size)
        resized = photo.resize((wide, high), Image.Resampling.BILINEAR)
        left, top = wide // 2 - 112, high // 2 - 112
        expected = np.asarray(resized.crop((left, top, left + 224, top + 224)))
        assert np.array_equal(prepare(photo, RECIPES["zoo-readme"])[0], expected)


def torch7(shared, name):
    """An array that Torch7 wrote, with the shape that stands beside it."""
    folder = shared / "oracles" / "torch7" / "preproc"
    listed = json.loads((folder / "cifar.json").read_text()).values()
    for photo in json.loads((folder / "preproc.json").read_text()).values():
        listed = [*listed, *photo.get("files", {}).values()] if isinstance(photo, dict) else listed
    entry = next(entry for entry in listed if entry["file"] == name)
    return np.fromfile(folder / name, entry["dtype"]).reshape(entry["shape"])


@pytest.mark.parametrize("photo", ["n01440764_tench", "n01871265_tusker", "n02692877_airship"])
def test_the_recipe_of_fb_is_fb_resnet_torchs(shared, photo):
    """Its own tensors, ready for the network: the centre, and the ten crops in its order."""
    pixels = np.ascontiguousarray(torch7(shared, f"{photo}.decoded_u8.bin").transpose(1, 2, 0))
    centre = normalise(prepare(pixels, RECIPES["fb"]), RECIPES["fb"])
    assert np.abs(centre[0] - torch7(shared, f"{photo}.center224.bin")).max() < 1e-5
    if photo != "n02692877_airship":
        ten = normalise(prepare(pixels, RECIPES["fb"], 10), RECIPES["fb"])
        assert np.abs(ten - torch7(shared, f"{photo}.tencrop.bin")).max() < 1e-5


def test_sizes_and_corners_are_fb_resnet_torchs():
    listed = Path(__file__).resolve().parents[1] / "oracles" / "torch7" / "preproc" / "sizes.json"
    for case in json.loads(listed.read_text()):
        size = case["scaled_w"], case["scaled_h"]
        assert resized_size(case["w"], case["h"], RECIPES["fb"]) == size
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (case["h"], case["w"], 3), dtype=np.uint8))
        left, top = case["crop_x"], case["crop_y"]
        expected = torch7_bicubic(image, size, (left, top, left + 224, top + 224))
        assert np.array_equal(prepare(image, RECIPES["fb"])[0], expected)


def test_an_image_that_has_the_size_stays_as_it_is():
    pixels = gradient(300, 256)
    for crops in (1, 10):
        found = prepare(pixels, RECIPES["fb"], crops)[0]
        assert found.dtype == np.float32
        assert np.array_equal(found, pixels[16:240, 38:262])
    assert np.array_equal(prepare(gradient(256, 256), RECIPES["zoo-notebook"])[0], gradient(256, 256)[16:240, 16:240])


@pytest.mark.parametrize("name", ["fb", "zoo-notebook"])
@pytest.mark.parametrize("size", [(500, 375), (375, 500), (90, 900), (700, 7)])
def test_ten_crops_are_windows_of_the_image_and_of_its_mirror_image(name, size):
    """In a long image each is made by itself, otherwise they are cut from the whole: the same pixels."""
    recipe, pixels = RECIPES[name], gradient(*size)
    width, height = resized = resized_size(size[0], size[1], recipe)
    resample = torch7_bicubic if name == "fb" else opencv_bilinear
    everything = resample(Image.fromarray(pixels), resized, (0, 0, *resized))
    ten = prepare(pixels, recipe, 10)
    left, top = -(-(width - 224) // 2), -(-(height - 224) // 2)
    corners = [(left, top), (0, 0), (width - 224, 0), (0, height - 224), (width - 224, height - 224)]
    for i, view in enumerate((everything, everything[:, ::-1])):
        for j, (x, y) in enumerate(corners):
            assert np.array_equal(ten[5 * i + j], view[y : y + 224, x : x + 224]), (i, j)
    assert np.array_equal(prepare(pixels, recipe), ten[:1])
    assert np.array_equal(prepare(pixels, recipe, 2)[1], ten[0][:, ::-1])


def test_the_notebooks_recipe_is_opencv_and_its_arithmetic(photos):
    cv2 = pytest.importorskip("cv2")
    recipe = RECIPES["zoo-notebook"]
    for path in photos.values():
        pixels = decode(path, exif=recipe.exif, alpha=recipe.alpha)
        square = cv2.resize(pixels, (256, 256), interpolation=cv2.INTER_LINEAR)
        crops = prepare(pixels, recipe)
        assert np.array_equal(crops[0], square[16:240, 16:240])
        expected = (square[16:240, 16:240] / 255 - np.array(recipe.mean)) / np.array(recipe.std)
        assert np.abs(normalise(crops, recipe)[0] - expected.transpose(2, 0, 1)).max() < 1e-6


def test_gluoncvs_recipe_keeps_the_ratio_and_truncates(photos):
    cv2 = pytest.importorskip("cv2")
    recipe = RECIPES["gluoncv"]
    for path in photos.values():
        pixels = decode(path, exif=recipe.exif, alpha=recipe.alpha)
        h, w = pixels.shape[:2]
        width, height = (256, 256 * h // w) if w < h else (256 * w // h, 256)
        resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
        left, top = (width - 224) // 2, (height - 224) // 2
        assert np.array_equal(prepare(pixels, recipe)[0], resized[top : top + 224, left : left + 224])


def test_caffe2s_recipe_is_blue_first_about_128(photos):
    recipe = RECIPES["caffe2"]
    crops = prepare(decode(photos["coffee"]), recipe)
    assert crops.dtype == np.uint8
    expected = (crops[0][..., ::-1].astype(np.float64) - 128) / 128
    assert np.abs(normalise(crops, recipe)[0] - expected.transpose(2, 0, 1)).max() < 1e-6
    assert resized_size(500, 333, recipe) == (384, 256)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(
    width=st.integers(1, 300), height=st.integers(1, 300), resize=st.sampled_from(CHOICES["resize"]),
    filter=st.sampled_from(CHOICES["filter"]), rounding=st.sampled_from(CHOICES["resize_rounding"]),
    corner=st.sampled_from(CHOICES["crop_rounding"]), crop=st.integers(1, 40), more=st.integers(0, 30),
    crops=st.sampled_from((1, 2, 10)),
)  # fmt: skip
def test_any_recipe_on_any_size_gives_crops_or_an_image_error(
    width, height, resize, filter, rounding, corner, crop, more, crops
):
    recipe = Recipe(resize, crop + more, filter, rounding, crop, corner)
    try:
        found = prepare(gradient(width, height), recipe, crops)
    except ImageError:
        too_small = resize == "none" and min(width, height) < crop
        assert too_small or max(width, height) > 100 * min(width, height)
        return
    works_on_floats = filter == "torch7-bicubic" and resize != "none"
    assert found.shape == (crops, crop, crop, 3)
    assert found.dtype == (np.float32 if works_on_floats else np.uint8)
    assert np.isfinite(normalise(found, recipe)).all()


def test_ten_crops_of_a_long_image_do_not_need_all_of_it():
    image = Image.new("RGB", (60000, 600))
    tracemalloc.start()
    try:
        assert prepare(image, RECIPES["fb"], 10).shape == (10, 224, 224, 3)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20  # resized and whole it takes 79 MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("filter", ["torch7-bicubic", "opencv-bilinear"])
def test_what_would_grow_beyond_all_bounds_is_refused(filter):
    with pytest.raises(ImageError, match="16,000 x 160,000 pixels when resized, too many"):
        prepare(gradient(4, 40), Recipe(size=16000, crop=16, filter=filter))
    with pytest.raises(ImageError, match="longer than 100 times its width"):
        prepare(gradient(1, 101), Recipe(filter=filter))
    assert prepare(gradient(1, 100), Recipe(filter=filter), 10).shape == (10, 224, 224, 3)


def test_the_recipe_of_cifar_is_fb_resnet_torchs(shared):
    pixels = torch7(shared, "cifar_u8.bin").transpose(0, 2, 3, 1)
    ours = np.concatenate(
        [normalise(prepare(np.ascontiguousarray(p), RECIPES["cifar"]), RECIPES["cifar"]) for p in pixels]
    )
    assert np.abs(ours - torch7(shared, "cifar10_norm.bin")).max() < 1e-6


def test_cifar_pixels_stay_as_they_are():
    pixels = gradient(32, 32)
    assert np.array_equal(prepare(pixels, RECIPES["cifar"])[0], pixels)
    with pytest.raises(ImageError, match="31 x 32 pixels, smaller than the recipe's crop of 32"):
        prepare(gradient(31, 32), RECIPES["cifar"])


def test_two_crops_are_the_centre_and_its_mirror_image():
    one, two = (prepare(gradient(), Recipe(size=32, crop=32), crops) for crops in (1, 2))
    assert np.array_equal(two[0], one[0])
    assert np.array_equal(two[1], one[0][:, ::-1])
    with pytest.raises(ResNetsError, match="no way to take 3 crops"):
        prepare(gradient(), Recipe(size=32, crop=32), 3)


@pytest.mark.parametrize(("rounding", "corner"), [("half-even", 2), ("floor", 2), ("ceil", 3)])
def test_the_corner_is_rounded_as_the_recipe_says(rounding, corner):
    recipe = Recipe(resize="none", crop=32, crop_rounding=rounding)
    assert np.array_equal(prepare(gradient(37, 32), recipe)[0], gradient(37, 32)[:, corner : corner + 32])


def test_sizes_after_resizing():
    assert resized_size(500, 333, Recipe()) == (384, 256)
    assert resized_size(500, 331, Recipe(resize_rounding="half-even")) == (387, 256)
    assert resized_size(500, 331, Recipe()) == (386, 256)
    assert resized_size(500, 331, Recipe(resize="square")) == (256, 256)
    # 61 / 7 * 224 is a little less than 1952 in doubles, and Torch truncates; torchvision divides last.
    assert resized_size(7, 61, Recipe(size=224)) == (224, 1952)
    assert resized_size(7, 61, Recipe(size=224, filter="torch7-bicubic")) == (224, 1951)


def test_normalise_is_the_formula_and_turns_channels_for_bgr():
    recipe = Recipe(scale=2.0, mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 8.0))
    crops = gradient()[None]
    planes = crops.transpose(0, 3, 1, 2).astype(np.float64)
    mean, std = (np.array(v)[None, :, None, None] for v in (recipe.mean, recipe.std))
    found = normalise(crops, recipe)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert np.allclose(found, (planes * 2 - mean) / std, rtol=1e-6)
    turned = normalise(crops, Recipe(scale=2.0, mean=recipe.mean, std=recipe.std, order="BGR"))
    assert np.allclose(turned, (planes[:, ::-1] * 2 - mean) / std, rtol=1e-6)
    assert np.array_equal(normalise(crops.astype(np.float32), recipe), found)
    for array, order in ((crops, "RGB"), (crops, "BGR"), (crops.astype(np.float32), "RGB")):
        kind = Recipe(mean=(0.1, 0.2, 0.3), order=order)
        last = normalise(array, kind, channels_last=True)
        assert np.array_equal(last, normalise(array, kind))
        assert last.transpose(0, 2, 3, 1).flags.c_contiguous
    with pytest.raises(ResNetsError, match="normalises 1 channels, and the image has 3"):
        normalise(crops, Recipe(mean=(0.0,), std=(1.0,)))
