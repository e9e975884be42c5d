"""Rows go in one by one; in the end a whole file comes out. Until then they are parts, which a second run continues."""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from resnets.errors import ResNetsError
from resnets.files import alone, place, unwritable, whole

T = TypeVar("T")

EVERY = 10.0  # seconds between parts: what a killed run loses at most
JOB = "job.json"
LOCK = "lock"


class Parts:
    """The output file `path` of a long job, made of rows of bytes.

    `job` says what decides the rows, any JSON. Rows gather in `path` + ".part"/, a file every few seconds; what an
    earlier run of the same job left there is `done` rows (`failed` of which are errors) and is not made again. As a
    context manager, which holds that folder against other processes: a good end joins the parts at `path`, any other
    keeps them. Entering raises ResNetsError where another process is at work there, where the parts are another job's,
    and where the folder cannot be written.
    """

    def __init__(self, path: Path, job: Any) -> None:
        self.path = path = place(path)
        self.folder = path.with_name(path.name + ".part")
        self.job = json.dumps(job, sort_keys=True)
        self.rows: list[bytes] = []
        self.names = hashlib.sha256()
        self.count = self.errors = self.done = self.failed = 0
        self.kept: list[tuple[int, int, str]] = []  # of each part: rows, errors among them, digest of their names
        self.held = ExitStack()
        self.written = time.monotonic()

    def __enter__(self) -> "Parts":
        self._hold()
        try:
            self.kept = self._kept()
        except BaseException:
            self._leave()
            raise
        self.done = sum(count for count, _, _ in self.kept)
        self.failed = sum(errors for _, errors, _ in self.kept)
        return self

    def _hold(self) -> None:
        while True:
            try:
                self.folder.mkdir(exist_ok=True)
                self.held.enter_context(alone(self.folder / LOCK, str(self.folder)))
                return
            except FileNotFoundError:  # another command has just ended and removed the folder
                continue
            except OSError as error:
                raise unwritable(self.folder, error) from error

    def _leave(self) -> None:
        """Let go of the folder, and remove it where it holds nothing."""
        if not self.kept and not (self.folder / JOB).exists():
            with suppress(OSError):
                (self.folder / LOCK).unlink(missing_ok=True)
                self.folder.rmdir()
        self.held.close()

    def _kept(self) -> list[tuple[int, int, str]]:
        if not (self.folder / JOB).is_file():
            return []
        if (self.folder / JOB).read_text("utf-8") != self.job:
            raise ResNetsError(
                f"{self.folder} holds the unfinished rows of another job (other images, model or options).",
                f"Run that command again to finish it, remove the folder, or write to another file than {self.path}.",
            )
        kept: list[tuple[int, int, str]] = []
        for name in sorted(os.listdir(self.folder)):
            found = re.fullmatch(r"(\d{8})-(\d+)-(\d+)-([0-9a-f]{64})\.rows", name)
            if found and int(found[1]) == len(kept):
                kept.append((int(found[2]), int(found[3]), found[4]))
        return kept

    def _file(self, number: int) -> Path:
        """Where part `number` of those kept is. Its name holds what a later run must know, so one rename is all."""
        return self.folder / ("-".join(map(str, (f"{number:08}", *self.kept[number]))) + ".rows")

    def rest(self, items: Iterable[T]) -> Iterator[T]:
        """The items that have no row yet. Raises ResNetsError where those before them are not what they were."""
        source = iter(items)
        for count, _, digest in self.kept:
            names = hashlib.sha256()
            for _, item in zip(range(count), source, strict=False):
                names.update(_bytes(item))
            if names.hexdigest() != digest:
                raise ResNetsError(
                    f"The images are not those of which {self.folder} holds rows.", "Remove that folder to start again."
                )
        yield from source

    def add(self, item: Any, row: bytes, failed: bool) -> None:
        """The next item's row."""
        self.rows.append(row)
        self.names.update(_bytes(item))
        self.count += 1
        self.errors += failed
        if time.monotonic() - self.written >= EVERY:
            self._write()

    def _write(self) -> None:
        """Turn the gathered rows into a part."""
        if not self.count:
            return
        if not self.kept:
            with whole(self.folder / JOB) as file:
                file.write(self.job.encode())
        self.kept.append((self.count, self.errors, self.names.hexdigest()))
        try:
            with whole(self._file(len(self.kept) - 1)) as file:
                file.writelines(self.rows)
        except BaseException:
            self.kept.pop()
            raise
        self.rows, self.names, self.count, self.errors = [], hashlib.sha256(), 0, 0
        self.written = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None:
                self._write()
                return
            with whole(self.path) as out:
                for number in range(len(self.kept)):
                    with open(self._file(number), "rb") as part:
                        shutil.copyfileobj(part, out)
                out.writelines(self.rows)
            self.kept = []
            self._clear()
        finally:
            self._leave()

    def _clear(self) -> None:
        """Remove all but the lock: a command that waits for it must not see its own first files vanish."""
        with suppress(OSError):
            for name in os.listdir(self.folder):
                if name != LOCK:
                    (self.folder / name).unlink()


def _bytes(item: Any) -> bytes:
    # The length first, so that no two lists of names are the same bytes. An image on stdin stands for itself.
    name = item if isinstance(item, bytes) else os.fsencode(item)
    return len(name).to_bytes(8, "little") + name
