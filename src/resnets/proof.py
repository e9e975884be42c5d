"""Two model files and images go in; how far apart the logits of their own graphs lie comes out.

The source never passes through our Architecture where it holds a graph: an ONNX file is run by ONNX Runtime as it
stands, a Torch7 file is executed module by module in float64. What holds arrays alone is run as the network that its
card or its names describe, and the sentence beside the numbers says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.card import Recipe, recipe_named
from resnets.engines.table import Network, opener
from resnets.errors import ResNetsError
from resnets.parallel import cores
from resnets.predictions import softmax
from resnets.progress import Progress
from resnets.weights import files
from resnets.weights.formats import format_of
from resnets.weights.model import Model
from resnets.weights.source import Source

Batch = NDArray[np.float32]
Logits = NDArray[Any]
BATCH = 8  # images at a time
MOST = 256  # images of a folder: a 152-layer network takes two seconds for each in float64
MAX_SIDE = 1024  # pixels of an image that networks are compared on: 60 MB a batch
TOLERANCE = 1e-4  # largest relative difference of a conversion that holds
LIMIT = 1e-2  # and of any that may
MOVEMENT = 0.02  # how large a difference may be beside what another image makes of a logit


@dataclass(frozen=True)
class Graph:
    """A network as its file has it: images [n, c, h, w] → [n, classes].

    `output`: what it gives, `logits` or `probabilities`. `single`: the same in single precision, where `run` computes
    in double. `notes`: what was changed to run it.
    """

    run: Callable[[Batch], Logits]
    output: str = "logits"
    single: Callable[[Batch], Logits] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """`max_abs`: the largest difference of a logit; `max_rel`: the same over the largest logit of the source.

    Between probabilities where the source gives these. `top1_agreement` is a share from 0 to 1. `spread`: how far the
    logit of a class moves from one input to another, at most: large biases hide a wrong network from `max_rel`.
    """

    max_abs: float
    max_rel: float
    top1_agreement: float
    spread: float


@dataclass(frozen=True)
class Proof:
    """What was compared (`evidence`; `own_graph`: was the source's own run?), how far apart it is, and may be.

    `noise`, `pictures`: how many inputs of each. `notes`: what else is to be told about the comparison.
    """

    own_graph: bool
    evidence: str
    difference: Difference
    tolerance: float
    noise: int = 0
    pictures: int = 0
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        found = self.difference
        return found.max_rel <= self.tolerance and found.max_abs <= MOVEMENT * found.spread


@dataclass(frozen=True)
class Inputs:
    """Batches of normalised images, float32 [n, c, h, w]: noise of those shapes, then pictures by the recipe."""

    recipe: Recipe
    noise: tuple[tuple[int, int, int, int], ...]
    pictures: tuple[str, ...]

    def __len__(self) -> int:
        return sum(shape[0] for shape in self.noise) + len(self.pictures)

    def __iter__(self) -> Iterator[Batch]:
        draw = np.random.default_rng(0).standard_normal
        yield from (draw(shape, np.float32) for shape in self.noise)
        for at in range(0, len(self.pictures), BATCH):
            yield _prepared(self.pictures[at : at + BATCH], self.recipe)


def prove(
    source: Source,
    read: Model,
    target: Source,
    written: Model,
    *,
    given: bool = False,
    data: Path | None = None,
    quiet: bool = True,
) -> Proof:
    """Run both files on the same images. `read`, `written`: the models that they hold; `given`: by --architecture.

    More than TOLERANCE is allowed where the source, run by itself in single precision, is already farther than half of
    that from double precision: twice what it loses there. Not `quiet`: tells on stderr how far it is.
    """
    own_graph, evidence = _evidence(source, read, given)
    before = graph_of(source, read)
    images = inputs(written, size_of(source) or size_of(target), data)
    with Progress("compare", 2 * len(images), quiet=quiet) as progress:
        references = answers(before, images, progress)
        found = compare(references, answers(graph_of(target, written), images, progress), before.output)
    tolerance, notes = TOLERANCE, list(before.notes)
    if found.max_rel > TOLERANCE and before.single is not None:
        alone = compare(references, answers(replace(before, run=before.single), images))
        tolerance = max(TOLERANCE, min(2 * alone.max_rel, LIMIT))
        notes.append(f"{tolerance:.2g} is allowed: twice what this network loses when it is run in single precision")
    if found.max_abs > MOVEMENT * found.spread:
        notes.append(f"from one input to another a logit moves by {found.spread:.2g}, which is little beside max_abs")
    noise = sum(shape[0] for shape in images.noise)
    return Proof(own_graph, evidence, found, tolerance, noise, len(images.pictures), tuple(notes))


def size_of(source: Source) -> tuple[int, int] | None:
    """The one height and width in pixels that a file's own graph can be run at; None where any will do."""
    match format_of(source.path).module:
        case "t7":
            from resnets.weights import t7

            side = t7.side(t7.tree(source))
            return (side, side) if side else None
        case "onnx":
            from resnets.weights import onnx

            return onnx.side(source)
    return None


def graph_of(source: Source, model: Model) -> Graph:
    """The file's own graph; of a file without one, the network of `model`, which was read from it."""
    module = format_of(source.path).module
    if module == "t7":
        from resnets.weights import t7
        from resnets.weights.torch7.run import run

        tree = t7.tree(source)
        return Graph(lambda x: run(tree, x), single=lambda x: run(tree, x, np.float32))
    found = files.runnable(source) if module == "onnx" else files.built(model)
    session = opener("onnxruntime")(found.model, cores())
    network = Network(session, found.answer, "logits", source.name)
    notes: tuple[str, ...] = ()
    if module == "onnx":
        from resnets.weights import onnx

        notes = onnx.rewritten(source)
    return Graph(lambda x: network.run(x, ("logits",))["logits"], found.card.output, notes=notes)


def _evidence(source: Source, model: Model, given: bool) -> tuple[bool, str]:
    """Whether the source's own graph is run, and what was compared with what is written."""
    form = format_of(source.path)
    if form.module == "onnx":
        from resnets.weights import onnx

        opset = onnx.outdated(source)
        if opset is not None:
            return False, f"network read from its graph, whose opset {opset} no engine here runs"
        return True, "the source's own graph, run by ONNX Runtime"
    if form.module == "t7":
        return True, "the source's own modules, run one by one in float64"
    if form.module == "params":
        from resnets.weights.mxnet import symbol

        checked = symbol.check(source, model)
        if checked is not None:
            return False, checked
    card = files.read_card(source)
    if card and card.architecture:
        return False, "network described by its card"
    return False, f"network {'given by --architecture' if given else 'implied by names'}"


def answers(graph: Graph, images: Inputs, progress: Progress | None = None) -> list[Logits]:
    """What a network gives for each batch, [n, classes]. Only one network is open at a time: they are large."""
    found = []
    for x in images:
        found.append(graph.run(x).reshape(len(x), -1))
        if progress is not None:
            progress.advance(len(x))
    return found


def compare(references: list[Logits], others: list[Logits], output: str = "logits") -> Difference:
    """How far apart the answers of two networks are. Infinity where one gives numbers that are none.

    `output`: what the references are; beside probabilities the others' softmax is taken. Raises ResNetsError where the
    two do not give as many numbers.
    """
    reference, other = np.concatenate(references), np.concatenate(others)
    if reference.shape != other.shape:
        raise ResNetsError(
            f"The source gives {list(reference.shape)} numbers, and what was read from it {list(other.shape)}.",
            "This is a network that resnets does not convert: use it as it is.",
        )
    if output == "probabilities":
        other = softmax(other)
    with np.errstate(invalid="ignore", over="ignore"):  # infinity less infinity: said below
        largest, difference = float(np.abs(reference).max()), float(np.abs(reference - other).max())
        spread = float(np.ptp(reference, axis=0).max())
    agreement = float((reference.argmax(1) == other.argmax(1)).mean())
    if not np.isfinite((largest, difference, spread)).all():
        return Difference(float("inf"), float("inf"), agreement, spread)
    return Difference(difference, difference / max(largest, float(np.finfo(np.float32).tiny)), agreement, spread)


def inputs(model: Model, size: tuple[int, int] | None, data: Path | None = None) -> Inputs:
    """What a proof is run on: noise, then the photographs of the package, or the images in `data`.

    They are prepared by the card's recipe, else by torchvision's. `size`: the only one that the source takes. Raises
    ResNetsError for one that no images are compared at.
    """
    if size is not None and max(size) > MAX_SIDE:
        raise ResNetsError(
            f"The source takes images of {size[0]:,} x {size[1]:,} pixels alone, too many to compare two networks on.",
            f"Export it for a size of at most {MAX_SIDE}.",
        )
    recipe = _recipe(model, size)
    channels, crop = model.architecture.input_channels, recipe.crop
    square = size is None or size[0] == size[1]
    height, width = size or (crop, crop)
    noise = ((3, channels, height, width), *(((1, channels, crop, crop + crop // 4),) if size is None else ()))
    if channels == len(recipe.mean) == 3 and square:
        return Inputs(recipe, noise, tuple(_photographs() if data is None else _images(data)))
    if data is not None:
        raise ResNetsError(
            f"The network takes {channels} channels of {height} x {width} pixels, and the recipe makes"
            f" {len(recipe.mean)} channels of {crop} x {crop}.",
            "Leave --data out: noise is compared all the same.",
        )
    return Inputs(recipe, noise, ())


def _recipe(model: Model, size: tuple[int, int] | None) -> Recipe:
    recipe = model.card.recipe or recipe_named("torchvision", model.architecture)
    crop = size[0] if size else min(recipe.crop, MAX_SIDE)
    return recipe if crop == recipe.crop else replace(recipe, crop=crop, size=max(min(recipe.size, MAX_SIDE), crop))


def _photographs() -> list[str]:
    from resnets.images.decode import SUFFIXES

    folder = Path(__file__).with_name("photos")
    return [str(path) for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]


def _images(data: Path) -> list[str]:
    """At most MOST images of a folder, from all over it."""
    from resnets.inputs import Passed, expand

    found = [path for path in expand([str(data)], Passed()) if isinstance(path, str)]
    if not data.is_dir() or not found:
        raise ResNetsError(f"There are no images in {data}.", "Give a folder of images to --data.")
    return found[:: -(-len(found) // MOST)]


def _prepared(paths: tuple[str, ...], recipe: Recipe) -> Batch:
    from resnets.images.decode import ImageError, decode
    from resnets.images.prepare import normalise, prepare

    crops = []
    for path in paths:
        try:
            crops.append(prepare(decode(Path(path), exif=recipe.exif, alpha=recipe.alpha), recipe))
        except ImageError as error:
            raise ResNetsError(f"{path}: {error.problem}", "Give --data a folder of good images.") from error
    return normalise(np.concatenate(crops), recipe)
