"""Arguments of a command line go in, the images they mean come out: files, folders, globs, and what stands on stdin."""

import glob
import io
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import BinaryIO

from resnets.errors import ResNetsError, plain, some
from resnets.images.decode import FORMATS, MAX_BYTES, SUFFIXES

KINDS = ", ".join(kind for _, kind, _, _ in FORMATS)
Identity = tuple[int, int]  # device and number of a folder
SNIFF = 16  # bytes that tell an image from a list
HIDDEN = "hidden"  # stands among the suffixes, which have a dot


@dataclass
class Passed:
    """What a walk over folders did not take: to be told when all is done."""

    others: Counter[str] = field(default_factory=Counter)  # suffix → files that are no images by it, or HIDDEN
    empty: tuple[str, ...] = ()  # folders without any image
    unread: tuple[str, ...] = ()  # folders that could not be listed
    reasons: dict[str, str] = field(default_factory=dict)  # argument → why it names no image


def counted(others: Mapping[str, int]) -> str:
    """How many files of which suffixes, for people: `3 files (.heic 2, .txt 1)`."""
    count = sum(others.values())
    kinds = sorted(others.items(), key=lambda kind: (-kind[1], kind[0]))
    listing = some([f"{plain(suffix) or 'without suffix'} {files:,}" for suffix, files in kinds])
    return f"{count:,} file{'s' * (count != 1)} ({listing})"


def passed_over(others: Mapping[str, int]) -> str:
    """The line that tells of files in folders that were not taken for images."""
    return f"passed over, no images by their suffix{', or hidden' * (HIDDEN in others)}: {counted(others)}"


def expand(arguments: Sequence[str], passed: Passed, stdin: BinaryIO | None = None) -> Iterator[str | bytes]:
    """The images that the arguments mean, in their order: paths, and the bytes of an image on stdin.

    A folder is walked recursively, in byte order of the paths, by suffix in any case. A pattern (`*`, `?`, `[`, `**`)
    that is no file's name gives its matches in byte order, each file once. `-` is stdin: an image, or a list of paths,
    one a line. Whatever else is named is given as it is, there or not. Raises ResNetsError for a web address, and while
    it is drawn from where stdin cannot be read.
    """
    addresses = [argument for argument in arguments if re.match(r"https?://", argument)]
    if addresses:
        raise ResNetsError(
            f"{addresses[0]} is a web address, which is not read yet.", "Download the image, then name the file."
        )
    return _expand(arguments, passed, stdin)


def _expand(arguments: Sequence[str], passed: Passed, stdin: BinaryIO | None) -> Iterator[str | bytes]:
    for argument in arguments:
        if argument == "-":
            for item in from_stream(stdin or sys.stdin.buffer):
                if isinstance(item, bytes) and _kind(item) is None:
                    passed.reasons["-"] = (
                        f"Standard input is neither an image ({KINDS}) nor a list of paths, one a line."
                    )
                yield item
        elif not os.path.lexists(argument) and glob.has_magic(argument):
            matches = _matches(argument)
            if not matches:
                passed.reasons[argument] = "No file matches the pattern."
            for match in matches or [argument]:
                yield from _of(match, passed)
        else:
            if not argument:
                passed.reasons[argument] = "The name is empty."
            yield from _of(argument, passed)


def _of(path: str, passed: Passed) -> Iterator[str]:
    if not os.path.isdir(path):
        yield path
        return
    count = 0
    for file in walk(path, passed):
        count += 1
        yield file
    if not count:
        passed.empty += (path,)


def _matches(pattern: str) -> list[str]:
    """What a pattern names, in byte order; not what lies in a folder that it names too, and no file twice."""
    found = {os.path.normpath(path): path for path in glob.iglob(pattern, recursive=True)}
    folders = {path for path in found if os.path.isdir(path)}
    real = cache(os.path.realpath)
    once: dict[tuple[str, str], str] = {}
    # The short ways first: `**` goes round and round through a link to a folder above.
    for path in sorted(found, key=lambda path: (path.count(os.sep), os.fsencode(path))):
        if folders.isdisjoint(_above(path)):
            once.setdefault((real(os.path.dirname(path)), os.path.basename(path)), path)
    return [found[path] for path in sorted(once.values(), key=os.fsencode)]


def _above(path: str) -> Iterator[str]:
    """The folders that a normal path lies in."""
    while (up := os.path.dirname(path) or ".") != path:
        yield up
        path = up


def is_image(name: str) -> bool:
    """Whether a file of that name is taken from a folder: by its suffix, in any case, unless it is hidden."""
    return os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")


def walk(folder: str, passed: Passed, above: frozenset[Identity] = frozenset()) -> Iterator[str]:
    """The images below a folder, however deep, in byte order of their paths. What is hidden is left out.

    A folder that cannot be listed is given itself, and noted in `passed`. A link to a folder in which it lies, or to
    one of `above`, is not followed: that would never end.
    """
    todo = [("", folder, True, above)]
    while todo:
        parent, name, is_folder, above = todo.pop()
        path = os.path.join(parent, name)
        if not is_folder:
            yield path
            continue
        try:
            here, found = identity(path), listed(path)
        except OSError:
            passed.unread += (path,)
            yield path
            continue
        if here in above:
            continue
        for entry, goes_deeper in reversed(found):
            if is_image(entry) or (goes_deeper and not entry.startswith(".")):
                todo.append((path, entry, goes_deeper, above | {here}))
            elif not goes_deeper:
                passed.others[_suffix(entry)] += 1


def _suffix(name: str) -> str:
    return HIDDEN if name.startswith(".") else os.path.splitext(name)[1].lower()


def identity(folder: str | Path) -> Identity:
    """What tells a folder from all others, whichever way leads to it. Raises OSError."""
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def listed(folder: str | Path) -> list[tuple[str, bool]]:
    """(name, whether it is a folder) of all that is in a folder, in byte order of the paths. Raises OSError."""
    with os.scandir(folder) as entries:
        found = [(entry.name, _is_folder(entry)) for entry in entries]
    return sorted(found, key=lambda entry: os.fsencode(entry[0]) + b"/" * entry[1])


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def from_stream(stream: BinaryIO) -> Iterator[str | bytes]:
    """The one image on a stream, or the paths listed there, one a line, each as soon as it arrives.

    Paths may be separated by zero bytes too, as `find -print0` writes them. What is neither is given as bytes.

    Raises ResNetsError where the stream cannot be read.
    """
    try:
        yield from _items(stream)
    except OSError as error:
        raise ResNetsError(
            f"Standard input cannot be read ({error.strerror or error}).", "Pipe an image to it, or a list of paths."
        ) from error


def _items(stream: BinaryIO) -> Iterator[str | bytes]:
    head = b""
    # Enough to know an image by; but a program may wait for the answer to a shorter line than that. PNG has a newline
    # in its mark, which begins with a byte that begins no path in UTF-8.
    while len(head) < SNIFF and (b"\n" not in head or head[:1] == b"\x89"):
        if not (more := _there(stream, SNIFF - len(head))):
            break
        head += more
    # BMP's mark, `BM`, may begin a path too; but its header holds zero bytes, which no path does.
    if _kind(head) not in (None, "BMP") or (b"\0" in head and (_kind(head) or not _ZEROS.fullmatch(head))):
        yield head + stream.read(MAX_BYTES)
        return
    if b"\n" not in head:
        head += stream.readline()
    if b"\0" in head:
        yield from (os.fsdecode(path) for path in (head + stream.read()).split(b"\0") if path)
        return
    while b"\n" in head or (more := stream.readline()):
        if b"\n" in head:
            line, _, head = head.partition(b"\n")
        else:
            line, head = head + more, b""
        if line.strip(b"\r\n"):
            yield os.fsdecode(line.strip(b"\r\n"))
    if head:
        yield os.fsdecode(head)


# The beginning of a list that zero bytes separate: names, which have no control characters in them.
_ZEROS = re.compile(rb"[^\0-\x1f]+(\0[^\0-\x1f]+)*\0?")


def _kind(head: bytes) -> str | None:
    return next((kind for magic, kind, _, _ in FORMATS if magic.match(head)), None)


def _there(stream: BinaryIO, most: int) -> bytes:
    """At most so many bytes: what is there, once anything is."""
    return stream.read1(most) if isinstance(stream, io.BufferedReader | io.BytesIO) else stream.read(most)
