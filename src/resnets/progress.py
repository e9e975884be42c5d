"""How far a long job is, on stderr: a bar with rate and time left on a terminal, now and then a line elsewhere."""

import sys
import time
from collections import deque
from types import TracebackType
from typing import Any

EVERY = 10.0  # seconds between plain lines
WINDOW = 10.0  # seconds of which rate and time left are
WAITING = 5.0  # seconds without anything after which no time left is told
POINTS = 4  # that are kept of a job whose steps take longer than the window


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
        self._printed = time.monotonic()
        self._points = deque([(self._printed, self.done)])  # when so many were done
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "Progress":
        self._printed = time.monotonic()
        self._points = deque([(self._printed, self.done)])
        if not self.quiet and sys.stderr.isatty():
            self._open_bar()
        return self

    def _open_bar(self) -> None:
        from rich.console import Console  # costs 60 ms to import: not for a pipe, not for --help
        from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
        from rich.progress import Progress as Bar
        from rich.table import Column
        from rich.text import Text

        class Now(ProgressColumn):
            """How far it is at each refresh, which goes on where nothing comes."""

            def render(column, task: Task) -> Text:  # noqa: N805
                return Text(self._now())

        console = Console(stderr=True)
        across = min(40, max(4, console.width - len(self.label) - 42))  # what is told has its place before the bar
        columns = (TextColumn("{task.description}", markup=False), BarColumn(across), Now(Column(no_wrap=True)))
        self._bar = Bar(*columns, console=console, transient=True, refresh_per_second=5)
        self._task = self._bar.add_task(self.label, total=self.total, completed=self.done)
        self._bar.start()

    @property
    def rate(self) -> float:
        """Things a second, of the last seconds."""
        began, done = self._points[0]
        return (self.done - done) / max(time.monotonic() - began, 1e-9)

    @property
    def waiting(self) -> bool:
        """Whether nothing has come for a while, and for longer than it takes."""
        (began, _), (last, _) = self._points[0], self._points[-1]
        usual = (last - began) / max(len(self._points) - 1, 1)
        return self.done != self.total and time.monotonic() - last > max(WAITING, 2 * usual)

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more are done; `note` stands beside the rate."""
        waited = self.waiting
        self.done += count
        self.note = note
        if count:
            self._remember(time.monotonic(), waited)
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, total=self.total)
        elif not self.quiet and time.monotonic() - self._printed >= EVERY:
            self._printed = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def _remember(self, now: float, waited: bool) -> None:
        """A point at most every twentieth of the window, back to its beginning, or to the end of the last wait."""
        points = self._points
        if waited and len(points) >= POINTS:
            points.clear()
        elif len(points) > 1 and now - points[-2][0] < WINDOW / 20:
            points.pop()
        points.append((now, self.done))
        while len(points) > POINTS and points[1][0] <= now - WINDOW:
            points.popleft()

    def line(self) -> str:
        """The state as one plain line."""
        return f"{self.label}: {', '.join(self._parts(' of ', ' left'))}"

    def _now(self) -> str:
        return "  ".join(self._parts("/"))

    def _parts(self, of: str, left: str = "") -> list[str]:
        """3/10 images, 12 images/s, 0:05 or that nothing comes, and the note: those that there are."""
        count = of.join(self._amount(n) for n in (self.done, self.total) if n is not None)
        rate = self.rate
        ahead = f"{duration((self.total - self.done) / rate)}{left}" if self.total and rate else ""
        ahead = "waiting" if self.waiting else ahead
        return list(filter(None, (f"{count} {self.unit}", f"{self._amount(rate)} {self.unit}/s", ahead, self.note)))

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
