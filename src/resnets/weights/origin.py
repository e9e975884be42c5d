"""The card of a file without one goes in; with what its publisher says of labels and pixels it comes out.

Only what is stated counts: by the row of the table of published weights whose file it is, or by the config.json that
timm or transformers put beside it.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from resnets.card import Card
from resnets.catalog import ARCHITECTURES
from resnets.errors import plain, short, utf8
from resnets.fetch import cache, hub
from resnets.labels import lists
from resnets.network import same
from resnets.published.row import Published, Reported
from resnets.weights.configured import Stated, stated_by_timm, stated_by_transformers
from resnets.weights.dialects import config


def completed(card: Card, path: Path) -> Card:
    """The card with what is published of the file at that path; as it is where nothing is.

    A card of ours, which has the digest of its arrays, is only completed by a row of the table. What of a config.json
    cannot be used is said in `source["notes"]`, and what was taken from it in `source["config"]`.
    """
    row = cache.row_of(path)
    if row is not None:
        receipt = cache.recorded(row)
        inside = path.absolute().relative_to(cache.home(row).absolute()).as_posix()
        checked = {} if receipt is None else {kept.path: kept.sha256 for kept in receipt.kept}
        if inside == row.file or inside in checked:
            return _of_row(card, row, (receipt and receipt.url) or row.urls[0], checked.get(inside))
    return card if card.weights_sha256 is not None else _of_config(_of_hub(card, path), path)


def _of_row(card: Card, row: Published, url: str, sha256: str | None) -> Card:
    return replace(
        card,
        name=row.name,
        recipe=row.recipe,
        labels=lists.read(row.labels),
        licence=row.licence,
        source={**card.source, "published": row.name, "url": url} | ({"sha256": sha256} if sha256 else {}),
        scores=tuple(_score(score) for score in row.reported),
    )


def _score(reported: Reported) -> dict[str, Any]:
    return {
        "data": f"{reported.data}, as reported at {reported.source}",
        "crops": reported.crops,
        "crop": reported.crop,
        "top1_error": reported.top1_error,
        "top5_error": reported.top5_error,
    }


def _of_hub(card: Card, path: Path) -> Card:
    """The card with the repository of the Hub that its file is from, and its name in place of the file's."""
    found = hub.name_of(path)
    if found is None:
        return card
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
