"""Patterns of names go in; what `list` says of architectures and of published weights comes out, as values and text."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from resnets import card as cards
from resnets.catalog import ARCHITECTURES, Architecture, list_models, summary, to_json
from resnets.errors import ResNetsError, did_you_mean
from resnets.fetch import cache, partial
from resnets.fetch.announce import megabytes as megabytes
from resnets.network import depth, layers
from resnets.published import table as weights_table
from resnets.published.row import VALIDATION, Digest, Published, Reported
from resnets.values import plain

Facts = dict[str, Any]


def architectures(pattern: str = "*") -> list[Facts]:
    """One row for each architecture whose name matches: name, depth, parameters, MACs for one image of side `image`."""
    return [{"name": name, **network(ARCHITECTURES[name])} for name in list_models(pattern)]


def network(architecture: Architecture, side: int | None = None) -> Facts:
    """Depth, parameters and MACs of a network for one square image of `side` pixels (224, or 32 for CIFAR stems)."""
    side = side or (32 if architecture.cifar_stem else 224)
    rows = layers(architecture, side, side)
    return {
        "depth": depth(architecture),
        "parameters": sum(row.parameters for row in rows),
        "macs": sum(row.macs for row in rows),
        "image": side,
        "classes": architecture.classes,
    }


def unmatched(pattern: str, *, architectures: bool = True, weights: bool = True) -> ResNetsError:
    """The error for a pattern that nothing of those kinds answers to, with the names that are nearest to it."""
    kinds = " or ".join(["architecture"] * architectures + ["published weights"] * weights)
    known = [*(ARCHITECTURES if architectures else ()), *(weights_table.PUBLISHED if weights else ())]
    letters = pattern.strip("*?")  # the nearest to resnet51* are those near to resnet51
    return ResNetsError(
        f"No name of {kinds} matches {pattern!r}.", did_you_mean(letters, known, "Run `resnets list` for all names.")
    )


def published(row: Published) -> Facts:
    """Every field of a row as JSON has it, digests and figures with their sources, and what of it is here."""
    state, receipt = cache.state(row), cache.recorded(row)
    return {
        **plain(row),
        "architecture": summary(row.architecture) if row.architecture else None,
        "fields": to_json(row.architecture) if row.architecture else None,
        "recipe": cards.describe(row.recipe),
        "recipe_fields": cards.recipe_to_json(row.recipe),
        "digests": [plain(digest) for digest in row.digests],
        "reported": [_figures(figure) for figure in row.reported],
        "cache": {
            "state": state.kind,
            "bytes": state.bytes,
            "place": str(cache.place(row)),
            "model": str(state.model) if state.model else None,
            "receipt": asdict(receipt) if receipt else None,
        },
    }


def _figures(reported: Reported) -> Facts:
    return {**plain(reported), "top1_error": reported.top1_error, "top5_error": reported.top5_error}


def main_figure(row: Published) -> Reported | None:
    """The figure that stands for a row: of one crop, at the side of the row's own recipe where there is such a one."""
    ordered = sorted(
        row.reported, key=lambda figure: (figure.crops != 1, figure.crop != row.recipe.crop, figure.data != VALIDATION)
    )
    return ordered[0] if ordered else None


def pair(first: str, second: str | None) -> str:
    """Top-1 and top-5 in one cell: 69.93/89.29."""
    return f"{first}/{second if second is not None else '-'}"


def errors(figure: Reported, most: int = 9) -> str:
    """The errors of a figure with as many decimals as are printed, at most so many, whichever of the two is printed."""
    decimals = min(most, len(figure.top1.partition(".")[2]))
    second = figure.top5_error
    return pair(f"{figure.top1_error:.{decimals}f}", None if second is None else f"{second:.{decimals}f}")


def conditions(figure: Reported) -> str:
    """What a figure is of: data, crops, sides in pixels, and whatever else is said; and who says that."""
    crops = "1 crop" if figure.crops == 1 else f"{figure.crops} crops"
    resized = f", resized to {figure.resize}" if figure.resize else ""
    pooled = ", pooled over windows of 7x7" if figure.pool == "window7" else ""
    recipe = f", recipe {figure.recipe}" if figure.recipe else ""
    more = f", {figure.conditions}" if figure.conditions else ""
    source = f" ({figure.conditions_source})" if figure.conditions_source else ""
    return f"{figure.data}, {crops} of {figure.crop}{resized}{pooled}{recipe}{more}{source}"


LICENCES = {"Apache-2.0": "Apache", "BSD-3-Clause": "BSD-3", "CC-BY-NC-4.0": "BY-NC", "none stated": "none"}


def licence(text: str) -> str:
    """A licence in a word: what stands before the first explanation."""
    for mark in (",", ";", " (", " for "):
        text = text.partition(mark)[0]
    return LICENCES.get(text, text)


def standing(row: Published) -> str:
    """What of a row is on this machine, in a word: `cached`, `34 of 102 MB`, `unchecked`, or `-` for nothing."""
    state = cache.state(row)
    if state.kind != "partial":
        return "-" if state.kind == "absent" else state.kind
    origin = partial.read(cache.part(row))
    whole = row.size or (origin.total if origin else None)
    return f"{megabytes(state.bytes)}{f' of {megabytes(whole)}' if whole else ''} MB"


def architecture_table(rows: list[Facts]) -> str:
    """The rows of `architectures` as aligned text."""
    cells = [
        (row["name"], str(row["depth"]), f"{row['parameters']:,}", amount(row["macs"]), str(row["image"]))
        for row in rows
    ]
    return table(("architecture", "depth", "parameters", "MACs", "image"), cells)


HEAD = ("weights", "accuracy", "error", "MB", "recipe", "licence", "here")
LEFT = {0, 4, 5, 6}
DISPENSABLE = ("licence", "recipe", "MB")  # in this order, on a narrow terminal: --json and `show` have it all
NAME = 26  # characters of a name for which columns are left out; a longer one gets a line of its own


def published_table(rows: Sequence[Published], width: int | None = None) -> str:
    """Rows as aligned text with one figure each, a line a row; no line is longer than `width` where that can be."""
    cells = [_cells(row) for row in rows]
    left_out: set[str] = set()
    for column in ("", *DISPENSABLE):
        left_out.add(column)
        shown = [index for index, name in enumerate(HEAD) if name not in left_out]
        head, *body = ([row[index] for index in shown] for row in (HEAD, *cells))
        longest = max(len(row[0]) for row in body)
        others = table(
            tuple(head[1:]), [tuple(row[1:]) for row in body], {i - 1 for i, n in enumerate(shown) if n in LEFT}
        )
        room = longest if width is None else width - max(map(len, others.splitlines())) - 2
        if room >= min(longest, NAME):
            break
    room = max(min(room, longest), NAME if longest > NAME else longest)
    found = []
    for name, line in zip((head[0], *(row[0] for row in body)), others.splitlines(), strict=True):
        found.append(f"{name:<{room}}  {line}" if len(name) <= room else f"{name}\n{'':<{room}}  {line}")
    return "\n".join(found)


def _cells(row: Published) -> tuple[str, ...]:
    figure = main_figure(row)
    return (
        row.name,
        pair(figure.top1, figure.top5) if figure and figure.kind == "accuracy" else "-",
        (errors(figure, 2) + (" " if _as_prepared(figure, row) else "*")) if figure else "- ",
        megabytes(row.size) if row.size else "-",
        cards.describe(row.recipe),
        licence(row.licence),
        standing(row),
    )


def _as_prepared(figure: Reported, row: Published) -> bool:
    """Whether a figure was measured on one crop of the row's recipe, in its sizes, as far as that is printed."""
    if figure.recipe not in (None, cards.name_of(row.recipe)):
        return False
    sizes = (figure.resize or row.recipe.size, figure.crop)
    return figure.crops == 1 and sizes == (row.recipe.size, row.recipe.crop)


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], left: int | set[int] = 1) -> str:
    """Columns aligned, two spaces apart; the first `left`, or those in it, to the left, the others to the right."""
    lefts = set(range(left)) if isinstance(left, int) else left
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index in lefts else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    )


def amount(count: int) -> str:
    """Three digits and a unit: 4.09 G."""
    for unit, size in (("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)):
        if count >= size:
            value = count / size
            return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return str(count)


def lines(row: Published) -> Iterator[tuple[str, str]]:
    """A row for people: a name and a value each."""
    yield "published", row.name
    if row.also:
        yield "also", ", ".join(row.also)
    if row.architecture is None:
        yield "network", "a graph, which runs as it is"
    yield "download", f"{row.file}, {_size(row)}"
    yield from zip(("from", *("mirror",) * len(row.urls)), row.urls, strict=False)
    yield "page", row.page
    for digest in row.digests:
        yield "digest", digest_text(digest)
    if row.checksum_url:
        yield "digest", f"md5, the one that stands at {row.checksum_url}"
    if not row.digests and not row.checksum_url:
        yield "digest", "none is published: the first download is pinned"
    for figure in row.reported:
        yield "reported", _reported(figure)
    yield "recipe", cards.describe(row.recipe)
    yield "labels", row.labels
    yield "licence", row.licence
    for note in row.notes:
        yield "note", note
    yield "here", _here(row)
    receipt = cache.recorded(row)
    if receipt is not None:
        yield "checked", f"on {receipt.date[:10]} against {receipt.checked}"
        yield "fetched", f"from {receipt.url}" if receipt.url else "by hand"
        yield "sha256", f"{receipt.sha256} of {receipt.file}"


def _size(row: Published) -> str:
    if row.size is None:
        return "size not stated"
    return f"{row.size:,} bytes" + (f" ({row.size_source})" if row.size_source else "")


def digest_text(digest: Digest) -> str:
    """One line: algorithm, digits, of what, who says so."""
    known = len(digest.value)
    part = f" (the first {known} of {digest.whole} digits)" if known < digest.whole else ""
    member = " of the model inside" if digest.member else ""
    return f"{digest.algorithm}{member} {digest.value}{part}: {digest.source}"


def _reported(figure: Reported) -> str:
    """A figure is never shown without its conditions, nor without who printed it."""
    error = f", which is an error of {errors(figure)}" if figure.kind == "accuracy" else ""
    printed = pair(figure.top1, figure.top5)
    return f"{figure.kind} {printed} %{error}: {conditions(figure)}: {figure.source}"


def _here(row: Published) -> str:
    state, place = cache.state(row), cache.place(row)
    said = {
        "absent": f"no; it would lie at {place}",
        "partial": f"{standing(row)}; `resnets fetch {row.name}` goes on, and it will lie at {place}",
        "unchecked": f"{place}, not checked yet: it will be when it is first used",
        "cached": str(state.model or place),
    }
    return said[state.kind]
