"""What timm's or transformers' config.json says goes in; recipe, labels, licence and number of classes come out.

Only what stands there counts. A value that is damaged or means what no recipe of ours does gives nothing but a note.
"""

import re
from dataclasses import dataclass, replace
from math import floor
from typing import Any, TypeGuard

from resnets.card import RECIPES, Label, Recipe
from resnets.errors import ResNetsError, short
from resnets.labels import lists
from resnets.weights.dialects.config import Values

IMAGENET = "imagenet-1k"
MOST = 1 << 17  # classes of a list; ImageNet-21k with all its parents has 21,843
_FILTERS = {"bilinear": "pillow-bilinear", "bicubic": "pillow-bicubic", 2: "pillow-bilinear", 3: "pillow-bicubic"}
_RESIZES = {"center": "short", "squash": "square"}  # timm/data/transforms_factory.py: transforms_imagenet_eval
_PROCESSORS = ("ConvNextImageProcessor", "ConvNextImageProcessorFast", "ConvNextFeatureExtractor")
_WARPED = 384  # pixels from which on that one makes a square of any image
_PLACEHOLDER = re.compile(r"LABEL_\d+")  # transformers' names of classes that nobody has named


class UnusableError(Exception):
    """A value that says nothing of use; the message is a clause that says why."""


@dataclass(frozen=True)
class Stated:
    """What a configuration says. `classes`: how many it has; `notes`: what could not be used of it, and why.

    `labels_from`: where the labels' names stand, a phrase.
    """

    recipe: Recipe | None = None
    labels: tuple[Label, ...] | None = None
    labels_from: str = ""
    licence: str | None = None
    classes: int | None = None
    notes: tuple[str, ...] = ()


def stated_by_timm(value: Values) -> Stated:
    """`value`: of `config.of_timm`."""
    notes: list[str] = []
    recipe = _tried(_timm_recipe, value, "recipe", notes)
    labels, labels_from = _tried(_timm_labels, value, "labels", notes) or (None, "")
    classes = value.get("num_classes")
    licence = value.get("license")
    return Stated(
        recipe,
        labels,
        labels_from,
        licence if _is_name(licence) else None,
        classes if type(classes) is int else len(labels) if labels else None,
        tuple(notes),
    )


def stated_by_transformers(value: Values, preprocessor: Values) -> Stated:
    """`value`: of `config.of_transformers`; `preprocessor`: what stands in preprocessor_config.json."""
    notes: list[str] = []
    recipe = _tried(_convnext_recipe, preprocessor, "recipe", notes) if preprocessor else None
    labels = _tried(_names, value.get("id2label"), "labels", notes)
    named = labels is not None and not all(_PLACEHOLDER.fullmatch(label.name) for label in labels)
    return Stated(
        recipe,
        labels if named else None,
        "id2label" if named else "",
        classes=len(labels) if labels else None,
        notes=tuple(notes),
    )


def _tried(read: Any, value: Any, what: str, notes: list[str]) -> Any:
    try:
        return read(value)
    except UnusableError as error:
        notes.append(f"It gives no {what}: {error}.")
    except ResNetsError as error:
        notes.append(f"It gives no {what}. {error.problem}")
    return None


def _timm_recipe(value: Values) -> Recipe:
    """As timm prepares images for evaluation at `input_size`, on images that Pillow opened with convert("RGB")."""
    missing = [name for name in ("input_size", "interpolation", "crop_pct", "mean", "std") if value.get(name) is None]
    if missing:
        raise UnusableError(f"it does not state {', '.join(missing)}")
    size = value["input_size"]
    if not isinstance(size, list) or len(size) != 3 or any(type(n) is not int for n in size):
        raise UnusableError(f"its input_size is {_shown(size)}")
    if size[0] != 3 or size[1] != size[2]:
        raise UnusableError(f"its input_size is {_shown(size)}, and recipes are for squares of three channels")
    mode, kind = value.get("crop_mode") or "center", value["interpolation"]
    if not isinstance(mode, str) or mode not in _RESIZES:
        raise UnusableError(f"its crop_mode is {_shown(mode)}, which no recipe has")
    return replace(
        RECIPES["torchvision"],
        resize=_RESIZES[mode],
        size=_divided(size[1], value["crop_pct"]),
        filter=_filter(kind),
        crop=size[1],
        mean=_numbers(value["mean"], "mean"),
        std=_numbers(value["std"], "std"),
    )


def _convnext_recipe(value: Values) -> Recipe:
    """transformers/models/convnext/image_processing_convnext.py, as it is with Pillow; it floors where it rounds."""
    kind = value.get("image_processor_type") or value.get("feature_extractor_type")
    if kind not in _PROCESSORS:
        raise UnusableError(f"images are prepared by {_shown(kind)}, and only ConvNextImageProcessor's way is known")
    off = [name for name in ("do_resize", "do_rescale", "do_normalize") if value.get(name, True) is not True]
    missing = [name for name in ("size", "resample", "image_mean", "image_std") if value.get(name) is None]
    if off or missing:
        raise UnusableError("; ".join((*(f"{name} is off" for name in off), *(f"no {name}" for name in missing))))
    size = value["size"].get("shortest_edge") if isinstance(value["size"], dict) else value["size"]
    if type(size) is not int:
        raise UnusableError(f"its size is {_shown(value['size'])}")
    warped = size >= _WARPED
    percent = value.get("crop_pct")
    return replace(
        RECIPES["torchvision"],
        resize="square" if warped else "short",
        size=size if warped else _divided(size, 224 / 256 if percent is None else percent),
        filter=_filter(value["resample"]),
        crop=size,
        crop_rounding="floor",
        scale=value.get("rescale_factor", 1 / 255),
        mean=_numbers(value["image_mean"], "image_mean"),
        std=_numbers(value["image_std"], "image_std"),
    )


def _divided(size: int, part: float | None) -> int:
    if not isinstance(part, int | float) or isinstance(part, bool) or not 0 < part <= 1:
        raise UnusableError(f"its crop_pct is {_shown(part)}, not a number up to 1")
    try:
        return floor(size / part)
    except OverflowError:
        raise UnusableError(f"a size of {_shown(size)} with crop_pct {_shown(part)} is none of an image") from None


def _filter(kind: Any) -> str:
    if type(kind) not in (int, str) or kind not in _FILTERS:
        raise UnusableError(f"its interpolation is {_shown(kind)}, which no recipe has")
    return _FILTERS[kind]


def _numbers(value: Any, what: str) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != 3 or any(type(x) not in (int, float) for x in value):
        raise UnusableError(f"its {what} is {_shown(value)}, not three numbers")
    try:
        return tuple(map(float, value))
    except OverflowError:
        raise UnusableError(f"its {what} has numbers that no float can hold") from None


def _timm_labels(value: Values) -> tuple[tuple[Label, ...], str] | None:
    """Its own list, or ImageNet's: timm calls weights for its 1,000 classes by a tag that ends in in1k."""
    names = value.get("label_names")
    if names is not None:
        return _names(names, value.get("label_descriptions")), "label_names"
    tag = value.get("tag")
    if isinstance(tag, str) and tag.endswith("in1k") and value.get("num_classes") == 1000:
        return lists.read(IMAGENET), f"{IMAGENET}, by its tag {short(tag)}"
    return None


def _names(value: Any, descriptions: Any = None) -> tuple[Label, ...]:
    """A list of names, or names by class number as transformers' id2label; `descriptions` of them, by name."""
    if value is None:
        raise UnusableError("it lists no classes")
    if not isinstance(value, list | dict) or not 0 < len(value) <= MOST:
        raise UnusableError("its list of classes is none")
    names = [value.get(str(number)) for number in range(len(value))] if isinstance(value, dict) else value
    wrong = next((number for number, name in enumerate(names) if not _is_name(name)), None)
    if wrong is not None:
        raise UnusableError(f"class {wrong} has no name, or none that is text")
    if descriptions is None and len(names) == 1000 and all(map(_same, shipped := lists.read(IMAGENET), names)):
        return shipped
    told = descriptions if isinstance(descriptions, dict) else {}
    numbered = len(set(names)) < len(names)  # as the two cranes of ImageNet: names alone would not tell them apart
    return tuple(
        Label(str(number) if numbered else name, text if _is_name(text := told.get(name)) else name)
        for number, name in enumerate(names)
    )


def _same(label: Label, name: str) -> bool:
    return name in (label.name, label.id)


def _is_name(name: Any) -> TypeGuard[str]:
    """Is that a text with something in it, which a file can hold?"""
    if not isinstance(name, str) or len(name) > 1000:
        return False
    return bool(name.strip()) and not any("\ud800" <= c <= "\udfff" for c in name)


def _shown(value: Any) -> str:
    return short(repr(value), 80) if type(value) is not int or abs(value) < 10**15 else "a number of many digits"
