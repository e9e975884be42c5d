"""argv of the verbs that look after downloaded weights goes in; what lies in the cache, or was removed, comes out."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resnets.cli.results import JSON, apart, show, told
from resnets.errors import ResNetsError, plain, some

if TYPE_CHECKING:
    from resnets.fetch.entries import Entry
    from resnets.published.row import Published


class _ListByDefault(click.Group):
    """A group of commands, of which `list` is meant where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = args and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else ["list", *args])


@click.group("cache", cls=_ListByDefault)
def cache_command() -> None:
    """List the weights that have been downloaded, check them again, or remove them.

    They lie in the user's folder for caches, or where RESNETS_CACHE says. What was fetched as hf:OWNER/NAME lies in
    the cache of huggingface_hub.

    \b
    resnets cache
    resnets cache check
    resnets cache clear "resnet18*"
    """


@cache_command.command("path", short_help="Print the folder.")
def path_command() -> None:
    """Print the folder of the cache, which need not exist yet.

    \b
    resnets cache path
    """
    from resnets.fetch import cache

    click.echo(os.fsencode(cache.folder()))


@cache_command.command("list", short_help="List what lies there.")
@JSON
def list_command(json_to: str | None) -> None:
    """List what lies in the cache, in what state, and what it was checked against.

    \b
    resnets cache list --json -
    """
    from resnets.fetch import cache
    from resnets.fetch.entries import entries

    lying = entries()
    found = {
        "folder": str(cache.folder()),
        "bytes": sum(one.bytes for one in lying),
        "entries": [_facts(one) for one in lying],
    }
    show(found, _table(found), json_to)


def _facts(entry: Entry) -> dict[str, Any]:
    from dataclasses import asdict

    from resnets.fetch import cache

    receipt = cache.recorded(entry.row) if entry.row else None
    state, wrong = _standing(entry)
    return {
        "name": entry.name,
        "path": str(entry.path),
        "bytes": entry.bytes,
        "state": state,
        "wrong": wrong,
        "receipt": asdict(receipt) if receipt else None,
    }


def _standing(entry: Entry) -> tuple[str, list[str]]:
    """The state of an entry in a word, and what is wrong with it as far as that is told without reading files."""
    try:
        return _told_by_sizes(entry)
    except OSError as error:
        return "unreadable", [f"it cannot be read ({error.strerror or error})"]


def _told_by_sizes(entry: Entry) -> tuple[str, list[str]]:
    from resnets.fetch import cache

    row, state = entry.row, entry.state
    if row is None or state is None:
        return "unknown", []
    if state.kind == "cached":
        return state.kind, []
    receipt = cache.recorded(row)
    if receipt is not None and not cache.anew(row, receipt):
        sizes = [(one.path, one.size, _size(entry.path / one.path)) for one in receipt.kept]
        wrong = [_amiss(path, known, found) for path, known, found in sizes if found != known]
        return ("damaged", wrong) if wrong else ("changed", [])
    if state.kind == "unchecked" and row.size not in (None, found := _size(cache.place(row))):
        return "damaged", [_amiss(row.file, row.size, found)]
    if state.kind == "absent" and _size(cache.place(row)) is None and (others := _others(entry.path)):
        return "absent", [f"{row.file} is expected there, and there is {some(others)}"]
    return state.kind, []


def _size(path: Path) -> int | None:
    """The bytes of a file; None where there is none. Raises OSError where that cannot be told."""
    try:
        size = path.stat().st_size  # path.is_file alone is silent about a folder that may not be looked into
        return size if path.is_file() else None
    except (FileNotFoundError, NotADirectoryError):
        return None


def _amiss(path: str, known: int | None, found: int | None) -> str:
    return f"{path} is missing" if found is None else f"{path} has {found:,} bytes where {known:,} are expected"


def _others(folder: Path) -> list[str]:
    from resnets.fetch.receipt import NAME

    return sorted(name for name in os.listdir(folder) if name != NAME and not name.startswith("."))


def _table(found: dict[str, Any]) -> str:
    from resnets.listing import megabytes, table

    if not found["entries"]:
        return plain(f"{found['folder']}: nothing is there")
    cells = [
        (plain(one["name"]), one["state"], megabytes(one["bytes"]), *_checked(one["receipt"]))
        for one in found["entries"]
    ]
    rows = table(("weights", "state", "MB", "date", "checked against"), cells, {0, 1, 3, 4})
    unknown = sum(one["state"] == "unknown" for one in found["entries"])
    more = f"; unknown: {unknown} that no published weights are called, left alone" if unknown else ""
    parts = [plain(found["folder"]), rows, f"{megabytes(found['bytes'])} MB in {len(cells)}{more}"]
    wrong = [line for one in found["entries"] for line in _wrong(one["name"], one["state"], one["wrong"])]
    return "\n\n".join([*parts, *(["\n".join(wrong)] if wrong else [])])


def _wrong(name: str, state: str, wrong: Sequence[str]) -> list[str]:
    """What is wrong with an entry, and what to do about it."""
    if not wrong:
        return []
    remedies = {"absent": "rename it", "unreadable": "mend its permissions"}
    remedy = remedies.get(state, f"`resnets fetch {name} --again` downloads it once more")
    return [plain(f"{name}: {'; '.join(wrong)}: {remedy}")]


def _checked(receipt: dict[str, Any] | None) -> tuple[str, str]:
    """Day, and what a file was checked against without where that is printed."""
    if receipt is None:
        return "", ""
    short, before = receipt["checked"].replace("no digest is known, so its sha256 is", "sha256"), ""
    while short != before:  # from the innermost brackets outwards
        short, before = re.sub(r" ?\([^()]*\)", "", short), short
    return plain(receipt["date"][:10]), plain(short)


@cache_command.command("check", short_help="Read the files again and compare their digests.")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@JSON
def check_command(names: tuple[str, ...], json_to: str | None) -> int:
    """Read the files of the cache again, all or those named, and compare their digests.

    Exit status 1: some are not what they were when they were fetched. `holds` in JSON is null where nothing tells.

    \b
    resnets cache check
    resnets cache check resnet50.tv2
    """
    from resnets.fetch import cache
    from resnets.fetch.entries import entries

    standing = [(one, *_standing(one)) for one in entries() if one.row]
    there = {
        one.row.name: (one, state, wrong) for one, state, wrong in standing if one.row and _checkable(state, wrong)
    }
    rows, failed = _named(names, [one for one, _, _ in there.values()], "No whole download", everything=not names)
    checked: list[dict[str, Any]] = []
    for row in rows:
        _, state, wrong = there[row.name]
        try:
            wrong = wrong if state in ("absent", "unreadable") else cache.check(row)
        except ResNetsError as error:
            failed.append({"name": row.name, **told(error)})
            continue
        compared = bool(wrong) or cache.comparable(row)
        checked.append({"name": row.name, "holds": not wrong if compared else None, "wrong": wrong})
        for line in _wrong(row.name, state, wrong):
            click.echo(line, err=True)
        if not compared:
            known = "nothing here tells whether it is the published file; it is checked when it is used"
            click.echo(f"{row.name}: {known}", err=True)
    apart(json_to, *(one.path for one, _, _ in there.values()))
    good = sum(one["holds"] is True for one in checked)
    show([*checked, *failed], f"{good} of {len(checked)} unchanged" if checked else "nothing to check", json_to)
    if names and not checked:
        return 2
    return 1 if failed or any(one["holds"] is False for one in checked) else 0


def _checkable(state: str, wrong: Sequence[str]) -> bool:
    return state in ("cached", "unchecked", "changed", "damaged") or bool(wrong)


@cache_command.command("clear", short_help="Remove weights.")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--all", "everything", is_flag=True, help="All published weights that are there.")
@click.option("--partial", is_flag=True, help="Only downloads that have been interrupted.")
@click.option("--yes", is_flag=True, help="Do not ask before --all.")
def clear_command(names: tuple[str, ...], everything: bool, partial: bool, yes: bool) -> int:
    """Remove downloaded weights, by names or patterns in quotes, or --all; an interrupted download of them goes too.

    What lies in the folder under other names than those of published weights is left alone.

    \b
    resnets cache clear resnet50.tv2
    resnets cache clear --all --partial
    """
    from resnets.fetch import cache
    from resnets.fetch.entries import entries
    from resnets.listing import megabytes

    if not names and not everything:
        raise ResNetsError("Nothing says what to remove.", "Name weights, or give --all.")
    if names and everything:
        raise ResNetsError("--all leaves nothing to be named.", "Give names, or --all.")
    lying = entries()
    there = [one for one in lying if one.row and (not partial or os.path.isfile(cache.part(one.row)))]
    rows, failed = _named(names, there, "No interrupted download" if partial else "Nothing", everything=everything)
    if everything and rows and not yes and not _agreed(len(rows), partial):
        click.echo("nothing is removed", err=True)
        return 2
    gone: list[int] = []
    for row in rows:
        try:
            gone.append(cache.remove(row, partial=partial))
        except ResNetsError as error:
            failed.append({"name": row.name, **told(error)})
            continue
        click.echo(f"{row.name}: {megabytes(gone[-1])} MB removed")
    if gone or not failed:
        click.echo(f"{megabytes(sum(gone))} MB removed from {plain(str(cache.folder()))}")
    for one in lying:
        if everything and one.row is None:
            click.echo(plain(f"{one.path} is left alone: no published weights are called so"), err=True)
    if not failed:
        return 0
    return 1 if gone else 2


def _agreed(count: int, partial: bool) -> bool:
    """Whether a user at a terminal wants to lose all that; without asking where nobody is there."""
    from resnets.fetch import cache

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    what = "interrupted downloads of " * partial + ("1 model" if count == 1 else f"{count} models")
    return click.confirm(plain(f"Remove the {what} in {cache.folder()}?"), err=True)


def _named(
    names: Sequence[str], entries: Sequence[Entry], none: str, *, everything: bool
) -> tuple[list[Published], list[dict[str, Any]]]:
    """The rows of those entries that are meant, each once; and the names that have `none` there, the errors told."""
    from resnets.errors import did_you_mean
    from resnets.published import table

    there = {one.row.name: one.row for one in entries if one.row}
    if everything:
        return list(there.values()), []
    found: dict[str, Published] = {}
    failed: list[dict[str, Any]] = []
    for name in names:
        row = table.find(name)
        known = {one.name for one in ([row] if row else table.matching(name))}
        found |= {one: there[one] for one in there if one in known}
        if not known & there.keys():
            hint = did_you_mean(name, there if not known else (), "`resnets cache` lists what is there.")
            problem = f"{none} of {name} is in the cache." if known else f"No weights in the cache are called {name!r}."
            error = ResNetsError(problem, hint)
            failed.append({"name": name, **told(error)})
    return list(found.values()), failed
