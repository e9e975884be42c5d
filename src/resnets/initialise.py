"""An Architecture and a seed go in, freshly initialised arrays come out: NumPy alone, the same on every machine."""

import hashlib
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.card import Card, Label, recipe_named
from resnets.catalog import Architecture, find
from resnets.network import Shape, Step, steps
from resnets.weights.model import Arrays, Model

# In eval mode a fresh batch norm changes nothing, so each block adds its branch to its input: the root mean square
# grows by up to sqrt(3) a block. 128 blocks reach 2^101 of float32's 2^128; 1,001 and 1,202 layers have 333 and 600.
MAX_PLAIN_BLOCKS = 128


def initialise(architecture: Architecture, seed: int = 0) -> Arrays:
    """Fresh arrays by canonical name, float32, as fb.resnet.torch's models/resnet.lua draws them.

    Convolutions N(0, sqrt(2 / (k k out))), which is He's fan-out; gammas and variances 1, betas, means and biases 0;
    the classifier's weight U(-1/sqrt(in), 1/sqrt(in)). Each array has a random stream of its own, made of seed and
    name. Where `branch_scale` is not 1, the last array of every branch is multiplied by it.
    """
    plan = steps(architecture)
    arrays = {name: _draw(step, name, shape, seed) for step in plan for name, shape in step.arrays}
    scale = branch_scale(architecture)
    if scale != 1.0:
        for name in _branch_ends(plan):
            arrays[name] *= np.float32(scale)
    return arrays


def classifier(architecture: Architecture, seed: int = 0) -> Arrays:
    """The arrays of the classifier alone, as `initialise` draws them."""
    return {
        name: _draw(step, name, shape, seed)
        for step in steps(architecture)
        if step.op == "linear"
        for name, shape in step.arrays
    }


def branch_scale(architecture: Architecture) -> float:
    """What the last array of each branch is multiplied by: 1, or 1/sqrt(blocks) where plain He overflows float32.

    With it the mean square at the end of B blocks is at most (1 + 2/B)^B, below e^2 times that of the stem.
    """
    blocks = sum(architecture.blocks)
    return 1.0 if blocks <= MAX_PLAIN_BLOCKS else 1 / sqrt(blocks)


def create(name: str, *, classes: int | None = None, labels: tuple[Label, ...] | None = None, seed: int = 0) -> Model:
    """A freshly initialised model of a named architecture. `classes`: else those of the labels, else the name's own."""
    architecture = find(name)
    wanted = classes if classes is not None else len(labels) if labels else architecture.classes
    architecture = replace(architecture, classes=wanted)
    source: dict[str, Any] = {"created": name, "seed": seed, "initialisation": "He, fan-out"}
    scale = branch_scale(architecture)
    if scale != 1.0:
        source["branch_scale"] = scale
    card = Card(
        name=name,
        architecture=architecture,
        labels=labels,
        recipe=recipe_named("resnets", architecture),
        source=source,
    )
    return Model(architecture, initialise(architecture, seed), card)


def _branch_ends(plan: list[Step]) -> list[str]:
    """The last batch norm's gamma of each branch, or the last convolution's weight where no batch norm follows it."""
    by_name = {step.name: step for step in plan}
    return [by_name[step.inputs[0]].arrays[0][0] for step in plan if step.op == "add"]


def _draw(step: Step, name: str, shape: Shape, seed: int) -> NDArray[np.float32]:
    part = name.rpartition(".")[2]
    if step.op == "batch_norm":
        return np.full(shape, 1 if part in ("weight", "running_var") else 0, np.float32)
    if part == "bias":
        return np.zeros(shape, np.float32)
    generator = _stream(name, seed)
    if step.op == "linear":
        reach = 1 / sqrt(shape[1])
        return ((generator.random(shape, np.float32) * 2 - 1) * np.float32(reach)).astype(np.float32, copy=False)
    out, _, height, width = shape
    return generator.standard_normal(shape, np.float32) * np.float32(sqrt(2 / (height * width * out)))


def _stream(name: str, seed: int) -> np.random.Generator:
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, key])))
