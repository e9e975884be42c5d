"""A file's name goes in; how files of its suffix are read and written comes out: the one table of formats."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from resnets.errors import ResNetsError


@dataclass(frozen=True)
class Format:
    """One kind of file. `module` of weights/ has its `read(source, given)` and `write(model, options)`.

    `graph`: such files hold a network's graph, not arrays alone. `card`: they have a place for a card, and the module
    has `read_card(source)` and `with_card(source, card)`. `names`: the dialects that can be written there.
    """

    module: str
    what: str
    graph: bool
    card: bool
    names: tuple[str, ...] = ()

    @property
    def room(self) -> Any:
        """The module, imported when the first such file is met: what one format needs costs the others nothing."""
        return import_module(f"resnets.weights.{self.module}")


_TORCH_NAMES = ("torchvision", "timm", "gluoncv", "akamaster")
_PTH = Format("pth", "PyTorch", graph=False, card=True, names=_TORCH_NAMES)
FORMATS: dict[str, Format] = {
    ".onnx": Format("onnx", "ONNX", graph=True, card=True, names=("exported",)),
    ".safetensors": Format("safetensors", "safetensors", graph=False, card=True, names=_TORCH_NAMES),
    ".pth": _PTH,
    ".pt": _PTH,
    ".th": _PTH,
    ".bin": _PTH,  # transformers' and older timm's pytorch_model.bin
    ".t7": Format("t7", "Torch7", graph=True, card=False, names=("nn", "cudnn")),
    ".params": Format(
        "params", "MXNet", graph=False, card=False, names=("structural", "prefixed", "exported", "gluoncv")
    ),
}


def format_of(path: Path) -> Format:
    """How files of that suffix are read and written. `.pth.tar`, as PyTorch's examples call a checkpoint, is `.pth`."""
    suffix = ".pth" if path.name.lower().endswith(".pth.tar") else path.suffix.lower()
    if suffix not in FORMATS:
        what = f"the suffix {suffix}, which is not a format of models that resnets knows" if suffix else "no suffix"
        raise ResNetsError(f"{path} has {what}.", f"Use {', '.join(FORMATS)}.")
    return FORMATS[suffix]
