"""Items go in, what a function makes of them comes out in the same order; threads do the work, a bounded way ahead."""

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 8  # chunks a thread may be ahead of the reader: one slow image must not stop the others
PATIENCE = 2.0  # seconds that closing waits for threads at work, so that none is left inside a library at exit


def cores() -> int:
    """Processors that this process may use: its affinity, and the quota of its control group."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(allowed, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no such file, or "max"
        return allowed


def in_order(
    work: Callable[[int, list[T]], list[R]], items: Iterable[T], threads: int, most: int, ahead: int = AHEAD
) -> Iterator[R]:
    """What `work(position of the first, items)` makes of chunks of at most `most` items, one result per item, in order.

    Items are drawn by the threads, never more than `most * threads * (ahead + 1)` of them ahead of the reader. Chunks
    grow from one item upwards: the first results come early, a few items are spread over all threads, and which items
    share a chunk does not depend on timing. What `work` or `items` raises is raised here, after all earlier results.
    """
    line = _Line(items, threads, most, ahead)
    workers = [threading.Thread(target=line.serve, args=(work,), daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    ready: dict[int, list[R] | BaseException | None] = {}
    expected = 0
    try:
        while True:
            while expected not in ready:
                try:  # with a time limit, since on Windows Ctrl-C does not end a wait without one
                    number, result = line.done.get(timeout=0.5)
                except queue.Empty:
                    continue
                ready[number] = result
            results = ready.pop(expected)
            expected += 1
            if results is None:
                return
            if isinstance(results, BaseException):
                raise results
            line.room.release()
            yield from results
    except (Exception, GeneratorExit):
        line.close(workers, PATIENCE)
        raise
    finally:  # Ctrl-C comes straight here: it waits for no one
        line.close(workers, 0)


class _Line(Generic[T]):
    """Where the threads stand in line for the next chunk."""

    def __init__(self, items: Iterable[T], threads: int, most: int, ahead: int) -> None:
        self.done: queue.SimpleQueue[tuple[int, list[Any] | BaseException | None]] = queue.SimpleQueue()
        self.room = threading.Semaphore(threads * ahead)
        self.source, self.threads, self.most = iter(items), threads, most
        self.lock = threading.Lock()
        self.number = self.first = 0
        self.ended = False
        self.failure: BaseException | None = None

    def draw(self) -> tuple[int, int, list[T]]:
        """(number of the chunk, position of its first item, items); no items at the end."""
        with self.lock:
            number, first = self.number, self.first
            chunk: list[T] = []
            try:
                while not self.ended and len(chunk) < min(self.most, 2 ** min(number // self.threads, 30)):
                    chunk.append(next(self.source))
            except StopIteration:
                self.ended = True
            except BaseException as error:
                self.ended, self.failure = True, error
            self.number += 1
            self.first += len(chunk)
            return number, first, chunk

    def serve(self, work: Callable[[int, list[T]], list[R]]) -> None:
        """What each thread does."""
        while True:
            self.room.acquire()
            number, first, chunk = self.draw()
            if not chunk:
                self.done.put((number, self.failure))
                return
            try:
                self.done.put((number, list(work(first, chunk))))
            except BaseException as error:
                self.done.put((number, error))
                return

    def close(self, workers: list[threading.Thread], patience: float) -> None:
        """Let no thread begin another chunk."""
        self.ended = True
        self.room.release(len(workers))
        for worker in workers:
            worker.join(patience / len(workers))
