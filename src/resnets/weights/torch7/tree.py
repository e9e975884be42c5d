"""A stored Torch7 module tree goes in, the steps of its network and its arrays by key come out.

A step is called by the path of its module. A module that no step can say becomes a step whose `op` describes it, which
`recognise` refuses; nothing in a tree is passed over in silence.
"""

from collections.abc import Iterator
from math import prod

from resnets.errors import ResNetsError, some
from resnets.network import INPUT, Step
from resnets.weights.torch7 import modules
from resnets.weights.torch7.layers import LAYERS
from resnets.weights.torch7.modules import MAX_DEPTH, MAX_MODULES, OddModuleError
from resnets.weights.torch7.objects import Object, Table
from resnets.weights.torch7.steps import At, Tree, Value

SOFTMAX = ("SoftMax", "LogSoftMax")
MAX_FIELDS = 200  # of one module; cudnn's convolutions have thirty
MAX_PROBLEMS = 50  # more are not looked for: each may have cost the reading of a long table


def walk(module: Object, source: str) -> Tree:
    """The whole tree. Raises ResNetsError that lists every module with a field missing or of the wrong kind."""
    tree = Tree(source)
    end = _module(tree, module, "", At(INPUT, 0), ())
    if isinstance(end, tuple):
        tree.problems.append(f"the network ends in {len(end)} values")
    while tree.steps and tree.steps[-1].op.rpartition(".")[2] in SOFTMAX:
        last = tree.steps.pop()
        tree.left_out.append(f"{last.name} ({last.op})")
    _check_in_place(tree)
    _check_overlap(tree)
    if tree.problems:
        raise _broken(source, some(tree.problems))
    return tree


def _broken(source: str, why: str) -> ResNetsError:
    return ResNetsError(
        f"The module tree of {source} cannot be followed: {why}.",
        "Save the network again with Torch, or copy the file again.",
    )


def _module(tree: Tree, module: Object, path: str, value: Value, above: tuple[int, ...]) -> Value:
    """Follow one module. `above`: the modules it lies in."""
    tree.seen += 1
    if id(module) in above:
        raise _broken(tree.source, f"{path} ({module.name}) contains itself")
    if len(above) >= MAX_DEPTH or tree.seen > MAX_MODULES:
        what = f"more than {MAX_DEPTH} deep" if len(above) >= MAX_DEPTH else f"more than {MAX_MODULES:,}"
        raise _broken(tree.source, f"its modules are {what} at {path[:72]}...")
    name = modules.kind(module)
    try:
        if isinstance(module.value, Table) and len(module.value.pairs) > MAX_FIELDS:
            raise OddModuleError(f"it has {len(module.value.pairs):,} fields")
        if name in ("Sequential", "DataParallelTable"):
            for child, at in _inside(module, path):
                value = _module(tree, child, at, value, (*above, id(module)))
            return value
        if name == "CAddTable":
            return _add(tree, module, path, value)
        if isinstance(value, tuple):
            raise OddModuleError(f"it reads the {len(value)} values of a ConcatTable")
        if name == "ConcatTable":
            ways = [_module(tree, child, at, value, (*above, id(module))) for child, at in _inside(module, path)]
            return tuple(one for way in ways for one in (way if isinstance(way, tuple) else (way,)))
        if name in LAYERS:
            return LAYERS[name](tree, module, path, value)
        return tree.put(module.name, path or "the module", value)
    except OddModuleError as error:
        tree.problems.append(f"{path or 'the module'} ({module.name}): {error}")
        if len(tree.problems) == MAX_PROBLEMS:
            raise _broken(tree.source, some(tree.problems)) from error
        return value if isinstance(value, At) else value[0]


def _inside(module: Object, path: str) -> Iterator[tuple[Object, str]]:
    for number, child in enumerate(modules.children(module), 1):
        yield child, modules.inside(path, number)


def _add(tree: Tree, module: Object, path: str, value: Value) -> At:
    if isinstance(value, At) or len(value) != 2:
        raise OddModuleError(f"it adds {1 if isinstance(value, At) else len(value)} values, not two")
    one, other = value
    tree.steps.append(Step("add", path, (one.step, other.step), one.channels))
    return At(path, one.channels)


def _check_in_place(tree: Tree) -> None:
    """A ReLU that works in place changes its input for every module that reads it later, which a graph cannot say."""
    readers: dict[str, int] = {}
    for step in tree.steps:
        for name in step.inputs:
            readers[name] = readers.get(name, 0) + 1
    changed = [path for path, name in tree.in_place if readers.get(name, 0) > 1]
    if changed:
        tree.problems.append(f"{some(changed)} works in place on a value that another module reads as well")


def _check_overlap(tree: Tree) -> None:
    """Views of one storage are usual, and arrays shared by two modules are possible; many would claim all memory."""
    stored = {id(one.storage): one.storage.count for one in tree.tensors if one.storage is not None}
    claimed = sum(prod(one.size) for one in tree.tensors)
    if claimed > 2 * sum(stored.values()):
        tree.problems.append(f"its arrays show {claimed:,} numbers, and the file holds {sum(stored.values()):,}")
