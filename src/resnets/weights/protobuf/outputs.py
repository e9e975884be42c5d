"""A scanned ONNX file goes in; those of its values that people ask for come out, as names or as outputs to append."""

from collections.abc import Callable

from resnets.catalog import Architecture
from resnets.errors import ResNetsError
from resnets.weights.model import EXTRA_OUTPUTS
from resnets.weights.protobuf.scan import Dimensions, Scan

SHAPING = ("Identity", "Flatten", "Reshape", "Squeeze", "Cast")  # what changes only the shape or type of a value
MAX_PASSED = 16
POOLING = ("GlobalAveragePool", "AveragePool", "ReduceMean")
Written = tuple[str, tuple[str, ...]]  # the operator that writes a value, and what it reads
_NOTHING: Written = ("", ())


def answer(found: Scan) -> str | None:
    """The output that holds what the network says: `logits`, or whatever the only one is called; None for several."""
    names = [name for name in found.outputs if name not in EXTRA_OUTPUTS] or list(found.outputs)
    return "logits" if "logits" in names else names[0] if len(names) == 1 else None


def is_softmax(found: Scan, name: str | None) -> bool:
    """Does a Softmax write that output, but for what only changes its shape or type?"""
    return _behind(found, name or "", SHAPING)[0] == "Softmax"


def features(found: Scan, answer: str | None) -> str | None:
    """What the last Gemm or MatMul on the way to the answer reads; None where there is none."""
    reached: set[str] = set()
    pending = [answer or ""]
    while pending:
        name = pending.pop()
        if name not in reached and name in found.values:
            reached.add(name)
            pending.extend(found.values[name][1])
    last = [written for name, written in found.values.items() if name in reached and written[0] in ("Gemm", "MatMul")]
    return last[-1][1][0] if last and last[-1][1][0] in found.values else None


def feature_map(found: Scan, answer: str | None) -> str | None:
    """What the pooling reads that makes these features; None where it cannot be told."""
    operator, reads = _behind(found, features(found, answer) or "", (*SHAPING, "Dropout"))
    if operator not in POOLING:
        return None
    axes = found.tensors.get(reads[1]) if len(reads) > 1 else None
    return reads[0] if len(reads) == 1 or (axes is not None and axes.shape == (2,)) else None


def _behind(found: Scan, name: str, passing: tuple[str, ...]) -> Written:
    """What writes a value, once the operators are left out that only pass it on."""
    written = found.values.get(name, _NOTHING)
    for _ in range(MAX_PASSED):
        if written[0] not in passing or not written[1]:
            break
        written = found.values.get(written[1][0], _NOTHING)
    return written


def more(found: Scan, answer: str | None, wanted: str, architecture: Architecture | None, source: str) -> bytes:
    """One more output of the graph, as bytes to append to the file. `architecture`: what its card says.

    Raises ResNetsError where nothing says which value that is.
    """
    from resnets.weights.protobuf import rewrite

    if architecture is not None and wanted in found.values:
        return rewrite.output(wanted, _shape(wanted, architecture))
    find = _FOUND.get(wanted)
    value = find(found, answer) if find else None
    if value == wanted:
        return rewrite.output(wanted, None)
    if value is None or wanted in found.values:
        raise ResNetsError(
            f"Nothing in {source} says which value of its graph is its {wanted}.",
            "Use a model that resnets has written.",
        )
    return rewrite.identity(value, wanted) + rewrite.output(wanted, None)


_FOUND: dict[str, Callable[[Scan, str | None], str | None]] = {"features": features, "feature_map": feature_map}


def _shape(name: str, architecture: Architecture) -> Dimensions:
    count = architecture.features
    return ("batch", count) if name == "features" else ("batch", count, "h", "w")
