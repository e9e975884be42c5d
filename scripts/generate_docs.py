"""The code goes in, the generated parts of the documents come out, written in place.

    python scripts/generate_docs.py

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; tests/test_docs.py fails on a stale one.
"""

import ast
import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resnets.published.row import Digest, Published, Reported

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "resnets"
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "docs/convert.md", "docs/published.md")
DATA = {  # what the package holds beside Python
    "bundled": "the model that is used without `-m`, with its card",
    "labels": "imagenet-1k.txt, cifar10.txt, cifar100.txt: the shipped lists",
    "photos": "small copies of the photographs in examples/",
}


def tree() -> str:
    """Every module of the package with the first line of its docstring."""
    lines = ["```", "src/resnets/"]
    for path in sorted(SOURCE.rglob("*.py"), key=lambda p: (len(p.relative_to(SOURCE).parts) > 1, p)):
        text = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        if text:
            lines.append(f"  {path.relative_to(SOURCE).as_posix():<25} {text.splitlines()[0]}")
    lines += [f"  {folder + '/':<25} (data) {what}" for folder, what in DATA.items()]
    return "\n".join([*lines, "```"])


def verbs() -> str:
    """The table of verbs, from the command line's own."""
    from resnets.cli.main import ALIASES, VERBS

    also = {verb: alias for alias, verb in ALIASES.items()}
    rows = [f"| `{verb}`{f' (`{also[verb]}`)' if verb in also else ''} | {line} |" for verb, (_, line) in VERBS.items()]
    return "\n".join(["| verb | does |", "|---|---|", *rows])


def bundled() -> str:
    """What the bundled models' own cards say about them."""
    from resnets.weights.files import load

    files = sorted((SOURCE / "bundled").glob("*.onnx"))
    if not files:
        return "No model is bundled yet."
    return "\n".join(_bundled(file.name, load(file).card.scores, file.stat().st_size) for file in files)


def _bundled(name: str, scores: "tuple[dict[str, object], ...]", size: int) -> str:
    lines = [f"`{name}` ({size / 1e6:.1f} MB)"]
    for score in scores:
        interval = score["top1_interval"]
        assert isinstance(interval, list)
        lines.append(
            f"top-1 error {score['top1_error']:.2f} % (95 % interval {interval[0]:.2f} to {interval[1]:.2f}) on"
            f" {score['images']:,} images of {score['data']}, {score['crops']} crop of {score['crop']} pixels, recipe"
            f" {score['recipe']} ({score.get('note', 'no remarks')})"
        )
    return ": ".join(lines) + "."


def formats() -> str:
    """The table of model files, from the table that reads and writes them."""
    from resnets.weights.formats import FORMATS

    suffixes: dict[str, list[str]] = {}
    for suffix, form in FORMATS.items():
        suffixes.setdefault(form.module, []).append(f"`{suffix}`")
    rows = [
        f"| {' '.join(suffixes[form.module])} | {form.what} | yes | yes | {'yes' if form.graph else 'no'} |"
        f" {'yes' if form.card else 'no'} | {', '.join(f'`{name}`' for name in form.names)} |"
        for form in {form.module: form for form in FORMATS.values()}.values()
    ]
    head = ("files", "of", "read", "written", "hold a graph", "hold a card", "`--names`")
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *rows])


def published() -> str:
    """The table of published weights: a section for each module that holds rows, with what its rows point to below."""
    from resnets.published.table import PUBLISHED

    parts, count = [], 0
    for path in sorted((SOURCE / "published").glob("*.py")):
        module = importlib.import_module(f"resnets.published.{path.stem}")
        rows = getattr(module, "ROWS", ())
        if rows:
            title = (module.__doc__ or "").partition(":")[0]
            parts.append(f"### {title}\n\n{_Section(path.stem).text(rows)}")
            count += len(rows)
    assert count == len(PUBLISHED), "a module of rows is in the table and not here, or the other way round"
    return "\n".join(parts)


class _Section:
    """The rows of one publisher, and the footnotes that they share."""

    HEAD = ("name", "file", "bytes", "digest", "recipe", "licence", "top-1/top-5, %")

    def __init__(self, publisher: str) -> None:
        self.publisher = publisher
        self.notes: dict[str, str] = {}

    def text(self, rows: "tuple[Published, ...]") -> str:
        lines = [f"| {' | '.join(self.HEAD)} |", "|---" * len(self.HEAD) + "|", *(self._row(row) for row in rows)]
        below = [f"[^{mark}]: {note}" for note, mark in self.notes.items()]
        return "\n".join([*lines, "", *below, ""])

    def _row(self, row: "Published") -> str:
        from resnets.card import describe

        size = f"{row.size:,}{self._note(row.size_source)}" if row.size else "not stated"
        cells = (
            f"[`{row.name}`]({row.page})",
            f"[{row.file}]({row.urls[0]})",
            size,
            ", ".join(map(self._digest, row.digests)) or self._undigested(row),
            describe(row.recipe),
            self._licence(row.licence),
            "; ".join(map(self._reported, row.reported)) or "not stated",
        )
        return f"| {' | '.join(cells)} |"

    def _note(self, text: str) -> str:
        return f"[^{self.notes.setdefault(text, f'{self.publisher}{len(self.notes) + 1}')}]" if text else ""

    def _digest(self, digest: "Digest") -> str:
        count = len(digest.value)
        known = f" ({count} of {digest.whole} digits known)" if count < digest.whole else ""
        inside = " of the model inside" if digest.member else ""
        return f"{digest.algorithm}{inside} `{digest.value[:12]}`{known}{self._note(digest.source)}"

    def _undigested(self, row: "Published") -> str:
        return (
            f"md5 beside the file{self._note(row.checksum_url)}" if row.checksum_url else "none: pinned when it comes"
        )

    def _licence(self, licence: str) -> str:
        short = licence.partition(",")[0].partition(" for ")[0]
        return short if short == licence else f"{short}{self._note(licence)}"

    def _reported(self, figure: "Reported") -> str:
        from resnets.listing import conditions, errors, pair

        error = f" (error {errors(figure)})" if figure.kind == "accuracy" else ""
        note = self._note(f"{conditions(figure)}: {figure.source}")
        return f"{figure.kind} {pair(figure.top1, figure.top5)}{error}{note}"


PARTS: dict[str, Callable[[], str]] = {
    "tree": tree,
    "verbs": verbs,
    "bundled": bundled,
    "formats": formats,
    "published": published,
}
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def refreshed(text: str) -> str:
    """The document with every generated part as the code has it now."""
    return _PART.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}\n{match[3]}", text)


if __name__ == "__main__":
    for document in (ROOT / name for name in DOCUMENTS):
        new = refreshed(document.read_text("utf-8"))
        if new != document.read_text("utf-8"):
            document.write_text(new, "utf-8")
            print(f"{document.name} written", file=sys.stderr)
