"""What is known of a part file goes in, the headers that ask for the rest come out; and what answers say of ranges.

After RFC 9110: Range and If-Range in the request; ETag, Last-Modified and Content-Range in the answer.
"""

import re
from contextlib import suppress
from email.message import Message
from email.utils import parsedate_to_datetime

from resnets.fetch.partial import Origin, sendable


def asked(origin: Origin | None, url: str, done: int, size: int | None, checkable: bool) -> dict[str, str] | None:
    """The headers that ask for the bytes after the first `done`; None where the part is of no use.

    Without a validator of this URL, bytes may be joined only if the length is known and a digest will tell.
    """
    if origin is None or done == 0:
        return None
    if size is not None and origin.total not in (None, size):
        return None
    if origin.total is not None and done > origin.total:
        return None
    headers = {"Range": f"bytes={done}-"}
    if origin.url == url and origin.validator is not None:
        return headers | {"If-Range": origin.validator}
    return headers if checkable and origin.total is not None else None


def validator(headers: Message) -> str | None:
    """What tells this version of a file from another: a strong ETag, else a Last-Modified that is one."""
    tag = (headers.get("ETag") or "").strip()
    if re.fullmatch(r'"[\x21\x23-\x7e]{1,1000}"', tag):
        return tag
    changed = (headers.get("Last-Modified") or "").strip()
    if not changed or not sendable(changed):
        return None
    with suppress(ValueError, TypeError):
        date = headers.get("Date")
        # RFC 9110, 8.8.2.2: weak where the file may have changed twice in that second.
        if date is None or (parsedate_to_datetime(date) - parsedate_to_datetime(changed)).total_seconds() >= 1:
            return changed
    return None


def span(headers: Message) -> tuple[int, int, int] | None:
    """First byte, last byte and length of the whole, of a Content-Range; None where it says anything else."""
    found = re.fullmatch(r"\s*bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18})\s*", headers.get("Content-Range") or "")
    if found is None:
        return None
    first, last, total = (int(number) for number in found.groups())
    return (first, last, total) if first <= last < total else None


def whole(headers: Message) -> int | None:
    """The length of the file that an answer 416 tells of."""
    found = re.fullmatch(r"\s*bytes\s+\*/(\d{1,18})\s*", headers.get("Content-Range") or "")
    return int(found[1]) if found else None
