"""A model file goes in, the same model in another format comes out, with the proof that it still computes the same."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from resnets.card import Card, Label, Recipe, recipe_named
from resnets.catalog import Architecture, summary
from resnets.errors import ResNetsError, plain, utf8
from resnets.files import place, write_whole
from resnets.proof import Proof, prove
from resnets.weights import files, names
from resnets.weights.fold import foldable
from resnets.weights.formats import format_of
from resnets.weights.model import Model
from resnets.weights.options import Options
from resnets.weights.source import Source


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    `notes` are what the source's names implied and what was rewritten; `lost` are fields that did not survive the round
    trip; `written` is False where the proof failed.
    """

    architecture: str
    proof: Proof
    notes: tuple[str, ...]
    lost: tuple[str, ...]
    written: bool

    @property
    def holds(self) -> bool:
        return self.proof.holds


def convert(
    source: str | Path,
    target: Path,
    options: Options,
    *,
    fold: bool = False,
    labels: tuple[Label, ...] | None = None,
    recipe: str | Recipe | None = None,
    architecture: Architecture | None = None,
    given: tuple[str, ...] = (),
    data: Path | None = None,
    quiet: bool = True,
) -> Conversion:
    """Write the model of `source` (a name or a path) to `target`, after comparing what both compute.

    `labels` and `recipe` go into the target's card, `architecture` is that of a source which does not say all of it,
    and `given` says in the card's `source` what was given by hand. `data`: a folder of images to compare on. Where the
    logits differ by more than the proof allows nothing is written, but for `options.force`. Not `quiet`: progress is
    told on stderr. Raises ResNetsError for a source that cannot be read, a target that cannot hold the model, and a
    target that is the source.
    """
    source = names.resolve(source)
    format_of(target)
    refuse_same(source, target)
    place(target)  # before the work, not after it
    with files.opened(source) as file:
        read = files.read(file, architecture)
        card = amend(read.card, labels=labels, recipe=recipe, given=given)
        model = replace(read, card=replace(card, source=_origin(file, card)))
        written, content, lost = files.encode(model, target, options, fold=fold)
        copy = Source.of(content, str(target))
        held = _held(copy, written) if lost else written
        proof = prove(file, read, copy, held, given=architecture is not None, data=data, quiet=quiet)
    if proof.holds or options.force:
        write_whole(target, content)
    return Conversion(
        architecture=summary(model.architecture),
        proof=proof,
        notes=(*read.notes, *_rewrites(model, written), *_left_behind(model.card, files.read_card(copy), target)),
        lost=tuple(lost),
        written=proof.holds or options.force,
    )


def _held(copy: Source, written: Model) -> Model:
    """The model that reading a forced file gives; of one that cannot be read back, what was meant."""
    try:
        return files.read(copy)
    except ResNetsError:
        return written


def _origin(file: Source, card: Card) -> dict[str, Any]:
    """Where the model came from: what its card says, or the file it was read from."""
    if card.source.keys() & {"sha256", "url"} or files.read_card(file) is not None:
        return card.source
    beside = {utf8(path.name): _sha256(path) for path in files.beside(file)}
    more = {"beside": beside} if beside else {}
    return {"file": utf8(file.path.name), "sha256": file.sha256(), **more, **card.source}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_same(source: Path, target: Path) -> None:
    """Raises ResNetsError where both are one file."""
    if target.exists() and os.path.samefile(source, target):
        raise ResNetsError(f"{target} is the input itself.", "Choose another name for the output.")


def amend(
    card: Card,
    *,
    labels: tuple[Label, ...] | None = None,
    recipe: str | Recipe | None = None,
    size: int | None = None,
    crop: int | None = None,
    temperature: float | None = None,
    licence: str | None = None,
    given: tuple[str, ...] = (),
) -> Card:
    """The card with those fields changed. `size` and `crop` change the recipe; `given` is recorded in its `source`."""
    recipe = recipe_named(recipe, card.architecture) if isinstance(recipe, str) else recipe
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
        given = tuple(utf8(flag) for flag in given)
        changes["source"] = {**card.source, "given": [*(before if isinstance(before, list) else [before]), *given]}
    return replace(card, **{name: value for name, value in changes.items() if value is not None})


def _rewrites(model: Model, written: Model) -> tuple[str, ...]:
    if written.architecture == model.architecture:
        return ()
    count = len(foldable(model))
    kept = sum(name.endswith("running_var") for name in written.weights)
    return (f"exact rewrite: {count} batch norms folded into the convolutions before them, {kept} kept",)


def _left_behind(card: Card, written: Card | None, target: Path) -> tuple[str, ...]:
    """What the card says beyond the network, where the target has no place for it."""
    if written is not None:
        return ()
    temperature = card.temperature if card.temperature != 1 else None
    flags = [f"--{name}" for name, value in (("labels", card.labels), ("recipe", card.recipe)) if value]
    others = {"temperature": temperature, "scores": card.scores, "licence": card.licence}
    lost = [name for name, value in others.items() if value]
    notes = []
    if flags:
        notes.append(f"{target.name} has no place for a card: it is used with {' and '.join(flags)}")
    if lost:
        notes.append(f"the card's {', '.join(lost)} stay{'s' * (len(lost) == 1)} behind")
    return tuple(notes)


def recard(model: str | Path, out: Path, **changes: Any) -> Card:
    """Write a copy of a model file with its card changed as `amend` says; returns the new card."""
    source = names.resolve(model)
    format_of(source)
    if source.suffix.lower() != out.suffix.lower():
        raise ResNetsError(f"{out} has another suffix than {source}.", "Use `resnets convert` for another format.")
    refuse_same(source, out)
    if all(value in (None, ()) for value in changes.values()):
        raise ResNetsError(
            "Nothing is to be changed.", "Give --labels, --recipe, --size, --crop, --temperature or --licence."
        )
    place(out)
    with files.opened(source) as file:
        card = amend(files.card_of(file), **changes)
        write_whole(out, files.with_card(file, card))
    return card


def report(done: Conversion, source: str, target: Path) -> tuple[dict[str, Any], str]:
    """A conversion as the values of `--json` and as lines for people. A difference that is no number is null."""
    proof, found = done.proof, done.proof.difference
    figures = {"max_abs": found.max_abs, "max_rel": found.max_rel}
    value = {
        **{name: figure if np.isfinite(figure) else None for name, figure in figures.items()},
        "top1_agreement": found.top1_agreement,
        "architecture": done.architecture,
        "inputs": proof.noise + proof.pictures,
        "holds": proof.holds,
        "own_graph": proof.own_graph,
        "evidence": _evidence(done),
        "tolerance": proof.tolerance,
        "notes": [*proof.notes, *done.notes],
        "lost": list(done.lost),
        "written": done.written,
    }
    return value, "\n".join(map(plain, _lines(done, source, target)))


def _evidence(done: Conversion) -> str:
    """What was shown, and what not."""
    proof = done.proof
    if proof.own_graph:
        return f"{'proved against' if done.holds else 'NOT EQUAL to'} {proof.evidence}"
    trip = f"round trip: lost {', '.join(done.lost)}" if done.lost else "round trip equal"
    return f"{trip}; {proof.evidence}"


def _lines(done: Conversion, source: str, target: Path) -> Iterator[str]:
    proof, found = done.proof, done.proof.difference
    yield f"{target}: {done.architecture}, from {source}" if done.written else f"{target}: not written"
    if proof.own_graph:
        lost = f"round trip: lost {', '.join(done.lost)}"
        yield lost if done.lost else "round trip equal: the same architecture and arrays"
    yield _evidence(done)
    counts = [f"{n} {what}" for n, what in ((proof.noise, "of noise"), (proof.pictures, "photographs")) if n]
    yield (
        f"max_abs {found.max_abs:.2g}, max_rel {found.max_rel:.2g} of at most {proof.tolerance:.2g},"
        f" top1_agreement {found.top1_agreement:.2%} on {' and '.join(counts)}"
    )
    if not done.holds:
        yield "the difference is beyond what is allowed" + (": written all the same" if done.written else "")
    yield from (*proof.notes, *done.notes)
