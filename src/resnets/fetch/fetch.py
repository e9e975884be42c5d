"""A row of the table goes in, the path of its model comes out: from the cache, or downloaded, checked and unpacked."""

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from resnets import files
from resnets.errors import ResNetsError, plain
from resnets.fetch import cache, partial, settle, sources, verify
from resnets.fetch.announce import Announced, megabytes, say
from resnets.fetch.connection import proxy_of
from resnets.fetch.contents import ENOUGH, mistaken
from resnets.fetch.download import DownloadError, download, text
from resnets.fetch.settle import Arrived, Look, RejectedError
from resnets.fetch.sources import Failure
from resnets.fetch.transfer import Patience
from resnets.published.row import Published


@dataclass(frozen=True)
class Errand:
    """What one call asks for, and how: `quiet` prints nothing, `again` downloads in any case.

    `look`: what opens a file that no digest vouches for before it is kept.
    """

    row: Published
    quiet: bool = False
    again: bool = False
    look: Look | None = None
    patience: Patience = Patience()  # noqa: RUF009

    def say(self, line: str) -> None:
        """A line on stderr, unless quiet."""
        say(line, self.quiet)

    def about(self, url: str) -> Callable[[str], None]:
        """What says a line about an address."""
        return lambda line: self.say(f"{self.row.name}: {sources.host(url)}: {line}")

    def settle(self, arrived: Arrived) -> Path:
        """The path of the model of a file that is the row's."""
        return settle.settle(self.row, arrived, self.say, self.look)


def fetch(
    row: Published,
    *,
    quiet: bool = False,
    again: bool = False,
    look: Look | None = None,
    patience: Patience = Patience(),  # noqa: B008
) -> Path:
    """The file of published weights, downloaded where it is not in the cache. `again`: downloaded in any case.

    `look`: what opens a file that no digest vouches for before it is kept.

    One process downloads it, others wait. Lines on stderr say what happens, unless `quiet`. Raises ResNetsError where
    it cannot be had, which names the file to fetch by hand and the place to put it.
    """
    errand = Errand(row, quiet, again, look, patience)
    found = cache.state(row)
    if found.model is not None and not again:
        return found.model
    here = found.kind == "unchecked" and not again
    if sources.offline() and not here:
        raise sources.refused_offline(row, again)
    try:
        with ExitStack() as held:
            try:
                _hold(errand, held)
            except OSError:
                if here:  # a cache that can be read alone
                    return _standing(errand)
                raise
            return _held(errand)
    except OSError as error:
        raise _unwritable(row, error) from error


def _hold(errand: Errand, held: ExitStack) -> None:
    """Make the row's folder and hold it against other processes; wait for one that is at work."""
    home = cache.home(errand.row)
    waiting = f"{errand.row.name}: another process is downloading it: waiting"
    while True:
        home.parent.parent.mkdir(parents=True, exist_ok=True)
        home.parent.mkdir(mode=0o700, exist_ok=True)  # as the XDG base directories are to be made
        home.mkdir(exist_ok=True)
        try:
            held.enter_context(files.alone(home / cache.LOCK, str(home), lambda: errand.say(waiting)))
        except FileNotFoundError:  # cleared in between
            continue
        return


def _held(errand: Errand) -> Path:
    """The model, now that no other process is at work on it: what another has just fetched, or what is there."""
    if not errand.again:
        found = cache.state(errand.row)
        if found.model is not None:
            return found.model
        if found.kind == "unchecked":
            return _standing(errand)
    if sources.offline():
        raise sources.refused_offline(errand.row, errand.again)
    return _downloaded(errand)


def _standing(errand: Errand) -> Path:
    """The model of a file without a receipt, or of files that were changed, if they are what they should be."""
    row = errand.row
    receipt = cache.recorded(row)
    if receipt is not None and not cache.anew(row, receipt):
        return settle.renewed(row, errand.say)
    place = cache.place(row)
    try:
        with place.open("rb") as file:
            instead = mistaken(file.read(ENOUGH), row.file)
        if instead is not None:
            raise RejectedError(f"it is {instead}")
        digests = verify.digests(place, verify.algorithms(row))
        arrived = Arrived(place, "", place.stat().st_size, digests, *_checksum_here(errand))
        return errand.settle(arrived)
    except RejectedError as error:
        raise ResNetsError(
            f"{place} is not {row.name}: {error}.",
            f"Put {row.file} from {sources.shown(row.urls[0])} there, or remove it to have it downloaded.",
        ) from error


def _checksum_here(errand: Errand) -> tuple[str | None, str]:
    """The text with the MD5 of a file that was put there by hand, where it lies beside or can be fetched."""
    row = errand.row
    if row.checksum_url is None:
        return None, ""
    home = cache.home(row)
    try:
        with (home / sources.checksum_file(row)).open("rb") as file:
            return file.read(4096).decode("utf-8", "replace"), ""
    except OSError:
        if sources.offline() or not os.access(home, os.W_OK):
            return None, "it is not beside the file"
        return _checksum(errand)


def _checksum(errand: Errand) -> tuple[str | None, str]:
    """The text with the MD5 of a download, or why it cannot be had."""
    why = ""
    for url in sources.checksums(errand.row):
        try:
            return text(url, noticed=errand.about(url), patience=errand.patience), ""
        except DownloadError as error:
            why = plain(str(error))
    return None, why


def _downloaded(errand: Errand) -> Path:
    """The model of the first address that gives the file that the table means."""
    row = errand.row
    failures: list[Failure] = []
    size = f" ({megabytes(row.size)} MB)" if row.size else ""
    for url in sources.addresses(row):
        if failures:
            errand.about(failures[-1].url)(f"{failures[-1].why}; trying {sources.host(url)}")
        else:
            errand.say(f"{row.name}: downloading {row.file} from {sources.host(url)}{size}")
        try:
            return _from(errand, url)
        except (DownloadError, RejectedError) as error:
            failures.append(_failure(url, error))
    raise sources.exhausted(row, failures)


def _failure(url: str, error: DownloadError | RejectedError) -> Failure:
    """Why an address did not give the file, and the proxy through which it was asked named in it."""
    why, proxy = plain(str(error)), proxy_of(url)
    if proxy is not None and "proxy" not in why and proxy not in why:
        why += f", through the proxy {proxy}"
    if isinstance(error, RejectedError):
        return Failure(url, why, proxy, rejected=True, pin=error.pin)
    return Failure(url, why, proxy, error.unreachable, advice=error.advice)


def _from(errand: Errand, url: str) -> Path:
    """The model from one address. What arrived in two parts and is wrong is fetched once more from the start.

    No third time: over a line that breaks again and again, a file that is wrong there is always joined from parts.
    """
    row = errand.row
    part = cache.part(row)
    restarted = False
    while True:
        with Announced(row.name, part.parent, errand.quiet, sources.host(url), 2 if row.member else 1) as told:
            got = download(
                url,
                part,
                size=row.size,
                algorithms=verify.algorithms(row),
                checkable=bool(row.digests) or cache.recorded(row) is not None,
                told=told,
                noticed=told.noticed,
                patience=errand.patience,
            )
        try:
            arrived = Arrived(part, url, got.size, got.digests, *_checksum(errand))
            model = errand.settle(arrived)
        except RejectedError as error:
            partial.forget(part)
            if restarted or not got.resumed:
                raise
            restarted = True
            errand.say(f"{row.name}: {error}; once more from the start")
            continue
        partial.forget(part)
        found = cache.recorded(row)
        if found is not None:
            errand.say(f"{row.name}: {megabytes(got.size)} MB, checked against {found.checked}")
        return model


def _unwritable(row: Published, error: OSError) -> ResNetsError:
    """The error for a cache that cannot be written."""
    where = cache.home(row)
    blocking = next(
        (path for path in (where, *where.parents) if os.path.exists(path) and not os.path.isdir(path)), None
    )
    if blocking is not None:
        return ResNetsError(
            f"{where} cannot be made: {blocking} is no folder.", "Name another folder for downloads in RESNETS_CACHE."
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResNetsError(
            f"The disk is full: {row.name} does not fit into {where}.",
            "Free some space, or name a folder on another disk in RESNETS_CACHE; what has arrived is kept.",
        )
    at = Path(str(error.filename or where))
    missing = at in (where, *where.parents) and not os.path.lexists(at)
    remedy = "Name another folder for downloads in RESNETS_CACHE."
    if error.errno == errno.EROFS:
        remedy = "Name a folder on a disk that can be written in RESNETS_CACHE."
    elif error.errno in (errno.EACCES, errno.EPERM):
        remedy = "Mend its permissions, or name another folder for downloads in RESNETS_CACHE."
    return ResNetsError(
        f"{at} cannot be {'made' if missing else 'read or written'} ({error.strerror or error}).", remedy
    )
