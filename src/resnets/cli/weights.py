"""argv of the verbs of published weights goes in: list, fetch; tables, paths of files and an exit status come out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from resnets.cli.results import JSON, apart, show, terminal_width, told
from resnets.errors import ResNetsError, plain

if TYPE_CHECKING:
    from pathlib import Path

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
        raise listing.unmatched(pattern, architectures=networks or every, weights=weights or cached or every)
    if cached:
        rows = [row for row in rows if listing.standing(row) != "-"]
    parts = [listing.architecture_table(kinds)] if kinds else []
    if rows:
        parts += [listing.published_table(rows, terminal_width()), BELOW]
    text = "\n\n".join(parts) or "Nothing of it is on this machine."
    show({"architectures": kinds, "published": [listing.published(row) for row in rows]}, text, json_to)


@dataclass(frozen=True)
class _Wanted:
    """What is to be fetched: a row of the table, or, where `row` is None, the name of a repository of the Hub."""

    name: str
    row: Published | None


@click.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--again", is_flag=True, help="Download what is there already once more.")
@QUIET
@JSON
def fetch_command(names: tuple[str, ...], again: bool, quiet: bool, json_to: str | None) -> int:
    """Download published weights into the cache, checked, and print the paths of their files.

    NAME is a name that `resnets list` shows, another name of such weights (`resnets show`), that of a file at its
    publisher's, a shell pattern in quotes, or hf:OWNER/NAME for a repository of the Hugging Face Hub. What was
    interrupted goes on where it stopped. Of an archive of the ONNX zoo the sample test data are run. Exit status 1:
    some did not come, or do not compute what their samples say; 2: nothing came.

    \b
    resnets fetch resnet50.tv2
    resnets fetch resnet18v1/resnet18v1.onnx "resnet34*.fb"
    resnets classify photo.jpg -m "$(resnets fetch --quiet resnet50.a1_in1k)"
    """
    wanted, failed = _wanted(names)
    if not quiet and len(wanted) > 1:
        click.echo(_announcement([one.row for one in wanted if one.row], again), err=True)
    came: list[dict[str, Any]] = []
    for one in wanted:
        try:
            with _interruptible(one):
                came.append(_fetched(one, again, quiet))
        except ResNetsError as error:
            failed.append({"name": one.name, **told(error)})
            continue
        if json_to != "-":
            click.echo(os.fsencode(came[-1]["path"]))
    if json_to is not None:
        apart(json_to, *(one["path"] for one in came))
        show([*came, *failed], "", json_to)
    if not came:
        return 2
    return 1 if failed or not all(one.get("holds", True) for one in came) else 0


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
        return [_Wanted(row.name, row) for row in rows]
    if name in ARCHITECTURES:
        there = table.of(name)
        what = f"Name one of {', '.join(there)}." if there else f"`resnets create {name} {name}.onnx` makes fresh ones."
        raise ResNetsError(f"{name} is an architecture, of which {len(there) or 'no'} weights are published.", what)
    letters = name.strip(WILD + "]")
    raise ResNetsError(
        f"No published weights are called {name!r}.",
        did_you_mean(letters, table.PUBLISHED, "Run `resnets list --published` for all names."),
    )


def _announcement(rows: Sequence[Published], again: bool) -> str:
    """What is about to be downloaded and how much that is, line by line."""
    from resnets.listing import megabytes, standing, table

    here = {row.name: standing(row) for row in rows}
    coming = [row for row in rows if again or here[row.name] != "cached"]
    known = sum(row.size or 0 for row in coming)
    unknown = sum(row.size is None for row in coming)
    parts = [f"{megabytes(known)} MB"] * bool(known) + [f"{unknown} of a size that is not stated"] * bool(unknown)
    cells = [(row.name, megabytes(row.size) if row.size else "-", here[row.name]) for row in rows]
    lines = table(("weights", "MB", "here"), cells, {0, 2})
    if not coming:
        return f"{lines}\nall are in the cache"
    return f"{lines}\n{len(coming)} of {len(rows)} to download: {' and '.join(parts)}"


@contextmanager
def _interruptible(one: _Wanted) -> Iterator[None]:
    """Where a download is interrupted, say that its part is kept."""
    try:
        yield
    except ResNetsError:
        raise
    except BaseException:
        from resnets.fetch import cache

        if one.row is not None and cache.state(one.row).kind == "partial":
            click.echo(f"what has come of {one.name} is kept: the same command goes on from there", err=True)
        raise


def _fetched(one: _Wanted, again: bool, quiet: bool) -> dict[str, Any]:
    """One file's name and path, and of an archive with sample test data how they came out."""
    if one.row is None:
        from resnets.weights.names import resolve

        return {"name": one.name, "path": str(resolve(one.name, quiet=quiet))}
    from resnets.fetch.fetch import fetch

    path = fetch(one.row, quiet=quiet, again=again)
    found = {"name": one.name, "path": str(path), "bytes": path.stat().st_size}
    if not one.row.file.endswith(".tar.gz"):
        return found
    return {**found, **_samples(one.row, path, quiet)}


def _samples(row: Published, model: Path, quiet: bool) -> dict[str, Any]:
    """Run the sample test data that came with a model. What is beyond the tolerance is told even where `quiet`."""
    from dataclasses import asdict

    from resnets import samples

    found = samples.run(model)
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
