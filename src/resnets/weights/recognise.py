"""The steps of a foreign network go in; the Architecture that has just these steps comes out, and whose array is which.

Every importer that finds a graph in its file (Torch7's module trees, ONNX, MXNet's symbols) says what it found as steps
with names of its own. The fields are read off the shape of that graph, then the steps of those fields are laid beside
it: a network is only recognised where both agree in every step, number and array.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, zip_longest
from typing import Any

from resnets.catalog import Architecture
from resnets.errors import ResNetsError, plain, some
from resnets.network import INPUT, Step, steps
from resnets.weights.trunk import Block, Chain, OddError, Trunk, trunk_of

OPERATIONS = frozenset(
    ("conv", "batch_norm", "relu", "max_pool", "average_pool", "pad_channels", "add", "global_pool", "linear")
)


def recognise(found: Sequence[Step], source: str) -> tuple[Architecture, dict[str, str]]:
    """The network that these steps are, and the key of each of its arrays by canonical name.

    `found`: any names but `data`, which is the image; `arrays` have keys of the caller's in the order of `Step`. An
    `op` that Step does not know says what stands there. Raises ResNetsError that names every step which has no place in
    a residual network, or differs from the network that the others are.
    """
    odd = [f"{step.name} ({step.op})" for step in found if step.op not in OPERATIONS]
    if odd:
        raise _unknown(source, f"{some(odd)} {'has' if len(odd) == 1 else 'have'} no place in one")
    try:
        theirs = trunk_of(found)
        architecture = _architecture(theirs)
    except OddError as error:
        raise _unknown(source, str(error)) from error
    ours = trunk_of(steps(architecture))
    differing = [text for text in (difference(*pair) for pair in _pairs(ours, theirs)) if text]
    if not differing and _layout(ours) != _layout(theirs):
        raise _unknown(source, "its shortcuts branch off in other places than those of the nearest one")
    if differing:
        raise _unknown(source, f"{len(differing)} of its steps differ from the nearest one: {some(differing, 20)}")
    keys = {
        name: key
        for one, other in zip(ours.steps, theirs.steps, strict=True)
        for (name, _), (key, _) in zip(one.arrays, other.arrays, strict=True)
    }
    return architecture, keys


def _unknown(source: str, why: str) -> ResNetsError:
    return ResNetsError(
        f"{source} holds no residual network that resnets can describe: {why}.",
        "Convert a network of the kinds that `resnets list` shows; an .onnx file can be used for prediction as it is.",
    )


def _architecture(trunk: Trunk) -> Architecture:
    """The fields that the graph shows. Where two descriptions are the same network, the catalog's is taken."""
    if not trunk.blocks:
        raise OddError(INPUT, "no residual block follows")
    tail = [step.op for step in trunk.chains[-1]]
    if tail[-2:] != ["global_pool", "linear"]:
        ends = ", ".join(tail) or "nothing"
        raise OddError(trunk.blocks[-1].add.name, f"behind the last block stand {ends}, not a pooling and a classifier")
    preact = "relu" not in tail or not _activated(trunk)
    counts = {len(block.convolutions) for block in trunk.blocks}
    if counts not in ({2}, {3}):
        raise OddError(trunk.blocks[0].add.name, f"blocks have {sorted(counts)} convolutions, and not all 2 or all 3")
    bottleneck = counts == {3}
    stages = _stages(trunk, 4 if bottleneck else 1)
    first = _first(trunk, stages) if preact else ()
    stem = _stem(trunk.chains[0], bare=preact and first[0] == "both")
    classes = trunk.chains[-1][-1].channels
    post_add = not preact and tail[0] == "batch_norm"
    rough = {
        "block": f"{'preact-' if preact else ''}{'bottleneck' if bottleneck else 'basic'}",
        "blocks": tuple(len(stage) for stage in stages),
        "widths": tuple(stage[0].add.channels // (4 if bottleneck else 1) for stage in stages),
        "preact_first": first,
        "final_batch_norm": tail.count("batch_norm") > post_add,
        "post_add_batch_norm": post_add,
        "classes": classes,
        **stem,
        **_grouped(trunk.blocks[0], bottleneck),
        **_shortcut(trunk, preact),
        **_norms(trunk),
    }
    try:
        return _with_biases(Architecture(**rough), trunk)
    except ResNetsError as error:
        raise OddError(trunk.blocks[0].add.name, error.problem) from error


def _activated(trunk: Trunk) -> bool:
    """Does a ReLU follow every addition on the trunk, as in a post-activation network?

    With a single block a stage a batch norm and ReLU behind each addition could be either kind; a pre-activation
    network has no batch norm at the end of a branch, and its shortcuts have none.
    """
    behind = [tuple(step.op for step in chain) for chain in trunk.chains[1:]]
    if any("relu" not in ops for ops in behind):
        return False
    ends_bare = all(block.branch[-1].op == "conv" for block in trunk.blocks)
    normed = all(ops[0] == "batch_norm" for ops in behind)
    alone = all(b.stride > 1 or b.add.channels != a.add.channels for a, b in pairwise(trunk.blocks))
    return not (ends_bare and normed and alone)


def _stages(trunk: Trunk, expansion: int) -> list[list[Block]]:
    """Blocks in stages: one begins where the resolution or the width changes."""
    stages: list[list[Block]] = []
    for block in trunk.blocks:
        if block.add.channels % expansion:
            raise OddError(block.add.name, f"{block.add.channels} channels are no multiple of {expansion}")
        if not stages or block.stride > 1 or block.add.channels != stages[-1][-1].add.channels:
            stages.append([])
        stages[-1].append(block)
    return stages


def _first(trunk: Trunk, stages: list[list[Block]]) -> tuple[str, ...]:
    """What stands before the first convolution of each stage of a pre-activation network."""
    at, found = 0, []
    for stage in stages:
        if stage[0].branch[0].op == "batch_norm":
            found.append("branch")
        else:
            ops = [step.op for step in trunk.chains[at]]
            found.append("both" if ops[-2:] == ["batch_norm", "relu"] else "none")
        at += len(stage)
    return tuple(found)


def _stem(chain: Chain, *, bare: bool) -> dict[str, Any]:
    """`bare`: the batch norm and ReLU at the chain's end may be the first block's, which its shortcut reads too."""
    if not any(step.op == "conv" for step in chain):
        raise OddError(chain[0].name if chain else INPUT, "no convolution stands before the first block")
    convolutions = [step for step in chain if step.op == "conv"]
    first = chain[0]
    normed = first.op == "batch_norm"
    pooled = any(step.op == "max_pool" for step in chain)
    if pooled:
        kind = "deep" if len(convolutions) == 3 else "imagenet"
    else:
        ops = [step.op for step in chain[normed:]]
        kind = "bare" if ops == ["conv"] or (bare and ops == ["conv", "batch_norm", "relu"]) else "cifar"
    shape = convolutions[0].arrays[0][1]
    return {
        "stem": kind,
        "stem_widths": tuple(step.channels for step in convolutions),
        "input_batch_norm": normed,
        "input_channels": shape[1] * convolutions[0].groups,
    }


def _grouped(block: Block, bottleneck: bool) -> dict[str, Any]:
    """`groups` and `base_width` (width of a group where the stage is 64 wide), and where the stride lies."""
    if not bottleneck:
        return {}
    groups, inner = block.convolutions[1].groups, block.convolutions[0].channels
    width = block.add.channels // 4
    base_width, rest = divmod(inner // groups * 64, width)
    if rest or not base_width:
        raise OddError(block.convolutions[0].name, f"{inner} channels in {groups} groups do not fit a width of {width}")
    return {"groups": groups, "base_width": base_width}


def _shortcut(trunk: Trunk, preact: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"shortcut_batch_norm": not preact}
    if any(block.convolutions[0].stride > 1 for block in trunk.blocks if len(block.convolutions) == 3):
        found["stride_in"] = "1x1"
    every = [block.shortcut for block in trunk.blocks if block.shortcut]
    if not every:
        return found
    ops = {step.op for way in every for step in way}
    if "conv" not in ops:
        zeros = next((step.zeros for way in every for step in way if step.op == "pad_channels"), (0, 0))
        return found | {"shortcut": "A", "shortcut_zeros": "both" if zeros[0] else "after"}
    before = (trunk.blocks[0], *trunk.blocks)  # the first chain has a convolution
    entering = [(chain or (block.add,))[-1].channels for chain, block in zip(trunk.chains, before)]
    unneeded = any(b.shortcut and b.stride == 1 and b.add.channels == n for b, n in zip(trunk.blocks, entering))
    return found | {
        "shortcut": "C" if unneeded else "B",
        "shortcut_pool": "average_pool" in ops,
        "shortcut_batch_norm": "batch_norm" in ops,
    }


def _norms(trunk: Trunk) -> dict[str, Any]:
    """Whether batch norms behind convolutions are there, and the eps of all of them."""
    values = {float(f"{step.eps:.6g}") for step in trunk.steps if step.op == "batch_norm"}
    if len(values) > 1:
        name = next(step.name for step in trunk.steps if step.op == "batch_norm")
        raise OddError(name, f"batch norms have more than one eps: {', '.join(map(str, sorted(values)))}")
    inside = trunk.blocks[0].branch
    at = inside.index(trunk.blocks[0].convolutions[0])
    folded = inside[at + 1].op != "batch_norm"
    return {"batch_norm": "none" if folded else "standard", **({"eps": values.pop()} if values else {})}


def _with_biases(architecture: Architecture, trunk: Trunk) -> Architecture:
    """The same with the first `conv_bias` that gives every convolution the arrays that it has.

    Where batch norms are folded, a shortcut's batch norm may be part of its convolution, which then has a bias.
    """
    biased = [len(step.arrays) == 2 for step in trunk.steps if step.op == "conv"]
    norms = (True, False) if architecture.batch_norm == "none" else (architecture.shortcut_batch_norm,)
    for kind in ("none", "bottleneck-1x1", "all"):
        for norm in norms:
            candidate = replace(architecture, conv_bias=kind, shortcut_batch_norm=norm)
            ours = [len(step.arrays) == 2 for step in trunk_of(steps(candidate)).steps if step.op == "conv"]
            if ours == biased or len(ours) != len(biased):  # the comparison of all steps tells what else there is
                return candidate
    some_of = sum(biased)
    name = next((s.name for s in trunk.steps if s.op == "conv"), INPUT)
    raise OddError(name, f"{some_of} of {len(biased)} convolutions have a bias, in places that no variant has")


def _layout(trunk: Trunk) -> tuple[list[int], list[tuple[int, int]]]:
    """How long the chains and the two ways of each block are: the same steps in a row can be wired in two ways."""
    ways = [(len(block.branch), len(block.shortcut)) for block in trunk.blocks]
    return [len(chain) for chain in trunk.chains], ways


def _pairs(ours: Trunk, theirs: Trunk) -> Iterator[tuple[Step | None, Step | None]]:
    yield from zip_longest(ours.steps, theirs.steps)


def difference(ours: Step | None, theirs: Step | None, keys: Mapping[str, str] | None = None) -> str:
    """What differs between our step and theirs, their names aside; empty where nothing does.

    `keys`: what each of our arrays should be called there; without it their shapes are compared.
    """
    if ours is None or theirs is None:
        return (
            f"{ours.name} is missing"
            if ours
            else plain(f"{theirs.name} ({theirs.op}) is one too many" if theirs else "")
        )
    if ours.op != theirs.op:
        return plain(f"{theirs.name} is {theirs.op} instead of {ours.op}")
    fields = ("channels", "kernel", "stride", "padding", "groups", "zeros")
    pairs = [(name, getattr(ours, name), getattr(theirs, name)) for name in fields]
    found = [f"{name} {b} instead of {a}" for name, a, b in pairs if a != b]
    if not math.isclose(ours.eps, theirs.eps, rel_tol=1e-5):
        found.append(f"eps {theirs.eps:g} instead of {ours.eps:g}")
    if keys is None or len(ours.arrays) != len(theirs.arrays):
        a_shapes, b_shapes = ([shape for _, shape in step.arrays] for step in (ours, theirs))
        found += [f"arrays {b_shapes} instead of {a_shapes}"] if a_shapes != b_shapes else []
    else:
        names = [(keys[name], key) for (name, _), (key, _) in zip(ours.arrays, theirs.arrays, strict=True)]
        found += [f"{b} instead of {a}" for a, b in names if a != b]
    return plain(f"{theirs.name} has {', '.join(found)}") if found else ""
