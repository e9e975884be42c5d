"""A model file, an architecture's name or that of published weights goes in; what `show` says of it comes out."""

import json
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resnets import card as cards
from resnets.card import Card
from resnets.catalog import ARCHITECTURES, Architecture, summary, to_json
from resnets.errors import ResNetsError, plain
from resnets.fetch import cache, hub
from resnets.listing import Facts, amount, network, published, table
from resnets.listing import lines as published_lines
from resnets.network import INPUT, layers
from resnets.published import table as weights_table
from resnets.published.row import Published
from resnets.weights import files, names
from resnets.weights.formats import format_of
from resnets.weights.model import digest
from resnets.weights.protobuf.scan import scan
from resnets.weights.protobuf.wire import Pages
from resnets.weights.source import Source

NO_CARD = {True: "(no card: its network is recognised)", False: "(no card: a foreign model, which runs as it is)"}


def layer_table(architecture: Architecture, side: int) -> list[Facts]:
    """One row a step: name, op, shape of the output without the batch, parameters, MACs."""
    return [
        {
            "name": row.step.name,
            "op": row.step.op,
            "output": list(row.output),
            "parameters": row.parameters,
            "macs": row.macs,
        }
        for row in layers(architecture, side, side)
    ]


def describe(name_or_path: str, *, with_layers: bool = False) -> Facts:
    """What is known of a model file, a bundled model, published weights, or an architecture.

    Nothing is downloaded: of published weights that are in the cache their file is described too. Of a Torch7 file
    that holds no network an outline of what it holds. Raises ResNetsError for a file that is damaged: its arrays are
    read and compared with the card.
    """
    if not os.path.isfile(name_or_path) and name_or_path not in names.bundled():
        if name_or_path in ARCHITECTURES:
            return _architecture(name_or_path, with_layers)
        row = weights_table.find(name_or_path)
        if row is not None:
            return _published(row, with_layers)
        if name_or_path.startswith("hf:"):
            return _file(_of_the_hub(name_or_path), with_layers)
    return _file(names.resolve(name_or_path), with_layers)


def _of_the_hub(name: str) -> Path:
    found = hub.cached(name)
    if found is None:
        raise ResNetsError(f"{name} has not been fetched.", f"`resnets fetch {name}` downloads it.")
    return found


def _architecture(name: str, with_layers: bool) -> Facts:
    architecture = ARCHITECTURES[name]
    facts: Facts = {"architecture": name, "fields": to_json(architecture), **network(architecture)}
    facts["weights"] = weights_table.of(name)
    return {**facts, "layers": layer_table(architecture, facts["image"])} if with_layers else facts


def _published(row: Published, with_layers: bool) -> Facts:
    """What is published of a row, and where its file has been checked and is here, what that file is."""
    facts: Facts = {"published": published(row)}
    model = cache.state(row).model
    if model is not None:
        return {**_file(model, with_layers), **facts}
    if row.architecture is None:
        return facts
    side = row.recipe.crop
    more = {"layers": layer_table(row.architecture, side)} if with_layers else {}
    return {"architecture": summary(row.architecture), **network(row.architecture, side), **facts, **more}


def _file(path: Path, with_layers: bool) -> Facts:
    with files.opened(path) as source:
        md5, sha256 = source.digests("md5", "sha256")  # MD5 is what the ONNX zoo's notebooks compare
        facts: Facts = {"file": source.name, "bytes": source.size, "md5": md5, "sha256": sha256}
        outline = _outline(source)
        if outline:
            return {**facts, **outline}
        card = files.read_card(source)
        facts |= {"card": json.loads(cards.to_json(card)) if card else None, **_graph(source, card)}
        try:
            model = files.read(source)
        except ResNetsError as error:
            if not _foreign(source, card):
                raise
            return facts | {"notes": [f"it cannot be converted: {error.problem}"]}
    if card is None:
        facts |= {"notes": list(model.notes), "weights_sha256": digest(model.weights)}
        facts |= {"fields": to_json(model.architecture), **_ports(model.architecture, facts)}
    side = card.recipe.crop if card and card.recipe else None
    facts |= {"architecture": summary(model.architecture), **network(model.architecture, side)}
    return {**facts, "layers": layer_table(model.architecture, facts["image"])} if with_layers else facts


def _outline(source: Source) -> Facts:
    """What a Torch7 file that is no model holds, line by line; empty for any other file."""
    if format_of(source.path).module != "t7":
        return {}
    from resnets.weights.torch7.modules import root
    from resnets.weights.torch7.outline import outline, what
    from resnets.weights.torch7.read import read

    objects = read(source)
    if root(objects, source.name) is not None:
        return {}
    return {"what": what(objects) or "no network is in it", "outline": outline(objects)}


def _foreign(source: Source, card: Card | None) -> bool:
    """Is this an ONNX graph that is no network of ours? Raises ResNetsError where it does not run as it is."""
    if format_of(source.path).module != "onnx" or (card is not None and card.architecture is not None):
        return False
    files.runnable(source)
    return True


def _graph(source: Source, card: Card | None) -> Facts:
    """Inputs and outputs with their shapes, and of an .onnx file its opset, IR version and nodes."""
    if format_of(source.path).module == "onnx":
        found = scan(Pages(source), source.name)
        inputs = {name: list(shape) for name, shape in found.inputs.items() if name not in found.tensors}
        outputs = {name: list(shape) for name, shape in found.outputs.items()}
        return {
            "inputs": inputs,
            "outputs": outputs,
            "opset": found.opset,
            "ir_version": found.ir_version,
            "nodes": found.nodes,
        }
    return _ports(card.architecture, {}) if card and card.architecture else {}


def _ports(architecture: Architecture, known: Facts) -> Facts:
    """Inputs and outputs of the graph that is built for a file without one; `known` are those of a file with one."""
    shape = ["batch", architecture.input_channels, "height", "width"]
    built = {"inputs": {INPUT: shape}, "outputs": {"logits": ["batch", architecture.classes]}}
    return {name: known.get(name, ports) for name, ports in built.items()}


def page(facts: Facts, width: int | None = None) -> str:
    """What `describe` found, as text for people: a name and a value on each line, then the layers.

    Where values would be longer than a line of `width` characters they go on below themselves.
    """
    parts = []
    if "published" in facts:
        parts.append(_block(published_lines(weights_table.PUBLISHED[facts["published"]["name"]]), width))
    parts.append(_block(_lines(facts), width))
    if "outline" in facts:
        parts.append("\n".join(map(plain, facts["outline"])))
    if "layers" in facts:
        cells = [
            (
                row["name"],
                row["op"],
                "x".join(map(str, row["output"])),
                f"{row['parameters']:,}" if row["parameters"] else "",
                amount(row["macs"]) if row["macs"] else "",
            )
            for row in facts["layers"]
        ]
        parts.append(table(("layer", "operation", "output", "parameters", "MACs"), cells, left=2))
    return "\n\n".join(part for part in parts if part)


def _block(found: Iterator[tuple[str, str]], width: int | None) -> str:
    lines = [(plain(name), plain(text)) for name, text in found if text]
    indent = max((len(name) for name, _ in lines), default=0) + 2
    across = sys.maxsize if width is None else max(width - indent, indent)
    wrapper = textwrap.TextWrapper(across, break_long_words=False, break_on_hyphens=False)
    below = "\n" + indent * " "
    return "\n".join(f"{name:<{indent}}{below.join(wrapper.wrap(value))}" for name, value in lines)


def _lines(facts: Facts) -> Iterator[tuple[str, str]]:
    card: Facts = facts.get("card") or {}
    if "file" in facts:
        yield "file", f"{facts['file']}, {facts['bytes']:,} bytes"
    if "what" in facts:
        yield "no model", facts["what"]
    elif "file" in facts:
        yield "name", card.get("name", "") if card else NO_CARD["depth" in facts]
    yield "architecture", facts.get("architecture", "")
    yield "published", ", ".join(facts.get("weights", []))
    if "depth" in facts:
        yield "depth", f"{facts['depth']} layers"
        yield "parameters", f"{facts['parameters']:,}"
        yield "MACs", f"{facts['macs']:,} for an image of {facts['image']}x{facts['image']}"
        yield "classes", f"{facts['classes']:,}"
    yield from _card_lines(card)
    for note in facts.get("notes", []):
        yield "note", note
    for direction in ("inputs", "outputs"):
        shapes = facts.get(direction, {}).items()
        yield direction, ", ".join(f"{name} [{', '.join(map(str, shape))}]" for name, shape in shapes)
    if "opset" in facts:
        yield "graph", f"{facts['nodes']:,} nodes, opset {facts['opset']}, IR {facts['ir_version']}"
    yield "weights_sha256", facts.get("weights_sha256", "")
    yield "md5", facts.get("md5", "")
    yield "sha256", facts.get("sha256", "")
    for name, value in facts.get("fields", {}).items():
        if name not in facts:
            yield name, _words(value)


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _card_lines(card: Facts) -> Iterator[tuple[str, str]]:
    if not card:
        return
    labels = card["labels"]
    some = ", ".join(label["name"].split(",")[0] for label in labels[:4]) if labels else "none: classes are numbers"
    yield "labels", f"{some}, ..." if labels and len(labels) > 4 else some
    yield "recipe", cards.describe(cards.recipe_from_json(card["recipe"])) if card["recipe"] else "none"
    yield "output", card["output"] + (f", temperature {card['temperature']:g}" if card["temperature"] != 1 else "")
    for score in card["scores"]:
        yield "score", _score(score)
    yield "source", ", ".join(f"{name} {_words(value)}" for name, value in card["source"].items())
    yield "licence", str(card["licence"] or "not stated")
    yield "weights_sha256", str(card["weights_sha256"] or "")


def _score(score: Facts) -> str:
    """One line; a figure is never shown without its conditions. Whoever wrote the card may have put anything there."""
    interval: Any = score.get("top1_interval")
    pair = isinstance(interval, list) and len(interval) == 2
    between = f" ({_figure(interval[0])} to {_figure(interval[1])})" if pair else ""
    conditions = ", ".join(f"{name} {score[name]}" for name in _CONDITIONS if name in score)
    return f"top-1 error {_figure(score.get('top1_error', 'not stated'))} %{between}: {conditions}"


_CONDITIONS = "data images crops crop resize pool recipe conditions conditions_source date".split()


def _figure(value: Any) -> str:
    return f"{value:.2f}" if type(value) in (int, float) and 0 <= value <= 100 else str(value)
