import re

import numpy as np
import pytest

from resnets.catalog import find
from resnets.images.decode import decode
from resnets.images.prepare import normalise, prepare
from resnets.published import torchvision as ours


def weights_of_torchvision():
    """Every set of weights that torchvision has for a ResNet, a ResNeXt or a wide ResNet, by our name for it."""
    from torchvision import models

    names = [n for n in models.list_models(module=models) if re.match(r"(wide_)?resne[xt]", n)]
    every = [(name, weights) for name in names for weights in models.get_model_weights(name)]
    return {f"{name.replace('_', '-')}.tv{weights.name.rpartition('_V')[2]}": weights for name, weights in every}


def test_the_rows_are_what_torchvision_says(peers):
    theirs = weights_of_torchvision()
    assert sorted(row.name for row in ours.ROWS) == sorted(theirs)
    for row in ours.ROWS:
        weights = theirs[row.name]
        assert row.urls == (weights.url,)
        assert row.file == weights.url.rpartition("/")[2]
        assert row.also == (str(weights),)
        assert weights.meta.get("license") is None
        assert row.licence.startswith("none stated")
        (score,) = row.reported
        printed = weights.meta["_metrics"]["ImageNet-1K"]
        assert (float(score.top1), float(score.top5)) == (printed["acc@1"], printed["acc@5"])
        assert f" {weights.meta['_file_size']:.3f}, " in row.notes[0]


def test_the_digests_are_those_that_torch_hub_takes_from_the_names(peers):
    from torch.hub import HASH_REGEX

    for row in ours.ROWS:
        (digest,) = row.digests
        found = HASH_REGEX.search(row.file)
        assert found is not None
        assert found.group(1) == digest.value
        assert digest.algorithm == "sha256"


def test_the_recipes_are_torchvisions_transforms(peers):
    for name, weights in weights_of_torchvision().items():
        (row,) = (row for row in ours.ROWS if row.name == name)
        transform, recipe, (score,) = weights.transforms(), row.recipe, row.reported
        assert [recipe.size] == transform.resize_size == [score.resize]
        assert [recipe.crop] == transform.crop_size == [score.crop]
        assert ("resize_size" in weights.transforms.keywords) == (score.conditions_source == "")
        assert recipe.filter == f"pillow-{transform.interpolation.value}"
        assert ([*recipe.mean], [*recipe.std]) == (transform.mean, transform.std)


def test_every_row_prepares_images_as_torchvision_does(peers, photos):
    from PIL import Image

    theirs = weights_of_torchvision()
    recipes = {row.recipe: theirs[row.name].transforms() for row in ours.ROWS}
    assert sorted(recipe.size for recipe in recipes) == [232, 256]
    for recipe, transform in recipes.items():
        for photo in (photos["coffee"], photos["camera"]):
            expected = transform(Image.open(photo).convert("RGB")).numpy()
            image = decode(photo.read_bytes(), exif=recipe.exif, alpha=recipe.alpha)
            assert np.abs(normalise(prepare(image, recipe), recipe)[0] - expected).max() < 1e-6


@pytest.mark.parametrize("name", sorted({row.name.partition(".")[0] for row in ours.ROWS}))
def test_the_networks_are_torchvisions(peers, name):
    from torchvision import models

    (weights, *_) = models.get_model_weights(name.replace("-", "_"))
    assert {row.architecture for row in ours.ROWS if row.name.startswith(f"{name}.")} == {find(name)}
    assert find(name).classes == len(weights.meta["categories"])
