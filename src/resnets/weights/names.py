"""A model's name or a path goes in, the path of its file comes out: bundled, on the disk, published, or of the Hub."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from resnets import catalog
from resnets.errors import ResNetsError, did_you_mean, some
from resnets.weights.formats import FORMATS

if TYPE_CHECKING:
    from resnets.published.row import Published

BUNDLED = Path(__file__).parent.parent / "bundled"
FILES = {*FORMATS, ".gz", ".zip", ".txt"}  # suffixes of what publishers' files are called: a path, and no name


def bundled() -> dict[str, Path]:
    """The models in the package by name; the first is the default."""
    return {path.stem: path for path in sorted(BUNDLED.glob("*.onnx"))}


def resolve(name_or_path: str | Path | None = None, *, quiet: bool = False) -> Path:
    """The file of a bundled or published model's name, of a path, or of the default bundled model for None.

    A file counts before a name, and a name before a folder. Published weights that are not in the cache are downloaded,
    with a line on stderr unless `quiet`.
    """
    known = bundled()
    if name_or_path is None:
        if not known:
            raise ResNetsError("This installation has no bundled model.", "Give a model file with --model.")
        return next(iter(known.values()))
    name = str(name_or_path)
    path = Path(os.path.expanduser(name))  # which, unlike Path's, leaves the ~ of an unknown user alone
    if name in known and not os.path.isfile(path):
        return known[name]
    folder = os.path.isdir(path)  # which, unlike Path's, says no to a name that is too long
    if os.path.lexists(path) and not folder:
        return path
    fetched = _published(name, quiet)
    if fetched is not None:
        return fetched
    raise _no_file(name, path) if folder else _unknown(name, path, list(known))


def of_hub(name: str, *, quiet: bool = False, again: bool = False) -> Path:
    """The file of hf:OWNER/NAME, a repository of the Hugging Face Hub; downloaded in any case where `again`."""
    from resnets.fetch import hub

    return hub.fetch(name, quiet=quiet, again=again, beside=_beside)


def of_row(row: "Published", *, quiet: bool = False, again: bool = False) -> Path:
    """The file of published weights, from the cache or downloaded; in any case downloaded where `again`.

    One that no digest vouches for is opened before it is kept, and must have the network of its row.
    """
    from resnets.fetch.fetch import fetch

    return fetch(row, quiet=quiet, again=again, look=_look)


def _look(row: "Published", path: Path, called: Path) -> str:
    """Why a file, that will be called so, is not its row's: it is no model, or has another network. Or empty."""
    from resnets.weights.files import network_of
    from resnets.weights.origin import another

    try:
        return another(row, network_of(path, called))
    except ResNetsError as error:
        return error.problem.replace(f"{called} ", "it ", 1).rstrip(".")


def _published(name: str, quiet: bool) -> Path | None:
    """The cached or downloaded file of published weights, or of a repository of the Hub; None for any other name."""
    if name.startswith("hf:"):
        return of_hub(name, quiet=quiet)
    from resnets.published.table import find  # hundreds of rows: not for those who give a path that is there

    row = find(name)
    # The name of a file at a publisher's is a path here: a slip in it must not start a download.
    return None if row is None or Path(name).suffix in FILES else of_row(row, quiet=quiet)


def _beside(model: Path) -> list[str]:
    """The names of the files beside a model that hold some of its arrays."""
    from resnets.weights.files import beside, opened

    with opened(model) as source:
        return [path.name for path in beside(source)]


def _no_file(name: str, folder: Path) -> ResNetsError:
    """The error for a folder in the place of a model, which names the models in it."""
    inside: list[str] = []
    with suppress(OSError):
        inside = [str(file) for file in sorted(folder.iterdir()) if file.suffix in FORMATS]
    return ResNetsError(
        f"{name} is a folder, not a model file.",
        f"Use {' or '.join(inside)}." if inside else "Give a file inside it.",
    )


def _unknown(name: str, path: Path, known: list[str]) -> ResNetsError:
    if name in catalog.ARCHITECTURES:
        return _no_weights(name)
    elsewhere = _elsewhere(name, path)
    if elsewhere is not None:
        return elsewhere
    from resnets.published.table import PUBLISHED, find

    if path.suffix in FILES or path.parent != Path("."):
        row = find(name)
        remedy = f"Check the path, or use {row.name}, which is a published file of that name." if row else None
        return ResNetsError(f"There is no file {name}.", remedy or "Check the path.")
    bundled = f"Bundled: {', '.join(known) or 'none'}; published: `resnets list`; or give a path to a file."
    hint = did_you_mean(name, [*known, *catalog.ARCHITECTURES, *PUBLISHED], bundled)
    return ResNetsError(f"There is no model called {name!r}, and no file of that name.", hint)


# Texts, which are compiled when a name is looked up: most commands are given a path, or nothing.
_ADDRESS = r"[A-Za-z][A-Za-z0-9+.-]*://"
_PAGE = (
    r"https?://(?:huggingface\.co|hf\.co)/(?P<repository>[\w.-]+/[\w.-]+)"
    r"(?:/(?:tree|blob|resolve)/(?P<revision>[\w.-]+)(?:/(?P<file>[^?#]+))?)?/?(?:[?#].*)?"
)
_REPOSITORY = r"(?:hf[-_]hub:)?(?P<repository>\w[\w.-]*/\w[\w.-]*)(?P<revision>@[\w.-]+)?"


def _elsewhere(name: str, path: Path) -> ResNetsError | None:
    """The error for an address, and for a repository of the Hub as other tools write it: what to type instead."""
    if re.match(_ADDRESS, name):
        page = re.fullmatch(_PAGE, name)
        hub = _written(page["repository"], page["revision"], page["file"]) if page else None
        row = _row_at(name)
        ways = [f"`resnets fetch {row}` downloads it"] * bool(row) + [f"write {hub}"] * bool(hub)
        remedy = ", or ".join(ways) or "download it and give the path of its file"
        return ResNetsError(f"{name} is an address, not a file or a name.", f"{remedy[0].upper()}{remedy[1:]}.")
    repository = re.fullmatch(_REPOSITORY, name)
    if repository is None or path.suffix in FORMATS or os.path.isdir(path.parent):
        return None
    hub = f"hf:{repository['repository']}{repository['revision'] or ''}"
    row = _row_at(f"https://huggingface.co/{repository['repository']}/") if not repository["revision"] else None
    published = f", or {row}, as `resnets list` calls its weights" if row else ""
    return ResNetsError(
        f"There is no file {name}.", f"Write {hub} for that repository of the Hugging Face Hub{published}."
    )


def _written(repository: str, revision: str | None, file: str | None) -> str:
    """hf:OWNER/NAME@REVISION:FILE, without what goes without saying."""
    at = f"@{revision}" if revision not in (None, "main") else ""
    return f"hf:{repository}{at}" + (f":{file}" if file and Path(file).suffix in FORMATS else "")


def _row_at(address: str) -> str | None:
    """The name of the published weights that lie at an address, or at the only place below one that ends with /."""
    from resnets.published.table import PUBLISHED

    wanted = address.partition("?")[0].partition("#")[0]
    below = wanted.endswith("/")
    found = [
        row.name
        for row in PUBLISHED.values()
        if any(url.startswith(wanted) if below else url == wanted for url in row.urls)
    ]
    return found[0] if len(found) == 1 else None


def _no_weights(name: str) -> ResNetsError:
    from resnets.published.table import of

    there = of(name)
    all_of_them = f" and more: `resnets list {name} --published` shows all {len(there)}" if len(there) > 3 else ""
    fetched = f"Published weights of it: {some(there[:3])}{all_of_them}. " if there else ""
    return ResNetsError(
        f"{name} is an architecture, not a model: it has no weights.",
        f"{fetched}A fresh, untrained one is made by `resnets create {name} {name}.onnx`.",
    )
