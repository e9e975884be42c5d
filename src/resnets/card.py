"""What a model file says about itself: Card and Recipe, frozen values to JSON and back."""

import json
from dataclasses import dataclass, field, fields, replace
from math import inf
from typing import Any

from resnets import catalog
from resnets.catalog import Architecture
from resnets.errors import ResNetsError, did_you_mean
from resnets.values import frozen, plain

KEY = "resnets.card"  # of the ONNX metadata property and of the safetensors metadata entry
FORMAT = 1
MAX_NUMBER = 3e38  # about the largest number of 32-bit floats
MAX_CHANNELS = 1 << 20
SMALL = 32  # pixels of a CIFAR image
CHOICES = {
    "resize": ("short", "square", "none"),
    "filter": ("pillow-bilinear", "pillow-bicubic", "torch7-bicubic", "opencv-bilinear"),
    "resize_rounding": ("floor", "half-even"),
    "crop_rounding": ("ceil", "floor", "half-even"),
    "order": ("RGB", "BGR"),
    "exif": ("apply", "ignore"),
    "alpha": ("white", "drop"),
}

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of ImageNet's training images on [0, 1], as torchvision and fb print them
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Recipe:
    """How an image becomes the network's input: resize, centre crop, then (x * scale - mean) / std per channel.

    `resize`: `short` brings the short side to `size` pixels, `square` both, `none` neither. `crop`: side of the square
    crop in pixels. `resize_rounding` and `crop_rounding`: how the long side and the crop's corner become whole pixels.
    """

    resize: str = "short"
    size: int = 256
    filter: str = "pillow-bilinear"
    resize_rounding: str = "floor"
    crop: int = 224
    crop_rounding: str = "half-even"
    order: str = "RGB"
    scale: float = 1 / 255
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    exif: str = "apply"
    alpha: str = "white"

    def __post_init__(self) -> None:
        wrong = [
            f"{k} is {getattr(self, k)!r}, not one of {', '.join(v)}"
            for k, v in CHOICES.items()
            if getattr(self, k) not in v
        ]
        if any(type(n) is not int or not 0 < n <= 16384 for n in (self.size, self.crop)):
            wrong.append("size and crop must be whole numbers of pixels from 1 to 16384")
        if self.resize != "none" and type(self.size) is type(self.crop) is int and self.crop > self.size:
            wrong.append(f"a crop of {self.crop} does not fit into a size of {self.size}")
        numbers = (self.scale, *self.mean, *self.std)
        if any(type(x) not in (int, float) or not abs(x) <= MAX_NUMBER for x in numbers):
            wrong.append("scale, mean and std must be numbers that 32-bit floats can hold")
        elif len(self.mean) != len(self.std) or not self.mean or any(not s > 0 for s in self.std):
            wrong.append("mean and std need one number a channel, std above 0")
        if wrong:
            raise ResNetsError(f"This is not a recipe: {'; '.join(wrong)}.", "Correct those fields.")


RECIPES: dict[str, Recipe] = {
    "resnets": Recipe(),
    # torchvision's Resize(256), CenterCrop(224) on a PIL image that was opened with convert("RGB").
    "torchvision": Recipe(exif="ignore", alpha="drop"),
    # fb.resnet.torch's transforms.lua: Scale(256), ColorNormalize, CenterCrop(224), or TenCrop(224).
    "fb": Recipe(filter="torch7-bicubic", crop_rounding="ceil", exif="ignore", alpha="drop"),
    # The zoo's imagenet_preprocess.py: Pillow bilinear, the other side round()ed, the corner floor()ed.
    "zoo-readme": Recipe(resize_rounding="half-even", crop_rounding="floor", exif="ignore", alpha="drop"),
    # The zoo's imagenet_inference and imagenet_validation notebooks: Gluon's Resize(256), which makes a square of
    # whatever it is given (cv2.resize, bilinear from MXNet 1.3 on), CenterCrop(224). MXNet ignores EXIF.
    "zoo-notebook": Recipe(
        resize="square", filter="opencv-bilinear", crop_rounding="floor", exif="ignore", alpha="drop"
    ),
    # The zoo's Caffe2 ResNet-50 comes without a word on pixels. In onnx/models#64 a maintainer points to the trainer,
    # resnet50_trainer.py: mean 128, std 128, scale 256, crop 224. Its operator, caffe2/image/image_input_op.h, has
    # OpenCV's BGR, truncates the other side, floors the corner, and resizes by cv2.INTER_AREA, to which Pillow's
    # bilinear is the nearest filter here (0.9 grey levels off on the mean of a hundred photographs; OpenCV's bilinear
    # 1.3). Whether it heeds EXIF hangs on the OpenCV that it is built with.
    "caffe2": Recipe(
        crop_rounding="floor", order="BGR", exif="ignore", alpha="drop",
        scale=1.0, mean=(128.0, 128.0, 128.0), std=(128.0, 128.0, 128.0),
    ),
    # GluonCV's transform_eval and verify_pretrained.py: Gluon's Resize(256, keep_ratio=True), which truncates the other
    # side and calls OpenCV's bilinear, and CenterCrop(224), whose corner is truncated.
    "gluoncv": Recipe(filter="opencv-bilinear", crop_rounding="floor", exif="ignore", alpha="drop"),
    # timm/data/transforms_factory.py where a model's configuration says bicubic: torchvision's way, another filter.
    "timm": Recipe(filter="pillow-bicubic", exif="ignore", alpha="drop"),
    # fb.resnet.torch's CIFAR-10: pixels on 0-255, no resizing.
    "cifar": Recipe(
        resize="none", size=32, crop=32, crop_rounding="ceil", exif="ignore", alpha="drop",
        scale=1.0, mean=(125.3, 123.0, 113.9), std=(63.0, 62.1, 66.7),
    ),
}  # fmt: skip


def recipe_named(name: str, architecture: Architecture | None = None) -> Recipe:
    """The recipe of that name, in the size of the network: one with a stem for CIFAR takes 32 pixels."""
    if name not in RECIPES:
        hint = did_you_mean(name, RECIPES, f"Use one of {', '.join(RECIPES)}.")
        raise ResNetsError(f"No recipe is called {name!r}.", hint)
    small = architecture is not None and architecture.cifar_stem
    return replace(RECIPES[name], size=SMALL, crop=SMALL) if small else RECIPES[name]


def name_of(recipe: Recipe) -> str | None:
    """The name under which a recipe is known, whatever its size and crop; None for one that has no name."""
    for name, known in RECIPES.items():
        if replace(recipe, size=known.size, crop=known.crop) == known:
            return name
    return None


def describe(recipe: Recipe) -> str:
    """One line for people: `resnets 256/224`."""
    size = "as is" if recipe.resize == "none" else str(recipe.size)
    return f"{name_of(recipe) or 'custom'} {size}/{recipe.crop}"


@dataclass(frozen=True)
class Label:
    """A class: its stable id (a WordNet id for ImageNet, the folder's name otherwise) and its name for people."""

    id: str
    name: str
    extra: dict[str, Any] = field(default_factory=dict, hash=False, repr=False)  # as the card's


@dataclass(frozen=True)
class Card:
    """The page that travels inside a model file.

    `extra`, `input_extra`: fields this version does not know, written back as they were read.
    """

    name: str
    architecture: Architecture | None  # None: a foreign graph, run as it is
    labels: tuple[Label, ...] | None = None
    recipe: Recipe | None = None
    output: str = "logits"
    temperature: float = 1.0
    input_name: str = "data"
    input_channels: int = 3
    source: dict[str, Any] = field(default_factory=dict)
    scores: tuple[dict[str, Any], ...] = ()
    licence: str | None = None
    weights_sha256: str | None = None
    input_extra: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.output not in ("logits", "probabilities"):
            raise ResNetsError(f"A card's output cannot be {self.output!r}.", "Use logits or probabilities.")
        if not 0 < self.temperature < inf:
            raise ResNetsError(f"A temperature of {self.temperature} has no meaning.", "Use a number above 0.")
        classes = self.architecture.classes if self.architecture else None
        if self.labels is not None and classes is not None and len(self.labels) != classes:
            raise ResNetsError(
                f"The list has {len(self.labels)} labels, but the network has {classes} classes.",
                "Use the list that the network was trained with, one label per class in the order of its outputs.",
            )


def to_json(card: Card) -> str:
    """The card as one line of JSON, keys in a fixed order, so that equal cards are equal bytes."""
    labels = [{"id": x.id, "name": x.name, **x.extra} for x in card.labels] if card.labels is not None else None
    value: dict[str, Any] = {
        "format": FORMAT,
        "name": card.name,
        "architecture": catalog.to_json(card.architecture) if card.architecture else None,
        "labels": labels,
        "recipe": recipe_to_json(card.recipe) if card.recipe else None,
        "output": card.output,
        "temperature": card.temperature,
        "input": {"name": card.input_name, "channels": card.input_channels, **card.input_extra},
        "source": card.source,
        "scores": list(card.scores),
        "licence": card.licence,
        "weights_sha256": card.weights_sha256,
    }
    return json.dumps({**value, **card.extra}, ensure_ascii=False, allow_nan=False)


def from_json(text: str) -> Card:
    """The reverse of `to_json`. Raises ResNetsError for text that is no card, or a card of another format."""
    try:
        value = json.loads(text)
        found = value["format"]
        # What comes in goes out again: NaN and infinity are not JSON, and half a surrogate pair is no text.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ResNetsError("The file's card is not a JSON object with a format.", "Convert the model again.") from error
    if found != FORMAT:
        raise ResNetsError(
            f"The card has format {found!r}, and this version reads format {FORMAT}.",
            "Open the file with a newer version of resnets.",
        )
    try:
        return _from_value(value)
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise ResNetsError(
            f"The file's card is damaged ({type(error).__name__}: {error}).", "Convert the model again."
        ) from error


def _from_value(value: dict[str, Any]) -> Card:
    labels, recipe, source = value.get("labels"), value.get("recipe"), value.get("source")
    given = {"name": "data", "channels": 3, **(value.get("input") or {})}
    if type(given["channels"]) is not int or not 0 < given["channels"] <= MAX_CHANNELS:
        raise ValueError(f"{given['channels']!r} is no number of channels")
    return Card(
        name=str(value["name"]),
        architecture=catalog.from_json(value["architecture"]) if value.get("architecture") else None,
        labels=tuple(Label(str(x["id"]), str(x["name"]), _rest(x, _LABEL) if len(x) > 2 else {}) for x in labels)
        if labels is not None
        else None,
        recipe=recipe_from_json(recipe) if recipe else None,
        output=value.get("output", "logits"),
        temperature=float(value.get("temperature", 1.0)),
        input_name=str(given["name"]),
        input_channels=given["channels"],
        source=dict(source or {}),
        scores=tuple(dict(score) for score in value.get("scores") or ()),
        licence=value.get("licence"),
        weights_sha256=value.get("weights_sha256"),
        input_extra=_rest(given, _INPUT),
        extra=_rest(value, _FIELDS),
    )


def _rest(value: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {name: v for name, v in value.items() if name not in known}


_FIELDS = frozenset(
    "format name architecture labels recipe output temperature input source scores licence weights_sha256".split()
)
_INPUT = frozenset(("name", "channels"))
_LABEL = frozenset(("id", "name"))


def recipe_to_json(recipe: Recipe) -> dict[str, Any]:
    """Every field of a recipe, tuples as lists."""
    return plain(recipe)


def recipe_from_json(value: dict[str, Any]) -> Recipe:
    """The reverse of `recipe_to_json`; an unknown or missing field is an error, because pixels must not be guessed."""
    known = {f.name for f in fields(Recipe)}
    odd = sorted(known ^ value.keys())
    if odd:
        raise ResNetsError(
            f"The card's recipe lacks or does not know: {', '.join(odd)}.", "Set a recipe with `resnets card set`."
        )
    return Recipe(**frozen(value))
