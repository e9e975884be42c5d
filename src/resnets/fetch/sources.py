"""A row and the environment go in; the addresses to try in turn come out, and what to do where none serves."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from resnets.errors import ResNetsError, plain, short
from resnets.fetch import cache
from resnets.published.row import Published

HUB = "https://huggingface.co"
_WEB = re.compile(r"https?://(\[[0-9a-f:.]+\]|[^/?#@:\s\[\]]+)(:\d{1,5})?(/[^\s?#]*)?", re.I)
_BARE = re.compile(r"[\w-]+(\.[\w-]+)*(:\d{1,5})?(/[^\s?#]*)?")  # a host without the rest
_NAMED = re.compile(r"\w+://[^/?#]*@")


def offline() -> bool:
    """Whether RESNETS_OFFLINE says so: anything but nothing and 0."""
    return os.environ.get("RESNETS_OFFLINE", "") not in ("", "0")


def addresses(row: Published) -> list[str]:
    """Where its file may be had: at RESNETS_MIRROR as BASE/NAME/FILE, then where the table says.

    Raises ResNetsError where RESNETS_MIRROR, or HF_ENDPOINT where it counts, is no address of the web.
    """
    return [*_mirrored(row, row.file), *(_hub(url) for url in row.urls)]


def checksums(row: Published) -> list[str]:
    """Where the text with its MD5 may be had, in the same order; none where the table names none."""
    if row.checksum_url is None:
        return []
    return [*_mirrored(row, checksum_file(row)), _hub(row.checksum_url)]


def checksum_file(row: Published) -> str:
    """What the text with its MD5 is called; empty where there is none."""
    return (row.checksum_url or "").rpartition("/")[2]


def _mirrored(row: Published, file: str) -> list[str]:
    base = _base("RESNETS_MIRROR")
    return [f"{base}/{quote(row.name)}/{quote(file)}"] if base else []


def _hub(url: str) -> str:
    """HF_ENDPOINT in the place of https://huggingface.co, as huggingface_hub has it."""
    if not url.startswith(f"{HUB}/"):
        return url
    return (_base("HF_ENDPOINT") or HUB) + url.removeprefix(HUB)


def _base(variable: str) -> str:
    """The address in a variable of the environment, without its last /; empty where there is none."""
    given = os.environ.get(variable, "")
    if not given:
        return ""
    if _NAMED.match(given):
        raise ResNetsError(f"{variable} holds a user name, which is not supported.", "Leave it out of the address.")
    try:
        sound = _WEB.fullmatch(given) is not None and urlsplit(given).port != 0
    except ValueError:
        sound = False
    if sound:
        return given.rstrip("/")
    remedy = "Write one of those,"
    if given.startswith(("/", ".", "~", "file:")):
        remedy = "A folder can be served with `python -m http.server`;"
    elif _BARE.fullmatch(given):
        remedy = f"Write http://{given},"
    raise ResNetsError(
        f"{variable} is '{plain(short(given))}', which is no http:// or https:// address.", f"{remedy} or unset it."
    )


def shown(url: str) -> str:
    """The address without the name and password that it may hold."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def host(url: str) -> str:
    """The server of an address, for people."""
    return urlsplit(url).netloc.rpartition("@")[2] or shown(url)


def refused_offline(row: Published, again: bool) -> ResNetsError:
    """The error for a file that may not be downloaded: it is not there, or is there and asked for `again`."""
    if again:
        return ResNetsError(
            f"{row.name} is not fetched again: RESNETS_OFFLINE forbids downloading.", "Unset RESNETS_OFFLINE for that."
        )
    return ResNetsError(
        f"{row.name} is not in the cache, and RESNETS_OFFLINE forbids downloading {row.file} from"
        f" {shown(addresses(row)[0])}.",
        f"Fetch that file by hand and put it at {cache.place(row)}, or unset RESNETS_OFFLINE.",
    )


@dataclass(frozen=True)
class Failure:
    """Why an address did not give the file, a clause. `proxy`: through which it was asked.

    `unreachable`: its server was not spoken to. `rejected`: it gave another file. `pin`: than an earlier one, of which
    the sha256 was pinned. `advice`: what to do about it, a sentence.
    """

    url: str
    why: str
    proxy: str | None = None
    unreachable: bool = False
    rejected: bool = False
    pin: bool = False
    advice: str = ""


def exhausted(row: Published, failures: Sequence[Failure]) -> ResNetsError:
    """The error where no address gave the file: the hosts with their reasons, then what can be done about those."""
    mirrored = _mirrored(row, row.file)
    hosts: dict[str, list[str]] = {}
    for one in failures:
        hosts.setdefault(one.why, []).append(host(one.url) + " (RESNETS_MIRROR)" * (one.url in mirrored))
    reasons = "; ".join(f"{_listed(names)}: {why}" for why, names in hosts.items())
    said = [*dict.fromkeys(one.advice for one in failures if one.advice), _advised(row, failures, mirrored)]
    if any(one.pin for one in failures):
        said.append(
            f"If the publisher has replaced the file, `resnets cache clear {row.name}` forgets the old one and its"
            " sha256."
        )
    return ResNetsError(f"{row.name} could not be downloaded: {reasons}.", " ".join(said))


def _advised(row: Published, failures: Sequence[Failure], mirrored: Sequence[str]) -> str:
    """What can be done where a row's file is not to be had, a sentence."""
    mirror = next((one for one in failures if one.url in mirrored), None)
    proxies = [*dict.fromkeys(one.proxy for one in failures if one.proxy)]
    public = next(one.url for one in failures if one is not mirror)
    by_hand = f"fetch {row.file} by hand from {shown(public)} and put it at {cache.place(row)}."
    if mirror is not None and mirror.rejected:
        return (
            "The file at RESNETS_MIRROR is not the published one: replace it there or unset RESNETS_MIRROR, or"
            f" {by_hand}"
        )
    ways = ["name a mirror in RESNETS_MIRROR"] if mirror is None else []
    if mirror is not None and not mirror.unreachable:
        ways = [f"put the file on the mirror as {row.name}/{row.file}"]
    if not all(one.unreachable for one in failures):
        said = ", or ".join([*ways, by_hand])
        return said[0].upper() + said[1:]
    if proxies:
        ways = [f"check the proxy {_listed(proxies)}", *ways]
    else:
        ways = [" or ".join(["name a proxy in HTTPS_PROXY", *(way.removeprefix("name ") for way in ways)])]
    return f"No address could be reached: {', '.join(ways)}, or {by_hand}"


def _listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
