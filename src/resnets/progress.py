"""How far a long job is, on stderr: a bar with rate and time left on a terminal, now and then a line elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any

EVERY = 10.0  # seconds between plain lines


class Progress:
    """Counts finished things of `total` (None: unknown). Use as a context manager; `advance` is cheap.

    `quiet` prints nothing. `done` starts the count above zero for a job that is continued. `size`: how many of what is
    counted make one `unit`; a million for bytes that are shown as MB.
    """

    def __init__(
        self,
        label: str,
        total: int | None,
        unit: str = "images",
        *,
        quiet: bool = False,
        done: int = 0,
        size: int = 1,
    ) -> None:
        self.label, self.total, self.unit, self.quiet, self.size = label, total, unit, quiet, size
        self.done = self.start_at = done
        self.note = ""
        self._began = self._printed = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "Progress":
        self._began = self._printed = time.monotonic()
        if not self.quiet and sys.stderr.isatty():
            self._open_bar()
        return self

    def _open_bar(self) -> None:
        from rich.console import Console  # costs 60 ms to import: not for a pipe, not for --help
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[note]}"),
        )
        self._bar = Bar(
            *columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True, refresh_per_second=5
        )
        self._task = self._bar.add_task(
            self.label, total=self.total, completed=self.done, count=self._count("/"), note=""
        )
        self._bar.start()

    @property
    def rate(self) -> float:
        """Things a second since the beginning."""
        return (self.done - self.start_at) / max(time.monotonic() - self._began, 1e-9)

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more are done; `note` stands beside the rate."""
        self.done += count
        self.note = note
        if self._bar is not None:
            self._bar.update(
                self._task, completed=self.done, count=self._count("/"), note=f"{self._rate()} {note}".rstrip()
            )
        elif not self.quiet and time.monotonic() - self._printed >= EVERY:
            self._printed = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """The state as one plain line."""
        left = f", {duration((self.total - self.done) / self.rate)} left" if self.total and self.rate else ""
        note = f", {self.note}" if self.note else ""
        return f"{self.label}: {self._count(' of ')} {self.unit}, {self._rate()}{left}{note}"

    def _count(self, of: str) -> str:
        """3/10, 3 of 10, or 3 where there is no total; of bytes with one decimal."""
        return of.join(self._amount(n) for n in (self.done, self.total) if n is not None)

    def _rate(self) -> str:
        return f"{self._amount(self.rate)} {self.unit}/s"

    def _amount(self, count: float) -> str:
        return f"{count / self.size:,.{0 if self.size == 1 else 1}f}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def duration(seconds: float) -> str:
    """0:05, 12:30 or 2:00:00."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
