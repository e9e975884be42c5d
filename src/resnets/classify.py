"""A model and images go in, predictions, features, logits come out. `Classifier.run` is the one batch loop there is."""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.card import Card, Label, Recipe, recipe_named
from resnets.engines.table import Network, opener
from resnets.errors import ResNetsError
from resnets.images.decode import ImageError, open_image
from resnets.images.prepare import Crops, normalise, prepare
from resnets.parallel import cores, in_order
from resnets.predictions import Prediction, top
from resnets.weights import files, names
from resnets.weights.source import Source

Floats = NDArray[np.float32]

# Input pixels a thread runs at once: 5 images of 224 x 224, 16 of 32 x 32. Larger batches measured no faster.
BATCH_PIXELS = 1 << 18
MOST = 16


@dataclass(frozen=True)
class Row:
    """What became of item number `index`: `outputs` by name, without their batch axis, or one sentence in `error`.

    Outputs that are not finite numbers have both: the image was good, and the network's answer is not.
    """

    index: int
    item: Any
    outputs: dict[str, Floats] = field(default_factory=dict)
    error: str | None = None

    @property
    def file(self) -> str:
        """The path as it was given; `-` for what had none."""
        return os.fspath(self.item) if isinstance(self.item, str | os.PathLike) else "-"

    @property
    def logits(self) -> Floats:
        """The network's scores [k]."""
        return self.outputs["logits"]


class Classifier:
    """A model opened for use.

    `name_or_path`: a file's path; the name of a bundled model (None: the default one); that of published weights
    (`resnets.list_models(pretrained=True)`), or hf:OWNER/NAME for a repository of the Hugging Face Hub. Published
    weights are downloaded when they are first used, checked, and kept in the cache, which lines on stderr tell;
    `quiet=True` silences them, and with RESNETS_OFFLINE=1 in the environment nothing is downloaded.

    `recipe`, `labels` stand in for the card's: a recipe's name or a Recipe; a shipped list's name, a file or Labels.
    `threads` (default: all cores) work on many images at once, or together on a single one. Raises ResNetsError for
    what is no model, and for a name that nothing is known of or whose file cannot be had.
    """

    def __init__(
        self,
        name_or_path: str | Path | None = None,
        engine: str = "onnxruntime",
        recipe: str | Recipe | None = None,
        labels: str | Path | Sequence[Label] | None = None,
        threads: int | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        self.path = names.resolve(name_or_path, quiet=quiet)
        self.threads = threads or cores()
        self._open = opener(engine)
        with files.opened(self.path) as source:
            self._stamp = source.stamp
            found = files.runnable(source)
        self.card = _completed(found.card, recipe, labels)
        self._scores = found.answer
        self._unopened: bytes | None = found.model
        self._sessions: dict[tuple[int, tuple[str, ...]], Network] = {}
        self._opening = threading.Lock()

    def run(
        self, items: Iterable[Any], *, crops: int = 1, outputs: Sequence[str] = ("logits",), at_once: bool = False
    ) -> Iterator[Row]:
        """A Row for every item, in order: paths, bytes of files, Pillow images or uint8 arrays, from any iterable.

        `crops`: 1, 2 (with the mirror image) or 10, over which the outputs are averaged; fb.resnet.torch adds up the
        logits of ten crops, which ranks alike. An image that cannot be used gives a Row with `error`, never an
        exception. A bounded number of items is drawn ahead, so `items` may be endless; other threads draw them.
        `at_once`: a row comes as soon as its item is there, for those who wait for it before they give the next.
        """
        recipe = self.recipe
        wanted = tuple(outputs)
        if crops not in (1, 2, 10):
            raise ResNetsError(f"There is no way to take {crops} crops of an image.", "Use 1, 2 or 10.")
        return self._rows(items, recipe, crops, wanted, at_once)

    def _rows(
        self, items: Iterable[Any], recipe: Recipe, crops: int, wanted: tuple[str, ...], at_once: bool
    ) -> Iterator[Row]:
        source = iter(items)
        head = [item for _, item in zip(range(1 if at_once else 2), source, strict=False)]
        if not head:
            return
        # One image gets all cores; of many, each core has its own. On a stream an image is alone, and a path is not.
        single = isinstance(head[0], bytes) if at_once else len(head) == 1
        lanes, threads = (1, self.threads) if single else (self.threads, 1)
        # It opens while the first images are decoded: most of a cold start. What it raises is raised to the workers.
        threading.Thread(target=self._begin, args=(threads, wanted), daemon=True).start()
        batch = 1 if at_once else max(1, min(MOST, BATCH_PIXELS // recipe.crop**2) // crops)

        def answer(first: int, chunk: list[Any]) -> list[Row]:
            return self._answer(threads, recipe, crops, wanted, first, chunk)

        yield from in_order(answer, _chain(head, source), lanes, batch)

    def _answer(
        self, threads: int, recipe: Recipe, crops: int, wanted: tuple[str, ...], first: int, chunk: list[Any]
    ) -> list[Row]:
        """Decode, prepare and run a few items together; the bad ones are left out of the batch."""
        prepared: list[Crops] = []
        reasons: list[str | None] = []
        for item in chunk:
            try:
                prepared.append(prepare(open_image(item, recipe.exif, recipe.alpha), recipe, crops))
                reasons.append(None)
            except ImageError as error:
                reasons.append(error.problem)
        found: dict[str, Floats] = {}
        session = self._session(threads, wanted)
        if prepared:
            pixels = prepared[0] if len(prepared) == 1 else np.concatenate(prepared)
            answers = session.run(normalise(pixels, recipe), wanted)
            found = {name: _over_crops(array, crops) for name, array in answers.items()}
        rows, at = [], 0
        for index, (item, reason) in enumerate(zip(chunk, reasons, strict=True), first):
            if reason is None:
                mine = {name: array[at] for name, array in found.items()}
                at += 1
                finite = all(np.isfinite(array).all() for array in mine.values())
                rows.append(Row(index, item, mine, None if finite else NOT_FINITE))
            else:
                rows.append(Row(index, item, {}, reason))
        return rows

    def classify(self, image_or_images: Any, top: int = 5, crops: int = 1) -> Any:
        """The `top` Predictions of one image, best first; of several images, a list of such lists.

        Raises ImageError for an image that cannot be used: `run` gives an error row instead.
        """
        if is_one(image_or_images):
            return self.predictions(next(self._good([image_or_images], crops, "logits")), top)
        return [self.predictions(logits, top) for logits in self._good(image_or_images, crops, "logits")]

    def features(self, images: Any, crops: int = 1) -> Floats:
        """Pooled features of one or several images: float32 [n, c]. Raises ImageError where one cannot be used."""
        found = list(self._good([images] if is_one(images) else images, crops, "features"))
        if found:
            return np.stack(found)
        none = np.zeros((1, self.card.input_channels, self.recipe.crop, self.recipe.crop), np.float32)
        return self.pooled(none)[:0]  # of no image, what the network gives: [0, c]

    def _good(self, items: Iterable[Any], crops: int, output: str) -> Iterator[Floats]:
        for row in self.run(items, crops=crops, outputs=(output,)):
            if row.error is not None:
                raise ImageError(f"{row.file if row.file != '-' else f'Image {row.index}'}: {row.error}")
            yield row.outputs[output]

    def predictions(self, logits: NDArray[Any], k: int = 5) -> list[Prediction]:
        """`top` with this model's labels and temperature."""
        return top(logits, self.card.labels, k, temperature=self.card.temperature)

    def logits(self, x: Floats) -> Floats:
        """Ready tensors, float32 [n, c, h, w], normalised → logits [n, classes]; log-probabilities after a softmax."""
        return self._run(x, "logits")

    def pooled(self, x: Floats) -> Floats:
        """Ready tensors, float32 [n, c, h, w], normalised → pooled features [n, c]."""
        return self._run(x, "features")

    def _run(self, x: Floats, output: str) -> Floats:
        session = self._session(self.threads, (output,))
        return session.run(np.ascontiguousarray(x, np.float32), (output,))[output]

    @property
    def recipe(self) -> Recipe:
        """The recipe in use. Raises ResNetsError where neither the card nor the caller has named one."""
        if self.card.recipe is None:
            raise ResNetsError(
                f"{self.path} does not say how its images are to be prepared.",
                "Name the recipe that it was trained with.",
            )
        return self.card.recipe

    @property
    def sha256(self) -> str:
        """The digest of the model file, which is the identity of a model. Raises ResNetsError where it was replaced."""
        with self._reopened() as source:
            return source.sha256()

    @contextmanager
    def _reopened(self) -> Iterator[Source]:
        with files.opened(self.path) as source:
            if source.stamp != self._stamp:
                raise ResNetsError(
                    f"{self.path} was replaced after it had been opened.", "Open the new model by itself."
                )
            yield source

    def _begin(self, threads: int, outputs: tuple[str, ...]) -> None:
        with suppress(ResNetsError):
            self._session(threads, outputs)

    def _session(self, threads: int, outputs: tuple[str, ...]) -> Network:
        added = tuple(name for name in outputs if name != "logits")
        with self._opening:
            if (threads, added) not in self._sessions:
                model = self._unopened if not added else None
                # Read again, rather than kept: an engine holds its own copy of the arrays.
                if model is None:
                    with self._reopened() as source:
                        model = files.runnable(source, added).model
                network = Network(self._open(model, threads), self._scores, self.card.output, str(self.path))
                self._sessions[threads, added] = network
                self._unopened = None
            return self._sessions[threads, added]


NOT_FINITE = "The network's answer is not a finite number."


def _completed(card: Card, recipe: str | Recipe | None, labels: str | Path | Sequence[Label] | None) -> Card:
    if isinstance(recipe, str):
        recipe = recipe_named(recipe, card.architecture)
    if isinstance(labels, str | Path):
        from resnets.labels import lists

        labels = lists.read(labels)
    return replace(card, recipe=recipe or card.recipe, labels=tuple(labels) if labels is not None else card.labels)


def _over_crops(array: Floats, crops: int) -> Floats:
    return array if crops == 1 else array.reshape(-1, crops, *array.shape[1:]).mean(axis=1)


def _chain(head: list[Any], source: Iterator[Any]) -> Iterator[Any]:
    yield from head
    yield from source


def is_one(value: Any) -> bool:
    """Is this one image, rather than several?"""
    if isinstance(value, np.ndarray):
        return value.ndim < 4
    return isinstance(value, str | bytes | os.PathLike) or hasattr(value, "getexif")
