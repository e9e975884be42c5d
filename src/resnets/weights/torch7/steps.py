"""What a walk over a stored Torch7 tree has found so far: steps, arrays that are read later, and what is odd."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from resnets.network import Step
from resnets.weights.torch7 import modules
from resnets.weights.torch7.objects import Object, Tensor

Array = NDArray[np.float32]


@dataclass(frozen=True)
class At:
    """A value in the network: the step that gives it, and its channels (0: those of the image, not known yet).

    `window`: side of the average pooling with stride 1 that it comes from, or 0. `flat`: a vector, not a map.
    """

    step: str
    channels: int
    window: int = 0
    flat: bool = False


@dataclass(frozen=True)
class Cover:
    """The pooling before the classifier: its path, the step whose map it takes, the side of its window."""

    path: str
    step: str
    side: int


Value = At | tuple[At, ...]  # of a ConcatTable: one of each child


@dataclass
class Tree:
    """What a module tree holds. `left_out`: paths of a SoftMax at its end, so that the network gives logits."""

    source: str
    steps: list[Step] = field(default_factory=list)
    arrays: dict[str, Callable[[], Array]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    # path of a module, the step whose value it changes, and how many steps have read values before
    in_place: list[tuple[str, str, int]] = field(default_factory=list)
    cover: Cover | None = None
    odd: list[Step] = field(default_factory=list)  # modules that a field makes other than their class says
    seen: int = 0  # modules, and entries of their lists

    def children(self, module: Object) -> list[Object]:
        """The modules of a container; those of a list that many share count each time."""
        self.seen += modules.entries(module)
        if self.seen > modules.MAX_MODULES:
            raise modules.TooManyError
        return modules.children(module)

    def put(self, op: str, path: str, at: At, channels: int | None = None, **rest: object) -> At:
        """One more step, which reads `at`."""
        channels = at.channels if channels is None else channels
        self.steps.append(Step(op, path, (at.step,), channels, **rest))  # type: ignore[arg-type]
        return At(path, channels)

    def keep(self, key: str, tensor: Tensor, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """An array of the network under that key, read when it is asked for."""
        self.tensors.append(tensor)
        self.arrays[key] = lambda: _float32(tensor.array()).reshape(shape)
        return key, shape

    def fill(self, key: str, number: float, count: int) -> tuple[str, tuple[int, ...]]:
        """An array that the file leaves out because all its numbers are the same."""
        self.arrays[key] = lambda: np.full(count, number, np.float32)
        return key, (count,)


def _float32(array: NDArray[np.generic]) -> Array:
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, which no model may hold
        return array.astype(np.float32, copy=False)
