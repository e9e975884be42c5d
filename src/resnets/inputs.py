"""Arguments of a command line go in, the images they mean come out: files, folders, globs, and what stands on stdin."""

import glob
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from resnets.errors import ResNetsError
from resnets.images import FORMATS, MAX_BYTES, SUFFIXES

Identity = tuple[int, int]  # device and number of a folder
SNIFF = 16  # bytes that tell an image from a list


@dataclass
class Passed:
    """What a walk over folders did not take: to be told when all is done."""

    others: int = 0  # files that are no images by their suffix, or hidden
    empty: tuple[str, ...] = ()  # folders without any image
    unread: tuple[str, ...] = ()  # folders that could not be listed


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
            yield from from_stream(stdin or sys.stdin.buffer)
        elif not os.path.lexists(argument) and glob.has_magic(argument):
            for match in _matches(argument) or [argument]:
                yield from _of(match, passed)
        else:
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
            else:
                passed.others += not goes_deeper


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
    if b"\0" in head or any(magic.match(head) for magic, kind, _, _ in FORMATS if kind != "BMP"):
        yield head + stream.read(MAX_BYTES)
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


def _there(stream: BinaryIO, most: int) -> bytes:
    """At most so many bytes: what is there, once anything is."""
    return stream.read1(most) if isinstance(stream, io.BufferedReader | io.BytesIO) else stream.read(most)
