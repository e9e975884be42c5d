"""PyTorch's names of arrays go in, the network that they imply comes out, and back: torchvision, timm, akamaster, ours.

Ours, the canonical ones, are torchvision's, and timm's where torchvision has no such part: a deep stem, a pooled
shortcut.
"""

import re
from collections.abc import Mapping

from resnets.catalog import Architecture
from resnets.errors import ResNetsError
from resnets.network import Shape, array_shapes
from resnets.weights.dialects.shapes import derived
from resnets.weights.dialects.table import Dialect

COUNTER = "num_batches_tracked"  # of a batch norm, beside its running statistics
_COUNTERS = re.compile(r"(^|.*\.)(num_batches_tracked|n_averaged)")
_OURS = re.compile(r"bn0\.|norm\.|layer\d+\.\d+\.bn_add\.")


def counters(name: str) -> bool:
    """Whether torch counts something there: batches that a norm has seen, models in an average."""
    return _COUNTERS.fullmatch(name) is not None


def _canonical(a: Architecture) -> dict[str, str]:
    return {name: name for name in array_shapes(a)}


def _torchvision(a: Architecture) -> dict[str, str]:
    _refuse("torchvision", _own_parts(a) + [part for part, there in _timm_parts(a).items() if there])
    return _canonical(a)


def _timm(a: Architecture) -> dict[str, str]:
    _refuse("timm", _own_parts(a))
    return _canonical(a)


def _akamaster(a: Architecture) -> dict[str, str]:
    lacking = _own_parts(a) + [part for part, there in _timm_parts(a).items() if there]
    if a.stem != "cifar":
        lacking.append(f"stem ({a.stem})")
    _refuse("akamaster", lacking)
    return {name: _their(name) for name in _canonical(a)}


def _own_parts(a: Architecture) -> list[str]:
    """Parts of a network that these frameworks' residual networks have no names for."""
    there = {
        "pre-activation blocks": a.preact,
        "input_batch_norm": a.input_batch_norm,
        "final_batch_norm": a.final_batch_norm,
        "post_add_batch_norm": a.post_add_batch_norm,
        "stem (bare)": a.stem == "bare",
    }
    return [part for part, is_there in there.items() if is_there]


def _timm_parts(a: Architecture) -> dict[str, bool]:
    return {"stem (deep)": a.stem == "deep", "shortcut_pool": a.shortcut_pool}


def _refuse(names: str, lacking: list[str]) -> None:
    if lacking:
        raise ResNetsError(
            f"The names of {names} have none for parts of this network: {', '.join(lacking)}.",
            "Leave --names out: our own names have all of them.",
        )


def _their(name: str) -> str:
    name = re.sub(r"^fc\.", "linear.", name)
    return name.replace(".downsample.", ".shortcut.")


def _ours(name: str) -> str:
    name = re.sub(r"^linear\.", "fc.", name)
    return name.replace(".shortcut.", ".downsample.")


def _is_residual(shapes: Mapping[str, Shape]) -> bool:
    stem = "conv1.weight" in shapes or "conv1.0.weight" in shapes
    return stem and "layer1.0.conv1.weight" in shapes and "bn1.gamma" not in shapes


def _implied_torchvision(shapes: Mapping[str, Shape]) -> Architecture | None:
    if not _is_residual(shapes) or "linear.weight" in shapes or any(_OURS.match(name) for name in shapes):
        return None
    a = derived(shapes)
    return None if any(_timm_parts(a).values()) or _own_parts(a) else a


def _implied_timm(shapes: Mapping[str, Shape]) -> Architecture | None:
    if not _is_residual(shapes) or "linear.weight" in shapes or any(_OURS.match(name) for name in shapes):
        return None
    a = derived(shapes)
    return None if _own_parts(a) else a


def _implied_canonical(shapes: Mapping[str, Shape]) -> Architecture | None:
    return derived(shapes) if _is_residual(shapes) and "linear.weight" not in shapes else None


def _implied_akamaster(shapes: Mapping[str, Shape]) -> Architecture | None:
    if not _is_residual(shapes) or "linear.weight" not in shapes:
        return None
    a = derived({_ours(name): shape for name, shape in shapes.items()}, zeros="both")
    if a.shortcut == "A" and any(after != 2 * before for before, after in zip(a.widths, a.widths[1:], strict=False)):
        raise ResNetsError(
            "The network adds zero channels where its channels do not double, which akamaster's shortcut A cannot.",
            "Say which network it is with --architecture.",
        )
    return a


def _says(architecture: Architecture) -> str:
    found = ["an epsilon of 1e-5, no dilation and no anti-aliasing, of which no array would tell"]
    if architecture.bottleneck:
        found.append("a bottleneck's stride in its 3x3 convolution")
    if architecture.shortcut_pool:
        found.append("means over 2x2 with ceil mode where a shortcut pools")
    return "; ".join(found)


def _akamaster_says(architecture: Architecture) -> str:
    zeros = "; zero channels on both sides in shortcut A" if architecture.shortcut == "A" else ""
    return _says(architecture) + zeros


TORCHVISION = Dialect("torchvision", _torchvision, _implied_torchvision, _says, counters)
TIMM = Dialect("timm", _timm, _implied_timm, _says, counters)
AKAMASTER = Dialect("akamaster", _akamaster, _implied_akamaster, _akamaster_says, counters)
CANONICAL = Dialect("canonical", _canonical, _implied_canonical, _says, counters)
