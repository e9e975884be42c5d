"""Verbs that use a model: classify images, and evaluate a model on labelled ones."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from resnets.cli.model import classifier_of, model_options
from resnets.cli.results import JSON, apart
from resnets.errors import ResNetsError, plain


@click.command("classify")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@model_options
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Predictions to show for an image.")
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.0, help="Answer `unknown` below this probability.")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "jsonl"]), help="Default: by the suffix of -o, or a table."
)
@click.option("-o", "--output", default="-", help="File to write, whole or not at all; - is stdout.")
def classify_command(
    images: tuple[str, ...], top: int, threshold: float, form: str | None, output: str, quiet: bool, **options: Any
) -> int:
    """Name what images show.

    IMAGE is a file, a folder (searched for images, in the folders inside it too), a pattern, or - for stdin: an image,
    or a list of paths, one a line. Exit status 1: some images could not be read; each has a row with its error.

    \b
    resnets classify photo.jpg
    resnets classify holiday/ --top 1
    resnets classify holiday/ --format jsonl -o names.jsonl -m runs/first/best.onnx
    """
    from resnets.cli.formats import FORMATS, HEADERS, below, encoded, stdout_has_colour

    apart(output, options["model"], *images)
    form, crops = form or _form_of(output), _crops(options)
    classifier = classifier_of(options, quiet)
    apart(output, classifier.path)
    job = _Job(images, quiet or (output == "-" and sys.stdout.isatty()))
    colour = output == "-" and stdout_has_colour()
    with _sink(output, classifier, crops, top, threshold, form) as sink, job.begin(sink):
        for found in classifier.run(sink.rest(job.items), crops=crops, at_once="-" in images):
            row = job.explained(found)
            predictions = below(classifier.predictions(row.logits, top), threshold) if row.error is None else []
            header = "" if job.done else HEADERS[form]
            sink.add(row.item, encoded(header + FORMATS[form](row, predictions, colour), form), row.error is not None)
            job.count(row.error)
        job.finish()
    return job.report(quiet)


def _form_of(output: str) -> str:
    forms = {".csv": "csv", ".jsonl": "jsonl", ".txt": "table", "": "table"}
    suffix = Path(output).suffix.lower()
    if suffix not in forms:
        jsonl = "JSON is written a line an image, as .jsonl. " if suffix == ".json" else ""
        raise ResNetsError(
            f"No format belongs to the suffix {suffix} of {output}.",
            f"{jsonl}Call the file .csv, .jsonl or .txt, or give --format table, csv or jsonl.",
        )
    return forms[suffix]


def _crops(options: dict[str, Any]) -> int:
    if options["flip"] and options["crops"] == "10":
        raise ResNetsError("The ten crops include the mirror image already.", "Leave --flip out.")
    return 2 if options["flip"] else int(options["crops"])


class _Job:
    """The images of one command: drawn, counted, and reported on stderr at the end."""

    def __init__(self, arguments: tuple[str, ...], quiet: bool) -> None:
        from resnets.inputs import Passed, expand

        self.passed = Passed()
        self.items = expand(arguments, self.passed)
        self.done = self.errors = 0
        self.quiet = quiet or (len(arguments) == 1 and arguments[0] != "-" and os.path.isfile(arguments[0]))
        self.progress: Any = None

    @contextmanager
    def begin(self, sink: Any) -> Iterator[None]:
        """Show progress while the block runs, from what `sink` holds already."""
        from resnets.progress import Progress

        self.done, self.errors = sink.done, sink.failed
        with Progress("classify", None, quiet=self.quiet, done=self.done) as self.progress:
            yield

    def explained(self, row: Any) -> Any:
        """The row, with the reason that its argument gave where that is better than the decoder's."""
        reason = self.passed.reasons.get(row.file)
        return row if row.error is None or reason is None else replace(row, error=reason)

    def count(self, error: str | None) -> None:
        self.done += 1
        self.errors += error is not None
        self.progress.advance()

    def finish(self) -> None:
        """Raises ResNetsError where there was nothing to do at all."""
        if not self.done:
            from resnets.inputs import counted

            where = f" in {', '.join(self.passed.empty)}" if self.passed.empty else ""
            others = f", only {counted(self.passed.others)}" if self.passed.others else ""
            raise ResNetsError(f"There are no images{where}{others}.", "Name image files, or folders that hold some.")

    def report(self, quiet: bool) -> int:
        """Tell what was passed over, and return the exit status."""
        if not quiet:
            if self.passed.others:
                from resnets.inputs import passed_over

                click.echo(passed_over(self.passed.others), err=True)
            for folder in self.passed.empty:
                click.echo(plain(f"no images in {folder}"), err=True)
        if self.errors:
            click.echo(f"{self.errors:,} of {self.done:,} images have an error in the place of an answer", err=True)
        return 1 if self.errors else 0


class _Stdout:
    """Rows to stdout, each as soon as it is there."""

    done = failed = 0

    def rest(self, items: Iterator[Any]) -> Iterator[Any]:
        return items

    def add(self, item: Any, row: bytes, failed: bool) -> None:
        sys.stdout.buffer.write(row)
        sys.stdout.buffer.flush()


@contextmanager
def _sink(output: str, classifier: Any, *options: Any) -> Iterator[Any]:
    """Where rows go: stdout, or a file that an interrupted command leaves in parts for the next one."""
    if output == "-":
        yield _Stdout()
        return
    from resnets.card import to_json
    from resnets.parts import Parts

    model = classifier.sha256
    parts = Parts(Path(output), {"model": model, "card": to_json(classifier.card), "options": options})
    try:
        with parts:
            if parts.done:
                click.echo(plain(f"{parts.folder} holds {parts.done:,} rows already: going on from there"), err=True)
            yield parts
    except BaseException:
        if parts.kept:
            click.echo(plain(f"{parts.folder} keeps what is done: the same command goes on from there"), err=True)
        raise


@click.command("evaluate")
@click.argument("data", type=click.Path(path_type=Path))
@model_options
@JSON
def evaluate_command(data: Path, json_to: str | None, quiet: bool, **options: Any) -> int:
    """Measure the error of a model on DATA: a folder of class folders, or one with train and val (or test) in it.

    Exit status 1: some images could not be read, which are in no percentage, or answers were not finite numbers, which
    count as wrong.

    \b
    resnets evaluate cifar10-jpeg/test
    resnets evaluate photos -m runs/first/best.onnx --crops 10 --json result.json
    """
    from resnets.cli import measure
    from resnets.evaluate import Tally
    from resnets.progress import Progress

    apart(json_to, options["model"])
    crops, classifier = _crops(options), classifier_of(options, quiet)
    apart(json_to, classifier.path)
    split, targets, missing = measure.labelled(data, classifier.card, quiet)
    tally = Tally()
    with Progress("evaluate", len(split), quiet=quiet) as progress:
        for row in classifier.run((split.path(i) for i in range(len(split))), crops=crops):
            tally.take(row.outputs.get("logits"), int(targets[row.index]))
            if not row.outputs:
                click.echo(plain(f"{row.file}: {row.error}"), err=True)
            progress.advance()
    found = measure.result(tally, classifier, crops, split.root, missing)
    return measure.report(found, json_to, len(classifier.card.labels))
