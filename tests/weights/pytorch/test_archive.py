import io
import random
import struct
import zipfile
import zlib

import numpy as np
import pytest

from resnets.weights.pytorch import archive
from resnets.weights.source import DamagedError, Source

FILES = {"a/data.pkl": b"first" * 9, "a/empty": b"", "a/data/0": bytes(range(256)) * 4}


def made(files=FILES, method=zipfile.ZIP_STORED, **options):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in files.items():
            with file.open(name, "w", **options) as entry:
                entry.write(data)
    return out.getvalue()


def read(data):
    source = Source.of(data, "z")
    return {name: archive.content(source, entry) for name, entry in archive.entries(source).items()}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("large", [False, True])
def test_archives_of_zipfile_are_read(method, large):
    assert read(made(method=method, force_zip64=large)) == FILES


def test_zipfile_reads_what_we_write_and_equal_files_are_equal_bytes():
    data = archive.write(FILES)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.testzip() is None
        assert {name: file.read(name) for name in file.namelist()} == FILES
    assert read(data) == FILES
    assert archive.write(dict(FILES)) == data
    source = Source.of(data, "z")
    assert {archive.opened(source, entry).offset % 64 for entry in archive.entries(source).values()} == {0}


def directory_of(data):
    return data.index(b"PK\x01\x02")


def patched(data, at, form, *values):
    changed = bytearray(data)
    struct.pack_into(form, changed, at, *values)
    return bytes(changed)


def test_archives_that_contradict_themselves_are_refused():
    whole = archive.write(FILES)
    first = directory_of(whole)
    third = whole.rindex(b"PK\x01\x02")
    local = whole.rindex(b"PK\x03\x04")
    cases = {
        "do not have the checksum": whole.replace(b"firstfirst", b"FIRSTfirst", 1),
        "encrypted": patched(whole, first + 8, "<H", 1),
        "method 12": patched(whole, first + 10, "<H", 12),
        "overlaps": patched(whole, third + 20, "<2I", 4096, 4096),
        "say different things": patched(whole, local + 30, "<c", b"b"),
        "should have 60,000 entries": patched(whole, len(whole) - 14, "<2H", 60_000, 60_000),
        "no directory": whole[: first + 20],
        "something follows": whole + b"x",
        "is not the beginning of an entry": patched(whole, first, "<I", 0),
    }
    for reason, data in cases.items():
        with pytest.raises(DamagedError, match=reason):
            read(data)


def test_two_entries_of_one_name_are_refused():
    data = archive.write({"a/1": b"one", "a/2": b"two"}).replace(b"a/2", b"a/1")
    with pytest.raises(DamagedError, match="two entries called 'a/1'"):
        read(data)


def test_overlapping_entries_are_refused():
    one = archive.write({"a/1": b"x" * 500, "a/2": b"x" * 500})
    second = one.rindex(b"PK\x01\x02")
    with pytest.raises(DamagedError, match=r"overlaps|say different"):
        read(patched(one, second + 42, "<I", 0))


def test_bombs_are_not_unpacked():
    many = made({f"a/{n}": bytes(1 << 20) for n in range(8)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(DamagedError, match="more than 16 times as large"):
        archive.entries(Source.of(many, "z"))
    packed = zlib.compressobj(wbits=-15)
    bomb = packed.compress(bytes(1 << 20)) + packed.flush()
    data = made({"a/x": bomb, "a/y": bytes(100_000)})
    first = directory_of(data)
    said = 1000  # it says that a thousand bytes come out
    data = patched(data, first + 10, "<H", 8)
    data = patched(patched(data, first + 24, "<I", said), 8, "<H", 8)
    data = patched(data, 22, "<I", said)
    source = Source.of(data, "z")
    with pytest.raises(DamagedError, match="other than 1,000 bytes"):
        archive.content(source, archive.entries(source)["a/x"])


def test_an_array_is_checked_where_it_lies():
    numbers = np.arange(100, dtype="<f4")
    data = archive.write({"a/x": numbers.tobytes()})
    source = Source.of(data, "z")
    place = archive.opened(source, archive.entries(source)["a/x"])
    place.check_array(source.array("<f4", (100,), place.offset))
    place.check()
    with pytest.raises(DamagedError, match="checksum"):
        place.check_array(numbers + 1)


def test_every_truncation_and_flipped_byte_is_noticed_or_harmless():
    for whole in (archive.write(FILES), made(), made(method=zipfile.ZIP_DEFLATED), made(force_zip64=True)):
        for length in range(len(whole)):
            with pytest.raises(DamagedError):
                read(whole[:length])
        chance = random.Random(0)
        for at in range(len(whole)):
            changed = bytearray(whole)
            changed[at] ^= 1 << chance.randrange(8)
            try:
                found = read(bytes(changed))
            except DamagedError:
                continue
            assert {n: d for n, d in found.items() if n in FILES}.items() <= FILES.items()
