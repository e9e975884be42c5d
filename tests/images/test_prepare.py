"""Crops and numbers of every recipe, against what each was made after."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from resnets.card import RECIPES, Recipe
from resnets.errors import ResNetsError
from resnets.images.decode import ImageError, decode
from resnets.images.prepare import normalise, prepare, resized_size


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


def test_ten_crops_are_in_the_order_of_fb_resnet_torch(shared):
    """Against its own crops; the filters differ, so each of ours is only asked to be nearest to its namesake."""
    theirs = torch7(shared, "n01440764_tench.tencrop.bin")
    pixels = torch7(shared, "n01440764_tench.decoded_u8.bin").transpose(1, 2, 0)
    ours = normalise(prepare(np.ascontiguousarray(pixels), Recipe(crop_rounding="ceil"), 10), Recipe())
    distances = np.abs(ours[:, None] - theirs[None]).mean((2, 3, 4))
    assert distances.argmin(1).tolist() == list(range(10))


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


def test_a_filter_of_the_future_says_so():
    with pytest.raises(ResNetsError, match="torch7-bicubic is not available yet"):
        prepare(gradient(), Recipe(filter="torch7-bicubic"))


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
