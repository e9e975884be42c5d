"""A .t7 file goes in, the Lua objects that it holds come out: of binary and ASCII files, of either byte order.

Original: File.lua of torch7. An object is a type code and what belongs to it; tables, torch objects and functions have
an index, by which every later occurrence refers to the first. Nothing of the file is executed: a function stays the
bytes that it is, an object of an unknown class the table of its fields.
"""

import re
from collections.abc import Iterator
from math import isnan, prod
from typing import Any

from resnets.errors import ResNetsError
from resnets.weights.source import DamagedError, Source
from resnets.weights.torch7.modes import Ascii, Binary
from resnets.weights.torch7.objects import UNVERSIONED, Function, Object, Storage, Table, Tensor, elements_of

NIL, NUMBER, TEXT, TABLE, TORCH, BOOLEAN, FUNCTION = range(7)  # File.lua: the codes of the types
CODES = range(9)  # 7 and 8 are functions too, with an index: they can refer to themselves
MAX_RANK = 16
MAX_VALUES = 4_000_000  # five seconds of reading; the names of all images of ImageNet are two thirds of it
MAX_NAME = 256  # bytes of the name of a class
GENERATOR = 5048  # bytes of a struct THGenerator, which torch.Generator writes as it lies in memory
HASHES, VECTORS = ("tds.Hash", "tds_hash"), ("tds.Vec", "tds_vec")  # torch/tds: hash.lua, vec.lua
_KINDS: dict[int, tuple[type, ...]] = {TABLE: (Table,), TORCH: (Object, Tensor, Storage)}
_VERSION = re.compile(rb"V (0|[1-9][0-9]{0,8})")


def read(source: Source) -> list[Any]:
    """All objects of a file, one after another. Raises ResNetsError for a file that is damaged, or no .t7.

    Storages know where their elements lie; they are read when they are asked for, while the source is open.
    """
    try:
        return parse(source)
    except DamagedError as error:
        raise ResNetsError(
            f"{source.name} is truncated, damaged, or not a Torch7 file: {error}.", "Copy or download the file again."
        ) from error


def parse(source: Source) -> list[Any]:
    """`read`, but for the words: raises DamagedError. Of the ways to read a file, the first that fits it all is right.

    A file does not say how long its longs are. With 4 bytes it must show a tensor with dimensions, which cannot be read
    in both ways; else a file that was cut short could be one of them by chance.
    """
    failures: list[tuple[int, str]] = []
    for mode in _modes(source):
        walk = _Walk(mode)
        try:
            found = walk.objects()
        except DamagedError as error:
            failures.append((mode.at, str(error)))
            continue
        if mode.long == 8 or walk.tensors:
            return found
    if not failures:
        raise DamagedError("it does not begin like one")
    raise DamagedError(max(failures, key=lambda failure: failure[0])[1])  # of the way that led furthest


def _modes(source: Source) -> Iterator[Binary | Ascii]:
    """The ways in which the file's beginning, a type code, can be read."""
    head = source.at(0, min(source.size, 4))
    if re.match(rb"[0-8]\n", head):
        yield Ascii(source)
    for order, code in (("<", head), (">", head[::-1])):
        if len(code) == 4 and code[0] in CODES and not any(code[1:]):
            yield from (Binary(source, order, long) for long in (8, 4))


class _Walk:
    """One pass over the objects of a file. What is begun and not yet whole waits in a list: any depth will do."""

    def __init__(self, mode: Binary | Ascii) -> None:
        self.mode = mode
        self.known: dict[int, Any] = {}  # objects by index
        self.classes: dict[bytes, tuple[str, str | None]] = {}  # name in the file: as text, and the type of elements
        self.values = 0
        self.tensors = 0  # of one dimension or more

    def objects(self) -> list[Any]:
        found = [self.object()]
        while self.mode.left:
            found.append(self.object())
        return found

    def object(self) -> Any:
        """The next object, with all that belongs to it."""
        begun: list[list[Any]] = []  # what is begun, how many parts it has, and those that are there
        while True:
            try:
                value, parts = self.begin()
            except DamagedError as error:
                raise self.explained(error, begun) from None
            if parts:
                begun.append([value, parts, []])
                continue
            while begun:
                owner, parts, children = begun[-1]
                children.append(value)
                if value is None and len(children) % 2 == 0 and type(owner) is Table:  # to Lua it is no entry
                    del children[-2:]
                    begun[-1][1] = parts = parts - 2
                if len(children) < parts:
                    break
                begun.pop()
                self.complete(owner, children)
                value = owner
            else:
                return value

    def begin(self) -> tuple[Any, int]:
        """What begins here, and how many objects follow that belong to it."""
        self.values += 1
        if self.values > MAX_VALUES:
            raise DamagedError(f"it has more than {MAX_VALUES:,} values")
        mode = self.mode
        code = mode.whole()
        if code == TEXT:
            return self.text(), 0
        if code == NUMBER:
            return mode.double(), 0
        if code == BOOLEAN:
            value = mode.whole()
            if value not in (0, 1):
                raise DamagedError(f"a boolean before byte {mode.at:,} is {value}")
            return value == 1, 0
        if code == NIL:
            return None, 0
        if code == FUNCTION:
            return Function(code, self.blob(), None), 1
        if code not in CODES:
            raise DamagedError(f"{code:,} before byte {mode.at:,} is no type")
        index = mode.whole()
        if index in self.known:
            return self.reference(code, index), 0
        if index < 1:
            raise DamagedError(f"an object before byte {mode.at:,} has the index {index:,}")
        return (
            self.table(index) if code == TABLE else self.torch(index) if code == TORCH else self.function(code, index)
        )

    def reference(self, code: int, index: int) -> Any:
        """What has been read under that index."""
        found = self.known[index]
        if not isinstance(found, _KINDS.get(code, (Function,))):
            raise DamagedError(f"object {index:,} is of two types, says byte {self.mode.at:,}")
        return found

    def blob(self) -> bytes:
        count = self.mode.whole()
        if not 0 <= count <= self.mode.left:
            raise DamagedError(f"a text at byte {self.mode.at:,} claims {count:,} bytes, and {self.mode.left:,} follow")
        return self.mode.raw(count)

    def text(self) -> str:
        return self.blob().decode("utf-8", "surrogateescape")

    def parts(self, count: int, each: int, what: str) -> int:
        """How many objects `count` entries are. Raises DamagedError where those are too many, or the file too short."""
        if count < 0 or count * each * self.mode.least > self.mode.left:
            raise DamagedError(
                f"a {what} at byte {self.mode.at:,} claims {count:,} entries, and {self.mode.left:,} bytes follow"
            )
        if self.values + 2 * count > MAX_VALUES:  # of a tds.Vec the keys are made here
            raise DamagedError(f"it has more than {MAX_VALUES:,} values")
        return count * each

    def table(self, index: int) -> tuple[Table, int]:
        parts = self.parts(self.mode.whole(), 2, "table")
        found = self.known[index] = Table()
        return found, parts

    def function(self, code: int, index: int) -> tuple[Function, int]:
        found = self.known[index] = Function(code, self.blob(), None)
        return found, 1

    def torch(self, index: int) -> tuple[Any, int]:
        """An object of a class. Known ones write themselves in their own way; all others write a table of fields."""
        head, version = self.blob(), UNVERSIONED
        if match := _VERSION.fullmatch(head):
            head, version = self.blob(), int(match[1])
        if head not in self.classes:
            name = head.decode("utf-8", "surrogateescape")
            if not (0 < len(head) <= MAX_NAME and name.isprintable() and " " not in name):
                raise DamagedError(f"no name of a class stands before byte {self.mode.at:,}")
            self.classes[head] = name, elements_of(name)
        name, dtype = self.classes[head]
        if dtype and name.endswith("Storage"):
            storage = self.known[index] = self.mode.storage(name, version, dtype)
            return storage, 0
        if dtype:
            tensor = self.known[index] = self.tensor(name, version)
            return tensor, 1
        found = self.known[index] = Object(name, version, None)
        if name in HASHES or name in VECTORS:
            found.value = Table()
            return found, self.parts(self.mode.longs(1)[0], 2 if name in HASHES else 1, name)
        if name == "torch.Generator":
            found.value = self.mode.raw(GENERATOR)
            return found, 0
        return found, 1 + ahead(name, version)

    def tensor(self, name: str, version: int) -> Tensor:
        rank = self.mode.whole()
        if not 0 <= rank <= MAX_RANK:
            raise DamagedError(f"a tensor before byte {self.mode.at:,} has {rank:,} dimensions")
        size, stride, (first,) = self.mode.longs(rank), self.mode.longs(rank), self.mode.longs(1)
        self.tensors += rank > 0
        return Tensor(name, size, stride, first - 1, None, version)

    def complete(self, owner: Any, children: list[Any]) -> None:
        """What belongs to an object has been read."""
        if isinstance(owner, Table):
            owner.pairs = self.pairs(children)
        elif isinstance(owner, Tensor):
            self.view(owner, children[0])
        elif isinstance(owner, Function):
            owner.upvalues = children[0]
            if not isinstance(children[0], Table):
                raise DamagedError(f"a function before byte {self.mode.at:,} has no table of upvalues")
        elif owner.name in HASHES:
            owner.value.pairs = self.pairs(children)
        elif owner.name in VECTORS:
            owner.value.pairs = [(float(number), value) for number, value in enumerate(children, 1)]
        else:
            *before, owner.value = children
            owner.ahead = tuple(before)
            if not isinstance(owner.value, (Table, Object)) or owner.value is owner:
                raise DamagedError(f"an object of the class {owner.name} before byte {self.mode.at:,} has no fields")

    def pairs(self, flat: list[Any]) -> list[tuple[Any, Any]]:
        """Key and value by turns. Lua knows no key nil and no key NaN, and each key once."""
        keys = flat[::2]
        # To Python true and 1 are one key, to Lua they are two.
        twice = len(set(keys)) < len(keys) and len({(type(key), key) for key in keys}) < len(keys)
        if twice or None in keys or any(type(key) is float and isnan(key) for key in keys):
            raise DamagedError(f"a table before byte {self.mode.at:,} has a key twice, or one that is nil or no number")
        return list(zip(keys, flat[1::2], strict=True))

    def view(self, tensor: Tensor, storage: Any) -> None:
        """Puts a storage under a tensor, once it is known to hold all that the tensor shows."""
        tensor.storage = storage
        if storage is None and not tensor.size:
            return
        kind = tensor.name.removesuffix("Tensor") + "Storage"
        if not isinstance(storage, Storage) or storage.name != kind:
            raise DamagedError(f"a {tensor.name} before byte {self.mode.at:,} has no {kind}")
        if tensor.offset < 0 or min(tensor.size, default=1) < 1 or min(tensor.stride, default=0) < 0:
            raise DamagedError(
                f"a tensor before byte {self.mode.at:,} has sizes {tensor.size}, strides {tensor.stride} and begins at"
                f" element {tensor.offset + 1:,}"
            )
        if (tensor.size and tensor.offset + tensor.spread > storage.count) or prod(tensor.size) >> 63:
            raise DamagedError(
                f"a tensor before byte {self.mode.at:,} reaches beyond the {storage.count:,} elements of its storage"
            )

    def explained(self, error: DamagedError, begun: list[list[Any]]) -> DamagedError:
        """The error; where it struck at the first thing that a class wrote, that class is the likely reason."""
        if begun and isinstance(begun[-1][0], Object) and not begun[-1][2] and begun[-1][0].value is None:
            return DamagedError(
                f"{error}; it was written by {begun[-1][0].name}, perhaps in a way that only Torch reads"
            )
        return error


def ahead(name: str, version: int) -> int:
    """How many objects a class writes before its fields: DataParallelTable.lua of cunn, from version 2 on."""
    return 1 if name == "nn.DataParallelTable" and version >= 2 else 0
