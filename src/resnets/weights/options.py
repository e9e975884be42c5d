"""What may be asked of a file that is about to be written."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """`opset` and `outputs` (`features`, `feature_map`) concern .onnx; `names` is the dialect of names.

    None is the default; of `names`, the format's own: canonical names where it has a card. `force`: write what would
    read back as another network.
    """

    opset: int | None = None
    outputs: tuple[str, ...] = ()
    names: str | None = None
    force: bool = False
