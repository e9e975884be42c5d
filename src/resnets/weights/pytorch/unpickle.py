"""The bytes of a pickle go in, plain values and inert records come out: nothing is imported, called or executed.

An interpreter of the opcodes of protocols 0 to 5 (CPython's Lib/pickletools.py lists them) over plain values. What a
pickle wants called is looked up in nothing: `Meaning.named` refuses a name or lets it pass as an inert `Global`, and
`Meaning.made` turns a call of it into a value. Depth costs no recursion. What one opcode can do to much that was kept
(copy it, compare it) is charged against the bytes read so far, so that work and memory are bounded by the bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from resnets.weights.model import MAX_NAME
from resnets.weights.pytorch.opcodes import CONSTANTS, KEEP, LOOK, REFUSED, Reader, text_of
from resnets.weights.source import DamagedError, Source

MAX_OPCODES = 2_000_000  # three times those of 1,202 layers with an optimiser and an average: a few seconds of reading
_SMALL = 1 << 60  # larger ones can be chosen so that all have one hash
_FREE = 1 << 12  # what may be charged beyond the bytes read
_COMPARED = 64  # characters of a key that are compared as fast as one value is copied
Charge = Callable[[int], None]  # takes how many values are about to be copied, raises DamagedError where too many were


@dataclass(eq=False, frozen=True)
class Global:
    """The name of a class or function that a pickle speaks of, and nothing but the name."""

    name: str


@dataclass(eq=False)
class Record:
    """What calling `callee` would have given: it was not called. `items` is what was put into it afterwards."""

    callee: Global
    arguments: tuple[Any, ...]
    state: Any = None
    items: Any = None


class Meaning(Protocol):
    """What names, calls and outside references stand for. Each may raise ResNetsError or DamagedError."""

    def named(self, name: str) -> Global:
        """The marker of a dotted name that may be spoken of."""

    def made(self, callee: Global, arguments: tuple[Any, ...], charge: Charge) -> Any:
        """What a call gives, without making it. Whatever looks through arguments says so to `charge` before."""

    def outside(self, key: Any) -> Any:
        """What a persistent id refers to."""


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self, reader: Reader, meaning: Meaning) -> None:
        self.reader, self.meaning = reader, meaning
        self.begin, self.charged = reader.position, 0
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks beneath each mark
        self.memo: dict[int, Any] = {}

    def step(self, code: bytes) -> None:
        """One opcode."""
        reader, stack = self.reader, self.stack
        if code in CONSTANTS:
            stack.append(CONSTANTS[code](reader))
        elif code in LOOK:
            stack.append(self.memo[LOOK[code](reader)])
        elif code in KEEP:
            self.memo[KEEP[code](reader)] = stack[-1]
        elif code == b"\x94":
            self.memo[len(self.memo)] = stack[-1]
        elif code == b"(":
            self.below.append(stack)
            self.stack = []
        elif code in b"\x85\x86\x87":
            size = code[0] - 0x84
            stack[-size:] = [tuple(self.last(size))]
        elif code in _STEPS:
            _STEPS[code](self)
        elif code == b"\x80":
            if reader.take(1)[0] > 5:
                raise DamagedError("its pickle has a protocol above 5")
        elif code == b"\x95":
            length = reader.number("<Q", 8)
            reader.source.check(reader.position, length)
        elif code in REFUSED:
            raise DamagedError(f"its pickle asks for {REFUSED[code]}")
        else:
            raise DamagedError(f"byte {reader.position - 1:,} of its pickle is no opcode")

    def charge(self, count: int) -> None:
        """Values that stood in the pickle once and are copied again."""
        self.charged += count
        if self.charged > self.reader.position - self.begin + _FREE:
            raise DamagedError("its pickle copies far more than it holds")

    def last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError("stack")
        return self.stack[-count:]

    def marked(self) -> list[Any]:
        """The values above the last mark, which goes."""
        found, self.stack = self.stack, self.below.pop()
        return found

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def call(self, callee: Any, arguments: Any) -> None:
        if not isinstance(callee, Global) or type(arguments) is not tuple:
            raise DamagedError(f"its pickle calls a {type(callee).__name__}")
        self.stack.append(self.meaning.made(callee, arguments, self.charge))

    def reduce(self) -> None:
        arguments, callee = self.stack.pop(), self.stack.pop()
        self.call(callee, arguments)

    def new_with_names(self) -> None:
        names, arguments, callee = self.stack.pop(), self.stack.pop(), self.stack.pop()
        if type(names) is not dict or type(arguments) is not tuple:
            raise DamagedError("its pickle calls something with what are no arguments")
        if names:
            self.charge(len(arguments))
            arguments = (*arguments, names)
        self.call(callee, arguments)

    def obj(self) -> None:
        callee, *arguments = self.marked()
        self.call(callee, tuple(arguments))

    def inst(self) -> None:
        name = self.dotted(text_of(self.reader.line()), text_of(self.reader.line()))
        self.call(self.meaning.named(name), tuple(self.marked()))

    def dotted(self, module: Any, name: Any) -> str:
        if type(module) is not str or type(name) is not str:
            raise DamagedError("its pickle has a name that is no text")
        if len(module) + len(name) > MAX_NAME:
            raise DamagedError(f"its pickle has a name of {len(module) + len(name):,} characters")
        return f"{module}.{name}"

    def name(self) -> None:
        self.stack.append(self.meaning.named(self.dotted(text_of(self.reader.line()), text_of(self.reader.line()))))

    def name_on_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(self.meaning.named(self.dotted(module, name)))

    def build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Record):
            self.stack[-1].state = state
        elif isinstance(self.stack[-1], (Global, str, bytes, int, float, tuple)) or self.stack[-1] is None:
            raise DamagedError("its pickle gives a state to what can have none")
        # Else attributes of a dictionary or a tensor, such as a state dict's _metadata, which say nothing of arrays.

    def put(self, found: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Record):
            target.items = target.items if type(target.items) is list else []
            target = target.items
        if type(target) is not list:
            raise DamagedError("its pickle appends to what is no list")
        target.extend(found)

    def put_pairs(self, found: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Record):
            target.items = target.items if type(target.items) is dict else {}
            target = target.items
        if type(target) is not dict or len(found) % 2:
            raise DamagedError("its pickle sets items of what is no dictionary")
        target.update(paired(found, self.charge))

    def drop(self) -> None:
        self.marked()

    def pair(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.put_pairs([key, value])

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def outside(self, key: Any) -> None:
        self.push(self.meaning.outside(key))


class _Key:
    """A key that is better not hashed: a nest of tuples, a number made to collide."""

    def __init__(self, value: Any) -> None:
        self.value = value


def paired(found: list[Any], charge: Charge) -> dict[Any, Any]:
    """Keys and values in turn as a dictionary. Keys may be compared with equal ones: long ones are charged."""
    keys = found[::2]
    charge(sum(len(key) for key in keys if type(key) in (str, bytes)) // _COMPARED)
    return dict(zip(map(_hashable, keys), found[1::2], strict=True))


def _hashable(key: Any) -> Any:
    plain = type(key) in (str, bytes, bool) or key is None or (type(key) is int and -_SMALL < key < _SMALL)
    return key if plain else _Key(key)


_STEPS: dict[bytes, Callable[[_Machine], None]] = {
    b"0": _Machine.pop,
    b"1": _Machine.drop,
    b"2": lambda m: m.push(m.stack[-1]),
    b"l": lambda m: m.push(m.marked()),
    b"t": lambda m: m.push(tuple(m.marked())),
    b"d": lambda m: m.push(paired(m.marked(), m.charge)),
    b"\x91": lambda m: m.push(m.marked()),  # a frozen set, for which see the set
    b"a": lambda m: m.put([m.stack.pop()]),
    b"e": lambda m: m.put(m.marked()),
    b"\x90": lambda m: m.put(m.marked()),
    b"s": _Machine.pair,
    b"u": lambda m: m.put_pairs(m.marked()),
    b"c": _Machine.name,
    b"\x93": _Machine.name_on_stack,
    b"R": _Machine.reduce,
    b"b": _Machine.build,
    b"i": _Machine.inst,
    b"o": _Machine.obj,
    b"\x81": _Machine.reduce,
    b"\x92": _Machine.new_with_names,
    b"P": lambda m: m.outside(text_of(m.reader.line())),
    b"Q": lambda m: m.outside(m.stack.pop()),
}


def unpickle(source: Source, at: int, meaning: Meaning) -> tuple[Any, int]:
    """The value of the pickle that begins at a byte, and the byte behind it.

    Dictionaries are dictionaries of what can be hashed harmlessly, sets are lists. Raises DamagedError for what is no
    pickle, ends early, or is longer than any checkpoint's; ResNetsError where `meaning` refuses a name.
    """
    reader = Reader(source, at)
    machine = _Machine(reader, meaning)
    try:
        for _ in range(MAX_OPCODES):
            code = reader.take(1)
            if code == b".":
                return machine.stack.pop(), reader.position
            machine.step(code)
    except (LookupError, ValueError, TypeError, OverflowError) as error:
        how = f"its pickle goes wrong before byte {reader.position:,} ({type(error).__name__})"
        raise DamagedError(how) from error
    raise DamagedError(f"its pickle has more than {MAX_OPCODES:,} steps")
