"""What is known of one published file of weights: frozen values, of which each number says who printed it."""

from dataclasses import dataclass

from resnets.card import Recipe
from resnets.catalog import Architecture


@dataclass(frozen=True)
class Digest:
    """What a publisher says of a file's bytes.

    `algorithm`: sha256, sha1 or md5. `value`: lower-case hexadecimal, of which some publishers give the first digits
    alone. `source`: where they say so. `member`: it is the digest of the model inside the archive, not of the archive.
    """

    algorithm: str
    value: str
    source: str
    member: bool = False

    @property
    def whole(self) -> int:
        """How many digits its algorithm gives, of which `value` may be the first alone."""
        from hashlib import new

        return new(self.algorithm, usedforsecurity=False).digest_size * 2


VALIDATION = "ImageNet validation"  # what a figure is of where nothing else is said


@dataclass(frozen=True)
class Reported:
    """What a publisher reports on the 50,000 validation images of ImageNet, or on other `data`, in percent.

    `kind`: accuracy or error, whichever is printed; `top1` and `top5` are the digits as printed. `crop`: its side in
    pixels; `resize`: what the short side is brought to before, where that is said. `recipe`: the one it was measured
    with, by its name, where that is another than the row's or might be taken for another. `pool`: over the whole last
    map (global), or the mean of the logits over all its windows of 7x7 (window7). `source`: where it is printed;
    `conditions_source`: where resize, pool and conditions are said, where that is another place.
    """

    kind: str
    top1: str
    top5: str | None
    crop: int
    source: str
    crops: int = 1
    resize: int | None = None
    recipe: str | None = None
    pool: str = "global"
    conditions: str = ""
    conditions_source: str = ""
    data: str = VALIDATION

    @property
    def top1_error(self) -> float:
        return _error(self.kind, self.top1)

    @property
    def top5_error(self) -> float | None:
        return None if self.top5 is None else _error(self.kind, self.top5)


def _error(kind: str, printed: str) -> float:
    return float(printed) if kind == "error" else round(100 - float(printed), 4)


@dataclass(frozen=True)
class Published:
    """One file of weights that can be asked for by name.

    `name`: ARCHITECTURE.SOURCE; `also`: other names that it may be asked for by. `file`: what it is called at its
    publisher's, without folders, and in the cache. `urls`: the publisher's, then mirrors. `page`: the document that
    publishes it. `architecture`: its network, as far as is known before the file is there; None for a graph that runs
    as it is. `licence`: as the page states it, where it names no other place. `labels`: a shipped list's name. `size`
    in bytes, of the download, and `size_source`. `member`: for an archive (.zip, .tar.gz) the suffix of the one model
    inside it. `checksum_url`: a text beside the file that holds its MD5. `notes`: what a user must know, one sentence
    each.
    """

    name: str
    file: str
    urls: tuple[str, ...]
    architecture: Architecture | None
    recipe: Recipe
    licence: str
    page: str
    labels: str = "imagenet-1k"
    size: int | None = None
    size_source: str = ""
    digests: tuple[Digest, ...] = ()
    reported: tuple[Reported, ...] = ()
    member: str | None = None
    checksum_url: str | None = None
    also: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
