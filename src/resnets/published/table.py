"""PUBLISHED, the plain table of known weights by name: where they lie, what they must be, what was reported of them."""

from fnmatch import fnmatchcase

from resnets import catalog
from resnets.catalog import natural
from resnets.published import fb, gluon, timm, torchvision, zoo
from resnets.published.row import Published

PUBLISHED: dict[str, Published] = {
    row.name: row for row in (*fb.ROWS, *zoo.ROWS, *gluon.ROWS, *torchvision.ROWS, *timm.ROWS)
}


def find(name: str) -> Published | None:
    """The row of that name, of another that it is known by, or of its file's name where no other row's is the same."""
    row = named(name)
    called = [row for row in PUBLISHED.values() if name == row.file]  # the Hub's are all model.safetensors
    return row or (called[0] if len(called) == 1 else None)


def named(name: str) -> Published | None:
    """The row of that name, or of another that it is known by."""
    return PUBLISHED.get(name) or next((row for row in PUBLISHED.values() if name in row.also), None)


def matching(pattern: str = "*") -> list[Published]:
    """The rows of which the name, or another that it is known by, matches a shell pattern; by network, then source."""
    found = [row for row in PUBLISHED.values() if any(fnmatchcase(name, pattern) for name in (row.name, *row.also))]
    return sorted(found, key=lambda row: _order(row.name))


def listed(pattern: str = "*") -> list[Published]:
    """The same, and those of a network whose name matches: what is shown, where `matching` is what is fetched."""
    known = matching(pattern)
    return [row for row in matching() if row in known or fnmatchcase(row.name.partition(".")[0], pattern)]


def list_models(pattern: str = "*", pretrained: bool = False) -> list[str]:
    """Names for `create_model`, in natural order: of architectures, or with `pretrained` of published weights."""
    return [row.name for row in listed(pattern)] if pretrained else catalog.list_models(pattern)


def of(architecture: str) -> list[str]:
    """The names of the weights that are published for a network of the catalog, archives of the same left out."""
    return [row.name for row in matching(f"{architecture}.*") if not row.name.endswith("-tar")]


def _order(name: str) -> tuple[list[tuple[int, int, str]], list[tuple[int, int, str]]]:
    architecture, _, source = name.partition(".")
    return natural(architecture), natural(source)
