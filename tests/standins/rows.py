"""A row of the table of published weights goes in, a file of its layout comes out, and what it computes."""

import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from onnx import ModelProto, numpy_helper
from tests.standins import arrays, caffe2, pytorch, torch7, zoo

from resnets.catalog import Architecture, find
from resnets.engines.onnxruntime import Session
from resnets.predictions import softmax
from resnets.published.row import Digest, Published
from resnets.weights import files, params, safetensors
from resnets.weights.model import Model
from resnets.weights.options import Options
from resnets.weights.protobuf.scan import scan

Logits = Callable[[np.ndarray], np.ndarray]
Graphs = Callable[[str, Model], bytes]
TEST_SETS = 3


@dataclass(frozen=True)
class StandIn:
    """`file`: what the publisher would send. `member`: the model inside an archive. `logits`: what it computes.

    `logits` is no reading of the file: the network of its arrays, from the architecture, or for a quantised one ONNX
    Runtime on the very bytes.
    """

    file: Path
    member: bytes | None
    logits: Logits


def architecture_of(row: Published) -> Architecture:
    """The row's network; a quantised graph is one of the network that its name begins with."""
    return row.architecture or find(row.name.partition(".")[0])


def layout(row: Published) -> str:
    """In which of the layouts its file is: those of one layout and architecture are one stand-in."""
    source = row.name.partition(".")[2]
    match row.file.partition(".")[2].rpartition(".")[2]:
        case "t7":
            return "fb"
        case "safetensors":
            return "timm"
        case "zip":
            return (
                "gluoncv" if architecture_of(row).conv_bias == "none" and not architecture_of(row).preact else "gluon"
            )
        case "pth":
            old = source == "tv1" and row.name.startswith(("resnext50", "resnext101-32x8d", "wide"))
            return f"torchvision-legacy{'-half' * row.name.startswith('wide')}" if old else f"torchvision-{source[-1]}"
    return source


class Maker:
    """Makes stand-ins in a folder, and keeps the last ones: rows that come one after another share them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._network: tuple[Architecture, Model, Logits] | None = None
        self._made: dict[tuple[Architecture, str], StandIn] = {}
        self._last: tuple[Architecture | None, str, bytes] = (None, "", b"")

    def made(self, row: Published) -> StandIn:
        """The stand-in for that row."""
        a = architecture_of(row)
        if self._network is None or self._network[0] != a:
            for known in self._made.values():
                known.file.unlink()
            self._made.clear()
            model = arrays.network(a)
            self._network = (a, model, _logits(lambda: files.built(model).model, "logits"))
        key = (a, layout(row))
        if key not in self._made:
            self._made[key] = self._new(row, *self._network[1:])
        return self._made[key]

    def _graph(self, kind: str, model: Model) -> bytes:
        """An .onnx, made once for itself and for the archive that holds it."""
        if (model.architecture, kind) != self._last[:2]:
            self._last = (model.architecture, kind, graph(kind, model, self.folder))
        return self._last[2]

    def _new(self, row: Published, model: Model, logits: Logits) -> StandIn:
        kind, file = layout(row), self.folder / f"{layout(row)}-{row.file}"
        if kind == "fb":
            torch7.write(model, file)
        elif kind == "timm":
            file.write_bytes(safetensors.write(model, Options(names="timm")))
        elif kind.startswith("torchvision"):
            if kind.endswith("half"):
                halved = pytorch.halved(model.weights)
                half = {n: np.float32(np.float16(x)) if n in halved else x for n, x in model.weights.items()}
                logits = _logits(lambda: files.built(replace(model, weights=half)).model, "logits")
            old = "legacy" in kind
            pytorch.write(model, file, counters=old or kind[-1] == "2", legacy=old, half=kind.endswith("half"))
        elif kind in ("gluon", "gluoncv"):
            member = params.write(model, Options(names="structural" if kind == "gluon" else "gluoncv"))
            _zip(file, f"{row.file.removesuffix('.zip')}.params", member)
            return StandIn(file, member, logits)
        else:
            return _of_the_zoo(kind, file, row, model, logits, self._graph)
        return StandIn(file, None, logits)


def _of_the_zoo(kind: str, file: Path, row: Published, model: Model, logits: Logits, graphs: Graphs) -> StandIn:
    bare = kind.removesuffix("-tar")
    data = graphs(bare, model)
    if bare.endswith(("int8", "qdq")):
        logits = _logits(lambda: data)
    if bare == kind:
        file.write_bytes(data)
        return StandIn(file, None, logits)
    _tarball(file, row.file.removesuffix(".tar.gz"), data, logits, probable="caffe2" in kind)
    return StandIn(file, data, logits)


def graph(kind: str, model: Model, folder: Path) -> bytes:
    """The .onnx of that source: caffe2-3, zoo7, zoo12, zoo12-int8, zoo12-qdq, zoo-s3."""
    source, _, rest = kind.partition("-")
    if source == "caffe2":
        return _bytes(caffe2.exported(model, int(rest)))
    a = model.architecture
    depth = 2 + sum(a.blocks) * (3 if a.bottleneck else 2)
    counter = (zoo.COUNTERS_V2 if a.preact else zoo.COUNTERS)[depth]
    if rest == "s3":
        return _bytes(zoo.exported(model, 7, counter, batch=1, spatial=True))
    proto = zoo.exported(model, int(source.removeprefix("zoo")), counter)
    return zoo.quantised(proto, folder, qdq=rest == "qdq") if rest else _bytes(proto)


def _bytes(proto: ModelProto) -> bytes:
    found: bytes = proto.SerializeToString()
    return found


def _logits(made: Callable[[], bytes], answer: str | None = None) -> Logits:
    """What the graph that `made` gives computes. It is opened when it is first asked."""
    opened: list[Session] = []

    def run(x: np.ndarray) -> np.ndarray:
        if not opened:
            opened.append(Session(made(), 1))
        name = answer or opened[0].outputs[0]
        return opened[0].run(x, (name,))[name]

    return run


def _zip(path: Path, name: str, member: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, member)


def _tarball(path: Path, top: str, data: bytes, logits: Logits, *, probable: bool) -> None:
    """One folder with the model and its test data, as the zoo packs it: GNU tar. Not compressed, for noise is not.

    Of the tensors the first has a name, those after it have none, as in old sets.
    """
    found = scan(data, top)
    image = next(name for name in found.inputs if name not in found.tensors)
    draw = np.random.default_rng(1).standard_normal
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT, compresslevel=0) as file:

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))

        add(f"{top}.onnx", data)
        for number in range(TEST_SETS):
            x = 10 * draw((1, 3, 224, 224), np.float32)
            y = logits(x)
            y = softmax(y).astype(np.float32) if probable else y
            for kind, array, name in (("input", x, image), ("output", y, next(iter(found.outputs)))):
                content = numpy_helper.from_array(array, "" if number else name).SerializeToString()
                add(f"test_data_set_{number}/{kind}_0.pb", content)


def placed(row: Published, made: StandIn, place: Path) -> Published:
    """Put the stand-in at that place; the row with the stand-in's size and digests, of the kinds that the row has."""
    place.parent.mkdir(parents=True)
    os.link(made.file, place)
    return restated(row, place, made.member)


def restated(row: Published, file: Path, member: bytes | None) -> Published:
    """The row of another file: its digests as long and of the same thing as before, its size where one was known.

    A row whose MD5 lies in a text beside the file gets that text.
    """
    if row.checksum_url:
        md5 = _value(Digest("md5", "0" * 32, ""), file, None)
        (file.parent / row.checksum_url.rpartition("/")[2]).write_text(f"{md5}  {row.file}\n")
    digests = tuple(replace(digest, value=_value(digest, file, member)) for digest in row.digests)
    return replace(row, size=row.size and file.stat().st_size, digests=digests)


def _value(digest: Digest, file: Path, member: bytes | None) -> str:
    whole = hashlib.new(digest.algorithm, usedforsecurity=False)
    if digest.member:
        assert member is not None
        whole.update(member)
    else:
        with file.open("rb") as opened:
            while chunk := opened.read(1 << 20):
                whole.update(chunk)
    return whole.hexdigest()[: len(digest.value)]
