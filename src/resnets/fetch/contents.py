"""The first bytes of a file go in; what they are instead of a model, a web page or an LFS pointer say, comes out."""

import re

from resnets.errors import plain, short

ENOUGH = 512  # first bytes from which all of this is recognised
_POINTER = b"version https://git-lfs"
_PAGES = (".htm", ".html", ".svg", ".xhtml", ".xml")  # names of files that may well begin so
_TEXTS = (*_PAGES, ".csv", ".ipynb", ".json", ".md", ".txt", ".yaml", ".yml")


def mistaken(head: bytes, name: str, media: str = "") -> str | None:
    """What a file is that bears that name but begins like something else, as "a web page (Sign in)"; None if nothing.

    `head`: its first `ENOUGH` bytes, or all of a shorter file. `media`: the Content-Type that came with it.
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(_POINTER):
        size = re.search(rb"^size (\d{1,20})\s", text, re.MULTILINE)
        of = f" of {int(size[1]):,} bytes" if size else ""
        return f"a Git LFS pointer, the few lines that stand for a file{of} which lies elsewhere"
    page = re.match(rb"<(?:!doctype\s+html|html|head|body|title|script)\b", _uncommented(text), re.I)
    sent = media.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")
    if (page or sent) and not name.lower().endswith(_PAGES):
        return f"a web page{_title(text)}"
    if name.lower().endswith(_TEXTS):
        return None
    if re.match(rb"<\?xml\b|<[A-Za-z]\w*[\s>/]", text) and b"\0" not in text:
        return f"an XML text{_excerpt(text)}"
    if re.match(rb'[{\[]\s*["{}\]]', text) and b"\0" not in text:
        return f"a JSON text{_excerpt(text)}"
    return None


def _uncommented(text: bytes) -> bytes:
    """Without the declaration and the comments that may stand before a page."""
    while found := re.match(rb"(?:<\?xml[^>]*>|<!--.*?-->)\s*", text, re.S):
        text = text[found.end() :]
    return text


def _title(text: bytes) -> str:
    import html

    found = re.search(rb"<title[^>]*>(.*?)</title", text, re.I | re.S)
    title = " ".join(html.unescape(found[1].decode("utf-8", "replace")).split()) if found else ""
    return f" ({plain(short(title, 60))})" if title else ""


def _excerpt(text: bytes) -> str:
    return f" ({plain(short(' '.join(text.decode('utf-8', 'replace').split()), 100))})"
