from dataclasses import replace

import pytest

from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.weights import files, t7
from resnets.weights.source import Source
from resnets.weights.torch7.export import export
from resnets.weights.torch7.objects import Object, Storage
from resnets.weights.torch7.write import write

SMALL = replace(find("resnet18"), blocks=(1,) * 4, widths=(4, 4, 8, 8), stem_widths=(4,), classes=3)


def test_every_oracle_is_for_images_of_the_size_that_torch_ran_it_on(oracle):
    with files.opened(oracle.path) as source:
        assert t7.side(t7.tree(source)) == oracle.images.shape[2] == oracle.images.shape[3]


def windowed(tree: Object, side: float) -> Object:
    """The tree with a last pooling of that side."""
    pool = tree["modules"].items()[-3]
    pool.value.pairs = [(key, side if key in ("kH", "kW") else value) for key, value in pool.value.pairs]
    return tree


@pytest.mark.parametrize(("window", "pixels"), [(1.0, 32), (2.0, 64), (7.0, 224), (8.0, 256), (32.0, 1024)])
def test_the_window_says_the_images(random_model, window, pixels):
    tree = windowed(export(random_model(SMALL)), window)
    assert t7.side(tree) == pixels
    notes = files.read(Source.of(write([tree]), "some.t7")).notes
    assert notes == () if pixels in (32, 224) else f"images of {pixels}x{pixels} alone" in notes[0]


def test_a_window_that_never_is_the_map_is_refused_with_the_sizes(random_model):
    tree = windowed(export(random_model(SMALL)), 33.0)
    with pytest.raises(ResNetsError, match=r"modules\[9\], takes a map of 33x33, .* 32x32 of images of 1,024x1,024\."):
        files.read(Source.of(write([tree]), "some.t7"))
    tree = windowed(tree, 1.0)
    stem = tree["modules"][1.0]
    stem.value.pairs = [(key, 40.0 if key in ("padH", "padW") else value) for key, value in stem.value.pairs]
    with pytest.raises(ResNetsError, match=r"takes a map of 1x1, .* it is 3x3 of images of 1x1"):
        t7.side(tree)


def test_a_pooling_of_any_size_takes_any_image(random_model):
    tree = export(random_model(SMALL))
    pool = tree["modules"].items()[-3]
    pool.name = "nn.SpatialAdaptiveAveragePooling"
    pool.value.pairs = [("W", 1.0), ("H", 1.0)]
    assert t7.side(tree) is None
    assert files.read(Source.of(write([tree]), "some.t7")).architecture == SMALL


def test_leaving_out_the_pooling_is_no_global_pooling(random_model):
    tree = export(random_model(SMALL))
    pool = tree["modules"].items()[-3]
    pool.name, pool.value.pairs = "nn.Identity", []
    with pytest.raises(ResNetsError, match=r"\(a nn.View of a map that no pooling makes a single pixel\)"):
        files.read(Source.of(write([tree]), "some.t7"))
    assert isinstance(tree["modules"].items()[-2]["size"], Storage)
