import pytest

from resnets.weights.protobuf import wire
from resnets.weights.protobuf.wire import Reader, put
from resnets.weights.source import DamagedError


def read(data: bytes) -> list[tuple[int, int, wire.Value]]:
    return list(Reader(data).fields((0, len(data))))


def test_what_is_put_is_read():
    data = put(1, 0) + put(16, 2**63) + put(3, "naïve") + put(4, put(1, 5))
    fields = read(data)
    assert [(number, kind) for number, kind, _ in fields] == [(1, 0), (16, 0), (3, 2), (4, 2)]
    assert [fields[0][2], fields[1][2]] == [0, 2**63]
    assert Reader(data).text(fields[2][2]) == "naïve"
    assert [*Reader(data).packed(fields[3][2])] == [8, 5]


def test_fixed_numbers_are_stepped_over():
    assert read(bytes([1 << 3 | 1, *range(8), 2 << 3 | 5, *range(4)]) + put(3, 7))[-1] == (3, 0, 7)


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",  # no length
        b"\x0a\x05abc",  # three bytes of five
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # 2^63 bytes
        b"\x08" + b"\xff" * 11,  # a number that does not end
        b"\x0b\x0c",  # groups
        b"\x00\x00",  # field 0
        b"\x88\x80\x80\x80\x10\x00",  # field 1 in 33 bits
        b"\x88\x80\x80\x80\x80\x00\x00",  # field 1 in six bytes
        b"\x0d\x00\x00",  # two bytes of four
    ],
)
def test_bytes_that_contradict_themselves_are_refused(data):
    with pytest.raises(DamagedError):
        read(data)


def test_time_is_bounded_by_the_number_of_fields(monkeypatch):
    monkeypatch.setattr(wire, "MAX_FIELDS", 1000)
    with pytest.raises(DamagedError, match="more than 1,000 fields"):
        read(put(1, 1) * 1001)
    with pytest.raises(DamagedError, match="more than 1,000 fields"):
        list(Reader(b"\1" * 1001).packed((0, 1001)))


def test_texts_are_bounded_and_utf8(monkeypatch):
    monkeypatch.setattr(wire, "MAX_TEXT", 3)
    assert Reader(b"abc").text((0, 3)) == "abc"
    with pytest.raises(DamagedError, match="4 bytes"):
        Reader(b"abcd").text((0, 4))
    with pytest.raises(DamagedError, match="UTF-8"):
        Reader(b"\xff").text((0, 1))
