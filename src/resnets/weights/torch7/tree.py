"""A stored Torch7 module tree goes in, the steps of its network and its arrays by key come out.

A step is called by the path of its module. A module that no step can say becomes a step whose `op` describes it, which
`recognise` refuses; nothing in a tree is passed over in silence.
"""

from collections.abc import Iterator
from math import prod

from resnets.errors import ResNetsError, some
from resnets.network import INPUT, Step
from resnets.weights.torch7 import fields, modules
from resnets.weights.torch7.layers import LAYERS
from resnets.weights.torch7.modules import MAX_DEPTH, OddModuleError, TooManyError
from resnets.weights.torch7.objects import Object
from resnets.weights.torch7.steps import At, Tree, Value

SOFTMAX = frozenset(f"{prefix}.{name}" for prefix in modules.PREFIXES for name in ("SoftMax", "LogSoftMax"))
MAX_PROBLEMS = 50  # more are not looked for: each may have cost the reading of a long table


def walk(module: Object, source: str) -> Tree:
    """The whole tree. Raises ResNetsError that lists every module with a field missing or of the wrong kind."""
    tree = Tree(source)
    end = _module(tree, module, "", At(INPUT, 0), ())
    if isinstance(end, tuple):
        tree.problems.append(f"the network ends in {len(end)} values")
    while tree.steps and tree.steps[-1].op in SOFTMAX:
        last = tree.steps.pop()
        tree.left_out.append(f"{last.name} ({last.op})")
    _check_in_place(tree)
    _check_overlap(tree)
    tree.steps[:0] = tree.odd
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
    if len(above) >= MAX_DEPTH:
        raise _broken(tree.source, f"its modules are more than {MAX_DEPTH} deep at {path[:72]}...")
    try:
        oddity = fields.odd(module)
        value = _followed(tree, module, path, value, (*above, id(module)))
    except TooManyError as error:
        raise _broken(tree.source, f"its modules are more than {modules.MAX_MODULES:,} at {path[:72]}...") from error
    except OddModuleError as error:
        tree.problems.append(f"{path or 'the module'} ({module.name}): {error}")
        if len(tree.problems) == MAX_PROBLEMS:
            raise _broken(tree.source, some(tree.problems)) from error
        return value if isinstance(value, At) else value[0]
    if oddity:
        tree.odd.append(Step(f"a {module.name} {oddity}", path or "the module", (), 0))
    return value


def _followed(tree: Tree, module: Object, path: str, value: Value, above: tuple[int, ...]) -> Value:
    name = modules.kind(module)
    if name in ("Sequential", "DataParallelTable"):
        for child, at in _inside(tree, module, path):
            value = _module(tree, child, at, value, above)
        return value
    if name == "CAddTable":
        return _add(tree, module, path, value)
    if isinstance(value, tuple):
        raise OddModuleError(f"it reads the {len(value)} values of a ConcatTable")
    if name == "ConcatTable":
        ways = []
        for child, at in _inside(tree, module, path):
            way = _module(tree, child, at, value, above)
            if isinstance(way, tuple):
                raise OddModuleError(f"{at} in it gives {len(way)} values instead of one")
            ways.append(way)
        return tuple(ways)
    if name in LAYERS:
        return LAYERS[name](tree, module, path, value)
    return tree.put(module.name, path or "the module", value)


def _inside(tree: Tree, module: Object, path: str) -> Iterator[tuple[Object, str]]:
    for number, child in enumerate(tree.children(module), 1):
        yield child, modules.inside(path, number)


def _add(tree: Tree, module: Object, path: str, value: Value) -> At:
    if isinstance(value, At) or len(value) != 2:
        raise OddModuleError(f"it adds {1 if isinstance(value, At) else len(value)} values, not two")
    one, other = value
    if modules.flag(module, "inplace"):
        tree.in_place.append((path, one.step, len(tree.steps)))
    tree.steps.append(Step("add", path, (one.step, other.step), one.channels))
    return At(path, one.channels)


def _check_in_place(tree: Tree) -> None:
    """What works in place changes its input for every module that reads it later, which a graph cannot say."""
    last = {name: number for number, step in enumerate(tree.steps) for name in step.inputs}  # step that reads it last
    changed = [path for path, name, number in tree.in_place if last.get(name, 0) > number]
    if changed:
        tree.problems.append(f"{some(changed)} works in place on a value that another module reads as well")


def _check_overlap(tree: Tree) -> None:
    """Views of one storage are usual, and arrays shared by two modules are possible; many would claim all memory."""
    stored = {id(one.storage): one.storage.count for one in tree.tensors if one.storage is not None}
    claimed = sum(prod(one.size) for one in tree.tensors)
    if claimed > 2 * sum(stored.values()):
        tree.problems.append(f"its arrays show {claimed:,} numbers, and the file holds {sum(stored.values()):,}")
