import builtins
import contextlib
import os
import pickle
import pickletools
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.errors import ResNetsError
from resnets.weights.pytorch.opcodes import CONSTANTS, KEEP, LOOK, REFUSED
from resnets.weights.pytorch.unpickle import _STEPS, Charge, Global, Record, unpickle
from resnets.weights.source import DamagedError, Source


class Anything:
    """Lets every name pass: whatever would be executed would be executed here."""

    def named(self, name: str) -> Global:
        return Global(name)

    def made(self, callee: Global, arguments: tuple[Any, ...], charge: Charge) -> Any:
        return Record(callee, arguments)

    def outside(self, key: Any) -> Any:
        return ("outside", key)


def read(data: bytes) -> Any:
    value, end = unpickle(Source.of(data, "p"), 0, Anything())
    assert end == len(data)
    return value


PLAIN = {
    "a": [1, 255, 256, 65536, -3, 2**31, -(2**63), 10**300, 2.5, float("inf"), True, False, None],
    "text": ["", "é\ud800€", "x" * 300, "back\\slash\n'\""],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, (2, (3, 4)))],
    "nested": {"x": {}, "y": []},
    7: "a number",
    True: "a truth",
    None: "nothing",
}


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_back_as_they_were(protocol):
    assert read(pickle.dumps(PLAIN, protocol)) == PLAIN
    shared = [1]
    found = read(pickle.dumps([shared, shared], protocol))
    assert found[0] is found[1]
    if protocol > 2:
        assert read(pickle.dumps([b"", b"x" * 300], protocol)) == [b"", b"x" * 300]


def test_every_opcode_of_pickletools_is_known():
    known = {
        *CONSTANTS,
        *LOOK,
        *KEEP,
        *REFUSED,
        *_STEPS,
        b".",
        b"(",
        b"\x85",
        b"\x86",
        b"\x87",
        b"\x94",
        b"\x80",
        b"\x95",
    }
    assert known == {code.code.encode("latin-1") for code in pickletools.opcodes}


def test_a_cycle_and_a_set_are_harmless():
    loop: list[Any] = []
    loop.append(loop)
    found = read(pickle.dumps(loop, 2))
    assert found[0] is found
    assert sorted(read(pickle.dumps({1, 2}, 4))) == [1, 2]
    assert sorted(read(pickle.dumps(frozenset((1, 2)), 4))) == [1, 2]


# Each opcode that names or calls something, set to open a shell, and what marks that it was looked up instead of kept.
CALLS = {
    "GLOBAL": b"cposix\nsystem\n(Vtrue\ntR.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    "INST": b"(Vtrue\niposix\nsystem\n.",
    "OBJ": b"(cposix\nsystem\nVtrue\no.",
    "NEWOBJ": b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85\x81.",
    "NEWOBJ_EX": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85}\x92.",
    "BUILD": b"cposix\nsystem\n(Vtrue\ntR}Vx\nVy\nsb.",
}


@pytest.mark.parametrize("route", CALLS)
def test_nothing_is_called_by_any_route(route, monkeypatch):
    def fail(*arguments: Any) -> None:
        raise AssertionError(arguments)

    for module, name in ((os, "system"), (builtins, "eval"), (builtins, "__import__")):
        monkeypatch.setattr(module, name, fail)
    found = read(CALLS[route])
    monkeypatch.undo()
    assert isinstance(found, Record)
    assert (found.callee.name, found.arguments) == ("posix.system", ("true",))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "should stand"),
        (b".", "goes wrong"),
        (b"N", "should stand"),
        (b"\x80\x06N.", "protocol above 5"),
        (b"\xff.", "no opcode"),
        (b"\x82\x01.", "extension code"),
        (b"\x84\x01\x00\x00\x00.", "extension code"),
        (b"\x97.", "a buffer outside"),
        (b"NNR.", "calls a NoneType"),
        (b"]N\x85R.", "calls a list"),
        (b"cos\nsystem\n]R.", "calls a Global"),
        (b"N}b.", "a state to what can have none"),
        (b"cos\nsystem\n}b.", "a state to what can have none"),
        (b"NNa.", "appends to what is no list"),
        (b"]NNs.", "no dictionary"),
        (b"}(Nu.", "no dictionary"),
        (b"h\x05.", "goes wrong"),
        (b"g-1\n.", "goes wrong"),
        (b"Ix\n.", "goes wrong"),
        (b"Fx\n.", "goes wrong"),
        (b"Sx\n.", "no quotes"),
        (b"X\x02\x00\x00\x00\xff\xfe.", "goes wrong"),
        (b"X\xff\xff\xff\xff.", "should stand"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", "should stand"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "should stand"),
        (b"\x8b\xff\xff\xff\x7f.", "should stand"),
        (b"\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.", "should stand"),
        (b"L" + b"9" * 2000 + b"L\n.", "2,000 digits"),
        (b"V" + b"x" * (1 << 17) + b"\n.", "does not end"),
        (b"\x80\x04NN\x93.", "a name that is no text"),
        (b"(tt.", "goes wrong"),
        (b"\x85.", "goes wrong"),
    ],
)
def test_what_is_no_pickle_is_refused(data, reason):
    with pytest.raises(DamagedError, match=reason):
        read(data)


def test_a_deep_nest_neither_recurses_nor_is_hashed():
    depth = 200_000
    for opened, closed in ((b"]" * depth, b"a" * (depth - 1)), (b")", b"\x85" * depth)):
        read(b"\x80\x02" + opened + closed + b".")
    keyed = read(b"\x80\x02})" + b"\x85" * depth + b"Ns.")  # hashing the nest would end the process
    assert len(keyed) == 1
    records = 100_000
    read(b"cA\nB\nq\x000" + b"h\x00" * records + b")" + b"R\x85" * (records - 1) + b"R.")
    read(b"cA\nB\nq\x000" + b"h\x00)R" * records + b"b" * (records - 1) + b".")


def test_bombs_cost_no_more_than_their_bytes():
    # Each list holds the one before twice: 2**200 values, if anyone unfolded them.
    read(b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (n, n, n + 1) for n in range(200)) + b".")
    began = time.process_time()
    colliding = b"".join(b"\x8a\x0a" + (k * (2**61 - 1)).to_bytes(10, "little") + b"N" for k in range(1, 60_000))
    assert len(read(b"}(" + colliding + b"u.")) == 59_999  # a dictionary of these would take a minute
    with pytest.raises(DamagedError, match="more than 2,000,000 steps"):
        read(b"N0" * 1_500_000 + b".")
    assert time.process_time() - began < 15


MANY = b"(" + b"N" * 30_000 + b"tq\x000"  # a tuple of them, kept
LONG = b"X\x30\x75\x00\x00" + b"a" * 30_000
COPIES = {  # each repeats one opcode that looks through what was kept
    "arguments": MANY + b"cA\nB\nq\x010}X\x01\x00\x00\x00aNsq\x020" + b"h\x01h\x00h\x02\x920" * 3000 + b"N.",
    "keys": LONG + b"q\x000" + LONG + b"q\x010}h\x00Ns" + b"h\x01Ns" * 3000 + b".",
    "names": LONG + b"q\x000h\x00h\x00\x93.",
}


@pytest.mark.parametrize("kind", COPIES)
def test_one_opcode_copies_no_more_than_the_bytes_before_it(kind):
    with pytest.raises(DamagedError, match=r"copies far more than it holds|a name of 60,000 characters"):
        read(COPIES[kind])


def test_lines_are_read_in_time_that_grows_with_them():
    began = time.process_time()
    assert len(read(b"(" + b"I7\n" * 300_000 + b"l.")) == 300_000
    assert read(b"V" + b"x" * 60_000 + b"\n.") == "x" * 60_000
    assert time.process_time() - began < 2


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(-9, 9), inner),
    max_leaves=20,
)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(plain, st.integers(3, 5))
def test_what_python_pickles_is_read_as_it_was(value, protocol):
    assert read(pickle.dumps(value, protocol)) == value


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(list(CALLS.values())) | st.binary(max_size=6), max_size=12).map(b"".join))
def test_any_bytes_are_a_value_or_one_error(data):
    with contextlib.suppress(DamagedError, ResNetsError):
        unpickle(Source.of(data, "p"), 0, Anything())


def test_mutated_pickles_are_a_value_or_one_error():
    chance, refused = random.Random(0), 0
    for protocol in range(6):
        whole = pickle.dumps(PLAIN, protocol)
        for _ in range(400):
            data = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            cut = chance.choice((len(data), chance.randrange(len(data))))
            try:
                unpickle(Source.of(bytes(data[:cut]), "p"), 0, Anything())
            except (DamagedError, ResNetsError):
                refused += 1
    assert 1200 < refused < 2400, "half of them are cut short"
