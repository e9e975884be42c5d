"""PUBLISHED, the plain table of known weights by name: where they lie, what they must be, what was reported of them."""

from fnmatch import fnmatchcase

from resnets.catalog import natural
from resnets.published import fb, gluon, torchvision, zoo
from resnets.published.row import Published

PUBLISHED: dict[str, Published] = {row.name: row for row in (*fb.ROWS, *zoo.ROWS, *gluon.ROWS, *torchvision.ROWS)}


def find(name: str) -> Published | None:
    """The row of that name, of another that it is known by, or of its file's name at the publisher's."""
    if name in PUBLISHED:
        return PUBLISHED[name]
    return next((row for row in PUBLISHED.values() if name in row.also or name == row.file), None)


def matching(pattern: str = "*") -> list[Published]:
    """The rows whose name matches a shell pattern, in natural order."""
    found = [row for row in PUBLISHED.values() if any(fnmatchcase(name, pattern) for name in (row.name, *row.also))]
    return sorted(found, key=lambda row: natural(row.name))


def of(architecture: str) -> list[str]:
    """The names of the weights that are published for a network of the catalog."""
    return sorted((name for name in PUBLISHED if name.partition(".")[0] == architecture), key=natural)
