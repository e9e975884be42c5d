"""The card of a file without one goes in; with what its publisher says of labels and pixels it comes out.

Only what is stated counts: the row of the table of published weights whose file it is.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from resnets.card import Card
from resnets.fetch.cache import row_of
from resnets.labels import lists
from resnets.published.row import Published, Reported


def completed(card: Card, path: Path) -> Card:
    """The card with what is published of the file at that path; as it is where nothing is."""
    row = row_of(path)
    return card if row is None else _of_row(card, row)


def _of_row(card: Card, row: Published) -> Card:
    return replace(
        card,
        name=row.name,
        recipe=row.recipe,
        labels=lists.read(row.labels),
        licence=row.licence,
        source={**card.source, "published": row.name, "url": row.urls[0]},
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
