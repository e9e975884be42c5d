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


class Network:
    """An open model whose answer is called `logits`, whatever the graph calls it and whether it ends in a softmax.

    `answer`: the output that holds it, None where it is not known; `output`: what it is, `logits` or `probabilities`,
    whose logarithms are logits too.
    """

    def __init__(self, session: Session, answer: str | None, output: str, source: str) -> None:
        self._session, self._answer, self._output, self._source = session, answer, output, source

    def run(self, x: NDArray[np.float32], outputs: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
        """`x` float32 [n, c, h, w] → `logits` [n, classes], other outputs as they are."""
        names = tuple(self._theirs(name) for name in outputs)
        found = self._session.run(x, names)
        return {ours: self._ours(ours, found[theirs]) for ours, theirs in zip(outputs, names, strict=True)}

    def _theirs(self, name: str) -> str:
        if name == "logits" and self._answer is None:
            raise ResNetsError(
                f"None of the outputs of {self._source} ({', '.join(self._session.outputs)}) is called logits, and"
                " nothing says which one holds the scores of the classes.",
                "Call that one logits, or keep it alone.",
            )
        return self._answer or "" if name == "logits" else name

    def _ours(self, name: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
        if name != "logits":
            return array
        rows = array.reshape(len(array), -1)
        return rows if self._output == "logits" else logarithms(rows)


def logarithms(probabilities: NDArray[Any]) -> NDArray[Any]:
    """Logits that have those probabilities. A softmax rounds the smallest to zero; a negative one gives NaN."""
    with np.errstate(invalid="ignore"):
        found: NDArray[Any] = np.log(np.where(probabilities == 0, np.finfo(np.float32).tiny, probabilities))
    return found


ENGINES = {"onnxruntime": "resnets.engines.onnxruntime"}


def opener(engine: str) -> Callable[[bytes, int], Session]:
    """`open_session(model bytes, threads a call)` of an engine."""
    if engine not in ENGINES:
        raise ResNetsError(f"There is no engine {engine!r}.", f"Use {' or '.join(ENGINES)}.")
    found: Callable[[bytes, int], Session] = import_module(ENGINES[engine]).open_session
    return found
