"""A model file goes in; the JSON that timm and transformers put beside it comes out, and which parts it speaks of.

timm: {"architecture", "num_classes", "pretrained_cfg": {...}}, or, as older versions wrote it, all of it in one object
(timm/models/_hub.py). transformers: {"model_type", "id2label", ...}, where a wrapped network of timm's is as timm's.
"""

import json
from pathlib import Path
from typing import Any

from resnets.weights.source import small

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
MODELS = ("model", "pytorch_model")  # the stems of the files that timm and transformers put it beside
MAX_BYTES = 4 << 20  # one that lists 21,000 classes has 2
Values = dict[str, Any]


class ConfigError(Exception):
    """Such a file is there and cannot be understood; the message says why, to follow its name."""


def read(model: Path, name: str = CONFIG) -> Values:
    """What that file beside a model holds; nothing where there is none. Raises ConfigError where it is no JSON object.

    For a model in a folder of a repository of the Hub, the repository's own where that folder has none.
    """
    places = [model.with_name(name)]
    if model.parent.parent.parent.name == "snapshots":  # models--OWNER--NAME/snapshots/COMMIT/FOLDER/FILE
        places.append(model.parent.parent / name)
    try:
        text = next((found for place in places if (found := small(place, MAX_BYTES)) is not None), None)
        value = json.loads(text) if text is not None else {}
    except OSError as error:
        raise ConfigError(error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError("it is not JSON") from error
    if not isinstance(value, dict):
        raise ConfigError("it is no JSON object")
    return value


def of_timm(value: Values) -> Values | None:
    """What timm knows of its weights, in one object, with `architecture` and `model_args`; None for another make."""
    inner = value.get("pretrained_cfg")
    if isinstance(inner, dict):
        above = ("architecture", "num_classes", "label_names", "label_descriptions", "model_args", "global_pool")
        return {**inner, **{name: value[name] for name in above if value.get(name) is not None}}
    if "architecture" in value and "model_type" not in value:
        renamed = {"label_names": value["labels"]} if "labels" in value else {}
        return {**value, **renamed}
    return None


def of_transformers(value: Values) -> Values | None:
    """The configuration of transformers' own ResNet; None for another make."""
    return value if value.get("model_type") == "resnet" else None
