"""Names of the canonical kind with their shapes go in, the network that they imply comes out.

torchvision's, timm's and akamaster's names are canonical ones, or become so by two replacements. What names and
shapes do not say is taken as those frameworks build it: the stride of a bottleneck in its 3x3 convolution, an epsilon
of 1e-5, no dilation and no anti-aliasing, which have no arrays (`variant` looks for names that tell of the latter).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product

from resnets.catalog import ARCHITECTURES, MAX_COUNT, Architecture
from resnets.errors import ResNetsError, plain, some
from resnets.network import Shape, array_shapes, block_shapes
from resnets.weights.model import mismatches

Shapes = Mapping[str, Shape]
_BLOCK = re.compile(r"layer([1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.")
_STEMS = {7: "imagenet", 3: "cifar"}
# What other members of the family have: part of a name, what it is. timm/models/resnet.py and timm/layers, whose newer
# versions save no filters of anti-aliasing.
_FOREIGN = (
    (r"\.se\.|\.se_module\.", "squeeze-and-excitation"),
    (r"\.(attn|eca)\.", "channel attention"),
    (r"\.aa\.|\.filt$|\.conv2\.\d\.", "anti-aliasing"),
    (r"(^|\.)maxpool\.", "a stem that pools with a convolution"),
    (r"^(conv[23]|bn[23])\.", "a stem of several convolutions (as CLIP has it)"),
    (r"^attnpool\.", "attention pooling"),
    (r"\.gain$", "weight standardisation"),
)  # fmt: skip


def derived(shapes: Shapes, *, zeros: str | None = None) -> Architecture:
    """The network of canonical names and shapes. `zeros`: where shortcut A puts its zero channels, where that is known.

    Raises ResNetsError where names and shapes leave it open (with the candidates), or are of no network that resnets
    has (with all that does not fit).
    """
    _refuse_foreign(shapes)
    blocks = _blocks(shapes)
    if not blocks:
        raise ResNetsError(
            "The names begin like a residual network's, but no stage of blocks follows.",
            "Give the arrays of the whole network.",
        )
    tried = list(_described(_outline(shapes, blocks)))
    fitting = [candidate for candidate in tried if _fits(candidate, shapes)]
    if not fitting:
        nearest = min(tried, key=lambda candidate: len(_apart(candidate, shapes)))
        raise _misfit(nearest, shapes)
    _refuse_open(fitting[0], shapes, zeros)
    chosen = fitting[0]
    return replace(chosen, shortcut_zeros=zeros) if zeros and chosen.shortcut == "A" else chosen


def candidates(a: Architecture, shapes: Shapes) -> list[str]:
    """Names of the catalog with as many blocks as `a`, whose arrays have just these names and shapes.

    Classes and input channels may differ.
    """
    alike = {name: row for name, row in ARCHITECTURES.items() if (row.blocks, row.widths) == (a.blocks, a.widths)}
    return [name for name, row in alike.items() if _fits(adapted(row, shapes), shapes)]


def adapted(architecture: Architecture, shapes: Shapes, stem: str = "", classifier: str = "fc.weight") -> Architecture:
    """The architecture with the classes and input channels that these arrays have."""
    fc = shapes.get(classifier, ())
    conv = shapes.get(stem or ("conv1.0.weight" if architecture.stem == "deep" else "conv1.weight"), ())
    classes = fc[0] if len(fc) == 2 and 0 < fc[0] <= MAX_COUNT else architecture.classes
    channels = conv[1] if len(conv) == 4 and 0 < conv[1] <= MAX_COUNT else architecture.input_channels
    return replace(architecture, classes=classes, input_channels=channels)


def _fits(architecture: Architecture, shapes: Shapes) -> bool:
    return array_shapes(architecture) == dict(shapes)


def _apart(architecture: Architecture, shapes: Shapes) -> set[tuple[str, Shape]]:
    return set(array_shapes(architecture).items()) ^ set(shapes.items())


def _misfit(nearest: Architecture, shapes: Shapes) -> ResNetsError:
    return ResNetsError(
        "The arrays do not make up a network; compared with the nearest that resnets can describe,"
        f" {'; '.join(mismatches(array_shapes(nearest), shapes))}.",
        "Use a file with all arrays of a residual network and no others, or say which network it is with"
        " --architecture.",
    )


def _refuse_foreign(shapes: Shapes) -> None:
    found: dict[str, list[str]] = {}
    for name in shapes:
        for pattern, what in _FOREIGN:
            if re.search(pattern, name):
                found.setdefault(what, []).append(name.rpartition(".")[0])
                break
    norms = [name.removesuffix(".weight") for name in shapes if re.search(r"(^|\.)(bn\d|norm)\.weight$", name)]
    bare = [norm for norm in norms if f"{norm}.running_mean" not in shapes]
    if norms and len(bare) == len(norms):
        found["group norm (no running statistics)"] = bare
    if found:
        listed = "; ".join(f"{what}: {plain(some(_distinct(modules)))}" for what, modules in found.items())
        raise ResNetsError(
            f"The network has parts that resnets does not build: {listed}.",
            "Use a residual network without them; exported to ONNX, this one can still be used for prediction.",
        )


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _blocks(shapes: Shapes) -> tuple[int, ...]:
    """How many blocks each stage has, as far as stages and blocks are numbered without a gap."""
    seen = {(int(m[1]), int(m[2])) for name in shapes if (m := _BLOCK.match(name))}
    found: list[int] = []
    while (len(found) + 1, 0) in seen:
        count = 1
        while (len(found) + 1, count) in seen:
            count += 1
        found.append(count)
    return tuple(found)


def _size(shapes: Shapes, name: str, axis: int) -> int:
    """A size of an array that has to be there; 1 where it is not, for the comparison that follows to list."""
    shape = shapes.get(name, ())
    return shape[axis] if axis < len(shape) and shape[axis] > 0 else 1


def _outline(shapes: Shapes, blocks: tuple[int, ...]) -> dict[str, object]:
    """Every field but those of biases and folding."""
    bottleneck = "layer1.0.conv3.weight" in shapes
    kind, last = ("bottleneck", 3) if bottleneck else ("basic", 1)
    outs = [_size(shapes, f"layer{stage}.0.conv{last}.weight", 0) for stage in range(1, len(blocks) + 1)]
    widths = tuple(out // 4 if bottleneck else out for out in outs)
    preact = _preact(shapes, blocks)
    firsts = [f"layer{stage}.0.bn1.weight" in shapes for stage in range(1, len(blocks) + 1)]
    return {
        "block": f"preact-{kind}" if preact else kind,
        "blocks": blocks,
        "widths": widths,
        **_stem(shapes),
        **_shortcut(shapes, blocks, widths, 4 if bottleneck else 1),
        **(_groups(shapes, widths) if bottleneck else {}),
        "preact_first": tuple("both" if first else "none" for first in firsts) if preact else (),
        "post_add_batch_norm": "layer1.0.bn_add.weight" in shapes,
        "input_batch_norm": "bn0.weight" in shapes,
        "final_batch_norm": "norm.weight" in shapes,
        "classes": _size(shapes, "fc.weight", 0),
    }


def _described(outline: dict[str, object]) -> Iterator[Architecture]:
    """Networks of that outline with biases here and there, folded or not: the plainest first."""
    normed = outline.get("shortcut_batch_norm", True)
    problem = ""
    for folded, bias in product(("standard", "none"), ("none", "bottleneck-1x1", "all")):
        for shortcut in (normed,) if normed or folded == "standard" else (True, False):
            fields = {**outline, "shortcut_batch_norm": shortcut, "conv_bias": bias, "batch_norm": folded}
            try:
                yield Architecture(**fields)  # type: ignore[arg-type]
            except ResNetsError as error:
                problem = error.problem
    if problem:
        raise ResNetsError(
            f"The shapes of the arrays are of no residual network. {problem}", "Check where the file is from."
        )


def _preact(shapes: Shapes, blocks: tuple[int, ...]) -> bool:
    """Whether batch norms stand before their convolutions: seen wherever a first convolution changes the channels."""
    for stage, count in enumerate(blocks, 1):
        for block in range(min(count, 2)):
            out, channels = (_size(shapes, f"layer{stage}.{block}.conv1.weight", axis) for axis in (0, 1))
            norm = shapes.get(f"layer{stage}.{block}.bn1.weight")
            if norm is not None and out != channels:
                return norm == (channels,)
    return "norm.weight" in shapes


def _stem(shapes: Shapes) -> dict[str, object]:
    if "conv1.0.weight" in shapes:
        widths = tuple(_size(shapes, f"conv1.{index}.weight", 0) for index in (0, 3, 6))
        return {"stem": "deep", "stem_widths": widths, "input_channels": _size(shapes, "conv1.0.weight", 1)}
    kernel = _size(shapes, "conv1.weight", 2)
    stem = _STEMS.get(kernel, "imagenet")
    if stem == "cifar" and "bn1.weight" not in shapes and "layer1.0.bn1.weight" in shapes:
        stem = "bare"
    return {
        "stem": stem,
        "stem_widths": (_size(shapes, "conv1.weight", 0),),
        "input_channels": _size(shapes, "conv1.weight", 1),
    }


def _shortcut(shapes: Shapes, blocks: tuple[int, ...], widths: tuple[int, ...], expansion: int) -> dict[str, object]:
    projecting = {name.partition(".downsample.")[0] for name in shapes if ".downsample." in name}
    entries = [f"layer{stage}.0" for stage in range(1, len(blocks) + 1)]
    pooled = any(len(shapes.get(f"{entry}.downsample.1.weight", ())) == 4 for entry in projecting)
    index = 1 if pooled else 0
    convolutions = [entry for entry in sorted(projecting) if f"{entry}.downsample.{index}.weight" in shapes]
    normed = [entry for entry in convolutions if f"{entry}.downsample.{index + 1}.weight" in shapes]
    if not projecting:
        kind = "A" if len(entries) > 1 else "B"
        return {"shortcut": kind if expansion == 1 and sorted(widths) == list(widths) else "B"}
    return {
        "shortcut": "C" if any(entry not in entries for entry in projecting) else "B",
        "shortcut_pool": pooled,
        "shortcut_batch_norm": bool(normed),
    }


def _groups(shapes: Shapes, widths: tuple[int, ...]) -> dict[str, object]:
    """Groups, and the smallest base width that gives the inner channels of every stage."""
    inner = [_size(shapes, f"layer{stage}.0.conv2.weight", 0) for stage in range(1, len(widths) + 1)]
    groups = max(inner[0] // _size(shapes, "layer1.0.conv2.weight", 1), 1)
    least = [-(-64 * (channels // groups) // max(width, 1)) for width, channels in zip(widths, inner, strict=True)]
    return {"groups": groups, "base_width": min(max(*least, 1), MAX_COUNT)}


def _refuse_open(a: Architecture, shapes: Shapes, zeros: str | None) -> None:
    """Raises ResNetsError where other networks have the same names and shapes, and nothing says which one this is."""
    entries = [stage[0] for stage in block_shapes(a)]
    adds = any(block.inputs != block.width * a.expansion for block in entries)
    if a.shortcut == "A" and adds and zeros is None:
        what = "no projections where the channels change, so that its shortcuts add zero channels"
        lacks = "on which side"
    elif a.preact and "both" in a.preact_first:
        what = "batch norms before its convolutions"
        lacks = "whether shortcuts read what is activated"
    else:
        return
    known = candidates(a, shapes)
    raise ResNetsError(
        f"The network has {what}; {lacks} is not to be seen from names and shapes.",
        "Say which network it is with --architecture"
        + (f", for instance {' or '.join(known[:4])}." if known else ", or give a model file of resnets."),
    )
