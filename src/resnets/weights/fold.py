"""A Model goes in, the same network with its batch norms folded into the convolutions before them comes out."""

from dataclasses import replace

import numpy as np

from resnets.network import Step, steps
from resnets.weights.model import Arrays, Model


def fold(model: Model) -> Model:
    """The model with `batch_norm="none"`: exact algebra in float64, rounded to float32 once.

    Which batch norms are folded is what `network` says of "none": those directly behind a convolution that nothing else
    reads. A model that is folded already comes back as it is.
    """
    architecture = replace(model.architecture, batch_norm="none")
    if architecture == model.architecture:
        return model
    arrays = dict(model.weights)
    for conv, norm in foldable(model):
        _fold(arrays, conv, norm)
    weights = {name: arrays[name] for step in steps(architecture) for name, _ in step.arrays}
    return Model(architecture, weights, replace(model.card, architecture=architecture, weights_sha256=None))


def foldable(model: Model) -> list[tuple[Step, Step]]:
    """(convolution, batch norm) of each pair that becomes one convolution."""
    plan = steps(model.architecture)
    by_name = {step.name: step for step in plan}
    kept = {step.name for step in steps(replace(model.architecture, batch_norm="none"))}
    return [(by_name[step.inputs[0]], step) for step in plan if step.name not in kept]


def _fold(arrays: Arrays, conv: Step, norm: Step) -> None:
    gamma, beta, mean, variance = (arrays.pop(name).astype(np.float64) for name, _ in norm.arrays)
    weight, bias = f"{conv.name}.weight", f"{conv.name}.bias"
    scale = gamma / np.sqrt(variance + norm.eps)
    offset = arrays[bias].astype(np.float64) if bias in arrays else 0.0
    arrays[weight] = (arrays[weight] * scale[:, None, None, None]).astype(np.float32)
    arrays[bias] = ((offset - mean) * scale + beta).astype(np.float32)
