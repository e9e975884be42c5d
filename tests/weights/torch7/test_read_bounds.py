"""What reading costs, whatever a file claims."""

import struct
import tracemalloc
from time import perf_counter

import numpy as np
import pytest

from resnets.errors import ResNetsError
from resnets.weights.source import Source
from resnets.weights.torch7 import read as reader
from resnets.weights.torch7.read import read
from resnets.weights.torch7.write import write

TRUE = struct.pack("<ii", 5, 1)


def head(code, index):
    return struct.pack("<ii", code, index)


def test_too_many_values_end_in_an_error(monkeypatch):
    monkeypatch.setattr(reader, "MAX_VALUES", 1000)
    with pytest.raises(ResNetsError, match="more than 1,000 values"):
        read(Source.of(TRUE * 1001, "x.t7"))


def test_more_entries_than_may_be_read_are_refused_before_they_are():
    begun = perf_counter()
    with pytest.raises(ResNetsError, match="more than 4,000,000 values"):
        read(Source.of(head(3, 1) + struct.pack("<i", 3_900_000) + bytes(40_000_000), "x.t7"))
    assert perf_counter() - begun < 0.5


def test_what_is_nil_is_no_entry_and_costs_no_memory():
    entries = np.zeros(100_000, [("number", "<i4"), ("key", "<f8"), ("nil", "<i4")])
    entries["number"], entries["key"] = 1, np.arange(len(entries))
    table = head(3, 1) + struct.pack("<i", len(entries) + 1) + entries.tobytes() + TRUE * 2
    source = Source.of(table, "x.t7")
    tracemalloc.start()
    (found,) = read(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.pairs == [(True, True)]
    assert peak < 1e6
    assert write([found]) == head(3, 1) + struct.pack("<i", 1) + TRUE * 2
