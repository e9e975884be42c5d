"""The card of a file without one goes in; with what its publisher says of labels and pixels it comes out.

Only what is stated counts: by the row of the table of published weights whose file it is, or by the config.json that
timm or transformers put beside a file of theirs.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from resnets.card import Card
from resnets.catalog import ARCHITECTURES, Architecture, differing, summary
from resnets.errors import plain, short, utf8
from resnets.fetch import cache, hub
from resnets.fetch.receipt import Kept, Receipt
from resnets.labels import lists
from resnets.network import same
from resnets.published.row import Published, Reported
from resnets.weights.configured import Stated, stated_by_timm, stated_by_transformers
from resnets.weights.dialects import config


def completed(card: Card, path: Path) -> Card:
    """The card with what is published of the file at that path; as it is where nothing is.

    A row of the table speaks of its file alone, once that has been verified and as long as it is as it was then. A card
    of ours, which has the digest of its arrays, is only completed by such a row. What of a config.json cannot be used
    is said in `source["notes"]`, and what was taken from it in `source["config"]`.
    """
    found = cache.verified(path)
    if found is not None and found[2].path == found[1].model:
        return _of_row(_compared(card, found[0]), *found)
    row = cache.row_of(path)
    if row is not None and _belongs(row, path):
        return _noted(card, f"It lies where {row.name} belongs but has not been verified: use it by name.")
    hf = hub.name_of(path)
    # Of a file of another name, an own one say in the same folder, a config.json says nothing.
    if card.weights_sha256 is not None or (hf is None and path.stem not in config.MODELS):
        return card
    return _of_config(_of_hub(card, path, hf) if hf else card, path)


def _belongs(row: Published, path: Path) -> bool:
    """Whether a path in the folder of a row is the place of its model."""
    receipt = cache.recorded(row)
    places = (cache.place(row), *([cache.home(row) / receipt.model] if receipt else ()))
    return path.suffix == row.member or os.path.realpath(path) in map(os.path.realpath, places)


# What no two networks of one name differ in; of the rest some of the table stands there as users of a file told it.
_SAME = frozenset("block blocks widths stem stem_widths groups base_width input_channels classes".split())


def another(row: Published, theirs: Architecture) -> str:
    """A clause that says in what a network is another than the row's; empty where it is that, but for details.

    Some rows have details from hearsay: the layouts of fb.resnet.torch's files stand in no document of their own.
    """
    known = row.architecture
    if known is None or not differing(theirs, known).keys() & _SAME:
        return ""
    sizes = [name for name in ("classes", "input_channels") if name in differing(theirs, known)]
    return f"its network is {_named(theirs, sizes)}, and the published one {_named(known, sizes)}"


def _compared(card: Card, row: Published) -> Card:
    """The card of a row's file, with a note where its network is not in all details that of the row."""
    theirs, known = card.architecture, row.architecture
    if theirs is None or known is None or same(theirs, known):
        return card
    fields = differing(theirs, known).items()
    told = ", ".join(f"{name} {its} (published: {other})" for name, (its, other) in fields)
    return _noted(card, f"Its network is not in all details that of {row.name}, and is taken as it is: {told}.")


def _named(architecture: Architecture, sizes: Sequence[str]) -> str:
    what = " and ".join(f"{getattr(architecture, name):,} {name.replace('_', ' ')}" for name in sizes)
    return summary(architecture) + (f" of {what}" if what else "")


def _of_row(card: Card, row: Published, receipt: Receipt, entry: Kept) -> Card:
    # Of a file that was put there by hand, a digest alone tells where it is from.
    url = receipt.url or (row.urls[0] if row.digests else "")
    return replace(
        card,
        name=row.name,
        recipe=row.recipe,
        labels=lists.read(row.labels),
        licence=row.licence,
        source={**card.source, "published": row.name, **({"url": url} if url else {}), "sha256": entry.sha256},
        scores=tuple(_score(score) for score in row.reported),
    )


def _score(reported: Reported) -> dict[str, Any]:
    """The figure as a card has it, with every condition that is known."""
    conditions = {
        "resize": reported.resize,
        "pool": reported.pool,
        "recipe": reported.recipe,
        "conditions": reported.conditions,
        "conditions_source": reported.conditions_source,
    }
    return {
        "data": f"{reported.data}, as reported at {reported.source}",
        "crops": reported.crops,
        "crop": reported.crop,
        **{name: value for name, value in conditions.items() if value},
        "top1_error": reported.top1_error,
        "top5_error": reported.top5_error,
    }


def _of_hub(card: Card, path: Path, found: str) -> Card:
    """The card with the repository of the Hub that its file is from, and its name in place of the file's."""
    repository = found.partition("/")[2].partition("@")[0]
    name = repository if card.name in (path.stem, "") else card.name
    return replace(card, name=name, source={**card.source, "hub": found})


def _of_config(card: Card, path: Path) -> Card:
    """The card with the recipe, labels and licence that the config.json beside a file states, where it has none."""
    try:
        value = config.read(path)
        timm, transformers = config.of_timm(value), config.of_transformers(value)
        if timm is not None:
            _refuse_other(card, timm.get("architecture"))
            stated = stated_by_timm(timm)
        elif transformers is not None:
            stated = stated_by_transformers(transformers, config.read(path, config.PREPROCESSOR))
        else:
            return card
        _refuse_sizes(card, stated)
    except config.ConfigError as error:
        return _noted(card, f"{config.CONFIG} beside it is not used: {error}.")
    taken = {
        "recipe": stated.recipe if card.recipe is None else None,
        "labels": stated.labels if card.labels is None else None,
        "licence": stated.licence if card.licence is None else None,
    }
    found = {name: value for name, value in taken.items() if value is not None}
    for note in stated.notes:
        card = _noted(card, f"{config.CONFIG} beside it is used in part. {note}")
    if not found:
        return card
    names = [utf8(plain(f"labels ({stated.labels_from})")) if name == "labels" else name for name in found]
    return replace(card, **found, source={**card.source, "config": names})  # type: ignore[arg-type]


def _refuse_other(card: Card, name: Any) -> None:
    """Raises ConfigError where a configuration speaks of another network than the arrays are of."""
    known = ARCHITECTURES.get(name.replace("_", "-")) if isinstance(name, str) else None
    a = card.architecture
    if a is None or known is None:
        return
    alike = replace(known, classes=a.classes, input_channels=a.input_channels, batch_norm=a.batch_norm)
    if not same(alike, a):
        raise config.ConfigError(f"it is of {short(name)}, and the arrays are of another network")


def _refuse_sizes(card: Card, stated: Stated) -> None:
    """Raises ConfigError where a configuration is of other classes or channels than its labels or the network."""
    listed = len(stated.labels) if stated.labels is not None else stated.classes
    if stated.classes != listed:
        raise config.ConfigError(f"it has {stated.classes} classes and {listed} labels")
    if card.architecture is not None and listed not in (None, card.architecture.classes):
        raise config.ConfigError(f"it is of {listed} classes, and the network has {card.architecture.classes}")
    if stated.recipe is not None and len(stated.recipe.mean) != card.input_channels:
        raise config.ConfigError(f"it is of 3 channels, and the network has {card.input_channels}")


def _noted(card: Card, note: str) -> Card:
    known = card.source.get("notes")
    return replace(
        card, source={**card.source, "notes": [*(known if isinstance(known, list) else ()), utf8(plain(note))]}
    )
