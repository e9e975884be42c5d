import json
import os
from dataclasses import replace

import pytest

from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.weights import files

NET = replace(find("resnet18"), blocks=(1, 1, 1, 1), widths=(4, 6, 8, 10), stem_widths=(4,), classes=3)


@pytest.fixture
def plain(tmp_path, random_model):
    """A file of torchvision's names, which an anti-aliased network's would be too."""
    path = tmp_path / "net.safetensors"
    files.save(random_model(NET), path, names="torchvision")
    return path


@pytest.mark.parametrize(
    "name", ["resnetaa50d.a1h_in1k", "ResNetBlur18", "resnet50_blur", "resnet34-aa", "seresnextaa101d", "blurpool_r18"]
)
def test_a_name_of_anti_aliasing_is_refused_unless_the_network_is_given(plain, name):
    path = plain.with_name(f"{name}.safetensors")
    plain.rename(path)
    with pytest.raises(ResNetsError, match=r"has the name of a network with anti-aliasing.*--architecture"):
        files.load(path)
    with files.opened(path) as source:
        assert files.read(source, NET).architecture == NET


@pytest.mark.parametrize("name", ["resnet50.a1_in1k", "resnet_aardvarks", "deblurred", "blurry-resnet18", "isaac"])
def test_other_names_say_nothing(plain, name):
    path = plain.with_name(f"{name}.safetensors")
    plain.rename(path)
    assert files.load(path).architecture == NET


@pytest.mark.parametrize(
    ("architecture", "what"),
    [
        ("resnetaa50d", "anti-aliasing"),
        ("resnetblur50", "anti-aliasing"),
        ("seresnet50", "channel attention"),
        ("ecaresnet26t", "channel attention"),
        ("skresnext50_32x4d", "channel attention"),
        ("resnetrs50", "channel attention"),
        ("resnet50_gn", "group norm"),
        ("res2net50d", "split convolutions"),
    ],
)
def test_timm_s_config_beside_a_file_is_asked(plain, architecture, what):
    config = plain.with_name("config.json")
    config.write_text(json.dumps({"architecture": architecture, "num_classes": 3}))
    with pytest.raises(ResNetsError, match=f"config.json says that net.safetensors is a '{architecture}'.* {what}"):
        files.load(plain)
    config.write_text(json.dumps({"architecture": architecture, "num_classes": 3}).replace(architecture, "resnet18"))
    assert files.load(plain).architecture == NET


@pytest.mark.parametrize(("argument", "value"), [("output_stride", 16), ("act_layer", "gelu"), ("global_pool", "max")])
def test_arguments_that_no_array_shows_are_refused(plain, argument, value):
    config = plain.with_name("config.json")
    inner = {"architecture": "resnet18", "pretrained_cfg": {}}
    config.write_text(json.dumps({**inner, "model_args": {argument: value}}))
    with pytest.raises(ResNetsError, match=f"is a 'resnet18', which has {argument} {value}"):
        files.load(plain)
    usual = {"output_stride": 32, "global_pool": "avg", "act_layer": None, "num_classes": 3, "drop_rate": 0.1}
    for arguments in (usual, {argument: [1]}, [], "x"):
        config.write_text(json.dumps({**inner, "model_args": arguments}))
        assert files.load(plain).architecture == NET


def test_any_other_config_is_let_be(plain):
    config = plain.with_name("config.json")
    for text in ("", "[]", "{", "[" * 10**5, '{"architecture": 3}', json.dumps({"architecture": "se" * 999}), "\udc80"):
        config.write_text(text, errors="surrogateescape")
        assert files.load(plain).architecture == NET
    config.unlink()
    os.mkfifo(config)
    assert files.load(plain).architecture == NET
