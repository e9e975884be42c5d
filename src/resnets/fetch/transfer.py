"""A URL goes in; the head of its server's answer comes out, then the body, block by block, as long as patience lasts.

A thread talks to the server, because the standard library's timeouts bound one read and not an answer, and a name's
resolution not at all. Whoever waits for the thread watches it, and cuts the connection where it takes too long.
"""

import http.client
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from types import TracebackType

from resnets.fetch.connection import AttemptError, fault_of, opened
from resnets.fetch.contents import ENOUGH

BLOCK = 1 << 20
BLOCKS = 4
_HELD = 0.25  # seconds after which a block goes on though it is not full
_MORE = 0.2  # seconds in which a server that sends more than it announced would do so
_GRACE = 1.0  # seconds that a thread gets to close its connection, once that is cut


@dataclass(frozen=True)
class Patience:
    """How long a download waits, in seconds.

    `connect`: for a connection, half of it for each address of a host. `stall`: for the head of an answer, and for the
    next byte of the file; over so long a time at least `slowest` bytes a second must come. `tries`: how often in a row
    it may fail without getting further. `pause`: before the second try, doubled each time.
    """

    connect: float = 15.0
    stall: float = 30.0
    slowest: int = 1024
    tries: int = 5
    pause: float = 1.0


@dataclass(frozen=True)
class Head:
    """The head of an answer. `length`: of its body, where it is announced. `url`: after redirects."""

    url: str
    status: int
    headers: Message
    length: int | None
    chunked: bool


@dataclass
class _Pipe:
    """What the thread that reads and the one that waits for it share."""

    ready: "queue.SimpleQueue[Head | memoryview | AttemptError | None]" = field(default_factory=queue.SimpleQueue)
    free: "queue.SimpleQueue[bytearray | None]" = field(default_factory=queue.SimpleQueue)
    came: int = 0  # bytes of the body
    hop: int = 0  # connections begun
    met: bool = False  # this hop's connection stands
    cut: bool = False
    surplus: bool = False
    line: socket.socket | None = None  # a second handle of the connection, to cut it whoever holds the first
    lock: threading.Lock = field(default_factory=threading.Lock)


class Transfer:
    """One request and its answer. Use as a context manager; `head`, then `blocks`. Raises AttemptError."""

    def __init__(self, url: str, headers: dict[str, str], patience: Patience) -> None:
        self.patience = patience
        self._pipe = _Pipe()
        for _ in range(BLOCKS):
            self._pipe.free.put(bytearray(BLOCK))
        self._thread = threading.Thread(
            target=_run, args=(url, headers, patience, self._pipe), name="transfer", daemon=True
        )

    def __enter__(self) -> "Transfer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _cut(self._pipe)
        if self._pipe.met:  # a thread that resolves a name or connects ends by itself, and nobody awaits it
            self._thread.join(_GRACE)

    def head(self) -> Head:
        """Waits for the head of the answer: `connect` seconds for each connection, then `stall` seconds."""
        pipe, hop, met = self._pipe, -1, False
        since = time.monotonic()
        while True:
            with suppress(queue.Empty):
                found = pipe.ready.get(timeout=min(0.1, self.patience.connect / 4, self.patience.stall / 4))
                if isinstance(found, AttemptError):
                    raise found
                assert isinstance(found, Head)
                return found
            now = time.monotonic()
            if (pipe.hop, pipe.met) != (hop, met):
                (hop, met), since = (pipe.hop, pipe.met), now
            if not met and now - since > self.patience.connect:
                raise AttemptError(f"no connection within {self.patience.connect:g} seconds", unreachable=True)
            if met and now - since > self.patience.stall:
                raise AttemptError(f"no answer within {self.patience.stall:g} seconds")

    def blocks(self, waiting: Callable[[], None]) -> Iterator[memoryview]:
        """The body in pieces of up to BLOCK bytes; each must be given back by `done_with` once it is used.

        `waiting` is called now and then while nothing comes. What came before the line broke is given first.
        """
        watch = _Watch(self.patience)
        while True:
            began = time.monotonic()
            try:
                found = self._pipe.ready.get(timeout=min(0.1, self.patience.stall / 4))
            except queue.Empty:
                waiting()
                found = watch.fault(self._pipe.came, time.monotonic() - began)
                if found is not None:
                    raise found from None
                continue
            if found is None:
                return
            if isinstance(found, AttemptError):
                raise found
            assert isinstance(found, memoryview)
            watch.waited += time.monotonic() - began
            yield found

    @property
    def surplus(self) -> bool:
        """After the body: whether more came than the server had announced."""
        return self._pipe.surplus

    def done_with(self, block: memoryview) -> None:
        """Gives a block back to be filled again."""
        whole = block.obj
        assert isinstance(whole, bytearray)
        self._pipe.free.put(whole)


class _Watch:
    """Bytes and seconds of waiting go in; whether that has been too slow comes out."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.waited = 0.0  # not the time that the receiver of the blocks takes
        self._last = (0.0, 0)  # seconds and bytes when the last byte came
        self._mark = (0.0, 0)  # when the present span of `stall` seconds began

    def fault(self, came: int, seconds: float) -> AttemptError | None:
        """After so many more seconds of waiting, of `came` bytes in all."""
        self.waited += seconds
        stall, slowest = self.patience.stall, self.patience.slowest
        if came != self._last[1]:
            self._last = (self.waited, came)
        if self.waited - self._last[0] >= stall:
            return AttemptError(f"not a byte came for {stall:g} seconds")
        if self.waited - self._mark[0] >= stall:
            if came - self._mark[1] < slowest * stall:
                return AttemptError(f"fewer than {slowest:,} bytes a second came for {stall:g} seconds")
            self._mark = (self.waited, came)
        return None


def _run(url: str, headers: dict[str, str], patience: Patience, pipe: _Pipe) -> None:
    """The thread that talks to the server. Whatever happens, it says how it ended."""

    def began() -> None:
        pipe.met = False
        pipe.hop += 1

    def met(connection: socket.socket) -> None:
        connection.settimeout(2 * patience.stall + 1)  # only so that a thread which nobody awaits ends
        with pipe.lock:
            if pipe.cut:
                raise ConnectionAbortedError
            if pipe.line is not None:
                pipe.line.close()
            pipe.line = connection.dup()
            pipe.met = True

    response = None
    try:
        # Half of the time for each address of a host, so that a second one has its chance.
        response, there = opened(url, headers, timeout=patience.connect / 2, began=began, met=met)
        length = None if response.chunked else response.length
        pipe.ready.put(Head(there, response.status, response.headers, length, bool(response.chunked)))
        _read(response, length, pipe)
        pipe.ready.put(None)
    except AttemptError as fault:
        pipe.ready.put(fault)
    except Exception as error:
        pipe.ready.put(fault_of(error, url))
    finally:
        if response is not None:
            response.close()
        with pipe.lock:
            if pipe.line is not None:
                pipe.line.close()
                pipe.line = None


def _read(response: http.client.HTTPResponse, length: int | None, pipe: _Pipe) -> None:
    """The body, to its end, into the blocks that are free."""
    # The answer's own readinto1 makes a copy; the file below it knows nothing of chunks.
    source = response if length is None else response.fp
    left = length
    enough = ENOUGH if response.status == 200 else 1  # the first bytes of a file are judged before they are written
    while left != 0:
        buffer = pipe.free.get()
        if buffer is None:
            return
        block, filled, began = memoryview(buffer), 0, time.monotonic()
        ended = False
        try:
            while filled < BLOCK and left != 0 and (filled < enough or _follows(pipe.line, began + _HELD)):
                count = source.readinto1(block[filled:] if left is None else block[filled : filled + left])
                if count == 0:
                    ended = True
                    break
                filled, pipe.came = filled + count, pipe.came + count
                left = None if left is None else left - count
        except Exception:
            if filled >= enough:  # what has come goes on all the same
                pipe.ready.put(block[:filled])
            raise
        if filled and (filled >= enough or left in (0, None)):
            pipe.ready.put(block[:filled])
        if ended and left is None:
            return
        if ended:
            raise AttemptError("the connection ended before the file did")
        enough = 1
    if left == 0:
        pipe.surplus = _more(response, pipe)


def _follows(line: socket.socket | None, until: float) -> bool:
    """Whether more has come by then, so that a block may wait for it; or the end has."""
    left = until - time.monotonic()
    if line is None or left <= 0:
        return False
    line.settimeout(left)
    try:
        line.recv(1, socket.MSG_PEEK)
    except OSError:
        return False
    return True


def _more(response: http.client.HTTPResponse, pipe: _Pipe) -> bool:
    """Whether bytes follow the announced ones. An honest server closes the connection, as it has been asked to."""
    line = pipe.line
    if line is None:
        return False
    line.settimeout(_MORE)
    with suppress(OSError, ValueError):
        line.recv(1, socket.MSG_PEEK)  # waits for anything: bytes, an end, or the end of TLS
        return bool(response.fp.peek(1))
    return False


def _cut(pipe: _Pipe) -> None:
    """Ends the connection, from whichever thread: a read that waits on it returns."""
    with pipe.lock:
        pipe.cut = True
        if pipe.line is not None:
            with suppress(OSError):
                pipe.line.shutdown(socket.SHUT_RDWR)
    pipe.free.put(None)
