"""What may be asked of a file that is about to be written."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """`opset` and `outputs` (`features`, `feature_map`) concern formats that hold a graph."""

    opset: int = 13
    outputs: tuple[str, ...] = ()
