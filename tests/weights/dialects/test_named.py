from dataclasses import replace

import numpy as np
import pytest

from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.network import array_shapes
from resnets.weights.dialects.named import read_named, renamed
from resnets.weights.dialects.table import Stored
from resnets.weights.model import agree
from resnets.weights.source import DamagedError, Source

TINY = replace(find("resnet18"), blocks=(1, 1, 1, 1), widths=(4, 6, 8, 10), stem_widths=(4,), classes=3)
FILE = Source.of(b"", "folder/net.pth")


def held(shapes, kind="float32"):
    return {
        name: Stored(shape, kind, 4 * int(np.prod(shape)), lambda shape=shape: np.ones(shape, np.float32))
        for name, shape in shapes.items()
    }


def read(arrays, given=None, most=1 << 30):
    return read_named(arrays, FILE, given, most=most)


def test_the_card_says_where_the_network_comes_from():
    found = read(held(array_shapes(TINY)))
    assert (found.architecture, found.card.name, found.card.input_channels) == (TINY, "net", 3)
    assert found.card.source["file"] == "net.pth"
    assert found.card.source["names"] == "torchvision"
    assert found.card.source["implied"] == list(found.notes)
    assert "no dilation" in found.notes[0]
    cifar = replace(TINY, stem="cifar")
    assert "A 3x3 convolution as the stem is taken to have stride 1" in read(held(array_shapes(cifar))).notes[1]


def test_wrappers_around_all_names_are_taken_off_and_counters_left_out():
    arrays = held(array_shapes(TINY))
    count = {"bn1.num_batches_tracked": Stored((), "int64", 8, lambda: np.zeros((), np.float32))}
    for prefix in ("module.", "_orig_mod.", "module._orig_mod.module.", "model.module.", "net."):
        wrapped = {prefix + name: one for name, one in {**arrays, **count}.items()}
        wrapped["n_averaged"] = count["bn1.num_batches_tracked"]
        assert read(wrapped).architecture == TINY
    with pytest.raises(ResNetsError, match="not those of a residual network that resnets knows: other"):
        read({f"other.{name}": one for name, one in arrays.items()})
    with pytest.raises(ResNetsError, match=r"names of its 0 arrays"):
        read({})


def test_a_name_has_so_many_wrappers_and_characters_at_most():
    arrays = held(array_shapes(TINY))
    assert read({"module." * 8 + name: one for name, one in arrays.items()}).architecture == TINY
    with pytest.raises(ResNetsError, match="not those of a residual network"):
        read({"module." * 9 + name: one for name, one in arrays.items()})
    with pytest.raises(DamagedError, match="the name of an array has 560,012 characters"):
        read({"module." * 80_000 + "conv1.weight": arrays["conv1.weight"]})


def test_gluoncv_s_spelling_is_read_as_gluoncv():
    parts = {"weight": "gamma", "bias": "beta"}
    arrays = {}
    for name, shape in array_shapes(TINY).items():
        layer, _, part = name.rpartition(".")
        norm = f"{layer}.running_var" in array_shapes(TINY)
        arrays[f"{layer}.{parts.get(part, part) if norm else part}"] = shape
    found = read(held(arrays))
    assert (found.architecture, found.card.source["names"]) == (TINY, "gluoncv")


def test_a_given_network_takes_classes_and_channels_of_the_file():
    a = replace(TINY, classes=5, input_channels=1, stride_in="1x1")
    cifar = replace(a, stem="cifar")
    arrays = held(array_shapes(cifar))
    theirs = {n.replace("fc.", "linear.").replace("downsample", "shortcut"): one for n, one in arrays.items()}
    for names in (arrays, theirs):
        assert read(names, replace(TINY, stem="cifar", stride_in="1x1")).architecture == cifar
    assert read(theirs, replace(TINY, stem="cifar", eps=1e-3)).notes == (
        "The names are akamaster's, which imply another network than the given one: eps (1e-05 implied, 0.001).",
    )
    pre = replace(find("resnet18-v2"), blocks=(1, 1, 1, 1))
    assert read(held(array_shapes(pre)), pre).architecture == pre
    with pytest.raises(ResNetsError, match=r"do not fit the network: .* missing: bn0.weight.*; .* not part"):
        read(held(array_shapes(TINY)), find("resnet18-v2"))


def test_arrays_that_share_bytes_are_bounded_before_they_are_read():
    arrays = held(array_shapes(TINY))
    size = sum(one.size for one in arrays.values())
    read(arrays, most=size)
    with pytest.raises(DamagedError, match="share their bytes"):
        read(arrays, most=size - 1)


def test_a_card_and_a_given_network_have_to_agree():
    agree(None, TINY, "m")
    agree(replace(TINY, classes=9), TINY, "m")
    with pytest.raises(ResNetsError, match="another network than the one that was given"):
        agree(find("resnet18"), TINY, "m")


def test_counters_stand_behind_each_running_variance_where_torch_has_them(random_model):
    model = random_model(TINY)
    names = list(renamed(model, "torchvision"))
    assert names[names.index("bn1.running_var") + 1] == "bn1.num_batches_tracked"
    assert len(names) == len(model.weights) + sum(name.endswith("running_var") for name in model.weights)
    assert len(renamed(model, "gluoncv")) == len(model.weights)


def test_a_renamed_array_is_the_one_that_is_named(random_model):
    arrays = renamed(random_model(TINY), "torchvision")
    shapes = {name: Stored(a.shape, "float32", a.nbytes, lambda a=a: a) for name, a in arrays.items() if a.ndim}
    shapes["layer1.0.convX.weight"] = shapes.pop("layer1.0.conv1.weight")
    with pytest.raises(
        ResNetsError, match=r"1 arrays have names that stand in none: layer1\.0\.convX\.weight\. Rename"
    ):
        read_named(shapes, Source.of(b"", "m.pth"), None, most=1 << 30)
    del shapes["layer1.0.convX.weight"]
    with pytest.raises(ResNetsError, match="its parts are not all there"):
        read_named(shapes, Source.of(b"", "m.pth"), None, most=1 << 30)
