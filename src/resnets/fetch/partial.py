"""A part file: what has come of a download, where it comes from, and its digests as far as it goes.

Beside PART lies PART.json: the URL it comes from, that answer's validator (a strong ETag, or Last-Modified) and the
announced length of the whole. It is written before the first byte is.
"""

import hashlib
import json
import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

_PIECE = 1 << 20
_EARLY = 16 << 20  # bytes after which they are sent to the disk


@dataclass(frozen=True)
class Origin:
    """Where the bytes of a part come from. `total`: the length of the whole file, where it was announced."""

    url: str
    validator: str | None
    total: int | None


def state_file(part: Path) -> Path:
    """Where the state of a part file lies."""
    return part.with_name(f"{part.name}.json")


def read(part: Path) -> Origin | None:
    """What is known of a part file; None where that is nothing, or makes no sense."""
    try:
        with state_file(part).open("rb") as file:
            found = json.loads(file.read(1 << 16))
        url, validator, total = found["url"], found["validator"], found["total"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    sound = isinstance(url, str) and (total is None or (isinstance(total, int) and total > 0))
    if not sound or not (validator is None or (isinstance(validator, str) and sendable(validator))):
        return None
    return Origin(url, validator, total)


def forget(part: Path) -> None:
    """Remove a part file and what is known of it."""
    for path in (part, state_file(part)):
        with suppress(FileNotFoundError):
            path.unlink()


def sendable(text: str) -> bool:
    """Whether a text may stand in a header."""
    return len(text) <= 1002 and text.isascii() and text.isprintable()


class Part:
    """A part file, opened to go on: `done` bytes are there. Use as a context manager. Raises OSError."""

    def __init__(self, path: Path, algorithms: tuple[str, ...]) -> None:
        self.path = path
        self.algorithms = algorithms
        self.origin: Origin | None = None
        self.done = 0
        self.came = 0  # bytes further than ever before, since somebody set it to zero
        self.restarts = 0
        self._furthest = 0
        self._file = -1
        self._early = Writeback()

    def __enter__(self) -> "Part":
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        self._file = os.open(self.path, flags, 0o666)
        self.done = self._furthest = os.lseek(self._file, 0, os.SEEK_END)
        self.origin = read(self.path)
        self.digests = Digests(self.algorithms)  # its thread ends with the block
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.digests.close()
        self._early.wait()
        os.close(self._file)
        if not self.done:  # nothing has come, and an empty file would say that something had
            forget(self.path)

    def write(self, block: memoryview) -> None:
        """Adds bytes at the end, of which the digests do not know yet."""
        written = 0
        while written < len(block):
            count = os.write(self._file, block[written:])
            written, self.done = written + count, self.done + count
        self._early.more(self._file, written)
        if self.done > self._furthest:
            self.came, self._furthest = self.came + self.done - self._furthest, self.done

    def restart(self, origin: Origin | None) -> None:
        """Begins from nothing, with bytes of that origin to come; None: with a part of which nothing is known."""
        if self.done:
            self.restarts += 1
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        self.done = self._furthest = 0
        self.digests.restart()
        self.origin = origin
        with suppress(FileNotFoundError):
            os.unlink(state_file(self.path))
        if origin is not None:
            # A new file: a link there may lead anywhere. Half a state, of a process killed here, is none, and an empty
            # part is all that is lost.
            with state_file(self.path).open("x", encoding="utf-8") as file:
                file.write(json.dumps(asdict(origin)))

    def shorten(self, done: int) -> None:
        """Keeps the first `done` bytes."""
        os.ftruncate(self._file, done)
        self.done = os.lseek(self._file, done, os.SEEK_SET)
        self.digests.restart()

    def catch_up(self) -> None:
        """Hashes what is there and was written by another process."""
        if self.digests.count < self.done:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self.digests.count)
                self.digests.read(file.readinto, self.done - self.digests.count)

    def flush(self) -> None:
        """Returns once all is on the disk."""
        self._early.wait()
        self._early.check()
        os.fsync(self._file)


class Writeback:
    """Sends a file to the disk while it still grows, so that its last flush is short.

    An error of the disk is told once to each opened file: it is kept here for whoever writes next.
    """

    def __init__(self) -> None:
        self._behind = 0
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None

    def more(self, file: int, count: int) -> None:
        """So many more bytes have been written. Raises the OSError that earlier ones met."""
        self.check()
        self._behind += count
        if self._behind >= _EARLY and (self._thread is None or not self._thread.is_alive()):
            self._behind = 0
            self._thread = threading.Thread(target=self._flush, args=(file,), daemon=True)
            self._thread.start()

    def wait(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def _flush(self, file: int) -> None:
        try:
            os.fsync(file)
        except OSError as error:
            self._error = error


class Digests:
    """Blocks go in, digests of all of them come out; a thread computes them."""

    def __init__(self, algorithms: tuple[str, ...]) -> None:
        self.algorithms = algorithms
        self.count = 0
        self._work: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self.restart()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def restart(self) -> None:
        self.count = 0
        self._hashes = [hashlib.new(name, usedforsecurity=False) for name in self.algorithms]

    def add(self, block: memoryview, done_with: Callable[[memoryview], None]) -> None:
        """More bytes; `done_with` is called once they have been read."""
        hashes = self._hashes
        self.count += len(block)

        def update() -> None:
            for one in hashes:
                one.update(block)
            done_with(block)

        self._work.put(update)

    def read(self, readinto: Callable[[memoryview], int | None], count: int) -> None:
        """So many more bytes, read here and now."""
        self._wait()
        block = memoryview(bytearray(_PIECE))
        while count and (found := readinto(block[:count])):
            for one in self._hashes:
                one.update(block[:found])
            self.count, count = self.count + found, count - found

    def found(self) -> dict[str, str]:
        """The digests of all that went in, by algorithm, hexadecimal."""
        self._wait()
        return {name: one.hexdigest() for name, one in zip(self.algorithms, self._hashes, strict=True)}

    def close(self) -> None:
        self._work.put(None)

    def _wait(self) -> None:
        reached = threading.Event()
        self._work.put(reached.set)
        reached.wait()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
