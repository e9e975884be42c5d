"""The one exception a user sees: what is wrong, and what to do about it; and the words of such sentences."""

from collections.abc import Iterable, Sequence


class ResNetsError(Exception):
    """Something the user can mend.

    Printed as two sentences by the command line (exit status 2) and answered as one JSON error by the server.
    Everything else keeps its traceback, because it is a fault of ours.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}"


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """The remedy for a mistyped name: the known ones nearest to it, or the sentence `otherwise` where none is near."""
    import difflib

    near = difflib.get_close_matches(name, list(known), n=3)
    return f"Did you mean {' or '.join(repr(n) for n in near)}?" if near else otherwise


def some(names: Sequence[str], most: int = 10) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def plain(text: str) -> str:
    """Text without what a terminal would obey: names of files and what stands in them come from anywhere."""
    return "".join(
        c if c.isprintable() or "\udc80" <= c <= "\udcff" else c.encode("unicode_escape").decode() for c in text
    )
