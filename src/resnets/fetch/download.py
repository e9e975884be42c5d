"""A URL goes in, the whole file comes out as a part file with its digests, continued where an earlier attempt stood.

The thread that asks receives what another one reads from the network (`transfer`), writes it, and hands it on to a
third that computes the digests. A process may be killed at any moment: what it has written is continued by the next.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from resnets.fetch import ranges
from resnets.fetch.connection import AttemptError, fault_of_status
from resnets.fetch.contents import ENOUGH, mistaken
from resnets.fetch.partial import Origin, Part
from resnets.fetch.transfer import Head, Patience, Transfer

MOST = 2 << 30  # bytes of a file of which nothing says how long it is
EVERY = 0.1  # seconds between two calls that tell how far it is
LONGEST_PAUSE = 60.0

Result = TypeVar("Result")


class DownloadError(Exception):
    """Why a URL did not give its file, as one clause. What had come of it remains, unless it is worthless.

    `unreachable`: its server was not spoken to. `advice`: what to do about it, a sentence.
    """

    def __init__(self, problem: str, fault: AttemptError) -> None:
        super().__init__(problem)
        self.unreachable, self.advice = fault.unreachable, fault.advice


@dataclass(frozen=True)
class Downloaded:
    """A file that has come whole. `url`: after redirects. `digests`: by algorithm, hexadecimal.

    `resumed`: it was joined from several answers; if it is not what it should be, another attempt from the beginning
    may be.
    """

    url: str
    size: int
    digests: dict[str, str]
    resumed: bool


def _silent(*_: object) -> None:
    pass


def download(
    url: str,
    part: Path,
    *,
    size: int | None = None,
    algorithms: tuple[str, ...] = ("sha256",),
    checkable: bool = False,
    told: Callable[[int, int | None], None] = _silent,
    noticed: Callable[[str], None] = _silent,
    patience: Patience = Patience(),  # noqa: B008  # frozen
) -> Downloaded:
    """Brings the file of a URL to `part`, whole, flushed to the disk and with its digests.

    `size`: what it must be, in bytes. `algorithms`: names of hashlib. `checkable`: the caller knows a digest and will
    compare it, so that a part may be continued of which only the length can be compared, from another mirror too.
    `told` is called with bytes and their total (None: not known) before the first are written, and then about ten times
    a second at most; `noticed` with a clause where it begins again, and where an attempt failed that another follows.

    Raises DownloadError, and OSError where the disk refuses. Beside the part lies `state_file(part)`: remove both.
    """
    with Part(part, algorithms) as file:
        return _tried(_Job(url, file, size, checkable, told, noticed, patience).attempt, patience, noticed, file)


def text(
    url: str,
    most: int = 4096,
    noticed: Callable[[str], None] = _silent,
    patience: Patience = Patience(),  # noqa: B008  # frozen
) -> str:
    """A short text of the web, as a list of checksums is. Raises DownloadError, also where it is longer than `most`."""

    def attempt() -> str:
        with Transfer(url, {}, patience) as transfer:
            head = transfer.head()
            _refuse(head)
            found = bytearray()
            for block in transfer.blocks(lambda: None):
                found += block
                transfer.done_with(block)
                if len(found) > most:
                    break
        _recognise(bytes(found[:ENOUGH]), url, head)
        if len(found) > most:
            raise AttemptError(f"it is longer than the {most:,} bytes of such a text", lasting=True)
        return found.decode("utf-8", "replace")

    return _tried(attempt, patience, noticed)


def _tried(
    attempt: Callable[[], Result], patience: Patience, noticed: Callable[[str], None], part: Part | None = None
) -> Result:
    """What one of several attempts gives. One that got further does not count as failed."""
    failed, ever = 0, False
    while True:
        began, came = time.monotonic(), 0
        if part is not None:
            part.came = 0
        try:
            return attempt()
        except AttemptError as fault:
            came = 0 if part is None else part.came
            ever = ever or came > 0
            # A trickle is no progress, nor are connections that bring a byte each.
            failed = 1 if came and came >= patience.slowest * (time.monotonic() - began) else failed + 1
            if fault.lasting or (fault.unreachable and not ever):
                raise DownloadError(str(fault), fault) from fault
            if failed >= patience.tries or (part is not None and part.restarts >= patience.tries):
                raise DownloadError(f"{fault}; {patience.tries} attempts got no further", fault) from fault
            wait = min(max(patience.pause * 2 ** (failed - 1), min(fault.wait, patience.stall)), LONGEST_PAUSE)
            noticed(f"{fault}, trying again" + (f" in {wait:.0f} s" if wait >= 1 else ""))
        time.sleep(wait)


def _refuse(head: Head) -> None:
    """Raises the AttemptError that a status without the file is."""
    if head.status not in (200, 206, 416):
        raise fault_of_status(head.status, _wait(head.headers.get("Retry-After")))


def _wait(text: str | None) -> float:
    """Seconds of a Retry-After, which is a number or a date."""
    try:
        if text is None or text.strip().isdecimal():
            return float(text or 0)
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _recognise(first: bytes, url: str, head: Head) -> None:
    """Raises the AttemptError of an answer that begins as something else than the file."""
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    if found := mistaken(first, name, head.headers.get("Content-Type") or ""):
        raise AttemptError(f"the server gives {found}, not the file", lasting=True)


class _Job:
    """One file on its way."""

    def __init__(
        self,
        url: str,
        part: Part,
        size: int | None,
        checkable: bool,
        told: Callable[[int, int | None], None],
        noticed: Callable[[str], None],
        patience: Patience,
    ) -> None:
        self.url, self.part, self.size, self.checkable = url, part, size, checkable
        self.patience, self.told, self.noticed, self.last_told = patience, told, noticed, 0.0
        self.total = size
        self.resumed = False
        self.agreed = False  # this attempt's server has agreed where in the file it begins

    def attempt(self) -> Downloaded:
        """One request, and what it brings. Raises AttemptError, after which what has been written remains."""
        part, self.agreed = self.part, False
        if part.origin is not None and part.done and part.done == part.origin.total:
            part.shorten(part.done - 1)  # whole, but perhaps of a file that has changed since: one byte will tell
        wanted = ranges.asked(part.origin, self.url, part.done, self.size, self.checkable)
        with Transfer(self.url, wanted or {}, self.patience) as transfer:
            head = transfer.head()
            _refuse(head)
            self._encoding(head)
            if head.status == 200:
                self._body(transfer, head, head.length, self._why_anew(wanted, head))
            elif wanted is None:
                raise AttemptError(f"status {head.status} to a plain request", lasting=True)
            elif head.status == 206:
                self._body(transfer, head, self._continues(head))
            else:
                self._ends(head)
        return self._finished(head)

    def _useless(self, problem: str) -> AttemptError:
        """The fault after which the next attempt begins from nothing."""
        self.part.restart(None)
        return AttemptError(problem)

    def _encoding(self, head: Head) -> None:
        """A body that the server has packed on the way, which nobody has asked for, is not the file."""
        coding = (head.headers.get("Content-Encoding") or "").strip().lower()
        packed = urlsplit(self.url).path.lower().endswith((".gz", ".tgz"))
        if coding not in ("", "identity") and not (packed and coding in ("gzip", "x-gzip")):
            raise AttemptError(
                "the server packs the file on the way (Content-Encoding), though not asked to", lasting=True
            )

    def _continues(self, head: Head) -> int:
        """The end of the bytes that an answer 206 brings. Raises AttemptError where they follow on nothing."""
        origin, found = self.part.origin, ranges.span(head.headers)
        assert origin is not None
        if found is None or found[0] != self.part.done or head.length not in (None, found[1] + 1 - found[0]):
            raise self._useless("the server gives other bytes of the file than those it was asked for")
        now = ranges.validator(head.headers)
        changed = origin.url == self.url and None not in (origin.validator, now) and origin.validator != now
        if changed or origin.total not in (None, found[2]):
            raise self._useless("the file has changed on the server since the download began")
        self.resumed = True
        self.total = found[2]
        return found[1] + 1

    def _ends(self, head: Head) -> None:
        """An answer 416, that nothing follows: an AttemptError where the file is not whole."""
        done = self.part.done
        if ranges.whole(head.headers) != done or self.size not in (None, done):
            raise self._useless("the server has nothing after the bytes that are there, and they are not the file")
        self.resumed, self.total = True, done
        self.part.catch_up()

    def _why_anew(self, wanted: dict[str, str] | None, head: Head) -> str:
        """Why an answer 200 begins again with a file of which a part is there."""
        origin, now = self.part.origin, ranges.validator(head.headers)
        if origin is None:
            return "nothing is known of the part"
        if wanted is not None:
            changed = "If-Range" in wanted and now not in (None, origin.validator)
            return "the file there has changed" if changed else "the server gives no parts"
        if self.size is not None and origin.total not in (None, self.size):
            return "the part is of another file"
        if origin.url != self.url:
            return "the part is of another address"
        return "nothing tells whether the file there has changed"

    def _body(self, transfer: Transfer, head: Head, end: int | None, anew: str = "") -> None:
        """Writes the body. `end`: how far into the file it goes, where that is announced. `anew`: why from nothing."""
        part, begins = self.part, head.status == 200
        if not begins:
            self.agreed = True
            self.told(part.done, self.total)
            part.catch_up()
        for block in transfer.blocks(self._tell):
            if begins:
                self._begin(head, bytes(block[:ENOUGH]), anew)
                begins = False
            most = end or self.size or MOST
            if part.done + len(block) > most:
                part.restart(None)
                raise AttemptError(f"the server sends more than {most:,} bytes", lasting=True)
            part.write(block)
            part.digests.add(block, transfer.done_with)
            self._tell()
        if begins:
            raise AttemptError("the server gives an empty file", lasting=True)
        if self.size is None and transfer.surplus:
            part.restart(None)
            raise AttemptError("the server sends more than it has announced", lasting=True)
        if self.total is not None and part.done < self.total:
            if head.chunked and head.status == 200:
                found = part.done
                part.restart(None)
                raise AttemptError(f"the file there has {found:,} bytes, not {self.total:,}", lasting=True)
            raise AttemptError("the connection ended before the file did")

    def _begin(self, head: Head, first: bytes, anew: str) -> None:
        """Looks at how a file begins, and whether it can be the one that is meant, before anything is written."""
        _recognise(first, self.url, head)
        if None not in (head.length, self.size) and head.length != self.size:
            raise AttemptError(f"the file there has {head.length:,} bytes, not {self.size:,}", lasting=True)
        if head.length is None and not head.chunked and self.size is None:
            raise AttemptError("the server does not say how long the file is", lasting=True)
        if self.part.done:
            self.noticed(f"begins again: {anew}")
        self.part.restart(Origin(self.url, ranges.validator(head.headers), head.length))
        self.total, self.resumed, self.agreed = head.length or self.size, False, True
        self.told(0, self.total)

    def _finished(self, head: Head) -> Downloaded:
        self.part.flush()
        digests = self.part.digests.found()
        self.told(self.part.done, self.part.done)
        return Downloaded(head.url, self.part.done, digests, self.resumed)

    def _tell(self) -> None:
        now = time.monotonic()
        if self.agreed and now - self.last_told >= EVERY:
            self.last_told = now
            self.told(self.part.done, self.total)
