"""A Checkpoint goes in, the tensors of its network by name come out: the state dict among whatever lies around it."""

from collections import deque
from typing import Any

from resnets.errors import ResNetsError, plain, some
from resnets.weights.dialects.table import FLOATS
from resnets.weights.model import MAX_NAME
from resnets.weights.pytorch.checkpoint import Checkpoint
from resnets.weights.pytorch.pickled import Tensor
from resnets.weights.pytorch.unpickle import Record
from resnets.weights.source import DamagedError

DEPTH = 16  # of modules and wrappers within each other
# Averages first: they are what the scripts that keep them evaluate (timm's load_state_dict, torchvision's train.py).
_AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "model_state_dict_ema", "params_ema", "ema")
_KNOWN = ("state_dict", "model", "model_state_dict", "model_state", "net", "network", "weights", "params", "module")
_PASSED = ("optim", "scheduler", "scaler")  # what stands under such a key are no weights


def state_of(opened: Checkpoint) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict that a peer would evaluate, and a sentence about the others where there are several.

    Raises ResNetsError where there is none; DamagedError where names are longer than any network's.
    """
    if opened.scripted:
        found = _module(opened.value, opened.source.size)
        return found, ["It is a TorchScript archive, of which the arrays are read and no code."]
    dictionaries = _dictionaries(opened.value, opened.source.size)
    if not dictionaries:
        raise ResNetsError(
            f"{opened.source.name} holds no state dict of a network with convolutions, but {_described(opened.value)}.",
            "Save the network's `state_dict()` with torch.save.",
        )
    path = min(dictionaries, key=_rank)  # the first of the best, in the order of the file
    others = [".".join(other) for other in dictionaries if other != path]
    notes = [f"The arrays are those of {'.'.join(path)!r}; {some(others)} are left out."] if others else []
    return dictionaries[path], [plain(note) for note in notes]


def _described(value: Any) -> str:
    if type(value) is not dict:
        return f"a {type(value).__name__}"
    keys = [repr(key[:40]) for key in value if type(key) is str]
    if keys:
        return f"a dict of {plain(some(keys, 8))}"
    return f"a dict of {len(value):,} things without names" if value else "an empty dict"


def _rank(path: tuple[str, ...]) -> int:
    if any(part.lower() in _AVERAGES for part in path):
        return 0
    return 1 if all(part.lower() in _KNOWN for part in path) else 2


def _dictionaries(value: Any, most: int) -> dict[tuple[str, ...], dict[str, Tensor]]:
    """Every dictionary with a convolution's weights by a dotted name, by the keys that lead to it.

    Raises DamagedError where these keys are longer than a name can be, or have more than `most` characters in all.
    """
    spent = 0
    found: dict[tuple[str, ...], dict[str, Tensor]] = {}
    waiting: deque[tuple[tuple[str, ...], Any]] = deque([((), value)])
    seen: set[int] = set()
    while waiting:
        path, one = waiting.popleft()
        if type(one) is not dict or id(one) in seen or len(path) > DEPTH:
            continue
        seen.add(id(one))
        tensors = {n: t for n, t in one.items() if type(n) is str and isinstance(t, Tensor)}
        if any(len(t.shape) == 4 and "." in n and t.kind in FLOATS for n, t in tensors.items()):
            length = sum(map(len, path))
            spent += length
            if length > MAX_NAME or spent > most:
                raise DamagedError(f"the names that lead to its arrays have {spent:,} characters")
            found[path] = tensors
            continue
        inner = [(name, v) for name, v in one.items() if type(name) is str and not name[:9].lower().startswith(_PASSED)]
        waiting += [((*path, name), v) for name, v in inner if type(v) is dict]
    return found


def _module(value: Any, most: int) -> dict[str, Tensor]:
    """The tensors of a tree of TorchScript's modules by their dotted names.

    Raises DamagedError where the names have more than `most` characters in all: every module may add to each of them.
    """
    found: dict[str, Tensor] = {}
    waiting, seen, spent = [("", value, 0)] if isinstance(value, Record) else [], set(), 0
    while waiting:
        prefix, module, depth = waiting.pop()
        if id(module) in seen or depth > DEPTH:
            continue
        seen.add(id(module))
        for name, one in module.state.items() if type(module.state) is dict else ():
            if type(name) is not str or not isinstance(one, Tensor | Record):
                continue
            spent += len(prefix) + len(name)
            if spent > most or len(prefix) + len(name) > MAX_NAME:
                raise DamagedError("the names of its modules are longer than any network's")
            if isinstance(one, Tensor):
                found[prefix + name] = one
            else:
                waiting.append((f"{prefix}{name}.", one, depth + 1))
    return found
