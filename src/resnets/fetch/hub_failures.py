"""An exception of huggingface_hub goes in; what is wrong and what to do about it comes out."""

import errno
from pathlib import Path
from typing import Any

from resnets.errors import ResNetsError, plain, short
from resnets.files import unwritable

# Which of them carries huggingface_hub's requests, hangs on its version.
_HTTP = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3")


def failure(hub: Any, error: Exception, repository: str, revision: str, file: str | None = None) -> ResNetsError:
    """What the library raised while a repository, or a file of it, was asked for, in two sentences."""
    errors, where = hub.errors, hub.constants.ENDPOINT
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # why it asked its cache
    page = f"{where}/{repository}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    login = "log in with `hf auth login` or set HF_TOKEN"
    if isinstance(error, errors.GatedRepoError):
        return ResNetsError(
            f"hf:{repository} is only given to those who have accepted its terms.",
            f"Accept them at {page}, then {login}.",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ResNetsError(f"{repository} has no revision {revision!r}.", f"Use a branch, tag or commit of {page}.")
    if isinstance(error, errors.RepositoryNotFoundError) or (status in (401, 403, 404) and file is None):
        return ResNetsError(
            f"There is no repository {repository} at {where}, or it is private.",
            f"Check its name; if it is private, {login}.",
        )
    if status in (401, 403):
        return ResNetsError(
            f"{where} does not let {file} of hf:{repository} be read ({status}).", f"To be let in, {login}."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
        return unwritable(Path(hub.constants.HF_HUB_CACHE), error)
    what = f"{file} of hf:{repository}" if file else f"hf:{repository}"
    if unreachable(hub, error):
        return ResNetsError(
            f"{what} cannot be fetched now: {where} is out of reach or out of order ({_reason(error)}).",
            "Check the network, HTTPS_PROXY and HF_ENDPOINT, then run the same command again.",
        )
    return ResNetsError(
        f"{what} cannot be fetched ({_reason(error)}).", f"Look at {page}, or download the file and give its path."
    )


def _reason(error: Exception) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return plain(short(f"{type(error).__name__}: {text}" if text else type(error).__name__))


def unreachable(hub: Any, error: BaseException | None) -> bool:
    """Whether nobody answered, or an answer of 5xx: the fault is not in what was asked for."""
    if error is None:
        return False
    if isinstance(error, hub.errors.HfHubHTTPError):
        return int(getattr(error.response, "status_code", 0)) >= 500
    if isinstance(error, ValueError):  # an answer, which is no JSON
        return False
    if type(error).__module__.partition(".")[0] in _HTTP:
        return True
    return isinstance(error, ConnectionError | TimeoutError) or unreachable(hub, error.__cause__)
