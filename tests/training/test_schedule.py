"""Learning rates by step, against the numbers that fb.resnet.torch and the papers print."""

import pytest

pytest.importorskip("torch")

from resnets.training.presets import preset_named
from resnets.training.schedule import learning_rate


def test_fb_cifar_drops_at_epochs_81_and_122() -> None:
    preset, per_epoch = preset_named("fb-cifar"), 391
    rates = [learning_rate(preset, epoch * per_epoch, 164 * per_epoch) for epoch in range(164)]
    assert rates[:80] == pytest.approx([0.1] * 80)
    assert rates[80:121] == pytest.approx([0.01] * 41)
    assert rates[121:] == pytest.approx([0.001] * 43)


def test_fb_imagenet_drops_every_thirty_epochs() -> None:
    preset, per_epoch = preset_named("fb-imagenet"), 5005
    rates = [learning_rate(preset, epoch * per_epoch, 90 * per_epoch) for epoch in (0, 29, 30, 59, 60, 89)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    last_of_30 = learning_rate(preset, 30 * per_epoch - 1, 90 * per_epoch)
    assert last_of_30 == pytest.approx(0.1)


def test_epochs_scale_the_drops() -> None:
    preset = preset_named("fb-imagenet", epochs=9)
    rates = [learning_rate(preset, epoch * 10, 90) for epoch in range(9)]
    assert rates == pytest.approx([0.1] * 3 + [0.01] * 3 + [0.001] * 3)


def test_one_cycle_rises_to_its_peak_and_falls_to_nothing() -> None:
    preset = preset_named("quick-cifar")
    rates = [learning_rate(preset, step, 1000) for step in range(1000)]
    assert max(rates) == pytest.approx(0.3, rel=0.01)
    assert rates.index(max(rates)) == 250
    assert rates[0] < 0.002
    assert 0 < rates[-1] < 0.001
    assert rates[:250] == sorted(rates[:250])
    assert rates[250:] == sorted(rates[250:], reverse=True)


def test_cosine_is_half_way_in_the_middle() -> None:
    preset = preset_named("fb-cifar", schedule="cosine")
    assert [learning_rate(preset, step, 100) for step in (0, 50)] == pytest.approx([0.1, 0.05])
    assert learning_rate(preset, 99, 100) < 1e-4
