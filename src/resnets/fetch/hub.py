"""hf:OWNER/NAME goes in; the path of a model from that repository of the Hugging Face Hub comes out."""

from pathlib import Path

from resnets.errors import ResNetsError


def fetch(name: str, *, quiet: bool = False) -> Path:
    """The model file of a repository of the Hub, with its config.json beside it."""
    raise ResNetsError(f"{name} cannot be fetched yet.", "Download the file yourself.")
