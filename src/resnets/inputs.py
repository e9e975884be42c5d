"""Arguments of a command line go in, the images they mean come out: files, folders, globs, and what stands on stdin."""

import glob
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from resnets.errors import ResNetsError
from resnets.images import FORMATS, MAX_BYTES, SUFFIXES


@dataclass
class Passed:
    """What a walk over folders did not take: counts, to be told when all is done."""

    others: int = 0  # files that are no images by their suffix, or hidden
    empty: tuple[str, ...] = ()  # folders without any image


def expand(arguments: Sequence[str], passed: Passed, stdin: BinaryIO | None = None) -> Iterator[str | bytes]:
    """The images that the arguments mean, in their order: paths, and the bytes of an image on stdin.

    A folder is walked recursively, in byte order of the paths, by suffix in any case. A pattern (`*`, `?`, `[`, `**`)
    that is no file's name gives its matches in byte order. `-` is stdin: an image, or a list of paths, one a line.
    Whatever else is named is given as it is, there or not. Raises ResNetsError for a web address.
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
            matches = sorted(glob.iglob(argument, recursive=True), key=os.fsencode)
            for match in matches or [argument]:
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


def walk(folder: str, passed: Passed, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """The images below a folder in byte order of their paths; a folder that cannot be listed itself, as an error."""
    try:
        found = os.stat(folder)
        with os.scandir(folder) as entries:
            listed = [(entry.name, entry.is_dir()) for entry in entries]
    except OSError:
        yield folder
        return
    if (found.st_dev, found.st_ino) in above:  # a link to a folder above would never end
        return
    above |= {(found.st_dev, found.st_ino)}
    for name, is_folder in sorted(listed, key=lambda e: os.fsencode(e[0]) + b"/" * e[1]):
        path = os.path.join(folder, name)
        if name.startswith("."):
            passed.others += not is_folder
        elif is_folder:
            yield from walk(path, passed, above)
        elif Path(name).suffix.lower() in SUFFIXES:
            yield path
        else:
            passed.others += 1


def from_stream(stream: BinaryIO) -> Iterator[str | bytes]:
    """The one image on a stream, or the paths listed there, one a line, each as soon as it arrives."""
    head = stream.read(16)
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
