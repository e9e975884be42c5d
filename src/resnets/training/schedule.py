"""The learning rate of a step, from the preset and nothing else: there is no state to save or to lose."""

from math import cos, pi

from resnets.training.presets import Preset


def learning_rate(preset: Preset, step: int, steps: int) -> float:
    """Rate of step `step` (from 0) of `steps`. A warm-up rises in a straight line to the preset's peak."""
    peak, at = preset.learning_rate, step / steps
    if preset.warmup and at < preset.warmup:
        return peak * (step + 1) / (preset.warmup * steps + 1)
    if preset.schedule == "step":
        # Drops fall on whole epochs: a hair's breadth below one counts as reached.
        return peak * 0.1 ** sum(at >= drop - 1e-9 for drop in preset.drops)
    left = (1 - at) / (1 - preset.warmup)
    return peak * left if preset.schedule == "one-cycle" else peak * (1 - cos(pi * left)) / 2
