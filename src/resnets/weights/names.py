"""A model's name or a path goes in, the path of its file comes out: bundled, on the disk, published, or of the Hub."""

import os
from pathlib import Path

from resnets import catalog
from resnets.errors import ResNetsError, did_you_mean
from resnets.weights.formats import FORMATS

BUNDLED = Path(__file__).parent.parent / "bundled"


def bundled() -> dict[str, Path]:
    """The models in the package by name; the first is the default."""
    return {path.stem: path for path in sorted(BUNDLED.glob("*.onnx"))}


def resolve(name_or_path: str | Path | None = None, *, quiet: bool = False) -> Path:
    """The file of a bundled or published model's name, of a path, or of the default bundled model for None.

    Published weights that are not in the cache are downloaded, with a line on stderr unless `quiet`.
    """
    known = bundled()
    if name_or_path is None:
        if not known:
            raise ResNetsError("This installation has no bundled model.", "Give a model file with --model.")
        return next(iter(known.values()))
    name = str(name_or_path)
    path = Path(name_or_path).expanduser()
    if name in known and not os.path.isfile(path):
        return known[name]
    if os.path.isdir(path):  # which, unlike Path's, says no to a name that is too long
        inside = [str(file) for file in sorted(path.iterdir()) if file.suffix in FORMATS]
        raise ResNetsError(
            f"{name} is a folder, not a model file.",
            f"Use {' or '.join(inside)}." if inside else "Give a file inside it.",
        )
    if os.path.lexists(path):
        return path
    fetched = _published(name, quiet)
    if fetched is not None:
        return fetched
    raise _unknown(name, path, list(known))


def _published(name: str, quiet: bool) -> Path | None:
    """The cached or downloaded file of published weights, or of a repository of the Hub; None for any other name."""
    if name.startswith("hf:"):
        from resnets.fetch import hub

        return hub.fetch(name, quiet=quiet, beside=_beside)
    from resnets.published.table import find  # hundreds of rows: not for those who give a path that is there

    row = find(name)
    # The name of a file at a publisher's is a path here: a slip in it must not start a download.
    if row is None or Path(name).suffix in FORMATS:
        return None
    from resnets.fetch.fetch import fetch

    return fetch(row, quiet=quiet)


def _beside(model: Path) -> list[str]:
    """The names of the files beside a model that hold some of its arrays."""
    from resnets.weights.files import beside, opened

    with opened(model) as source:
        return [path.name for path in beside(source)]


def _unknown(name: str, path: Path, known: list[str]) -> ResNetsError:
    if name in catalog.ARCHITECTURES:
        return _no_weights(name)
    from resnets.published.table import PUBLISHED, find

    if path.suffix in FORMATS or path.parent != Path("."):
        row = find(name)
        remedy = f"Check the path, or use {row.name}, which is a published file of that name." if row else None
        return ResNetsError(f"There is no file {name}.", remedy or "Check the path.")
    bundled = f"Bundled: {', '.join(known) or 'none'}; published: `resnets list`; or give a path to a file."
    hint = did_you_mean(name, [*known, *catalog.ARCHITECTURES, *PUBLISHED], bundled)
    return ResNetsError(f"There is no model called {name!r}, and no file of that name.", hint)


def _no_weights(name: str) -> ResNetsError:
    from resnets.published.table import of

    there = of(name)
    fetched = (
        f"Published weights of it: {', '.join(there)}; `resnets fetch {there[0]}` downloads them. " if there else ""
    )
    return ResNetsError(
        f"{name} is an architecture, not a model: it has no weights.",
        f"{fetched}A fresh, untrained one is made by `resnets create {name} {name}.onnx`.",
    )
