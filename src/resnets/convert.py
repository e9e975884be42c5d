"""A model file goes in, the same model in another format comes out, with the proof that it still computes the same."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.card import Card, Label, Recipe
from resnets.catalog import named
from resnets.engines.table import Network, opener
from resnets.errors import ResNetsError, plain
from resnets.files import write_whole
from resnets.parallel import cores
from resnets.weights import files
from resnets.weights.fold import foldable
from resnets.weights.model import Model, Runnable
from resnets.weights.options import Options
from resnets.weights.source import Source

TOLERANCE = 1e-4  # largest relative difference of a conversion that holds
Batch = NDArray[np.float32]


@dataclass(frozen=True)
class Conversion:
    """What a conversion did. `max_abs` is the largest difference of a logit, `max_rel` the same over the largest logit.

    `top1_agreement` is a share from 0 to 1; `inputs` are the images compared; `own_graph` tells whether the source file
    holds a graph of its own; `lost` are fields that did not survive the round trip; `written` is False where the proof
    failed.
    """

    architecture: str
    max_abs: float
    max_rel: float
    top1_agreement: float
    inputs: int
    own_graph: bool
    notes: tuple[str, ...]
    lost: tuple[str, ...]
    written: bool

    @property
    def holds(self) -> bool:
        return self.max_rel <= TOLERANCE


def convert(
    source: str | Path,
    target: Path,
    options: Options,
    *,
    fold: bool = False,
    labels: tuple[Label, ...] | None = None,
    recipe: Recipe | None = None,
    given: tuple[str, ...] = (),
    force: bool = False,
) -> Conversion:
    """Write the model of `source` (a name or a path) to `target`, after running both through ONNX Runtime.

    `labels` and `recipe` go into the target's card, and `given` says in its `source` what was given by hand. Where
    the logits differ by more than TOLERANCE nothing is written, but for `force`. Raises ResNetsError for a source that
    cannot be read, a target that cannot hold the model, and a target that is the source.
    """
    source = files.resolve(source)
    refuse_same(source, target)
    with files.opened(source) as file:
        model = files.read(file)
        model = replace(model, card=amend(model.card, labels=labels, recipe=recipe, given=given))
        written, data, lost = files.encode(model, target, options, fold=fold, force=force)
        before = files.runnable(file)
    after = files.runnable(Source.of(data, str(target)))
    max_abs, max_rel, agreement, count = compare(before, after, batches(model))
    holds = max_rel <= TOLERANCE or force
    if holds:
        write_whole(target, data)
    return Conversion(
        architecture=named(model.architecture) or model.card.name,
        max_abs=max_abs,
        max_rel=max_rel,
        top1_agreement=agreement,
        inputs=count,
        own_graph=source.suffix.lower() == ".onnx",
        notes=_rewrites(model, written),
        lost=tuple(lost),
        written=holds,
    )


def refuse_same(source: Path, target: Path) -> None:
    """Raises ResNetsError where both are one file."""
    if target.exists() and os.path.samefile(source, target):
        raise ResNetsError(f"{target} is the input itself.", "Choose another name for the output.")


def amend(
    card: Card,
    *,
    labels: tuple[Label, ...] | None = None,
    recipe: Recipe | None = None,
    size: int | None = None,
    crop: int | None = None,
    temperature: float | None = None,
    licence: str | None = None,
    given: tuple[str, ...] = (),
) -> Card:
    """The card with those fields changed. `size` and `crop` change the recipe; `given` is recorded in its `source`."""
    changes: dict[str, Any] = {"labels": labels, "recipe": recipe, "temperature": temperature, "licence": licence}
    pixels: dict[str, Any] = {name: value for name, value in (("size", size), ("crop", crop)) if value is not None}
    if pixels:
        old = recipe or card.recipe
        if old is None:
            raise ResNetsError(
                f"The model has no recipe whose {' and '.join(pixels)} could be set.", "Give --recipe as well."
            )
        changes["recipe"] = replace(old, **pixels)
    if given:
        before = card.source.get("given", [])
        changes["source"] = {**card.source, "given": [*(before if isinstance(before, list) else [before]), *given]}
    return replace(card, **{name: value for name, value in changes.items() if value is not None})


def _rewrites(model: Model, written: Model) -> tuple[str, ...]:
    if written.architecture == model.architecture:
        return ()
    count = len(foldable(model))
    kept = sum(name.endswith("running_var") for name in written.weights)
    return (f"exact rewrite: {count} batch norms folded into the convolutions before them, {kept} kept",)


def compare(before: Runnable, after: Runnable, inputs: list[Batch]) -> tuple[float, float, float, int]:
    """(largest absolute, largest relative difference, share of equal top-1, images) of two models' logits."""
    pairs = list(zip(_logits(before, inputs), _logits(after, inputs), strict=True))
    largest = max(float(np.abs(reference).max()) for reference, _ in pairs)
    with np.errstate(invalid="ignore", over="ignore"):  # infinity less infinity: said below
        difference = max(float(np.abs(reference - other).max()) for reference, other in pairs)
    equal = sum(int((reference.argmax(1) == other.argmax(1)).sum()) for reference, other in pairs)
    count = sum(len(x) for x in inputs)
    if not np.isfinite((largest, difference)).all():
        return float("inf"), float("inf"), equal / count, count
    return difference, difference / max(largest, float(np.finfo(np.float32).tiny)), equal / count, count


def _logits(model: Runnable, inputs: list[Batch]) -> list[Batch]:
    session = opener("onnxruntime")(model.model, cores())
    network = Network(session, model.answer, model.card.output, model.card.name)
    return [network.run(x, ("logits",))["logits"] for x in inputs]


def batches(model: Model) -> list[Batch]:
    """Inputs of a proof: noise at the recipe's size, noise that is not square, and the photographs of the package."""
    channels = model.architecture.input_channels
    side = model.card.recipe.crop if model.card.recipe else 32 if model.architecture.cifar_stem else 224
    draw = np.random.default_rng(0).standard_normal
    noise = [draw((n, channels, side, wide), np.float32) for n, wide in ((3, side), (1, side + side // 4))]
    return noise + (_photographs(model.card.recipe) if model.card.recipe and channels == 3 else [])


def _photographs(recipe: Recipe) -> list[Batch]:
    from resnets.images.decode import SUFFIXES, decode
    from resnets.images.prepare import normalise, prepare

    folder = Path(__file__).with_name("photos")
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]
    crops = [prepare(decode(path, exif=recipe.exif, alpha=recipe.alpha), recipe) for path in paths]
    return [normalise(np.concatenate(crops), recipe)] if crops else []


def recard(model: str | Path, out: Path, **changes: Any) -> Card:
    """Write a copy of a model file with its card changed as `amend` says; returns the new card."""
    source = files.resolve(model)
    files.format_of(source)
    if source.suffix.lower() != out.suffix.lower():
        raise ResNetsError(f"{out} has another suffix than {source}.", "Use `resnets convert` for another format.")
    refuse_same(source, out)
    if all(value in (None, ()) for value in changes.values()):
        raise ResNetsError(
            "Nothing is to be changed.", "Give --labels, --recipe, --size, --crop, --temperature or --licence."
        )
    with files.opened(source) as file:
        card = amend(files.read(file).card, **changes)
        write_whole(out, files.with_card(file, card))
    return card


def report(done: Conversion, source: str, target: Path) -> tuple[dict[str, Any], str]:
    """A conversion as the values of `--json` and as lines for people. A difference that is no number is null."""
    figures = {"max_abs": done.max_abs, "max_rel": done.max_rel}
    value = {
        **{name: figure if np.isfinite(figure) else None for name, figure in figures.items()},
        "top1_agreement": done.top1_agreement,
        "architecture": done.architecture,
        "inputs": done.inputs,
        "own_graph": done.own_graph,
        "notes": list(done.notes),
        "lost": list(done.lost),
        "written": done.written,
    }
    if done.own_graph:
        proof = "proved against the source's own graph" if done.holds else "NOT equal to the source's own graph"
    else:
        proof = "the source holds no graph: compared with the network that its card describes"
    agreement = f"top1_agreement {done.top1_agreement:.2%} on {done.inputs} images"
    lines = [
        f"{target}: {done.architecture}, from {source}" if done.written else f"{target}: not written",
        f"round trip: lost {', '.join(done.lost)}"
        if done.lost
        else "round trip equal: the same architecture and arrays",
        proof,
        f"max_abs {done.max_abs:.2g}, max_rel {done.max_rel:.2g}, {agreement}",
        *done.notes,
    ]
    if not done.holds:
        lines.append(f"the difference is beyond {TOLERANCE:g} of the largest logit")
    return value, "\n".join(map(plain, lines))
