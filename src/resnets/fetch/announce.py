"""Bytes that have arrived go in; lines and a bar on stderr come out, and an error where the disk is too small."""

import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from resnets.errors import ResNetsError, plain
from resnets.progress import Progress

MB = 1_000_000  # as the publishers' pages and `ls` by `--si` count


def say(text: str, quiet: bool = False) -> None:
    """A line on stderr, unless quiet."""
    if not quiet:
        print(plain(text), file=sys.stderr, flush=True)


def megabytes(size: int) -> str:
    """Bytes in units of a million: 102, 1.3, 0.004."""
    value = size / MB
    return f"{value:,.0f}" if value >= 9.95 or not value else f"{value:.1f}" if value >= 0.095 else f"{value:.3f}"


class Announced:
    """Called with bytes done and total (None: unknown) as they arrive; a context manager that ends the bar.

    `source`: whose they are. Before the first are written it asks for the free space of `folder`: `copies` of the file
    must fit. Raises ResNetsError where they do not.
    """

    def __init__(self, name: str, folder: Path, quiet: bool, source: str = "", copies: int = 1) -> None:
        self.name, self.folder, self.quiet, self.source, self.copies = name, folder, quiet, source, copies
        self._bar: Progress | None = None
        self._open = ExitStack()

    def __call__(self, done: int, total: int | None) -> None:
        if self._bar is None or done < self._bar.done:  # the server has begun anew
            self._begin(done, total)
        if self._bar is not None:
            self._bar.total = total
            self._bar.advance(done - self._bar.done)

    def noticed(self, what: str) -> None:
        """A line about the download, behind which the bar begins anew."""
        self._open.close()
        self._bar = None
        say(f"{self.name}: {self.source}: {what}", self.quiet)

    def _begin(self, done: int, total: int | None) -> None:
        self._open.close()
        if total is not None:
            room(self.name, self.folder, total * self.copies - done)
        if done:
            say(f"{self.name}: going on at {megabytes(done)} MB", self.quiet)
        bar = Progress(self.name, total, "MB", quiet=self.quiet, done=done, size=MB)
        self._bar = self._open.enter_context(bar)

    def __enter__(self) -> "Announced":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def room(name: str, folder: Path, needed: int) -> None:
    """Raises ResNetsError where the disk of a folder has less than so many bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ResNetsError(
            f"The disk is full: {name} needs {megabytes(needed)} MB more in {folder}, which has {megabytes(free)} MB.",
            "Free some space, or name a folder on another disk in RESNETS_CACHE.",
        )
