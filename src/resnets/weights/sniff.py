"""The first bytes of a file go in; where they are of something else than its suffix says, an error comes out."""

import re
from pathlib import Path

from resnets.errors import ResNetsError

MODELS = {  # module of weights/: what its files begin with, what they are, a suffix
    "onnx": (rb"\x08[\x01-\x1f][\x10-\x7f]|r[\x00-\xff]{1,5}\n.resnets\.", "an ONNX model", ".onnx"),
    "safetensors": (rb"[\x00-\xff]{3}[\x00-\x02]\x00{4}\{", "a safetensors file", ".safetensors"),
    "pth": (rb"PK\x03\x04|\x80[\x02-\x05]", "a zip archive or a pickle, as torch.save writes them", ".pth"),
    "params": (rb"\x12\x01\x00{14}", "a file of MXNet's arrays", ".params"),
    "t7": (rb"[\x03\x04]\x00{3}\x01\x00{3}|[34]\n1\n", "a Torch7 file", ".t7"),
}
OTHERS = (  # what a file begins with, what that is, what to do
    (rb"version https://git-lfs", "a git-lfs pointer, not the model", "Fetch the model with `git lfs pull`."),
    (rb"\s*<(!doctype|html|\?xml)", "a web page", "Download the file itself, not the page about it."),
    (rb"\x1f\x8b\x08|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "a packed archive", "Unpack it first."),
    (rb"\xff\xd8\xff|\x89PNG|GIF8|RIFF....WEBP|BM....\x00{4}", "an image", "Give the file of a model."),
    (rb"\s*\{\s*\"", "a JSON text", "Download the model itself: this may say why it did not come."),
)
_NATURAL = {"params": ("pth",)}  # MXNet 2 writes zip archives


def refuse_other(head: bytes, path: Path, module: str) -> None:
    """Raises ResNetsError that says what the file is, and what to do. `module`: that of the format of its suffix."""
    for other, (pattern, what, suffix) in MODELS.items():
        if re.match(pattern, head, re.DOTALL):
            if other not in (module, *_NATURAL.get(module, ())):
                raise ResNetsError(f"{path} is {what}.", f"Rename it to end in {suffix}.")
            return
    for pattern, what, remedy in OTHERS:
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            raise ResNetsError(f"{path} is {what}.", remedy)
