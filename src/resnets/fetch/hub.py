"""hf:OWNER/NAME goes in; the path of a model from that repository of the Hugging Face Hub comes out.

Files lie in huggingface_hub's own cache, where its other users find them: only the model, the files that hold some of
its arrays, and what describes it are fetched.
"""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from resnets.errors import ResNetsError, did_you_mean, plain, short, some
from resnets.fetch.announce import say
from resnets.fetch.hub_failures import failure, unreachable
from resnets.fetch.sources import offline
from resnets.files import unwritable

SUFFIXES = (".safetensors", ".onnx", ".pth", ".pt", ".th", ".bin", ".t7", ".params")  # of weights/formats.py
# What a repository's model is called, the first that is there: a pattern that several files match does not choose.
CHOICES = (
    "model.safetensors", "*.safetensors", "model.onnx", "*.onnx", "onnx/model.onnx", "*.pth", "pytorch_model.bin",
    "*.pt", "*.th", "*.t7", "*.params",
)  # fmt: skip
DESCRIPTIONS = ("config.json", "preprocessor_config.json")  # timm's and transformers'; read by weights/configured.py
MOST_FILES = 100_000  # of a repository, among which a model is looked for
_FORM = "hf:OWNER/NAME, hf:OWNER/NAME@REVISION or hf:OWNER/NAME:FILE"
_FORBIDDEN = "RESNETS_OFFLINE or HF_HUB_OFFLINE says that nothing is to be fetched"
_NAME = re.compile(r"hf:(?P<repository>[\w.-]{1,96}/[\w.-]{1,96})(@(?P<revision>[^:]{1,250}))?(:(?P<file>.{1,500}))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
Beside = Callable[[Path], Sequence[str]]  # a model file → names of the files beside it that hold some of its arrays


@dataclass(frozen=True)
class Wanted:
    """What a name asks for. `revision`: a branch, a tag or a commit. `file`: which one; None where there is but one."""

    repository: str
    revision: str = "main"
    file: str | None = None

    def __str__(self) -> str:
        return f"hf:{self.repository}" + (f"@{self.revision}" if self.revision != "main" else "")


def fetch(name: str, *, quiet: bool = False, again: bool = False, beside: Beside | None = None) -> Path:
    """The model file of a repository of the Hub, with its config.json beside it. `again`: downloaded in any case.

    `beside` names the other files that an .onnx needs. With RESNETS_OFFLINE or HF_HUB_OFFLINE nothing is asked of the
    network. Raises ResNetsError for a name of another form, a repository or revision that is not to be had, and where
    its files leave open which one is the model.
    """
    wanted = parsed(name)
    hub = _library()
    no_network = offline() or bool(hub.constants.HF_HUB_OFFLINE)
    if no_network and again:
        raise ResNetsError(
            f"{wanted} is not fetched again: {_FORBIDDEN}.", "Unset that once, where there is a network."
        )
    with _bars(hub, shown=not quiet and sys.stderr.isatty()):
        held = _held(hub, wanted)
        if no_network or (not again and held is not None and _suffices(held, wanted, beside)):
            return _from_cache(hub, held, wanted)
        try:
            info = hub.HfApi().model_info(
                wanted.repository, revision=wanted.revision, timeout=hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
            )
        except Exception as error:
            told = failure(hub, error, wanted.repository, wanted.revision)
            if again or held is None or not _there(held, wanted) or not unreachable(hub, error):
                raise told from error
            say(f"{told.problem} The copy of commit {held.name[:8]} is used.", quiet)
            return _from_cache(hub, held, wanted)
        return _download(hub, wanted, info, quiet, again, beside)


def cached(name: str) -> Path | None:
    """The model file of a repository as it was last fetched; None where it is not there. Nothing is asked of anyone."""
    wanted = parsed(name)
    hub = _library()
    held = _held(hub, wanted)
    if held is None or not _there(held, wanted):
        return None
    return _from_cache(hub, held, wanted)


def parsed(name: str) -> Wanted:
    """What hf:OWNER/NAME[@REVISION][:FILE] asks for. Raises ResNetsError for anything else."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ResNetsError(f"{plain(short(name))!r} names no repository of the Hub.", f"Write {_FORM}.")
    revision, file = match["revision"] or "main", match["file"]
    parts = [*match["repository"].split("/"), *revision.split("/"), *(file or "model").split("/")]
    if any(part in ("", ".", "..") or "\\" in part or not part.isprintable() for part in parts):
        raise ResNetsError(f"{plain(short(name))!r} has a part that is no name.", f"Write {_FORM}.")
    if file is not None and not file.lower().endswith(SUFFIXES):
        raise ResNetsError(f"{plain(file)} is no model file by its name.", f"Use one of {', '.join(SUFFIXES)}.")
    return Wanted(match["repository"], revision, file)


def name_of(path: Path) -> str | None:
    """hf:OWNER/NAME@COMMIT:FILE of a path in huggingface_hub's cache; None for any other path."""
    try:
        # The file itself is a link to a blob, which has no name.
        there = Path(os.path.realpath(path.parent), path.name)
        top = os.path.realpath(_cache()) if "/models--" in there.as_posix() else ""
        inside = there.relative_to(top).as_posix() if top else ""
    except (OSError, ValueError):
        return None
    found = re.fullmatch(r"models--([^/]+?)--([^/]+)/snapshots/([0-9a-f]{40})/(.+)", inside)
    return f"hf:{found[1]}/{found[2]}@{found[3]}:{found[4]}" if found else None


def _cache() -> str:
    """The folder of huggingface_hub's cache, by the rule of its constants.py where it has not been imported yet."""
    known = sys.modules.get("huggingface_hub.constants")
    if known is not None:
        return str(known.HF_HUB_CACHE)
    told = os.environ.get
    home = told("HF_HOME", os.path.join(told("XDG_CACHE_HOME", os.path.join("~", ".cache")), "huggingface"))
    hub = told("HF_HUB_CACHE", told("HUGGINGFACE_HUB_CACHE", os.path.join(home, "hub")))
    return os.path.expanduser(os.path.expandvars(hub))


def _library() -> Any:
    """huggingface_hub, whose import takes a while."""
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise ResNetsError(
            "Models of the Hugging Face Hub are fetched by the package huggingface_hub, which is not installed.",
            "Install it with: pip install 'resnets[hub]'",
        ) from error
    return huggingface_hub


def chosen(files: Sequence[str], wanted: Wanted) -> str:
    """Which of a repository's files is the model. Raises ResNetsError that lists them where that is left open."""
    if wanted.file is not None:
        if wanted.file in files:
            return wanted.file
        models = [file for file in files if file.lower().endswith(SUFFIXES)]
        raise ResNetsError(
            f"{wanted} has no file {wanted.file!r}.", did_you_mean(wanted.file, models, f"It has {_listed(models)}.")
        )
    if len(files) > MOST_FILES:
        raise ResNetsError(f"{wanted} has {len(files):,} files, too many to look for a model.", f"Write {wanted}:FILE")
    for pattern in CHOICES:
        # A star stands for no folder: weights of optimisers and of other precisions lie in folders.
        found = [file for file in files if fnmatchcase(file, pattern) and file.count("/") == pattern.count("/")]
        if len(found) > 1:
            raise ResNetsError(
                f"{wanted} has several model files: {_listed(found)}.", f"Say which: {wanted}:{plain(found[0])}"
            )
        if found:
            return found[0]
    raise ResNetsError(
        f"{wanted} has no model file that resnets reads among its {len(files):,}: {_listed(files)}.",
        f"Use a repository with a file of {', '.join(SUFFIXES)}, or name one of its folders' as {wanted}:FOLDER/FILE.",
    )


def _listed(files: Sequence[str]) -> str:
    return plain(some(sorted(files), 20)) or "none"


def _download(hub: Any, wanted: Wanted, info: Any, quiet: bool, again: bool, beside: Beside | None) -> Path:
    """The model and what belongs to it, all of one commit."""
    files = {str(one.rfilename) for one in info.siblings or ()}
    model = chosen(sorted(files), wanted)
    folder = PurePosixPath(model).parent
    described = {name: None for place in (PurePosixPath(), folder) for name in (str(place / d) for d in DESCRIPTIONS)}
    first, *others = [*(name for name in described if name in files), model]
    if again or not (_home(hub, wanted) / "snapshots" / str(info.sha) / model).is_file():
        say(f"Fetching {model} of {wanted}, commit {str(info.sha)[:8]}, from {hub.constants.ENDPOINT}.", quiet)
    path = _one(hub, wanted, first, again)  # by the name of the revision, which the cache then knows without network
    at = replace(wanted, revision=_commit_of(path) or wanted.revision)
    for name in others:
        path = _one(hub, at, name, again)
    if beside is not None:
        for name in beside(path):
            if str(folder / name) in files:
                _unlinked(_one(hub, at, str(folder / name), again))
    return path


def _one(hub: Any, at: Wanted, file: str, again: bool) -> Path:
    try:
        return Path(hub.hf_hub_download(at.repository, file, revision=at.revision, force_download=again))
    except Exception as error:
        raise failure(hub, error, at.repository, at.revision, file) from error


def _unlinked(path: Path) -> None:
    """Put a copy in the place of the cache's link: arrays beside a model are only read from files of their own.

    A link, of either kind, may be to anything. The file that it leads to stays, for other commits have it too.
    """
    if not path.is_symlink():
        return
    own = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        shutil.copyfile(path, own)
        os.replace(own, path)
    except OSError as error:
        with suppress(OSError):
            own.unlink()
        raise unwritable(path, error) from error


def _commit_of(path: Path) -> str | None:
    match = re.search(r"/snapshots/([0-9a-f]{40})/", path.as_posix())
    return match[1] if match else None


def _home(hub: Any, wanted: Wanted) -> Path:
    return Path(hub.constants.HF_HUB_CACHE) / f"models--{wanted.repository.replace('/', '--')}"


def _held(hub: Any, wanted: Wanted) -> Path | None:
    """The folder of the cache with the files that were fetched of that revision, as it was when last asked for.

    docs/source/en/guides/manage-cache.md of huggingface_hub says how it is laid out.
    """
    home, commit = _home(hub, wanted), wanted.revision
    if not _COMMIT.fullmatch(commit):
        try:
            with (home / "refs" / commit).open("rb") as file:
                commit = file.read(100).decode("ascii", "replace").strip()
        except OSError:
            return None
    folder = home / "snapshots" / commit
    return folder if _COMMIT.fullmatch(commit) and folder.is_dir() else None


def _suffices(held: Path, wanted: Wanted, beside: Beside | None) -> bool:
    """Whether all that is wanted of a commit, which never changes, is there."""
    model = held / (wanted.file or CHOICES[0])
    if not _COMMIT.fullmatch(wanted.revision) or not model.is_file() or not (held / DESCRIPTIONS[0]).is_file():
        return False
    return all(model.with_name(name).is_file() for name in (beside(model) if beside is not None else ()))


def _from_cache(hub: Any, held: Path | None, wanted: Wanted) -> Path:
    if held is None or not _there(held, wanted):
        what = f"{wanted}:{wanted.file}" if wanted.file else f"{wanted}"
        raise ResNetsError(
            f"{what} is not in the cache at {hub.constants.HF_HUB_CACHE}, and {_FORBIDDEN}.",
            "Unset that once, where there is a network.",
        )
    return held / chosen(_files(held), wanted)


def _there(held: Path, wanted: Wanted) -> bool:
    """Whether the file that is wanted of a commit, or any that may be the model, has been fetched."""
    return any(file.lower().endswith(SUFFIXES) and wanted.file in (None, file) for file in _files(held))


def _files(folder: Path) -> list[str]:
    found = (Path(at, name) for at, _, names in os.walk(folder) for name in names)
    return sorted(path.relative_to(folder).as_posix() for path in found if path.is_file())


@contextmanager
def _bars(hub: Any, *, shown: bool) -> Iterator[None]:
    """With or without huggingface_hub's own bars, unless its environment variable settles that."""
    utils = hub.utils
    if shown or hub.constants.HF_HUB_DISABLE_PROGRESS_BARS is not None or utils.are_progress_bars_disabled():
        yield
        return
    utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.enable_progress_bars()
