"""What an epoch says at its end."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("torch")

from resnets.training.epoch import _line


@pytest.mark.parametrize(("classes", "told"), [(5, False), (6, True)])
def test_top5_error_is_told_where_it_says_something(classes: int, told: bool) -> None:
    preset = SimpleNamespace(epochs=1, crop_in=lambda epoch: 32)
    config = SimpleNamespace(preset=preset, classes=("x",) * classes)
    run = SimpleNamespace(config=config, state=SimpleNamespace(best_epoch=1, epoch=1))
    row = defaultdict(float, val_top1_error=12.5)
    line = _line(row, cast(Any, run))
    assert ("val error 12.50 % (top-5 0.00 %), 0 images/s" in line) == told
    assert ("val error 12.50 %, 0 images/s" in line) == (not told)
