"""Rows of predictions go in; lines of a table for people, of CSV or of JSON come out."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from resnets.classify import Row
from resnets.errors import plain
from resnets.predictions import Prediction

BAR = 20  # characters of a probability of 100 %
EIGHTHS = " ▏▎▍▌▋▊▉"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Unknown(Prediction):
    """The answer below the threshold; its `probability` is that of `nearest`, the most probable label."""

    nearest: str
    threshold: float

    @property
    def reason(self) -> str:
        """For people, so that no one takes the probability for that of being unknown."""
        return f"{self.label} (below {100 * self.threshold:g} %; nearest: {self.nearest} {share(self).strip()})"


Format = Callable[[Row, list[Prediction], bool], str]


def table(row: Row, predictions: list[Prediction], colour: bool = False) -> str:
    """For people: the file, then a line of probability, bar and name for each prediction; a single one in one line."""
    file = plain(row.file)
    if row.error is not None:
        return f"{file}\n  {styled('31', 'error', colour)}  {plain(row.error)}\n\n"
    if len(predictions) == 1 and isinstance(predictions[0], Unknown):
        return f"{'':7}  {plain(predictions[0].reason)}  {styled('2', file, colour)}\n"
    if len(predictions) == 1:
        return f"{share(predictions[0])}  {plain(predictions[0].label)}  {styled('2', file, colour)}\n"
    lines = [f"  {share(p)}  {bar(p.probability)}  {plain(p.label)}" for p in predictions]
    return "\n".join([styled("1", file, colour), *lines]) + "\n\n"


def share(prediction: Prediction) -> str:
    """A probability in percent, seven characters wide."""
    return f"{100 * prediction.probability:5.1f} %"


def bar(probability: float) -> str:
    """A bar of BAR characters, filled to an eighth of a character."""
    whole, eighths = divmod(round(probability * BAR * 8), 8)
    return ("█" * whole + EIGHTHS[eighths] * (whole < BAR)).ljust(BAR)


def styled(code: str, text: str, colour: bool) -> str:
    """Text in an ANSI style, where there is colour."""
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text


def stdout_has_colour() -> bool:
    """Does stdout show styles? NO_COLOR is an agreement of many programs (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


CSV_HEADER = "file,error,rank,index,id,label,probability\n"


def as_csv(row: Row, predictions: list[Prediction], colour: bool = False) -> str:
    """A line for each prediction, rank 1 first; a bad input has one line, with its error and no rank."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if row.error is not None:
        writer.writerow((row.file, row.error, "", "", "", "", ""))
    for rank, p in enumerate(predictions, 1):
        writer.writerow(
            (row.file, "", rank, "" if p.index is None else p.index, p.id or "", p.label, f"{p.probability:.6g}")
        )
    return out.getvalue()


def jsonl(row: Row, predictions: list[Prediction], colour: bool = False) -> str:
    """One JSON object: file, error or null, predictions."""
    listed = [{"index": p.index, "id": p.id, "label": p.label, "probability": p.probability} for p in predictions]
    return json.dumps({"file": row.file, "error": row.error, "predictions": listed}, ensure_ascii=False) + "\n"


FORMATS: dict[str, Format] = {"table": table, "csv": as_csv, "jsonl": jsonl}
HEADERS = {"table": "", "csv": CSV_HEADER, "jsonl": ""}


def encoded(text: str, form: str) -> bytes:
    """UTF-8 whatever the locale. A file name that is no UTF-8 keeps its bytes; JSON has no bytes: it is escaped."""
    return text.encode("utf-8", "backslashreplace" if form == "jsonl" else "surrogateescape")


def below(predictions: list[Prediction], threshold: float) -> list[Prediction]:
    """`unknown` in place of predictions of which the best is less probable than `threshold`."""
    if not predictions or predictions[0].probability >= threshold:
        return predictions
    return [Unknown(None, None, UNKNOWN, predictions[0].probability, predictions[0].label, threshold)]
