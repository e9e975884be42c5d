"""The one exception a user sees: what is wrong, and what to do about it; and the words of such sentences."""

from collections.abc import Iterable, Sequence


class ResNetsError(Exception):
    """Something the user can mend.

    Printed as two sentences by the command line, which then ends with `status`: 2 where nothing was done, 1 where work
    had begun. Everything else keeps its traceback, because it is a fault of ours.
    """

    status = 2

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}"


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """The remedy for a mistyped name: the one or two known ones nearest to it, or `otherwise` where none is near.

    A name that is equal but for case is meant, whatever else is near.
    """
    import difflib

    folded = {one.casefold(): one for one in known}
    wanted = name.casefold()
    near = [wanted] if wanted in folded else difflib.get_close_matches(wanted, folded, n=2, cutoff=0.75)
    near = [folded[one] for one in near]
    return f"Did you mean {' or '.join(repr(n) for n in near)}?" if near else otherwise


def some(names: Sequence[str], most: int = 10) -> str:
    """The first names, each shortened, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(short(name) for name in names[:most]) + more


def short(text: str, most: int = 200) -> str:
    """At most so many characters of a text that a file has brought, and how many it has."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def utf8(text: str) -> str:
    """Text with bytes that are not UTF-8, as names of files may have them, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def plain(text: str) -> str:
    """Text without what a terminal would obey: names of files and what stands in them come from anywhere."""
    return "".join(
        c if c.isprintable() or "\udc80" <= c <= "\udcff" else c.encode("unicode_escape").decode() for c in text
    )
