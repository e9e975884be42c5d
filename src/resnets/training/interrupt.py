"""Ctrl-C and SIGTERM during training: the step ends, the state is saved, then the process goes."""

import shlex
import signal
import sys
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any


class Stop:
    """While open, a first SIGINT or SIGTERM only asks; `leave` then does what it would have. A second acts at once.

    A signal that was ignored before, as in a job that a script put into the background, stays ignored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked = 0  # the signal's number
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = number
        signal.signal(number, self._before[number])
        print(
            f"stopping as soon as the state is saved; once more stops at once. Go on with: {self.command}",
            file=sys.stderr,
        )

    @property
    def command(self) -> str:
        """What goes on with the run."""
        return f"resnets train --resume {shlex.quote(str(self.folder))}"

    def leave(self) -> None:
        """End the run where a stop was asked for. The state must have been saved."""
        if self.asked:
            print(f"stopped; go on with: {self.command}", file=sys.stderr)
            signal.raise_signal(self.asked)
            raise KeyboardInterrupt  # a program that handles the signal itself and goes on: this run does not

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
