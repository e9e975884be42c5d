"""MXNet's names of arrays go in, the network that they imply comes out, and back: Gluon's and GluonCV's networks.

Three styles. Structural names follow the attributes of the network's blocks (`features.5.0.body.0.weight`), prefixed
ones the order in which its layers were created (`stage1_conv0_weight`), exported ones have the network's own prefix and
the kind of array before that (`arg:resnetv17_stage1_conv0_weight`). GluonCV's attributes are torchvision's.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from resnets.catalog import Architecture
from resnets.errors import ResNetsError
from resnets.network import Shape, Step, steps
from resnets.weights.dialects.gluon_classes import Outline, built, family_of, prefix_of
from resnets.weights.dialects.table import Dialect

_PARTS = {"weight": "gamma", "bias": "beta"}  # of a batch norm; its running statistics are called as ours
_COUNTED = {"batch_norm": "batchnorm", "linear": "dense", "max_pool": "pool", "global_pool": "pool", "add": "_plus"}
_INSIDE = re.compile(r"layer(\d+)\.(\d+)\.(.+)")
_FIRST_CONV = re.compile(r"(stage|layers)1_conv0_weight$")
_CALLED = re.compile(r"__plus\d+$|_activation\d+$")  # functions, which are no layers with a forward of theirs
_GLUON, _ALL = ("v1", "v2"), ("v1", "v2", "v1b")


def layers(plan: list[Step], family: str) -> dict[str, str]:
    """Step → what MXNet calls its layer, in the order of creation: `conv0`, `stage1_batchnorm3`, `stage1__plus0`."""
    counters: Counter[str] = Counter()
    found = {}
    for step in plan:
        name = _scope(step, family)
        found[step.name] = f"{name}{counters[name]}"
        counters[name] += 1
    return found


def _scope(step: Step, family: str) -> str:
    kind = _COUNTED.get(step.op, step.op)
    inside = _INSIDE.match(step.name)
    if not inside:
        return kind
    stage, _, rest = inside.groups()
    if family == "v1b":
        return f"down{stage}_{kind}" if rest.startswith("downsample") else f"layers{stage}_{kind}"
    if step.op == "relu" and (family == "v2" or rest == "relu"):  # called as a function, not made as a layer
        kind = "activation"
    return f"stage{stage}_{kind}"


def _attribute(step: Step, a: Architecture, family: str) -> str:
    """Where a layer of Gluon's stands among the attributes of the network."""
    first = {"v1": 4, "v2": 5}[family] - (3 if a.cifar_stem else 0)  # a thumbnail's stem has no norm, ReLU, pooling
    inside = _INSIDE.match(step.name)
    if not inside:
        outside = {"conv1": 0, "bn1": 1} if family == "v1" else {"bn0": 0, "conv1": 1, "bn1": 2}
        outside["norm"] = first + len(a.blocks)
        return "output" if step.op == "linear" else f"features.{outside[step.name]}"
    stage, block, rest = inside.groups()
    if family == "v2":
        rest = rest.removesuffix(".0")  # downsample is the convolution itself
    elif not rest.startswith("downsample"):
        rest = f"body.{3 * int(rest[-1]) - 3 + rest.startswith('bn')}"
    return f"features.{first + int(stage) - 1}.{block}.{rest}"


def _arrays(a: Architecture) -> Iterator[tuple[str, Step, str]]:
    """(canonical name, step, what MXNet calls the array in its layer) of every array."""
    for step in steps(a):
        for name, _ in step.arrays:
            part = name.rpartition(".")[2]
            yield name, step, _PARTS.get(part, part) if step.op == "batch_norm" else part


def _structural(a: Architecture) -> dict[str, str]:
    family = family_of(a, _GLUON)
    return {name: f"{_attribute(step, a, family)}.{part}" for name, step, part in _arrays(a)}


def _gluoncv(a: Architecture) -> dict[str, str]:
    family_of(a, ("v1b",))
    return {name: f"{step.name}.{part}" for name, step, part in _arrays(a)}


def _prefixed(a: Architecture) -> dict[str, str]:
    called = layers(steps(a), family_of(a, _ALL))
    return {name: f"{called[step.name]}_{part}" for name, step, part in _arrays(a)}


def _exported(a: Architecture) -> dict[str, str]:
    family = family_of(a, _ALL)
    prefix, called = prefix_of(a, family), _prefixed(a)
    order = (name for step in graph_order(steps(a), a, family) for name, _ in step.arrays)
    return {name: f"{'aux' if '.running_' in name else 'arg'}:{prefix}{called[name]}" for name in order}


def graph_order(plan: list[Step], a: Architecture, family: str) -> list[Step]:
    """The steps in the order of an exported graph: ResNetV1's basic blocks add their branch to their shortcut."""
    if family != "v1" or a.bottleneck:
        return plan
    begins: dict[str, int] = {}

    def place(numbered: tuple[int, Step]) -> tuple[int, bool, int]:
        number, step = numbered
        inside = _INSIDE.match(step.name)
        begin = begins.setdefault(f"{inside[1]}.{inside[2]}", number) if inside else number
        return begin, not (inside and inside[3].startswith("downsample")), number

    ordered = [step for _, step in sorted(enumerate(plan), key=place)]
    return [replace(step, inputs=step.inputs[::-1]) if step.op == "add" else step for step in ordered]


def graph_names(a: Architecture) -> tuple[list[Step], dict[str, str], dict[str, str]]:
    """An exported graph of Gluon's: the steps in its order, the name of each one's node and value, of each array.

    Where batch norms have been folded the other names stay. Raises ResNetsError for what Gluon has no network for.
    """
    whole = replace(a, batch_norm="standard")
    family = family_of(whole, _GLUON)
    prefix, called = prefix_of(whole, family), layers(steps(whole), family)
    plan = graph_order(steps(a), a, family)
    nodes = {step: prefix + name + ("" if _CALLED.search(name) else "_fwd") for step, name in called.items()}
    return plan, nodes, {name: f"{prefix}{called[step.name]}_{part}" for name, step, part in _arrays(a)}


def unprefixed(names: Mapping[str, object]) -> dict[str, str]:
    """Their name → the same without `arg:` or `aux:` and the network's prefix, whatever it is, where it has them."""
    bare = {name: re.sub(r"^(arg|aux):", "", name) for name in names}
    firsts = [name for name in bare.values() if "." not in name and _FIRST_CONV.search(name)]
    prefix = max((_FIRST_CONV.sub("", name) for name in firsts), key=len, default="")
    return {name: text.removeprefix(prefix) for name, text in bare.items()}


def _implied_structural(shapes: Mapping[str, Shape]) -> Architecture | None:
    family, at = ("v2", 1) if "features.1.weight" in shapes and "features.0.gamma" in shapes else ("v1", 0)
    normed = f"features.{at + 1}.gamma" in shapes
    stem = shapes.get(f"features.{at}.weight", ())
    _refuse_cifar(family, stem, normed)
    first = at + (4 if normed else 1)
    conv = "body.0" if family == "v1" else "conv1"
    stages = _stages(shapes, lambda stage, block: f"features.{first + stage}.{block}.{conv}.weight", 1)
    return _network(family, (stem,), normed, stages, shapes.get("output.weight", ()))


def _implied_gluoncv(shapes: Mapping[str, Shape]) -> Architecture | None:
    if "bn1.gamma" not in shapes:
        return None
    deep = "conv1.0.weight" in shapes
    stem = tuple(shapes.get(name, ()) for name in (_DEEP if deep else ("conv1.weight",)))
    stages = _stages(shapes, lambda stage, block: f"layer{stage + 1}.{block}.conv1.weight", 1)
    pooled = any(re.fullmatch(r"layer\d+\.0\.downsample\.2\.gamma", name) for name in shapes)
    return _network("v1b", stem, True, stages, shapes.get("fc.weight", ()), pooled)


_DEEP = ("conv1.0.weight", "conv1.3.weight", "conv1.6.weight")


def _implied_prefixed(theirs: Mapping[str, Shape]) -> Architecture | None:
    plain = unprefixed(theirs)
    shapes = {plain[name]: shape for name, shape in theirs.items()}
    classifier, stem = shapes.get("dense0_weight", ()), (shapes.get("conv0_weight", ()),)
    if "layers1_conv0_weight" in shapes:
        if "conv1_weight" in shapes:
            raise ResNetsError(
                "The arrays have GluonCV's prefixed names, in which its c and d networks, or s and e, are the same:"
                " only d and e pool in their shortcuts.",
                "Say which it is with --architecture, for instance resnet50c or resnet50d.",
            )
        return _network("v1b", stem, True, _stages(shapes, _counted("layers"), 0), classifier)
    family = "v2" if "batchnorm1_gamma" in shapes else "v1"
    normed = f"batchnorm{2 if family == 'v2' else 0}_gamma" in shapes
    _refuse_cifar(family, stem[0], normed)
    return _network(family, stem, normed, _stages(shapes, _counted("stage"), 0), classifier)


def _counted(scope: str) -> Callable[[int, int], str]:
    return lambda stage, number: f"{scope}{stage + 1}_conv{number}_weight"


def _stages(shapes: Mapping[str, Shape], name: Callable[[int, int], str], blocks_each: int) -> list[tuple[Shape, int]]:
    """(shape of the first convolution, blocks) of each stage.

    `name` of a stage and a number, from 0 on: of each block where `blocks_each`, else of each convolution, which a
    projection may have one more of.
    """
    found: list[tuple[Shape, int]] = []
    while name(len(found), 0) in shapes:
        count, first = 0, shapes[name(len(found), 0)]
        while name(len(found), count) in shapes:
            count += 1
        if not blocks_each:
            count //= 3 if first[2:] == (1, 1) else 2
        found.append((first, count))
    return found


def _network(
    family: str,
    stem: tuple[Shape, ...],
    normed: bool,
    stages: list[tuple[Shape, int]],
    classifier: Shape,
    pooled: bool = False,
) -> Architecture | None:
    """The network, or None where an array that every network of these names has is missing."""
    firsts, blocks = tuple(shape for shape, _ in stages), tuple(count for _, count in stages)
    if not stages or any(len(shape) != 4 for shape in (*stem, *firsts)) or len(classifier) != 2:
        return None
    return built(Outline(family, stem, normed, firsts, blocks, classifier[0], pooled))


def _refuse_cifar(family: str, stem: Shape, normed: bool) -> None:
    """GluonCV's CIFARResNetV1 has Gluon's names, but its stem is a convolution and a batch norm without a ReLU."""
    if family == "v1" and normed and stem[2:] == (3, 3):
        raise ResNetsError(
            "The names are those of GluonCV's CIFARResNetV1, whose stem has no ReLU behind its batch norm, which no"
            " architecture of resnets describes.",
            "Use a CIFARResNetV2, or train the network anew.",
        )


def _says(architecture: Architecture) -> str:
    eps = "an epsilon of 1e-5"
    if architecture.preact:
        return f"Gluon's ResNetV2: batch norm on the input, pre-activation, {eps}"
    if architecture.bottleneck and architecture.stride_in == "1x1":
        return f"Gluon's ResNetV1: a bottleneck's stride in its first 1x1 convolution, biases in both of its 1x1, {eps}"
    if architecture.bottleneck or architecture.stem == "deep":
        return f"GluonCV's ResNetV1b, c, d, e or s: stride in the 3x3 convolution, no biases, no dilation, {eps}"
    return f"Gluon's ResNetV1, {eps}"


STRUCTURAL = Dialect("structural", _structural, _implied_structural, _says)
PREFIXED = Dialect("prefixed", _prefixed, _implied_prefixed, _says)
EXPORTED = Dialect("exported", _exported, _implied_prefixed, _says)
GLUONCV = Dialect("gluoncv", _gluoncv, _implied_gluoncv, _says)
