"""An archive goes in, the files in it come out in a folder: a .zip or .tar.gz of a model, and nothing that harms.

Names, kinds, number and sizes are judged before a byte is written, and bytes are counted as they come: what a header
says of them is believed nowhere. Modes, owners and times of the archive are left out of account.
"""

import gzip
import re
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, cast

CHUNK = 1 << 16
DEPTH = 8  # folders within each other
NAME = 200  # bytes of a name in UTF-8
HEADER = 8192  # bytes of a header of a tar; those with long names have some hundreds
TABLE = 1 << 20  # bytes of the table of a zip: 200 members with names of 5,000 characters
_BOMB = "it unpacks to more bytes than an archive of its size can hold in earnest"


class UnpackError(Exception):
    """Why an archive is refused, as one clause."""


@dataclass(frozen=True)
class Limits:
    """`members`: how many. `total`: bytes of all; or `ratio` times the archive's own, or `small`, if that is less."""

    members: int = 200
    total: int = 4 << 30
    ratio: int = 200
    small: int = 16 << 20

    def bytes(self, packed: int) -> int:
        return min(self.total, max(self.small, self.ratio * packed))


def unpack(archive: Path, into: Path, suffix: str, limits: Limits = Limits()) -> Path:
    """Unpack a .zip or .tar.gz into a folder that is empty; the path of its one file of that suffix.

    Its kind is told by its first bytes. What macOS adds (`._NAME`, `__MACOSX/`) is left out. Raises UnpackError where
    the archive is damaged, harmful, or has more or fewer than one such file, and OSError of the disk; what has been
    unpacked until then stays in the folder.
    """
    budget = limits.bytes(archive.stat().st_size)
    with archive.open("rb") as file:
        begins = file.read(2)
        file.seek(0)
        kinds = {b"PK": _zip, b"\x1f\x8b": _tar}
        if begins not in kinds:
            raise UnpackError("it is neither a .zip nor a .tar.gz")
        written = _Written(into, limits, budget)
        try:
            kinds[begins](file, written)
        except _DAMAGED as error:
            raise UnpackError("it is damaged or cut off") from error
    models = [path for path in written.files if path.name.endswith(suffix)]
    if len(models) != 1:
        found = ", ".join(str(path.relative_to(into)) for path in models[:3]) or "none"
        raise UnpackError(f"it should hold one {suffix} file, and holds {len(models)}: {found}")
    return models[0]


# Of what the standard library raises for archives that are no such thing; OSErrors of the disk are none of these.
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    OverflowError,
    LookupError,
    RuntimeError,  # RecursionError and NotImplementedError are such
)


@dataclass
class _Written:
    """What has been written below `into`, and what may still be."""

    into: Path
    limits: Limits
    left: int
    files: list[Path] = field(default_factory=list)
    _known: dict[str, tuple[str, bool]] = field(
        default_factory=dict
    )  # as a disk that ignores case has it: name, folder
    _members: int = 0

    def count(self) -> None:
        self._members += 1
        if self._members > self.limits.members:
            raise UnpackError(f"it has more than {self.limits.members} members")

    def folder(self, name: str) -> None:
        parts = _parts(name)
        if parts:
            self._enter(parts, folder=True)

    def file(self, name: str, source: IO[bytes]) -> None:
        """One file of the archive, byte by byte."""
        parts = _parts(name)
        if parts[0] == "__MACOSX" or parts[-1].startswith("._"):
            return
        self._enter(parts, folder=False)
        path = self.into.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.files.append(path)
        with path.open("xb") as target:
            while chunk := source.read(CHUNK):
                self.left -= len(chunk)
                if self.left < 0:
                    raise UnpackError(_BOMB)
                target.write(chunk)

    def _enter(self, parts: list[str], folder: bool) -> None:
        """Refuse what another member is called already, on any disk: case and ways to write an accent may not count."""
        for end in range(1, len(parts) + 1):
            name, is_folder = "/".join(parts[:end]), folder or end < len(parts)
            folded = unicodedata.normalize("NFC", name).casefold()
            if self._known.get(folded, (name, True)) != (name, True) or (folded in self._known and not is_folder):
                raise UnpackError(f"it has two members called {name!r}, or nearly so")
            self._known[folded] = (name, is_folder)


def _parts(name: str) -> list[str]:
    """The folders and the name of a member. Raises UnpackError for a name that leads elsewhere or cannot be one."""
    if name.startswith("/") or "\\" in name or re.match("[A-Za-z]:", name):
        raise UnpackError(f"it has a member that is called {_short(name)}, which is no path inside it")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    encoded = [part.encode("utf-8", "surrogateescape") for part in parts]
    if ".." in parts:
        raise UnpackError(f"it has a member that leads out of it: {_short(name)}")
    if not name.isprintable() or len(parts) > DEPTH or any(len(part) > NAME for part in encoded):
        raise UnpackError(f"it has a member with an impossible name: {_short(name)}")
    return parts


def _short(name: str) -> str:
    return ascii(name if len(name) <= 100 else f"{name[:100]}...")


class _Stream:
    """A tar as it comes out of gzip, forwards alone, for tarfile to read.

    Every byte is counted, also those that are skipped. Headers, which tarfile reads in one piece of whatever length
    they say, and searches in a time that grows with its square, may have `HEADER` bytes, and `headers` all together.
    Where a header has a negative length tarfile goes back, and so in circles.
    """

    def __init__(self, file: IO[bytes], left: int, headers: int) -> None:
        self.file, self.left, self.headers = file, left, headers
        self.in_file = False  # what is read is the contents of a member
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if not self.in_file and size > tarfile.BLOCKSIZE:
            self.headers -= size
            if size > HEADER or self.headers < 0:
                raise UnpackError("it has a header that is too long")
        return self._next(size)

    def _next(self, size: int) -> bytes:
        self.last = self.file.read(size)
        self.left -= len(self.last)
        if self.left < 0:
            raise UnpackError(_BOMB)
        return self.last

    def seek(self, to: int) -> None:
        if to < self.tell():
            raise ValueError("a position before this one")
        while (ahead := to - self.tell()) > 0 and self._next(min(ahead, CHUNK)):
            pass

    def tell(self) -> int:
        return self.file.tell()


def _tar(file: BinaryIO, written: _Written) -> None:
    members = written.limits.members
    with gzip.GzipFile(fileobj=file) as unzipped:
        stream = _Stream(cast(IO[bytes], unzipped), written.left + members * CHUNK, members * 1024)
        with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r:", errorlevel=2) as archive:
            for member in _members(archive, stream, written):
                source = None if member.isdir() else archive.extractfile(member)
                if source is None:
                    written.folder(member.name)
                    continue
                with closing(source):
                    stream.in_file = True
                    written.file(member.name, source)
                    stream.in_file = False
        stream.in_file = True
        while stream.read(CHUNK):  # to the end, where gzip has its sum
            pass


def _members(archive: tarfile.TarFile, stream: _Stream, written: _Written) -> Iterator[tarfile.TarInfo]:
    """The members of a tar one by one, of which each is a plain file or a folder within it."""
    while (member := archive.next()) is not None:
        written.count()
        if member.issparse() or not (member.isreg() or member.isdir()):
            kind = "link" if member.issym() or member.islnk() else "device, a pipe or a file with holes"
            raise UnpackError(f"it has a member that is a {kind}: {_short(member.name)}")
        _parts(member.name)
        if hasattr(tarfile, "data_filter"):  # since Python 3.11.4
            tarfile.data_filter(member, str(written.into))
        yield member
    if stream.last.strip(b"\0") or not stream.last:  # it takes a damaged header for the end
        raise UnpackError("it is damaged or cut off")


class _Bounded:
    """A zip for zipfile to read, which holds the table of all members in memory, of whatever length it says."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        found = self.file.read(min(size, TABLE + 1) if size >= 0 else TABLE + 1)
        if len(found) > TABLE:
            raise UnpackError("it has a header that is too long")
        return found

    def seek(self, to: int, whence: int = 0) -> int:
        if whence == 0 and to < 0:
            raise ValueError("a position before the beginning")
        return self.file.seek(to, whence)

    def tell(self) -> int:
        return self.file.tell()

    def seekable(self) -> bool:
        return True


def _zip(file: BinaryIO, written: _Written) -> None:
    with zipfile.ZipFile(cast(IO[bytes], _Bounded(file))) as archive:
        for info in archive.infolist():
            written.count()
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or "\0" in info.orig_filename:
                raise UnpackError(f"it has a member that is a link or a device: {_short(info.filename)}")
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UnpackError(f"it has a member that is encrypted or packed in a rare way: {_short(info.filename)}")
            _parts(info.orig_filename)
            if info.is_dir():
                written.folder(info.filename)
                continue
            with archive.open(info) as source:
                written.file(info.filename, source)
