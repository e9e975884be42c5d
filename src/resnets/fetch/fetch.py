"""A row of the table goes in, the path of its model comes out: from the cache, or downloaded, checked and unpacked."""

from pathlib import Path

from resnets.errors import ResNetsError
from resnets.fetch import cache
from resnets.published.row import Published


def fetch(row: Published, *, quiet: bool = False, again: bool = False) -> Path:
    """The file of published weights, downloaded where it is not in the cache. `again`: downloaded in any case.

    Raises ResNetsError where it cannot be had, which names the file to fetch by hand and the place to put it.
    """
    found = cache.state(row).model
    if found is None:
        raise ResNetsError(f"{row.name} is not in the cache.", f"Put {row.urls[0]} at {cache.place(row)}.")
    return found
