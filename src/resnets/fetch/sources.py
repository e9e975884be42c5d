"""A row and the environment go in; the addresses to try in turn come out, and what to do where none serves."""

import os
import re
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


def refused_offline(row: Published) -> ResNetsError:
    """The error for a file that is not there and may not be downloaded."""
    return ResNetsError(
        f"{row.name} is not in the cache, and RESNETS_OFFLINE forbids to download {row.file} from"
        f" {shown(addresses(row)[0])}.",
        f"Fetch that file by hand and put it at {cache.place(row)}, or unset RESNETS_OFFLINE.",
    )


def exhausted(row: Published, failures: list[tuple[str, str]], pin_refused: bool) -> ResNetsError:
    """The error where no address gave the file: each with its reason, then what can be done."""
    reasons = "; ".join(f"{shown(url)}: {why}" for url, why in failures)
    accept = (
        f" If the publisher has replaced the file, `resnets cache clear {row.name}` forgets the old one and its sha256."
        if pin_refused
        else ""
    )
    return ResNetsError(
        f"{row.name} could not be downloaded. {reasons}.",
        f"Fetch {row.file} by hand and put it at {cache.place(row)}; or name a mirror in RESNETS_MIRROR, which is asked"
        f" for BASE/{row.name}/{row.file}, or a proxy in HTTPS_PROXY.{accept}",
    )
