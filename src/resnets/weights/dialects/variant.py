"""A file goes in; the parts of its network that its name, or timm's config.json beside it, tells of come out.

timm's anti-aliased networks (resnetaa50, resnetblur50 and the like; timm/layers/blur_pool.py) blur with fixed numbers
that they do not save: their arrays are those of the networks without, and nothing but such a name tells them apart.
"""

import contextlib
import json
import re

from resnets.errors import ResNetsError, plain
from resnets.weights.source import Source, small

MAX_BYTES = 4 << 20  # of config.json, which may list 21,000 classes
_BLUR = re.compile(r"resnex?t\d*[a-z]?[-_. ]?(aa|blur)(?![a-z])|(?<![a-z])blur(pool)?(?![a-z])")
_PARTS = {  # what an architecture of timm's is called, what it has
    _BLUR: "anti-aliasing",
    re.compile(r"(legacy_|skip)?(se|eca|sk)(res)?ne|resnetrs"): "channel attention",
    re.compile(r"res2ne|resnest"): "split convolutions",
    re.compile(r".*_gn\b"): "group norm",
}


def refuse_unbuilt(source: Source) -> None:
    """Raises ResNetsError where the file's name speaks of anti-aliasing, or config.json of what resnets does not build.

    Of config.json nothing but its `architecture` is looked at.
    """
    if source.file is None:
        return
    remedy = (
        "Export that network to ONNX, which can be used for prediction as it is. If this one is without it, say which"
        " one it is with --architecture."
    )
    if _BLUR.search(source.path.stem.lower()):
        raise ResNetsError(
            f"{source.name} has the name of a network with anti-aliasing, which leaves no trace among the arrays and"
            " which resnets does not build.",
            remedy,
        )
    name = _architecture(source)
    found = [what for pattern, what in _PARTS.items() if pattern.match(name.lower())]
    if found:
        raise ResNetsError(
            f"{source.path.with_name('config.json')} says that {source.path.name} is a {plain(name)!r}, which has"
            f" {found[0]}, and resnets does not build that.",
            remedy,
        )


def _architecture(source: Source) -> str:
    """What timm's config.json beside a file says; empty where none lies there, or one of another make."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        text = small(source.path.with_name("config.json"), MAX_BYTES)
        value = json.loads(text) if text else None
        name = value.get("architecture") if isinstance(value, dict) else None
        return name if isinstance(name, str) and len(name) <= 200 else ""
    return ""
