"""The bytes of an ONNX model go in, a session that turns tensors into named outputs comes out."""

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from resnets.errors import ResNetsError

ERROR = 3  # ONNX Runtime's level: its warnings are about graphs, which a user of a model cannot mend


class Session:
    """An open model. `run` may be called from several threads at once; `threads` is what one call uses."""

    def __init__(self, model: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = ERROR
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common base but this
            raise ResNetsError(
                f"ONNX Runtime {onnxruntime.__version__} cannot open the model ({_reason(error)}).",
                "Convert the model again, or to a lower opset.",
            ) from error
        self.input: str = self._session.get_inputs()[0].name
        self.shape: tuple[Any, ...] = tuple(self._session.get_inputs()[0].shape)  # a name or None where it may vary
        self.outputs: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())
        # Caffe2's exports take any number of images by their input, and have one answer.
        one = any(tuple(o.shape[:1]) == (1,) and len(o.shape) > 1 for o in self._session.get_outputs())
        first = self.shape[0] if self.shape else None
        self._batch = first if isinstance(first, int) else 1 if one else None

    def run(self, x: NDArray[np.float32], outputs: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
        """`x` float32 [n, c, h, w] → those outputs, [n, ...] each. Raises ResNetsError where the graph refuses x."""
        fixed = self._batch
        if fixed is None or fixed == len(x):
            return dict(zip(outputs, self._run(x, outputs), strict=True))
        padded = np.concatenate([x, np.zeros((-len(x) % fixed, *x.shape[1:]), np.float32)])
        parts = [self._run(padded[i : i + fixed], outputs) for i in range(0, len(padded), fixed)]
        return {
            name: np.concatenate(found)[: len(x)] for name, found in zip(outputs, zip(*parts, strict=True), strict=True)
        }

    def _run(self, x: NDArray[np.float32], outputs: tuple[str, ...]) -> list[NDArray[np.float32]]:
        try:
            found: list[NDArray[np.float32]] = self._session.run(list(outputs), {self.input: x})
            return found
        except Exception as error:
            wants = " x ".join(str(n) for n in self.shape)
            raise ResNetsError(
                f"The model cannot take an input of {' x '.join(map(str, x.shape))} ({_reason(error)}).",
                f"It declares {wants}: use a recipe with such a crop.",
            ) from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:300]


def open_session(model: bytes, threads: int) -> Session:
    """A session whose calls use `threads` threads each."""
    return Session(model, threads)
