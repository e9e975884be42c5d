"""How far a long job is, on stderr: a bar with rate and time left on a terminal, now and then a line elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any

EVERY = 10.0  # seconds between plain lines


class Progress:
    """Counts finished things of `total` (None: unknown). Use as a context manager; `advance` is cheap.

    `quiet` prints nothing. `done` starts the count above zero for a job that is continued.
    """

    def __init__(
        self, label: str, total: int | None, unit: str = "images", *, quiet: bool = False, done: int = 0
    ) -> None:
        self.label, self.total, self.unit, self.quiet = label, total, unit, quiet
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
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bar = Bar(
            *columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True, refresh_per_second=5
        )
        self._task = self._bar.add_task(self.label, total=self.total, completed=self.done, note="")
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
            self._bar.update(self._task, completed=self.done, note=f"{self.rate:,.0f} {self.unit}/s {note}".rstrip())
        elif not self.quiet and time.monotonic() - self._printed >= EVERY:
            self._printed = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """The state as one plain line."""
        of = f" of {self.total:,}" if self.total else ""
        left = f", {duration((self.total - self.done) / self.rate)} left" if self.total and self.rate else ""
        note = f", {self.note}" if self.note else ""
        return f"{self.label}: {self.done:,}{of} {self.unit}, {self.rate:,.0f} {self.unit}/s{left}{note}"

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
