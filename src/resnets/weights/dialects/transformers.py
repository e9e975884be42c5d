"""transformers' names of a ResNet's arrays go in, the network that they imply comes out, and back.

The names are those of ResNetForImageClassification: transformers/models/resnet/modeling_resnet.py. Its configuration
may move strides, which no array shows: `variant` asks the config.json beside a file.
"""

import re
from collections.abc import Mapping

from resnets.catalog import Architecture
from resnets.network import Shape
from resnets.weights.dialects.shapes import derived
from resnets.weights.dialects.table import Dialect
from resnets.weights.dialects.torch import TORCHVISION, counters

_STEM = "resnet.embedder.embedder."
_LAYER = re.compile(
    r"resnet\.encoder\.stages\.(\d{1,4})\.layers\.(\d{1,4})\.(?:layer\.(\d)\.|(shortcut)\.)(\w+)\.(\w+)"
)
_PARTS = {"convolution": "conv", "normalization": "bn"}


def _ours(name: str) -> str:
    """The canonical name, or for one that is none of theirs, the same."""
    if name.startswith(_STEM):
        part, _, array = name.removeprefix(_STEM).partition(".")
        return f"{_PARTS[part]}1.{array}" if part in _PARTS else name
    match = _LAYER.fullmatch(name)
    if match is None or match[5] not in _PARTS:
        return name.replace("classifier.1.", "fc.") if name.startswith("classifier.1.") else name
    block = f"layer{int(match[1]) + 1}.{match[2]}"
    if match[4]:
        return f"{block}.downsample.{list(_PARTS).index(match[5])}.{match[6]}"
    return f"{block}.{_PARTS[match[5]]}{int(match[3]) + 1}.{match[6]}"


def _their(name: str) -> str:
    part, _, array = name.rpartition(".")
    block, _, module = part.rpartition(".")
    if name.startswith("fc."):
        return f"classifier.1.{array}"
    kinds = list(_PARTS)
    if not block:
        return f"{_STEM}{kinds[module == 'bn1']}.{array}"
    match = re.fullmatch(r"layer(\d+)\.(\d+)(\.downsample)?", block)
    assert match is not None, name
    home = f"resnet.encoder.stages.{int(match[1]) - 1}.layers.{match[2]}"
    if match[3]:
        return f"{home}.shortcut.{kinds[int(module)]}.{array}"
    return f"{home}.layer.{int(module[-1]) - 1}.{kinds[module.startswith('bn')]}.{array}"


def _names(a: Architecture) -> dict[str, str]:
    return {name: _their(name) for name in TORCHVISION.names(a)}


def _implied(shapes: Mapping[str, Shape]) -> Architecture | None:
    if f"{_STEM}convolution.weight" not in shapes:
        return None
    return derived({_ours(name): shape for name, shape in shapes.items()})


TRANSFORMERS = Dialect("transformers", _names, _implied, TORCHVISION.says, counters)
