"""Archives: those of models are unpacked, and whatever is made to harm is refused with nothing written elsewhere."""

import gzip
import io
import os
import random
import resource
import stat
import tarfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from resnets.fetch import unpack
from resnets.fetch.unpack import Limits, UnpackError

MODEL = random.Random(2).randbytes(200_000)
SMALL = Limits(members=20, total=1 << 20, small=1 << 20)


def member(name: str, data: bytes = b"", **how) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in how.items():
        setattr(info, key, value)
    return info, data


def tarball(path: Path, *members: tuple[tarfile.TarInfo, bytes], kind: int = tarfile.GNU_FORMAT) -> Path:
    with tarfile.open(path, "w:gz", format=kind) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return path


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "deep" / "into").mkdir(parents=True)
    return tmp_path / "deep" / "into"


def test_a_tarball_gives_the_model_and_its_sample_data(tmp_path, into):
    path = tarball(
        tmp_path / "a.tar.gz",
        member("./", type=tarfile.DIRTYPE),
        member("./r18", type=tarfile.DIRTYPE, mode=0),
        member("./r18/._r18.onnx", b"what macOS adds"),
        member("./r18/r18.onnx", MODEL, mode=0o6777, uid=1234),
        member("./r18/test_data_set_0/input_0.pb", b"1"),
        member("r18/empty", b""),
    )
    model = unpack.unpack(path, into, ".onnx")
    assert model == into / "r18" / "r18.onnx"
    assert model.read_bytes() == MODEL
    assert stat.S_IMODE(model.stat().st_mode) & 0o6111 == 0
    found = {file.relative_to(into).as_posix() for file in into.rglob("*") if file.is_file()}
    assert found == {"r18/r18.onnx", "r18/test_data_set_0/input_0.pb", "r18/empty"}


def test_a_zip_gives_its_one_model(tmp_path, into):
    path = zipped(tmp_path / "a.zip", ("x/", b""), ("x/model.params", MODEL), ("__MACOSX/x/._model.params", b"1"))
    assert unpack.unpack(path, into, ".params").read_bytes() == MODEL
    assert os.listdir(into) == ["x"]


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_every_format_of_tar_with_long_names(tmp_path, into, kind):
    name = "/".join(["folder" * 10] * 2) + "/model.onnx"
    assert unpack.unpack(tarball(tmp_path / "a", member(name, MODEL), kind=kind), into, ".onnx") == into / name


OUT = "leads out of it"
NAMES = {
    "../model.onnx": OUT,
    "a/../../model.onnx": OUT,
    "..": OUT,
    "/tmp/model.onnx": "is no path inside it",
    "C:model.onnx": "is no path inside it",
    "a\\..\\model.onnx": "is no path inside it",
    "a\nb.onnx": "impossible name",
    "\x1b[2J.onnx": "impossible name",
    f"{'x' * 300}.onnx": "impossible name",
    f"{'a/' * 20}m.onnx": "impossible name",
}


@pytest.mark.parametrize("pack", [tarball, zipped])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_that_lead_elsewhere_or_cannot_be(tmp_path, into, name, pack):
    members = [("good.onnx", MODEL), (name, b"evil")]
    made = pack(tmp_path / "a", *([member(*one) for one in members] if pack is tarball else members))
    with pytest.raises(UnpackError, match=NAMES[name]) as error:
        unpack.unpack(made, into, ".onnx")
    assert str(error.value).isprintable()
    assert {path.name for path in tmp_path.rglob("*")} <= {"a", "deep", "into", "good.onnx"}


@pytest.mark.parametrize(
    ("first", "second"), [("a/m", "a/m"), ("a/m", "A/n"), ("m", "M"), ("a", "a/m"), ("a/m", "a"), ("\u00e9", "e\u0301")]
)
def test_two_members_of_one_name_are_refused_whatever_the_disk(tmp_path, into, first, second):
    path = tarball(tmp_path / "a", member("model.onnx", MODEL), member(first, b"1"), member(second, b"2"))
    with pytest.raises(UnpackError, match="two members called"):
        unpack.unpack(path, into, ".onnx")


KINDS = {
    tarfile.SYMTYPE: "a link",
    tarfile.LNKTYPE: "a link",
    tarfile.CHRTYPE: "a device, a pipe",
    tarfile.BLKTYPE: "a device, a pipe",
    tarfile.FIFOTYPE: "a device, a pipe",
    b"Z": "a device, a pipe",  # or anything else
}


@pytest.mark.parametrize("kind", KINDS)
def test_links_and_devices_are_refused(tmp_path, into, kind):
    odd = member("odd.onnx", type=kind, linkname="/etc/passwd")
    with pytest.raises(UnpackError, match=f"a member that is {KINDS[kind]}"):
        unpack.unpack(tarball(tmp_path / "a", member("m.onnx", MODEL), odd), into, ".onnx")
    assert not os.path.lexists(into / "odd.onnx")


def test_a_link_and_a_device_in_a_zip_are_refused(tmp_path, into):
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
        info = zipfile.ZipInfo("m.onnx")
        info.external_attr = (kind | 0o777) << 16
        with pytest.raises(UnpackError, match="a link or a device"):
            unpack.unpack(zipped(tmp_path / "a", (info, b"/etc/passwd")), into, ".onnx")
    assert not os.listdir(into)


def test_rare_kinds_of_packing_in_a_zip_are_refused(tmp_path, into):
    with pytest.raises(UnpackError, match="packed in a rare way"):
        unpack.unpack(zipped(tmp_path / "a", ("m.onnx", MODEL), method=zipfile.ZIP_LZMA), into, ".onnx")


@pytest.mark.parametrize("pack", [tarball, zipped])
def test_more_members_than_a_model_needs(tmp_path, into, pack):
    names = [f"{i}.pb" for i in range(21)]
    made = pack(tmp_path / "a", *([member(n) for n in names] if pack is tarball else [(n, b"") for n in names]))
    with pytest.raises(UnpackError, match="more than 20 members"):
        unpack.unpack(made, into, ".onnx", SMALL)


@pytest.mark.parametrize("pack", [tarball, zipped])
def test_a_bomb_is_cut_off(tmp_path, into, pack):
    zeros = bytes(8 << 20)
    made = pack(tmp_path / "a", *([member("m.onnx", zeros)] if pack is tarball else [("m.onnx", zeros)]))
    assert made.stat().st_size < 20_000
    with pytest.raises(UnpackError, match="unpacks to more bytes than an archive of its size"):
        unpack.unpack(made, into, ".onnx", SMALL)
    assert sum(path.stat().st_size for path in into.iterdir()) <= SMALL.total


def test_the_ratio_counts_for_large_archives():
    assert Limits().bytes(1 << 20) == 200 << 20
    assert Limits().bytes(100) == 16 << 20
    assert Limits().bytes(1 << 40) == 4 << 30


def endless(path: Path, header: tarfile.TarInfo) -> Path:
    """A tarball whose one header announces so much, and zeros behind it."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        for _ in range(64):
            file.write(bytes(1 << 20))
    return path


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE])
def test_a_header_that_fills_the_memory_is_refused(tmp_path, into, kind):
    info = tarfile.TarInfo("h")
    info.type, info.size = kind, 8 << 30
    path = endless(tmp_path / "a", info)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UnpackError, match="a header that is too long"):
        unpack.unpack(path, into, ".onnx")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 << 10  # KiB


def test_headers_that_take_hours_to_search_are_refused(tmp_path, into):
    """tarfile looks for numbers in extended headers by expressions that go back at every digit."""
    payload = b"9" * 8192
    info = tarfile.TarInfo("h")
    info.type, info.size = tarfile.XHDTYPE, len(payload)
    with gzip.open(tmp_path / "a", "wb") as file:
        for i in range(200):
            extended = info.tobuf(tarfile.GNU_FORMAT) + payload
            file.write(extended + tarfile.TarInfo(f"{i}.onnx").tobuf())
        file.write(bytes(1024))
    began = time.process_time()
    with pytest.raises(UnpackError, match="a header that is too long"):
        unpack.unpack(tmp_path / "a", into, ".onnx")
    assert time.process_time() - began < 5


def test_a_zip_whose_table_fills_the_memory_is_refused(tmp_path, into):
    with pytest.raises(UnpackError, match="a header that is too long"):
        unpack.unpack(zipped(tmp_path / "a", *((f"{i}{'x' * 200}", b"") for i in range(5000))), into, ".onnx")


@pytest.mark.parametrize("size", [-512, -1024, -(1 << 40)])
def test_a_negative_length_ends(tmp_path, into, size):
    info = tarfile.TarInfo("a.onnx")
    info.size = size
    with pytest.raises(UnpackError, match="damaged or cut off"):
        unpack.unpack(endless(tmp_path / "a", info), into, ".onnx", SMALL)


@pytest.mark.parametrize("models", [0, 2])
def test_one_model_and_no_more(tmp_path, into, models):
    path = tarball(tmp_path / "a", member("x.txt"), *(member(f"{i}.onnx") for i in range(models)))
    with pytest.raises(UnpackError, match=f"should hold one .onnx file, and holds {models}"):
        unpack.unpack(path, into, ".onnx")


def _cuts(data: bytes) -> list[bytes]:
    return [data[: len(data) * i // 40] for i in range(1, 40)]


def _flips(data: bytes) -> list[bytes]:
    draw = random.Random(3)
    found = []
    for _ in range(150):
        changed = bytearray(data)
        changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        found.append(bytes(changed))
    return found


@pytest.mark.parametrize("damage", [_cuts, _flips])
@pytest.mark.parametrize("kind", [".tar.gz", ".zip", ".tar"])
def test_a_damaged_archive_is_refused_or_gives_the_model(tmp_path, damage: Callable[[bytes], list[bytes]], kind):
    model = MODEL[:3000]
    path = tmp_path / "a"
    if kind == ".zip":
        zipped(path, ("m.params", model), ("x", b"1"))
    else:
        tarball(path, member("m.params", model), member("x", b"1"))
    whole = path.read_bytes() if kind != ".tar" else gzip.decompress(path.read_bytes())
    for number, changed in enumerate(damage(whole)):
        path.write_bytes(changed if kind != ".tar" else gzip.compress(changed, 1))
        into = tmp_path / str(number)
        into.mkdir()
        with suppress(UnpackError):
            found = unpack.unpack(path, into, ".params")
            # a bare tar has no sum of its contents; the others have
            assert kind == ".tar" or found.read_bytes() == model


def test_a_file_that_is_no_archive(tmp_path, into):
    (tmp_path / "a").write_bytes(b"hello")
    with pytest.raises(UnpackError, match=r"neither a \.zip nor a \.tar\.gz"):
        unpack.unpack(tmp_path / "a", into, ".onnx")
