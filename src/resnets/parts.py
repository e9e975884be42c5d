"""Rows go in one by one; in the end a whole file comes out. Until then they are parts, which a second run continues."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from resnets.errors import ResNetsError
from resnets.files import place, unwritable, whole

T = TypeVar("T")

EVERY = 10.0  # seconds between parts: what a killed run loses at most
JOB = "job.json"


class Parts:
    """The output file `path` of a long job, made of rows of bytes.

    `job` says what decides the rows, any JSON. Rows gather in `path` + ".part"/, a file every few seconds; what an
    earlier run of the same job left there is `done` rows (`failed` of which are errors) and is not made again. As a
    context manager: a good end joins the parts at `path`, any other keeps them. Raises ResNetsError where the parts are
    another job's, and where the folder cannot be written.
    """

    def __init__(self, path: Path, job: Any) -> None:
        self.path = path = place(path)
        self.folder = path.with_name(path.name + ".part")
        self.job = json.dumps(job, sort_keys=True)
        self.rows: list[bytes] = []
        self.names = hashlib.sha256()
        self.count = self.errors = 0
        self.kept = self._kept()
        self.done = sum(count for count, _, _ in self.kept)
        self.failed = sum(errors for _, errors, _ in self.kept)
        self.written = time.monotonic()

    def _kept(self) -> list[tuple[int, int, str]]:
        """(rows, errors among them, digest of their names) of each part that is there."""
        if not (self.folder / JOB).is_file():
            return []
        if (self.folder / JOB).read_text("utf-8") != self.job:
            raise ResNetsError(
                f"{self.folder} holds the unfinished rows of another job (other images, model or options).",
                f"Run that command again to finish it, remove the folder, or write to another file than {self.path}.",
            )
        names = sorted(name for name in os.listdir(self.folder) if name.endswith(".rows"))
        fields = [name.removesuffix(".rows").split("-") for name in names]
        return [(int(count), int(errors), digest) for _, count, errors, digest in fields]

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
        """Turn the gathered rows into a part. Its name holds what a later run must know, so that one rename is all."""
        if not self.count:
            return
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        if not self.kept:
            with whole(self.folder / JOB) as file:
                file.write(self.job.encode())
        part = (self.count, self.errors, self.names.hexdigest())
        name = "-".join(map(str, (f"{len(self.kept):08}", *part)))
        with whole(self.folder / f"{name}.rows") as file:
            file.writelines(self.rows)
        self.kept.append(part)
        self.rows, self.names, self.count, self.errors = [], hashlib.sha256(), 0, 0
        self.written = time.monotonic()

    def __enter__(self) -> "Parts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._write()
            return
        with whole(self.path) as out:
            if self.kept:
                for name in sorted(name for name in os.listdir(self.folder) if name.endswith(".rows")):
                    with open(self.folder / name, "rb") as part:
                        shutil.copyfileobj(part, out)
            out.writelines(self.rows)
        shutil.rmtree(self.folder, ignore_errors=True)


def _bytes(item: Any) -> bytes:
    # The length first, so that no two lists of names are the same bytes. An image on stdin stands for itself.
    name = item if isinstance(item, bytes) else os.fsencode(item)
    return len(name).to_bytes(8, "little") + name
