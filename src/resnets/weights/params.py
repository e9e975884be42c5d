"""MXNet's .params goes in, the Model that its arrays' names imply comes out, and back.

Such a file holds arrays and no graph. Where the symbol that MXNet exports with it lies beside it, `symbol` checks the
network that the names imply, and says which one it is where the names do not.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from resnets.catalog import Architecture
from resnets.errors import ResNetsError, plain, some
from resnets.network import Shape, array_shapes
from resnets.weights.dialects.gluon import EXPORTED, GLUONCV, PREFIXED, STRUCTURAL, unprefixed
from resnets.weights.dialects.shapes import adapted
from resnets.weights.dialects.table import Dialect
from resnets.weights.model import Model, derived_card, mismatches, verify
from resnets.weights.mxnet import symbol
from resnets.weights.mxnet.arrays import array, refuse_sparse, stored
from resnets.weights.mxnet.lists import Stored, write_arrays
from resnets.weights.options import Options
from resnets.weights.source import Source

STYLES = {dialect.name: dialect for dialect in (STRUCTURAL, PREFIXED, EXPORTED, GLUONCV)}
FLOATS = {  # element type: its name, how it becomes float32
    "f4": ("float32", ""), "f8": ("float64", "rounded"), "f2": ("float16", "exactly"),
    "bfloat16": ("bfloat16", "exactly"),
}  # fmt: skip
FIXED_SCALE = "bn0.weight"  # ResNetV2's batch norm on the input has scale=False: whatever is stored counts as 1
Shapes = Mapping[str, Shape]


def read(source: Source, given: Architecture | None = None) -> Model:
    """The model. `given`: its network, where the names do not say all of it.

    Floats of other widths become float32. Raises DamagedError for a damaged file; ResNetsError where the names are
    nobody's, arrays do not fit the network (all are listed) or are no dense floats, and where the symbol beside the
    file is of another network.
    """
    found = stored(source)
    refuse_sparse(found.values(), source.name)
    shapes = {name: one.shape for name, one in found.items() if one.kind}
    graph = symbol.beside(source, shapes)
    try:
        dialect, architecture = _recognised(shapes, given, source.name)
        keys = _keys(dialect, architecture, shapes, source.name)
        style = _style(dialect, shapes).name
        implied = f"The names are {style} ones, which imply {dialect.says(architecture)}." if given is None else ""
        fixed = {FIXED_SCALE} & keys.keys()
    except ResNetsError:
        if graph is None or given is not None:
            raise
        architecture, keys = symbol.recognised(graph, source.name)
        style, implied = "symbol", f"The network is the one that {graph.path.name} describes."
    if graph is not None:
        symbol.compare(graph, architecture, keys)
        fixed = {name for name, key in keys.items() if key in graph.network.fixed}
    arrays, notes = _arrays(source, {name: found[key] for name, key in keys.items()}, fixed)
    notes += graph.notes if graph is not None else []
    said = [implied] if implied else []
    card = derived_card(architecture, source.path, names=style, implied=said, notes=notes)
    verify(card, arrays, source.name)
    return Model(architecture, arrays, card, notes=(*said, *notes))


def write(model: Model, options: Options) -> bytes:
    """The whole file, as MXNet 1.x would write it.

    `options.names`: structural, prefixed, exported or gluoncv; without it structural where Gluon has such a network,
    else gluoncv. Raises ResNetsError where those names cannot say this network.
    """
    dialect = _dialect(options.names, model.architecture)
    table = dialect.names(model.architecture)
    shapes = array_shapes(model.architecture)
    # Raises what reading would where the names are those of two networks.
    if dialect.implied({their: shapes[name] for name, their in table.items()}) != model.architecture:
        raise ResNetsError(
            f"{dialect.name.capitalize()} names do not say all of this network: they would be read as another one's.",
            f"Use --names {STRUCTURAL.name} or {GLUONCV.name}.",
        )
    scale = model.weights.get(FIXED_SCALE)
    if scale is not None and not (scale == 1).all():
        raise ResNetsError(
            f"{FIXED_SCALE}, the scale of the batch norm on the input, has other numbers than 1, and MXNet takes it for"
            " 1 there.",
            "Write .onnx, .safetensors or .t7 instead.",
        )
    return write_arrays({their: model.weights[name] for name, their in table.items()})


def _dialect(names: str | None, architecture: Architecture) -> Dialect:
    if names is not None:
        return STYLES[names]
    try:
        STRUCTURAL.names(architecture)
    except ResNetsError:
        try:
            GLUONCV.names(architecture)
        except ResNetsError:
            return STRUCTURAL  # whose words on what it lacks are the plainer ones
        return GLUONCV
    return STRUCTURAL


def _recognised(shapes: Shapes, given: Architecture | None, source: str) -> tuple[Dialect, Architecture]:
    """Whose names these are, and the network: what they imply, or the given one in the arrays' classes and channels."""
    called = unprefixed(shapes)
    bare = {called[name]: shape for name, shape in shapes.items()}
    for dialect in (STRUCTURAL, GLUONCV, PREFIXED):
        architecture = dialect.implied(bare) if given is None else _given(given, dialect, bare)
        if architecture is not None:
            return dialect, architecture
    why = "which network they belong to" if given is None else "that they belong to the network that was given"
    raise ResNetsError(
        f"The names of the {len(shapes):,} arrays of {source} do not say {why}: {some([*map(plain, shapes)], 5)}.",
        "Give a residual network of Gluon's or GluonCV's"
        + (", or its -symbol.json beside it." if given is None else ", or leave --architecture out."),
    )


def _given(given: Architecture, dialect: Dialect, shapes: Shapes) -> Architecture | None:
    """The given network, where this dialect has names for it and any of them is here."""
    try:
        names = dialect.names(given)
    except ResNetsError:
        return None
    if shapes.keys().isdisjoint(names.values()):
        return None
    return adapted(
        given, shapes, names["conv1.0.weight" if given.stem == "deep" else "conv1.weight"], names["fc.weight"]
    )


def _keys(dialect: Dialect, architecture: Architecture, shapes: Shapes, source: str) -> dict[str, str]:
    """Canonical name → the array's name in the file. Raises ResNetsError that lists every mismatch, grouped."""
    table, wanted = dialect.names(architecture), array_shapes(architecture)
    called = unprefixed(shapes)
    theirs = {bare: name for name, bare in called.items()}
    found = mismatches({theirs.get(their, their): wanted[name] for name, their in table.items()}, shapes)
    if found:
        raise ResNetsError(
            f"The arrays of {source} do not fit the network of their {dialect.name} names: {'; '.join(found)}.",
            "Use a file of one of the networks that `resnets list` shows, whole and unchanged.",
        )
    return {name: theirs[their] for name, their in table.items()}


def _style(dialect: Dialect, shapes: Shapes) -> Dialect:
    return EXPORTED if dialect is PREFIXED and any(name[:4] == "arg:" for name in shapes) else dialect


def _arrays(
    source: Source, places: Mapping[str, Stored], fixed: set[str]
) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
    """Float32 arrays by canonical name, and what was done to them. Those in `fixed` become ones."""
    odd = [f"{plain(one.name)} ({one.kind})" for one in places.values() if one.kind not in FLOATS]
    if odd:
        raise ResNetsError(
            f"{len(odd)} arrays of {source.name} are no floats: {some(odd)}.",
            "Give the network before it was quantised.",
        )
    notes = []
    for kind, (name, how) in FLOATS.items():
        count = sum(one.kind == kind for one in places.values())
        if count and how:
            notes.append(f"{count:,} arrays are {name} in the file, and float32 here, {how}.")
    with np.errstate(over="ignore"):  # infinity is refused by the caller
        arrays = {name: array(one).astype(np.float32, copy=False) for name, one in places.items()}
    for name in sorted(fixed):
        if not (arrays[name] == 1).all():
            notes.append(
                f"MXNet takes {plain(places[name].name)} for 1, whatever is stored there, and so it is 1 here."
            )
            arrays[name] = np.ones_like(arrays[name])
    return arrays, notes
