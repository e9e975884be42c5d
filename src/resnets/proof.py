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

from resnets.card import RECIPES, Recipe
from resnets.engines.table import Network, opener
from resnets.errors import ResNetsError
from resnets.parallel import cores
from resnets.predictions import softmax
from resnets.progress import Progress
from resnets.weights import files
from resnets.weights.model import Model
from resnets.weights.source import Source

Batch = NDArray[np.float32]
Logits = NDArray[Any]
BATCH = 8  # images at a time
MOST = 256  # images of a folder: a 152-layer network takes two seconds for each in float64
IMAGENET, CIFAR = 224, 32  # pixels of a network whose card names no crop
TOLERANCE = 1e-4  # largest relative difference of a conversion that holds
LIMIT = 1e-2  # and of any that may


@dataclass(frozen=True)
class Graph:
    """A network as its file has it: images [n, c, h, w] → [n, classes].

    `output`: what it gives, `logits` or `probabilities`. `side`: the one size of image that it takes, in pixels, or
    None. `single`: the same in single precision, where `run` computes in double.
    """

    run: Callable[[Batch], Logits]
    output: str = "logits"
    side: int | None = None
    single: Callable[[Batch], Logits] | None = None


@dataclass(frozen=True)
class Difference:
    """`max_abs`: the largest difference of a logit; `max_rel`: the same over the largest logit of the source.

    Between probabilities where the source gives these. `top1_agreement` is a share from 0 to 1, `inputs` how many
    images.
    """

    max_abs: float
    max_rel: float
    top1_agreement: float
    inputs: int


@dataclass(frozen=True)
class Proof:
    """What was compared (`evidence`; `own_graph`: is it the source's own?), how far apart it is, and may be."""

    own_graph: bool
    evidence: str
    difference: Difference
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.difference.max_rel <= self.tolerance


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
    source: Source, read: Model, target: Source, written: Model, data: Path | None = None, *, quiet: bool = True
) -> Proof:
    """Run both files on the same images. `read`, `written`: the models that they hold. Not `quiet`: progress on stderr.

    More than TOLERANCE is allowed where the source, run by itself in single precision, is already farther than half of
    that from double precision: twice what it loses there.
    """
    own_graph, evidence = _evidence(source, read)
    before = graph_of(source, read)

    images = inputs(written, before.side, data)
    with Progress("compare", 2 * len(images), quiet=quiet) as progress:
        references = answers(before, images, progress)
        found = compare(references, answers(graph_of(target, written), images, progress), before.output)
    tolerance = TOLERANCE
    if found.max_rel > TOLERANCE and before.single is not None:
        alone = compare(references, answers(replace(before, run=before.single), images))
        tolerance = max(TOLERANCE, min(2 * alone.max_rel, LIMIT))
    return Proof(own_graph, evidence, found, tolerance)


def graph_of(source: Source, model: Model) -> Graph:
    """The file's own graph; of a file without one, the network of `model`, which was read from it."""
    module = files.format_of(source.path).module
    if module == "t7":
        from resnets.weights import t7
        from resnets.weights.torch7.run import run

        tree = t7.tree(source)
        window = CIFAR if model.architecture.cifar_stem else IMAGENET  # what its last pooling covers
        return Graph(lambda x: run(tree, x), side=window, single=lambda x: run(tree, x, np.float32))
    found = files.runnable(source) if module == "onnx" else files.built(model)
    session = opener("onnxruntime")(found.model, cores())
    network = Network(session, found.answer, "logits", source.name)
    fixed = session.shape[2] if module == "onnx" and len(session.shape) == 4 else None
    side = fixed if isinstance(fixed, int) else None
    return Graph(lambda x: network.run(x, ("logits",))["logits"], found.card.output, side)


def _evidence(source: Source, model: Model) -> tuple[bool, str]:
    """Whether the source's own graph stands behind a comparison, and the sentence that says what was compared."""
    form = files.format_of(source.path)
    if form.module == "onnx":
        return True, "proved against the source's own graph, run by ONNX Runtime as it stands"
    if form.module == "t7":
        return True, "proved against the source's own modules, run one by one in float64"
    if form.module == "params":
        from resnets.weights.mxnet import symbol

        checked = symbol.check(source, model)
        if checked is not None:
            return True, checked
    card = files.read_card(source)
    described = "described by its card" if card and card.architecture else "implied by names"
    return False, f"round trip equal; network {described}"


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

    `output`: what the references are; beside probabilities the others' softmax is taken.
    """
    reference, other = np.concatenate(references), np.concatenate(others)
    if output == "probabilities":
        other = softmax(other)
    with np.errstate(invalid="ignore", over="ignore"):  # infinity less infinity: said below
        largest, difference = float(np.abs(reference).max()), float(np.abs(reference - other).max())
    agreement, count = float((reference.argmax(1) == other.argmax(1)).mean()), len(reference)
    if not np.isfinite((largest, difference)).all():
        return Difference(float("inf"), float("inf"), agreement, count)
    return Difference(difference, difference / max(largest, float(np.finfo(np.float32).tiny)), agreement, count)


def inputs(model: Model, side: int | None, data: Path | None = None) -> Inputs:
    """What a proof is run on: noise, then the photographs of the package, or the images in `data`.

    They are prepared by the card's recipe, else by torchvision's. `side`: the only size that the source takes.
    """
    recipe = _recipe(model, side)
    channels, crop = model.architecture.input_channels, recipe.crop
    noise = ((3, channels, crop, crop), *(((1, channels, crop, crop + crop // 4),) if side is None else ()))
    if channels == len(recipe.mean) == 3:
        return Inputs(recipe, noise, tuple(_photographs() if data is None else _images(data)))
    if data is not None:
        raise ResNetsError(f"The network takes {channels} channels, and images have 3.", "Leave --data out.")
    return Inputs(recipe, noise, ())


def _recipe(model: Model, side: int | None) -> Recipe:
    recipe, cifar = model.card.recipe, model.architecture.cifar_stem
    if recipe is None:
        recipe = replace(RECIPES["torchvision"], size=CIFAR, crop=CIFAR) if cifar else RECIPES["torchvision"]
    return recipe if side in (None, recipe.crop) else replace(recipe, crop=side, size=max(recipe.size, side))


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
