"""Residual networks for image classification: train, measure, classify, convert. Names resolve when first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnets.classify import Classifier as Classifier
    from resnets.images.prepare import normalise as normalise
    from resnets.images.prepare import prepare as prepare
    from resnets.models.builder import create_model as create_model
    from resnets.predictions import top as top
    from resnets.published.table import list_models as list_models
    from resnets.training.loop import train as train
    from resnets.weights.files import load as load
    from resnets.weights.files import save as save

    __version__: str

_PUBLIC = {
    "Classifier": "resnets.classify",
    "create_model": "resnets.models.builder",
    "list_models": "resnets.published.table",
    "load": "resnets.weights.files",
    "normalise": "resnets.images.prepare",
    "prepare": "resnets.images.prepare",
    "save": "resnets.weights.files",
    "top": "resnets.predictions",
    "train": "resnets.training.loop",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return _resolved(name)
    if name == "__version__":
        from importlib.metadata import version

        return version("resnets")
    raise AttributeError(f"module 'resnets' has no attribute {name!r}")


def _resolved(name: str) -> Any:
    try:
        return getattr(import_module(_PUBLIC[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return _without_torch(name)


def _without_torch(name: str) -> Any:
    """What stands for a function that needs torch where that is not installed: help(resnets) looks at all names."""

    def needs_torch(*_: Any, **__: Any) -> Any:
        from resnets.errors import ResNetsError

        raise ResNetsError(
            f"resnets.{name} needs torch, which is not installed.", "Install it with: pip install 'resnets[train]'"
        )

    return needs_torch


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
