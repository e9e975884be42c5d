"""What tests of one download share: a file, another of its length, and little patience."""

import hashlib
import random
from pathlib import Path

import pytest

from resnets.fetch.download import DownloadError, Patience, download

BODY = b"\x80\x02" + random.Random(0).randbytes(300_000)
OTHER = b"\x80\x03" + random.Random(1).randbytes(300_000)
SHA = hashlib.sha256(BODY).hexdigest()
SHORT = Patience(connect=0.5, stall=0.4, slowest=1000, tries=3, pause=0.01)


def begun(server, part: Path, path: str = "/model", **how) -> None:
    """Leaves the first 100,000 bytes of the file behind, as a process that was killed would."""
    server.once(path, after=100_000, **how)
    with pytest.raises(DownloadError):
        download(server.url(path), part, patience=Patience(tries=1))
    assert part.read_bytes() == BODY[:100_000]
    server.requests.clear()
