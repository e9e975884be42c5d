"""One file, its digests, and fetching it with little patience: what tests of a row's way into the cache share."""

import hashlib
import random
from pathlib import Path

import pytest

from resnets.errors import ResNetsError
from resnets.fetch.download import Patience
from resnets.fetch.fetch import fetch
from resnets.published.row import Digest, Published

BODY = random.Random(0).randbytes(300_000)  # what the row's file holds
OTHER = random.Random(1).randbytes(300_000)  # what it does not
SHA = hashlib.sha256(BODY).hexdigest()
KNOWN = (Digest("sha256", SHA[:8], "the file's name"),)
SHORT = Patience(connect=2, stall=2, slowest=1, tries=2, pause=0.01)


def got(row: Published, **how) -> Path:
    return fetch(row, patience=SHORT, **how)


def refused(row: Published, **how) -> ResNetsError:
    with pytest.raises(ResNetsError) as error:
        got(row, **how)
    return error.value
