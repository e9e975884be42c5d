"""A name goes in, the description of a residual network comes out; nothing here computes."""

import re
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Any

from resnets.errors import ResNetsError, did_you_mean
from resnets.values import frozen, plain

CHOICES = {
    "block": ("basic", "bottleneck", "preact-basic", "preact-bottleneck"),
    "stem": ("imagenet", "deep", "cifar", "bare"),
    "stride_in": ("3x3", "1x1"),
    "conv_bias": ("none", "bottleneck-1x1", "all"),
    "shortcut": ("A", "B", "C"),
    "shortcut_zeros": ("after", "both"),
    "batch_norm": ("standard", "none"),
}
PREACT_FIRST = ("none", "both", "branch")
MAX_BLOCKS, MAX_COUNT = 4096, 1 << 20  # seven times 1,202 layers: a card may not make us build without end


@dataclass(frozen=True)
class Architecture:
    """One residual network, whole: every published variant of the family is a value of these fields.

    `block`: figure 5 of arXiv:1512.03385 (basic, bottleneck) or figure 4(e) of arXiv:1603.05027 (preact-...).
    `blocks`, `widths`: per stage, how many blocks, and the width their 3x3 convolutions are counted in.
    `stem`: `imagenet` is 7x7/2, batch norm, ReLU, 3x3/2 max pooling; `deep` has three 3x3 convolutions in place of the
    7x7; `cifar` is 3x3/1, batch norm, ReLU; `bare` is 3x3/1 and nothing else.
    `preact_first`: per stage, what stands before the first pre-activation block's convolution: `both` is a batch norm
    and ReLU that the shortcut reads too, `branch` is one that it does not, `none` is nothing. Empty otherwise.
    `shortcut`: A pads with zero channels, B projects where the shape changes, C projects everywhere.
    `batch_norm`: `none` means that each batch norm behind a convolution has been folded into it.
    """

    block: str
    blocks: tuple[int, ...]
    widths: tuple[int, ...]
    stem: str = "imagenet"
    stem_widths: tuple[int, ...] = (64,)
    stride_in: str = "3x3"
    conv_bias: str = "none"
    shortcut: str = "B"
    shortcut_zeros: str = "after"
    shortcut_pool: bool = False
    shortcut_batch_norm: bool = True
    post_add_batch_norm: bool = False
    preact_first: tuple[str, ...] = ()
    input_batch_norm: bool = False
    final_batch_norm: bool = False
    groups: int = 1
    base_width: int = 64
    batch_norm: str = "standard"
    eps: float = 1e-5
    input_channels: int = 3
    classes: int = 1000

    def __post_init__(self) -> None:
        problems = _problems(self)
        if problems:
            raise ResNetsError(f"This is not a residual network: {'; '.join(problems)}.", "Correct those fields.")

    @property
    def preact(self) -> bool:
        return self.block.startswith("preact-")

    @property
    def bottleneck(self) -> bool:
        return self.block.endswith("bottleneck")

    @property
    def expansion(self) -> int:
        """Channels that a block puts out, per channel of its width."""
        return 4 if self.bottleneck else 1

    @property
    def features(self) -> int:
        """Channels of the last stage: the length of a feature vector."""
        return self.widths[-1] * self.expansion

    @property
    def cifar_stem(self) -> bool:
        return self.stem in ("cifar", "bare")


def _problems(a: Architecture) -> list[str]:
    found = [
        f"{field} is {getattr(a, field)!r}, not one of {', '.join(allowed)}"
        for field, allowed in CHOICES.items()
        if getattr(a, field) not in allowed
    ]
    counts = (*a.blocks, *a.widths, *a.stem_widths, a.groups, a.base_width, a.input_channels, a.classes)
    if any(type(n) is not int or not 1 <= n <= MAX_COUNT for n in counts) or sum(a.blocks) > MAX_BLOCKS:
        found.append(
            f"blocks, widths, groups, channels and classes must be whole numbers from 1 to {MAX_COUNT:,}, and blocks"
            f" {MAX_BLOCKS:,} in all"
        )
        return found
    flags = ("shortcut_pool", "shortcut_batch_norm", "post_add_batch_norm", "input_batch_norm", "final_batch_norm")
    found += [
        f"{name} is {getattr(a, name)!r}, neither true nor false"
        for name in flags
        if type(getattr(a, name)) is not bool
    ]
    if not a.blocks or len(a.blocks) != len(a.widths):
        found.append(f"{len(a.blocks)} stages of blocks but {len(a.widths)} widths")
    if len(a.stem_widths) != (3 if a.stem == "deep" else 1):
        found.append(f"a {a.stem} stem cannot have {len(a.stem_widths)} widths")
    if len(a.preact_first) != (len(a.blocks) if a.preact else 0) or any(m not in PREACT_FIRST for m in a.preact_first):
        found.append(f"preact_first needs one of {', '.join(PREACT_FIRST)} per stage of a pre-activation network")
    if a.shortcut == "A" and a.bottleneck:
        found.append("shortcut A doubles channels, and a bottleneck's first stage multiplies them by four: use B or C")
    widths = [*a.stem_widths[-1:], *a.widths]
    if a.shortcut == "A" and widths != sorted(widths):
        found.append("shortcut A can only add channels, so widths may not shrink")
    if not a.bottleneck and (a.groups, a.base_width) != (1, 64):
        found.append("groups and base_width belong to bottleneck blocks")
    if a.preact and a.post_add_batch_norm:
        found.append("a pre-activation block has no batch norm after its addition")
    if not 0 < a.eps < 1:
        found.append("eps must lie between 0 and 1")
    return found


_DEPTHS = {  # depth: (block, blocks per stage), table 1 of arXiv:1512.03385; 200 from arXiv:1603.05027
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
    200: ("bottleneck", (3, 24, 36, 3)),
}
_WIDTHS = (64, 128, 256, 512)


def _imagenet(depth: int, **changes: Any) -> Architecture:
    block, blocks = _DEPTHS[depth]
    return Architecture(block, blocks, _WIDTHS, **changes)


def _preact(depth: int, first: tuple[str, ...], **changes: Any) -> Architecture:
    block, blocks = _DEPTHS[depth]
    return Architecture(
        f"preact-{block}",
        blocks,
        _WIDTHS,
        shortcut_batch_norm=False,
        preact_first=first,
        final_batch_norm=True,
        **changes,
    )


def _gluon_v2(depth: int) -> Architecture:
    # BasicBlockV2 hands the raw input to an identity shortcut: stage 1 of 18 and 34 is activated in the branch alone.
    first = "branch" if _DEPTHS[depth][0] == "basic" else "both"
    return _preact(depth, (first, "both", "both", "both"), input_batch_norm=True)


def _cifar(depth: int) -> Architecture:
    n = (depth - 2) // 6
    return Architecture("basic", (n, n, n), (16, 32, 64), stem="cifar", stem_widths=(16,), shortcut="A", classes=10)


def _preact_cifar(depth: int) -> Architecture:
    bottleneck = depth in (164, 1001)
    n = (depth - 2) // (9 if bottleneck else 6)
    return Architecture(
        "preact-bottleneck" if bottleneck else "preact-basic",
        (n, n, n),
        (16, 32, 64),
        stem="bare",
        stem_widths=(16,),
        shortcut="B" if bottleneck else "A",
        shortcut_batch_norm=False,
        preact_first=("both", "both", "both"),
        final_batch_norm=True,
        classes=10,
    )


_DEEP = {"stem": "deep", "stem_widths": (32, 32, 64)}
_DEEP_POOLED = {**_DEEP, "shortcut_pool": True}
_WIDE_DEEP = {"stem": "deep", "stem_widths": (64, 64, 128)}

ARCHITECTURES: dict[str, Architecture] = {
    # Post-activation, stride in the 3x3: fb.resnet.torch, torchvision, Gluon v1b.
    **{f"resnet{d}": _imagenet(d) for d in (18, 34, 50, 101, 152)},
    # Gluon v1, the ONNX zoo's: stride in the first 1x1, biases left on in both 1x1 convolutions.
    **{
        f"resnet{d}-v1": _imagenet(d) if d < 50 else _imagenet(d, stride_in="1x1", conv_bias="bottleneck-1x1")
        for d in (18, 34, 50, 101, 152)
    },
    # Gluon v2, the ONNX zoo's: batch norm on the input, full pre-activation.
    **{f"resnet{d}-v2": _gluon_v2(d) for d in (18, 34, 50, 101, 152)},
    # fb.resnet.torch's preresnet.lua.
    **{f"preresnet{d}": _preact(d, ("none", "both", "both", "both")) for d in (18, 34, 50, 101, 152, 200)},
    # CIFAR, 6n+2 layers: section 4.2 of arXiv:1512.03385.
    **{f"resnet{d}-cifar": _cifar(d) for d in (20, 32, 44, 56, 110, 1202)},
    # CIFAR, pre-activation: 6n+2 basic (preresnet.lua), 9n+2 bottleneck (arXiv:1603.05027).
    **{f"preresnet{d}-cifar": _preact_cifar(d) for d in (20, 32, 44, 56, 110, 164, 1001, 1202)},
    # Few layers, wide where pixels are few: more accurate than 6n+2 for the same training time on a CPU (docs/runs).
    "wide-resnet12-cifar": replace(_cifar(14), blocks=(1, 1, 2, 1), widths=(32, 96, 160, 224), stem_widths=(32,)),
    # ResNeXt (arXiv:1611.05431) and wide (arXiv:1605.07146), as torchvision has them.
    "resnext50-32x4d": _imagenet(50, groups=32, base_width=4),
    "resnext101-32x4d": _imagenet(101, groups=32, base_width=4),
    "resnext101-32x8d": _imagenet(101, groups=32, base_width=8),
    "resnext101-64x4d": _imagenet(101, groups=64, base_width=4),
    "wide-resnet50-2": _imagenet(50, base_width=128),
    "wide-resnet101-2": _imagenet(101, base_width=128),
    # GluonCV and timm, after arXiv:1812.01187: c has the deep stem, d pools in the shortcut too, s and e have it wide.
    **{f"resnet{d}c": _imagenet(d, **_DEEP) for d in (50, 101, 152)},
    **{f"resnet{d}d": _imagenet(d, **_DEEP_POOLED) for d in (18, 34, 50, 101, 152, 200)},
    **{f"resnet{d}s": _imagenet(d, **_WIDE_DEEP) for d in (50, 101, 152)},
    **{f"resnet{d}e": _imagenet(d, **_WIDE_DEEP, shortcut_pool=True) for d in (50, 101, 152)},
    # timm's t: a tiered stem, 24, 32, 64.
    **{
        f"resnet{name}t": Architecture(
            block, blocks, _WIDTHS, stem="deep", stem_widths=(24, 32, 64), shortcut_pool=True
        )
        for name, block, blocks in (
            ("14", "bottleneck", (1, 1, 1, 1)),
            ("26", "bottleneck", (2, 2, 2, 2)),
            ("50", "bottleneck", (3, 4, 6, 3)),
        )
    },
}


def find(name: str) -> Architecture:
    """The architecture of that name. Raises ResNetsError with the nearest names where there is none."""
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    hint = did_you_mean(name, ARCHITECTURES, "Run `resnets list` for the names.")
    raise ResNetsError(f"No architecture is called {name!r}.", hint)


def list_models(pattern: str = "*") -> list[str]:
    """Names of architectures that match a shell pattern, in natural order (18 before 101)."""
    names = [name for name in ARCHITECTURES if fnmatchcase(name, pattern)]
    return sorted(names, key=natural)


def natural(name: str) -> list[tuple[int, int, str]]:
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", name)]


def to_json(architecture: Architecture) -> dict[str, Any]:
    """Every field, tuples as lists: what a card holds."""
    return plain(architecture)


def from_json(value: dict[str, Any]) -> Architecture:
    """The reverse of `to_json`. A missing or unknown field is an error: a network is never half described."""
    known = {f.name for f in fields(Architecture)}
    missing, unknown = sorted(known - value.keys()), sorted(value.keys() - known)
    if missing or unknown:
        parts = [f"{what}: {', '.join(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
        raise ResNetsError(
            f"The card does not describe an architecture of this version ({'; '.join(parts)}).",
            "Open the file with the version of resnets that wrote it.",
        )
    return Architecture(**frozen(value))


def named(architecture: Architecture) -> str | None:
    """The catalog's name for this network whatever its classes and input channels, or None where it has none."""
    for name, row in ARCHITECTURES.items():
        if replace(row, classes=architecture.classes, input_channels=architecture.input_channels) == architecture:
            return name
    return None


def differing(a: Architecture, b: Architecture) -> dict[str, tuple[Any, Any]]:
    """The fields in which two descriptions differ, with both values."""
    pairs = {field.name: (getattr(a, field.name), getattr(b, field.name)) for field in fields(Architecture)}
    return {name: (one, other) for name, (one, other) in pairs.items() if one != other}


_TOLD = "block blocks widths stem stem_widths shortcut preact_first input_channels classes".split()


def summary(architecture: Architecture) -> str:
    """The catalog's name; for a network that has none, what it is in a few words, with whatever is unusual about it."""
    a = replace(architecture, batch_norm="standard")
    folded = ", batch norms folded" if a != architecture else ""
    name = named(a)
    if name is not None:
        return name + folded
    told = {field: getattr(a, field) for field in _TOLD}
    usual = Architecture(**told, shortcut_batch_norm=not a.preact, final_batch_norm=a.preact)
    blocks, widths = (",".join(map(str, numbers)) for numbers in (a.blocks, a.widths))
    odd = "".join(f", {field} {value}" for field, (value, _) in differing(a, usual).items())
    return f"{a.block} blocks {blocks} of widths {widths}, {a.stem} stem, shortcut {a.shortcut}{odd}{folded}"
