"""The name of an engine goes in, what opens a model with it comes out; the engine's library is imported only then."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from resnets.errors import ResNetsError


class Session(Protocol):
    """An open model, as every engine offers it."""

    input: str
    shape: tuple[Any, ...]
    outputs: tuple[str, ...]

    def run(self, x: NDArray[np.float32], outputs: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
        """`x` float32 [n, c, h, w] → outputs by name."""


ENGINES = {"onnxruntime": "resnets.engines.onnxruntime"}


def opener(engine: str) -> Callable[[bytes, int], Session]:
    """`open_session(model bytes, threads a call)` of an engine."""
    if engine not in ENGINES:
        raise ResNetsError(f"There is no engine {engine!r}.", f"Use {' or '.join(ENGINES)}.")
    found: Callable[[bytes, int], Session] = import_module(ENGINES[engine]).open_session
    return found
