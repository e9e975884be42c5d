"""Named arrays of a file without a card go in, the Model that their names imply comes out; or the other way round."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.catalog import Architecture, differing
from resnets.errors import ResNetsError, plain, some
from resnets.network import array_shapes, same
from resnets.weights.dialects.gluon import GLUONCV
from resnets.weights.dialects.shapes import Shapes, adapted
from resnets.weights.dialects.table import FLOATS, Dialect, Stored
from resnets.weights.dialects.torch import AKAMASTER, CANONICAL, COUNTER, TIMM, TORCHVISION, counters
from resnets.weights.dialects.transformers import TRANSFORMERS
from resnets.weights.dialects.variant import refuse_unbuilt
from resnets.weights.model import MAX_NAME, Model, derived_card, mismatches, verify
from resnets.weights.source import DamagedError, Source

DIALECTS: dict[str, Dialect] = {  # in the order in which they are tried
    dialect.name: dialect for dialect in (TORCHVISION, TIMM, AKAMASTER, GLUONCV, TRANSFORMERS, CANONICAL)
}
# What wraps a whole network: nn.DataParallel and DistributedDataParallel, torch.compile, Lightning's modules.
_WRAPPERS = ("module", "_orig_mod", "model", "net", "network", "_model", "backbone", "encoder")
_ORDINARY = re.compile(
    r"(conv1|bn[01]|norm|fc|linear|conv1\.\d|layer\d+\.\d+\.((conv|bn)[123]|bn_add|(downsample|shortcut)\.\d))"
    r"\.(weight|bias|gamma|beta|running_mean|running_var)"
)
MAX_WRAPPERS = 8  # around each other
_PARTS = ("weight", "bias", "running_mean", "running_var")
_EXACTLY = {"float16": "exactly", "bfloat16": "exactly", "float64": "rounded"}


def read_named(
    arrays: Mapping[str, Stored], source: Source, given: Architecture | None, *, most: int, notes: Sequence[str] = ()
) -> Model:
    """The model of a file's arrays by their names there.

    `given`: the network, where the names do not say all of it; its classes and input channels follow the arrays.
    `most`: how many bytes the arrays may have in all, stored. `notes`: what else there is to tell. Raises
    ResNetsError where the names are nobody's, leave open which network it is, or do not fit the network (all
    mismatches are listed), and where the file's own name, or timm's config.json, tells of parts that no array shows.
    """
    longest = max(map(len, arrays), default=0)
    if longest > MAX_NAME:
        raise DamagedError(f"the name of an array has {longest:,} characters")
    arrays = {name: one for name, one in _unwrapped(arrays).items() if not _idle(name, one)}
    shapes = {name: one.shape for name, one in arrays.items()}
    try:
        dialect, architecture = _implied(shapes) if given is None else _fitting(given, shapes)
    except ResNetsError as error:
        raise ResNetsError(f"{source.name} is not read. {error.problem}", error.remedy) from error
    if given is None and dialect in (TORCHVISION, TIMM, TRANSFORMERS):
        refuse_unbuilt(source)
    names = dialect.names(architecture)
    wanted = {name: their for name, their in names.items() if their in arrays}
    found = mismatches({names[name]: shape for name, shape in array_shapes(architecture).items()}, shapes)
    if found:
        raise _misfit(source.name, found)
    used = {name: arrays[their] for name, their in wanted.items()}
    _refuse_kinds({names[name]: one for name, one in used.items()}, source.name)
    if sum(one.size for one in used.values()) > most:
        raise DamagedError("its arrays share their bytes, and together have more than the file")
    weights = {name: one.read() for name, one in used.items()}
    implied = _sentences(dialect, architecture) if given is None else _objections(dialect, architecture, shapes)
    rounded = _conversions(used)
    told = [*notes, *rounded]
    card = derived_card(architecture, source.path, names=dialect.name, implied=implied, notes=told)
    verify(card, weights, source.name)
    return Model(architecture, weights, card, notes=(*notes, *implied, *rounded))


def renamed(model: Model, names: str, *, force: bool = False) -> dict[str, NDArray[Any]]:
    """The arrays under the names of a dialect, in the order of the network's steps, with the counters that it has.

    Raises ResNetsError where these names have none for a part of the network, or imply another network (with the fields
    that would be lost), but for `force`.
    """
    dialect, a = DIALECTS[names], model.architecture
    table = dialect.names(a)
    if not force:
        _refuse_loss(dialect, a, {table[name]: array.shape for name, array in model.weights.items()})
    arrays = {their: model.weights[name] for name, their in table.items()}
    return _with_counters(arrays) if dialect.extras(COUNTER) else arrays


def _with_counters(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """With the count of batches that torch keeps beside each running variance, so that it finds all that it expects."""
    found: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        found[name] = array
        if name.endswith(".running_var"):
            found[name.removesuffix("running_var") + COUNTER] = np.zeros((), np.int64)
    return found


def _refuse_loss(dialect: Dialect, a: Architecture, shapes: Shapes) -> None:
    remedy = "Leave --names out: a file of ours has a card that says it."
    try:
        back = dialect.implied(shapes)
    except ResNetsError as error:
        raise ResNetsError(f"The names of {dialect.name} cannot say this network. {error.problem}", remedy) from error
    if back is None or not same(back, a):
        lost = _differences(a, back, "would become") if back is not None else ""
        raise ResNetsError(
            f"The names of {dialect.name} imply another network than this one: {lost or 'none of theirs'}.",
            remedy,
        )


def _unwrapped(arrays: Mapping[str, Stored]) -> Mapping[str, Stored]:
    """The arrays without what all their names begin with because of a wrapper around the network."""
    arrays = {name: one for name, one in arrays.items() if "." in name or not counters(name)}
    for _ in range(MAX_WRAPPERS):
        first = next(iter(arrays), "").partition(".")[0]
        if first not in _WRAPPERS or any(not name.startswith(f"{first}.") for name in arrays):
            break
        arrays = {name[len(first) + 1 :]: one for name, one in arrays.items()}
        arrays = {name: one for name, one in arrays.items() if "." in name or not counters(name)}
    return arrays


def _idle(name: str, one: Stored) -> bool:
    """Whether an array is a counter, or a number that belongs to no layer."""
    return counters(name) or (one.kind not in FLOATS and not name.endswith(_PARTS))


def _implied(shapes: Shapes) -> tuple[Dialect, Architecture]:
    for dialect in DIALECTS.values():
        architecture = dialect.implied(shapes)
        if architecture is not None:
            return dialect, architecture
    odd = [name for name in shapes if not _ORDINARY.fullmatch(name)]
    if len(odd) < len(shapes) / 2:  # one of these, but for a few: they were renamed, or belong to another network
        what = (
            f"{len(odd)} arrays have names that stand in none: {plain(some(odd))}"
            if odd
            else "its parts are not all there"
        )
        raise ResNetsError(
            f"Its {len(shapes):,} arrays are nearly those of a residual network, but {what}.",
            "Rename them, or give the network with --architecture: then all that differs is listed.",
        )
    raise ResNetsError(
        f"The names of its {len(shapes):,} arrays are not those of a residual network that resnets knows:"
        f" {plain(some(list(shapes), 6))}.",
        f"Names of {', '.join(DIALECTS)} (resnets' own) are read; rename the arrays to one of these.",
    )


def _fitting(given: Architecture, shapes: Shapes) -> tuple[Dialect, Architecture]:
    """The dialect under whose names the given network's arrays differ least from those of the file."""
    tried: list[tuple[int, int, Dialect, Architecture]] = []
    for dialect in DIALECTS.values():
        try:
            names = dialect.names(given)
        except ResNetsError:
            continue
        stem = names["conv1.0.weight" if given.stem == "deep" else "conv1.weight"]
        architecture = adapted(given, shapes, stem, names["fc.weight"])
        wanted = {(names[name], shape) for name, shape in array_shapes(architecture).items()}
        tried.append((len(wanted ^ set(shapes.items())), len(tried), dialect, architecture))
    _, _, dialect, architecture = min(tried)
    return dialect, architecture


def _misfit(source: str, found: list[str]) -> ResNetsError:
    return ResNetsError(
        f"The arrays of {source} do not fit the network: {'; '.join(found)}.",
        "Use the architecture that the weights belong to.",
    )


def _refuse_kinds(arrays: Mapping[str, Stored], source: str) -> None:
    odd = [f"{plain(name)} ({one.kind})" for name, one in arrays.items() if one.kind not in FLOATS]
    if odd:
        raise ResNetsError(
            f"{len(odd)} arrays of {source} are not of floating-point numbers: {some(odd)}.",
            "Give the network as it was before it was quantised.",
        )


def _sentences(dialect: Dialect, architecture: Architecture) -> list[str]:
    found = [f"The names are {dialect.name}'s, which imply {dialect.says(architecture)}."]
    if architecture.stem == "cifar":
        found.append("A 3x3 convolution as the stem is taken to have stride 1 and no pooling behind it.")
    return found


def _objections(dialect: Dialect, given: Architecture, shapes: Shapes) -> list[str]:
    """What a dialect's names say against a network that was given."""
    try:
        implied = dialect.implied(shapes)
    except ResNetsError:
        return []
    if implied is None or same(implied, given):
        return []
    objections = _differences(implied, given, "implied,")
    return [f"The names are {dialect.name}'s, which imply another network than the given one: {objections}."]


def _differences(a: Architecture, b: Architecture, between: str) -> str:
    return "; ".join(f"{name} ({one} {between} {other})" for name, (one, other) in differing(a, b).items())


def _conversions(arrays: Mapping[str, Stored]) -> list[str]:
    kinds = [one.kind for one in arrays.values()]
    return [
        f"{kinds.count(kind):,} arrays are {kind} in the file, and float32 here, {how}."
        for kind, how in _EXACTLY.items()
        if kind in kinds
    ]
