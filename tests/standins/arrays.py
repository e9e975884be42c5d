"""An Architecture goes in, a Model of arrays comes out in which every array shows in the logits; quick for any size."""

from math import prod
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from resnets.card import Card
from resnets.catalog import Architecture
from resnets.network import Step, steps
from resnets.weights.model import Model

_POOL = np.random.default_rng(0).standard_normal((1 << 20) + 7, np.float32)  # a prime: rows of arrays do not repeat


def network(architecture: Architecture) -> Model:
    """Convolutions by He's fan-in, batch norms that change what they see, biases that are not zero.

    The numbers of each array are a stretch of one pool, which begins where the array's name says.
    """
    plan = steps(architecture)
    by_name = {step.name: step for step in plan}
    ends = {by_name[step.inputs[0]].arrays[0][0] for step in plan if step.op == "add"}
    share = np.float32(1 / sum(architecture.blocks) ** 0.5)  # activations stay of one size through 200 layers
    weights = {}
    for step in plan:
        for name, shape in step.arrays:
            array = _drawn(step, name, shape)
            weights[name] = array * share if name in ends else array
    return Model(architecture, weights, Card("stand-in", architecture))


def _drawn(step: Step, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if name == "bn0.weight":  # which MXNet takes for 1, whatever is stored
        return np.ones(shape, np.float32)
    normal = _numbers(name, shape)
    if len(shape) > 1:
        gain = 2.0 if step.op == "conv" else 0.15  # logits some units apart, as trained ones are
        return normal * np.float32((gain / prod(shape[1:])) ** 0.5)
    if name.endswith(("running_var", "weight")):
        return (1 + np.float32(0.4) * np.tanh(normal)).astype(np.float32, copy=False)
    return normal * np.float32(0.2)


def _numbers(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    count, begin = prod(shape), crc32(name.encode()) % len(_POOL)
    parts = -(-(begin + count) // len(_POOL))
    row = _POOL if parts == 1 else np.tile(_POOL, parts)
    return row[begin : begin + count].reshape(shape)
