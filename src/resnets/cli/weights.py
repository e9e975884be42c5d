"""argv of the verbs of published weights goes in: list, fetch; tables, paths of files and an exit status come out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resnets.cli import downloads
from resnets.cli.results import JSON, apart, show, terminal_width, told
from resnets.errors import ResNetsError, plain, some

if TYPE_CHECKING:
    from resnets.published.row import Published
    from resnets.samples import Sample

QUIET = click.option("--quiet", is_flag=True, help="Print nothing but the result and errors.")
WILD = "*?["
BELOW = """\
accuracy, error: top-1/top-5 in percent, of one crop, as the publisher has it;
the error beside an accuracy is what it lacks to 100. *: measured at other
sizes or by another recipe than the row's. Sources and conditions of each:
resnets show NAME"""


@click.command("list")
@click.argument("pattern", default="*")
@click.option("--architectures", "networks", is_flag=True, help="Only architectures.")
@click.option("--published", "weights", is_flag=True, help="Only published weights.")
@click.option("--cached", is_flag=True, help="Only published weights of which something is on this machine.")
@JSON
def list_command(pattern: str, networks: bool, weights: bool, cached: bool, json_to: str | None) -> None:
    """List the architectures and the published weights whose name matches PATTERN.

    Architectures with depth, parameters and multiplications for one image; weights with what their publishers report,
    their recipe and licence, and whether they are on this machine. Weights also go by the name of their architecture.

    \b
    resnets list "resnet50*"
    resnets list resnet50 --published --json -
    resnets list --cached
    """
    from resnets import listing
    from resnets.published.table import listed

    every = not (networks or weights or cached)
    kinds = listing.architectures(pattern) if networks or every else []
    rows = listed(pattern) if weights or cached or every else []
    if not kinds and not rows:
        raise _unmatched(pattern, architectures=networks or every, weights=weights or cached or every)
    if cached:
        rows = [row for row in rows if listing.standing(row) != "-"]
    parts = [listing.architecture_table(kinds)] if kinds else []
    if rows:
        parts += [listing.published_table(rows, terminal_width()), BELOW]
    text = "\n\n".join(parts) or _none_cached(pattern)
    show({"architectures": kinds, "published": [listing.published(row) for row in rows]}, text, json_to)


def _none_cached(pattern: str) -> str:
    from resnets.fetch import cache

    which = "" if pattern == "*" else f" that match {pattern!r}"
    return plain(f"No published weights{which} are in the cache ({cache.folder()}).")


def _unmatched(pattern: str, *, architectures: bool, weights: bool) -> ResNetsError:
    """The error for a pattern that nothing answers to; where a part of a name was meant, with the pattern for that."""
    from resnets import listing
    from resnets.published.table import listed

    error = listing.unmatched(pattern, architectures=architectures, weights=weights)
    wider = f"*{pattern}*"
    count = len(listing.architectures(wider)) * architectures + len(listed(wider)) * weights
    if not count or any(c in pattern for c in WILD):
        return error
    names = "1 name has" if count == 1 else f"{count} names have"
    return ResNetsError(error.problem, f"{names} it in the middle or at an end: `resnets list '{wider}'`.")


@dataclass(frozen=True)
class _Wanted:
    """What is to be fetched: a row of the table, or, where `row` is None, the name of a repository of the Hub."""

    name: str
    row: Published | None
    by_pattern: bool = False


@click.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--again", is_flag=True, help="Download what is there already once more.")
@click.option(
    "--yes", is_flag=True, help="Do not ask before a pattern brings more than 5 GB, or nobody knows how much."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Put the files there too, by links where that can be.",
)
@QUIET
@JSON
def fetch_command(
    names: tuple[str, ...], again: bool, yes: bool, output: Path | None, quiet: bool, json_to: str | None
) -> int:
    """Download published weights into the cache, checked, and print the paths of their files.

    NAME is a name that `resnets list` shows, another name of such weights (`resnets show`), that of a file at its
    publisher's, a shell pattern in quotes, or hf:OWNER/NAME for a repository of the Hugging Face Hub. What was
    interrupted goes on where it stopped. Of an archive of the ONNX zoo the sample test data are run. Exit status 1:
    some did not come, or do not compute what their samples say; 2: nothing came.

    \b
    resnets fetch resnet50.tv2
    resnets fetch resnet18v1/resnet18v1.onnx "resnet34*.fb" -o models
    resnets classify photo.jpg -m "$(resnets fetch --quiet resnet50.a1_in1k)"
    """
    folder = downloads.target(output) if output is not None else None
    wanted, failed = _wanted(names)
    if not _announced(wanted, again, yes, quiet):
        click.echo("nothing is downloaded", err=True)
        return 2
    came: list[dict[str, Any]] = []
    for one in wanted:
        try:
            with downloads.resumable(one.name):
                came.append(_fetched(one, again, quiet, folder))
        except ResNetsError as error:
            failed.append({"name": one.name, **told(error)})
            continue
        if json_to != "-":
            click.echo(os.fsencode(came[-1]["path"]))
    if not quiet and len(came) + len(failed) > 1:
        click.echo(_summary(came, failed), err=True)
    if json_to is not None:
        apart(json_to, *(one["path"] for one in came))
        show([*came, *failed], "", json_to)
    if not came:
        return 2
    return 1 if failed or not all(one.get("holds", True) for one in came) else 0


def _announced(wanted: Sequence[_Wanted], again: bool, yes: bool, quiet: bool) -> bool:
    """Tell what is about to be downloaded; whether that is agreed to, which is asked where a pattern brings much."""
    rows = [one.row for one in wanted if one.row]
    if not rows or (len(wanted) == 1 and not wanted[0].by_pattern):
        return True
    coming = downloads.coming(rows, again)
    if not quiet and len(wanted) > 1:
        click.echo(downloads.announcement(rows, coming), err=True)
    return yes or not any(one.by_pattern for one in wanted) or downloads.agreed(coming)


def _summary(came: Sequence[dict[str, Any]], failed: Sequence[dict[str, Any]]) -> str:
    parts = [f"{len(came)} of {len(came) + len(failed)} fetched"]
    for what, names in (
        ("failed", [one["name"] for one in failed]),
        ("not what their samples say", [one["name"] for one in came if not one.get("holds", True)]),
    ):
        parts += [f"{what}: {', '.join(names)}"] * bool(names)
    return plain("; ".join(parts))


def _wanted(names: Sequence[str]) -> tuple[list[_Wanted], list[dict[str, Any]]]:
    """What the names stand for, each once, and the names that stand for nothing, of which the errors are told."""
    found: dict[str, _Wanted] = {}
    failed: list[dict[str, Any]] = []
    for name in names:
        try:
            for one in _meant(name):
                found.setdefault(one.name, one)
        except ResNetsError as error:
            failed.append({"name": name, **told(error)})
    return list(found.values()), failed


def _meant(name: str) -> list[_Wanted]:
    from resnets.catalog import ARCHITECTURES
    from resnets.errors import did_you_mean
    from resnets.published import table

    if name.startswith("hf:"):
        return [_Wanted(name, None)]
    row = table.find(name)
    rows = [row] if row else table.matching(name) if any(c in name for c in WILD) else []
    if rows:
        return [_Wanted(one.name, one, by_pattern=row is None) for one in rows]
    if name in ARCHITECTURES:
        there = table.of(name)
        what = f"Name one of {some(there, 3)}: `resnets list {name} --published`."
        what = what if there else f"`resnets create {name} {name}.onnx` makes fresh ones."
        raise ResNetsError(f"{name} is an architecture, of which {len(there) or 'no'} weights are published.", what)
    letters = name.strip(WILD + "]")
    raise ResNetsError(
        f"No published weights are called {name!r}.",
        did_you_mean(letters, table.PUBLISHED, "Run `resnets list --published` for all names."),
    )


def _fetched(one: _Wanted, again: bool, quiet: bool, folder: Path | None) -> dict[str, Any]:
    """One file's name and path, in a folder for copies or in the cache; of an archive how its sample data came out."""
    if one.row is None:
        from resnets.weights.names import of_hub

        model = of_hub(one.name, quiet=quiet, again=again)
        return {"name": one.name, "path": str(downloads.copied(model, folder) if folder else model)}
    from resnets.weights.names import of_row

    model = of_row(one.row, quiet=quiet, again=again)
    path = downloads.copied(model, folder) if folder else model
    found = {"name": one.name, "path": str(path), "bytes": path.stat().st_size}
    return {**found, **_samples(one.row, model, quiet)} if one.row.file.endswith(".tar.gz") else found


def _samples(row: Published, model: Path, quiet: bool) -> dict[str, Any]:
    """Run the sample test data that came with a model. What is beyond the tolerance is told even where `quiet`."""
    from dataclasses import asdict

    from resnets import samples

    try:
        found = samples.run(model)
    except ResNetsError as error:
        click.echo(f"{row.name}: the model is verified and there; its sample test data cannot be run", err=True)
        return {"samples": [], "holds": False, **told(error)}
    quantised = row.architecture is None
    if not found and not quiet:
        click.echo(f"{row.name}: there are no sample test data in it", err=True)
    for sample in found:
        if not quiet or not (sample.holds or quantised):
            click.echo(plain(f"{row.name}: {_of_sample(sample, quantised)}"), err=True)
    holds = quantised or all(one.holds for one in found)
    return {"samples": [asdict(one) for one in found], "holds": holds}


def _of_sample(sample: Sample, quantised: bool) -> str:
    from resnets.samples import ABSOLUTE

    said = f"{sample.name}: largest difference {sample.difference:.2g}"
    if quantised:
        return f"{said}, top-1 agreement {sample.top1_agreement:.0%} (int8 outputs depend on the processor)"
    return f"{said}, {'within' if sample.holds else 'BEYOND'} the zoo's {ABSOLUTE:g}"
