"""A file goes in; the parts of its network that its name, or a config.json beside it, tells of come out.

timm's anti-aliased networks (resnetaa50, resnetblur50 and the like; timm/layers/blur_pool.py) blur with fixed numbers
that they do not save: their arrays are those of the networks without, and nothing but such a name tells them apart.
"""

import re
from typing import Any

from resnets.errors import ResNetsError, plain, short
from resnets.weights.dialects import config
from resnets.weights.source import Source

_BLUR = re.compile(r"resnex?t\d*[a-z]?[-_. ]?(aa|blur)(?![a-z])|(?<![a-z])blur(pool)?(?![a-z])")
_PARTS = {  # what an architecture of timm's is called, what it has
    _BLUR: "anti-aliasing",
    re.compile(r"(legacy_|skip)?(se|eca|sk)(res)?ne|resnetrs"): "channel attention",
    re.compile(r"res2ne|resnest"): "split convolutions",
    re.compile(r".*_gn\b"): "group norm",
}


# Arguments of timm's networks and settings of transformers' that no array shows, and the values that change nothing;
# what is of another type is damaged, and says nothing:
# timm/models/resnet.py; transformers/models/resnet/configuration_resnet.py.
_ARGUMENTS: dict[str, tuple[type, tuple[Any, ...]]] = {
    "output_stride": (int, (32,)),
    "global_pool": (str, ("avg",)),
    "act_layer": (str, ("relu",)),
    "norm_layer": (str, ("batchnorm2d", "batchnorm")),
    "aa_layer": (str, ("",)),
    "block_args": (dict, ({},)),
}
_SETTINGS: dict[str, tuple[type, tuple[Any, ...]]] = {
    "hidden_act": (str, ("relu",)),
    "downsample_in_first_stage": (bool, (False,)),
    "downsample_in_bottleneck": (bool, (False,)),
}
_REMEDY = (
    "Export that network to ONNX, which can be used for prediction as it is. If this one is without it, say which"
    " one it is with --architecture."
)


def refuse_unbuilt(source: Source) -> None:
    """Raises ResNetsError where the file's name speaks of anti-aliasing, or config.json of what resnets does not build.

    Of config.json nothing is looked at but what changes the network and leaves no trace among its arrays. It is asked
    beside files of any name: --architecture overrules a refusal, and nothing would show a wrong answer.
    """
    if source.file is None:
        return
    if _BLUR.search(source.path.stem.lower()):
        raise ResNetsError(
            f"{source.name} has the name of a network with anti-aliasing, which leaves no trace among the arrays and"
            " which resnets does not build.",
            _REMEDY,
        )
    try:
        value = config.read(source.path)
    except config.ConfigError:
        return
    name, found = _unbuilt(value)
    if found:
        raise ResNetsError(
            f"{source.path.with_name(config.CONFIG)} says that {source.path.name} is a {plain(name)!r}, which has"
            f" {found}, and resnets does not build that.",
            _REMEDY,
        )


def _unbuilt(value: config.Values) -> tuple[str, str]:
    """What a configuration calls its network, and the part of it that resnets has not; empty where it has all."""
    timm = config.of_timm(value)
    if timm is not None:
        name = timm.get("architecture")
        if not isinstance(name, str) or len(name) > 200:
            return "", ""
        part = next((what for pattern, what in _PARTS.items() if pattern.match(name.lower())), "")
        arguments = timm.get("model_args")
        given = {"global_pool": timm.get("global_pool"), **(arguments if isinstance(arguments, dict) else {})}
        return name, part or _unusual(given, _ARGUMENTS)
    theirs = config.of_transformers(value)
    return ("ResNet of transformers", _unusual(theirs, _SETTINGS)) if theirs is not None else ("", "")


def _unusual(given: config.Values, usual: dict[str, tuple[type, tuple[Any, ...]]]) -> str:
    """The first of those settings that has another value than the usual ones."""
    for name, (kind, values) in usual.items():
        value = given.get(name)
        if type(value) is kind and (value.lower() if isinstance(value, str) else value) not in values:
            return plain(f"{name} {short(str(value), 40)}")
    return ""
