"""A stored Torch7 module goes in; its kind, numbers, arrays and children come out, and what cannot be so is refused.

Only the fields that a forward pass reads are looked at. What they mean is for `tree` and `run` to say, each for itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

from resnets.errors import ResNetsError
from resnets.weights.torch7.objects import Object, Storage, Table, Tensor

MAX_DEPTH = 64  # modules inside modules; fb's trees have seven
MAX_MODULES = 100_000  # 1,202 layers have 5,000
MAX_NUMBER = 1 << 20  # channels
MAX_WINDOW = 64  # pixels of a kernel, its stride and its padding
PREFIXES = ("nn", "cudnn", "fbnn", "inn")
FLOATS = frozenset(("Float", "Double", "Half", "Cuda", "CudaDouble", "CudaHalf"))


class OddModuleError(Exception):
    """A module that contradicts itself or cannot be followed; the message says how, and goes behind its path."""


class TooManyError(Exception):
    """More modules than MAX_MODULES; those of a shared list count each time that it is followed."""


@dataclass(frozen=True)
class Window:
    """Of a convolution or pooling: (height, width) of kernel, stride and padding."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    def __str__(self) -> str:
        (kh, kw), (sh, sw), (ph, pw) = self.kernel, self.stride, self.padding
        return f"{kh}x{kw} with stride {sh}x{sw} and padding {ph}x{pw}"


def library(module: Object) -> str:
    """`nn` of `nn.Sequential`; empty where the class belongs to none of the libraries that hold layers."""
    name = module.name.split(".")[0]
    return name if name in PREFIXES and module.name != name else ""


def kind(module: Object) -> str:
    """`Sequential` of `nn.Sequential`, so that classes of all libraries are looked up alike; empty for any other."""
    return module.name.partition(".")[2] if library(module) else ""


def inside(path: str, number: int) -> str:
    """The path of a module's child; `number` counts from 1."""
    return f"{path}.modules[{number}]" if path else f"modules[{number}]"


def whole(module: Object, field: str, default: int | None = None) -> int:
    """A field that holds a whole number from 0."""
    found = module[field]
    if found is None and default is not None:
        return default
    if type(found) is not float or not 0 <= found <= MAX_NUMBER or found != int(found):
        raise OddModuleError(f"its field {field} is {shown(found)}, not a whole number from 0 to {MAX_NUMBER:,}")
    return int(found)


def number(module: Object, field: str) -> float:
    """A field that holds a number."""
    found = module[field]
    if type(found) is not float or not isfinite(found):
        raise OddModuleError(f"its field {field} is {shown(found)}, not a number")
    return found


def flag(module: Object, field: str) -> bool:
    """A field as Lua's `if` takes it: nil and false are false, all else is true."""
    found = module[field]
    return found is not None and found is not False


def window(module: Object) -> Window:
    """Kernel, stride and padding. nn's old field `padding` stands for both directions and comes first, as in nn."""
    both = module["padding"] is not None
    padding = [whole(module, "padding" if both else f"pad{side}", 0) for side in "HW"]
    found = Window(
        (whole(module, "kH"), whole(module, "kW")),
        (whole(module, "dH"), whole(module, "dW")),
        (padding[0], padding[1]),
    )
    if 0 in (*found.kernel, *found.stride) or max(*found.kernel, *found.stride, *found.padding) > MAX_WINDOW:
        raise OddModuleError(f"no window is {found}")
    return found


def floating(found: Tensor) -> bool:
    """Is it one of floating-point numbers?"""
    return found.name.removeprefix("torch.").removesuffix("Tensor") in FLOATS


def tensor(module: Object, field: str) -> Tensor | None:
    """A field that holds floating-point numbers; None where it is nil or empty."""
    found = module[field]
    if found is None or (isinstance(found, Tensor) and 0 in (found.size or (0,))):
        return None
    if not isinstance(found, Tensor):
        raise OddModuleError(f"its field {field} is {shown(found)}, not a tensor")
    if not floating(found):
        raise OddModuleError(f"its field {field} is a {found.name}, not one of floating-point numbers")
    # An expanded view repeats what is stored: a few bytes could claim all memory.
    if found.storage is None or prod(found.size) > found.storage.count:
        raise OddModuleError(f"its field {field} shows {found.size}, more numbers than it holds")
    return found


def shaped(module: Object, field: str, *shapes: tuple[int, ...]) -> Tensor:
    """The same, where it has to be there and to have one of these shapes."""
    found = tensor(module, field)
    if found is None or found.size not in shapes:
        what = "missing" if found is None else f"of shape {found.size}"
        raise OddModuleError(f"its field {field} is {what} instead of {' or '.join(map(str, shapes))}")
    return found


def sizes(module: Object, field: str) -> tuple[int, ...]:
    """A field that holds a LongStorage: the shape that nn.View gives."""
    found = module[field]
    if not isinstance(found, Storage) or not found.name.endswith("LongStorage") or found.count > 16:
        raise OddModuleError(f"its field {field} is {shown(found)}, not a torch.LongStorage")
    return tuple(int(n) for n in found.read(0, found.count))


def counts_padding(module: Object) -> bool:
    """Does an average pooling divide by the numbers of its whole window, with those beyond the map's edge?"""
    if library(module) == "cudnn" and module["mode"] is not None:
        return not str(module["mode"]).endswith("EXCLUDE_PADDING")
    return module["count_include_pad"] is None or flag(module, "count_include_pad")


def entries(module: Object) -> int:
    """How many entries a container's list of modules has, without a look at them."""
    table = module["modules"]
    return len(table.pairs) if isinstance(table, Table) else 0


def children(module: Object) -> list[Object]:
    """The modules of a container in order."""
    table = module["modules"]
    if not isinstance(table, Table):
        raise OddModuleError(f"its field modules is {shown(table)}, not a table")
    found = table.items()
    if len(found) != len(table.pairs) or not all(isinstance(one, Object) for one in found):
        raise OddModuleError("its modules are not objects numbered from 1")
    if kind(module) == "DataParallelTable":  # the others are copies of the first on other GPUs
        found = found[:1]
    if not found:
        raise OddModuleError("it has no modules")
    return found


def networks(objects: Sequence[Any]) -> list[Object]:
    """The different modules that a file holds, alone or in a table beside other things; criteria are none."""
    flat = [one for top in objects for one in ([v for _, v in top.pairs] if isinstance(top, Table) else [top])]
    found = [one for one in flat if isinstance(one, Object) and library(one) and not one.name.endswith("Criterion")]
    return list({id(one): one for one in found}.values())


def root(objects: list[Any], source: str) -> Object | None:
    """The module that a file holds; None where it holds none. Raises ResNetsError where it holds several."""
    found = networks(objects)
    if len(found) > 1:
        raise ResNetsError(
            f"{source} holds {len(found)} modules ({', '.join(one.name for one in found[:5])}), and nothing says which"
            " one is the network.",
            "Save the network alone in Torch, with torch.save(path, model).",
        )
    return found[0] if found else None


def shown(found: Any) -> str:
    """A field's value, as errors show it."""
    if found is None:
        return "missing"
    if isinstance(found, float | bool):
        return repr(found)
    if isinstance(found, str):
        return f"{found[:60]!r}"
    return f"a {getattr(found, 'name', type(found).__name__.lower())}"
