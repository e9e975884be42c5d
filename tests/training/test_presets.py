"""Presets: each says how it is run; wrong settings are all listed."""

import pytest

from resnets.errors import ResNetsError
from resnets.training.presets import PRESETS, preset_named


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_says_how_it_is_run(name: str) -> None:
    assert "resnets train " in (PRESETS[name].__doc__ or "")
    assert PRESETS[name]().name == name


def test_every_wrong_setting_is_listed() -> None:
    with pytest.raises(ResNetsError, match=r"epochs.*batch.*learning rate"):
        preset_named("fb-cifar", epochs=0, batch=1, learning_rate=-1.0)


def test_a_preset_that_is_misspelt_gets_a_hint() -> None:
    with pytest.raises(ResNetsError, match="Did you mean 'quick-photos'"):
        preset_named("quick-photo")


def test_nothing_given_leaves_the_preset_as_it_is() -> None:
    assert preset_named("fb-cifar", epochs=None, batch=None) == PRESETS["fb-cifar"]()
    assert preset_named("fb-cifar", batch=64).batch == 64
