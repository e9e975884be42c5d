"""One epoch of a run: its steps, its validation, and what is written at its end."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from resnets.data.batches import Batch, batches_per_epoch, training_batches, validation_batches
from resnets.data.pictures import Pictures, refuse_many, report_bad
from resnets.errors import ResNetsError
from resnets.evaluate import Tally, says_top5
from resnets.images.prepare import normalise
from resnets.progress import Progress, duration
from resnets.training import checkpoint, outputs
from resnets.training.checkpoint import State, Tensors
from resnets.training.config import Config
from resnets.training.engine import Engine, to_device
from resnets.training.interrupt import Stop
from resnets.training.plan import augmentation
from resnets.training.schedule import learning_rate

SAVE_EVERY = 600.0  # seconds between states within an epoch
LOOK_EVERY = {"cpu": 1, "cuda": 20, "mps": 20}  # steps between looks at the loss: a GPU has to be waited for
VALIDATION_BATCH = 250
LOWER = "Train again into another folder with a lower --lr, or --precision float32."


@dataclass
class Run:
    """A run under way: its folder, its settings, and all that moves."""

    folder: Path
    config: Config
    engine: Engine
    state: State
    train: Pictures
    val: Pictures
    quiet: bool = False
    bad: set[Path] = field(default_factory=set)  # unreadable images that have been named
    unseen: list[tuple[Tensor, Tensor, int]] = field(default_factory=list)  # losses not looked at yet

    def __post_init__(self) -> None:
        for pictures in (self.train, self.val):  # named when they were read
            self.bad.update(pictures.split.root / file for file, _ in pictures.bad)

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return batches_per_epoch(len(self.train), self.config.preset.batch, whole=self.config.compile)


def run_epoch(run: Run, stop: Stop) -> None:
    """The steps of the epoch that are still to do. Ends the process where `stop` was asked, once the state is saved."""
    state, preset, device = run.state, run.config.preset, run.engine.device
    state.sums = state.sums or dict.fromkeys(("images", "loss", "wrong", "seconds", "waited"), 0.0)
    saved = began = time.monotonic()
    label = f"epoch {state.epoch + 1}/{preset.epochs}"
    with Progress(label, len(run.train), quiet=run.quiet, done=state.step * preset.batch) as progress:
        for batch in _timed(_batches(run), state.sums):
            _note_bad(run, run.train, batch)
            x, y = to_device((batch.images, batch.targets), device)
            taken = state.epoch * run.steps + state.step
            rate = learning_rate(preset, taken, run.steps * preset.epochs)
            loss, wrong = run.engine.step(x, y, rate, taken)
            run.unseen.append((loss, wrong, len(batch.targets)))
            state.step += 1
            if state.step % LOOK_EVERY[device.type] == 0 or state.step == run.steps or stop.asked:
                _look(run)
            now = time.monotonic()
            progress.advance(len(batch.targets), _note(state.sums, now - began))
            if stop.asked or now - saved > SAVE_EVERY:
                _look(run)
                state.sums["seconds"] += now - began
                _save(run)
                saved = began = time.monotonic()
                stop.leave()
    state.sums["seconds"] += time.monotonic() - began


def _save(run: Run) -> None:
    run.engine.put(run.state)
    checkpoint.save(run.state, run.folder)


def _note(sums: dict[str, float], seconds: float) -> str:
    """What stands beside the rate: the mean loss so far, and the share of time waiting for data when it is felt."""
    loss = f"loss {sums['loss'] / sums['images']:.3f}" if sums["images"] else ""
    waiting = sums["waited"] / max(sums["seconds"] + seconds, 1e-9)
    return f"{loss}, {waiting:.0%} data wait".strip(", ") if waiting >= 0.005 else loss


def _batches(run: Run) -> Iterator[Batch]:
    return training_batches(
        run.train,
        augmentation(run.config, run.state.epoch),
        partial(normalise, recipe=run.config.recipe, channels_last=True),
        batch=run.config.preset.batch,
        seed=run.config.seed,
        epoch=run.state.epoch,
        start=run.state.step,
        stop=run.steps,
        workers=run.config.workers,
    )


def _timed(batches: Iterator[Batch], sums: dict[str, float]) -> Iterator[Batch]:
    """The batches, adding the time spent waiting for them to `sums`."""
    while True:
        asked = time.monotonic()
        batch = next(batches, None)
        sums["waited"] += time.monotonic() - asked
        if batch is None:
            return
        yield batch


def _look(run: Run) -> None:
    """Add up the losses of the last steps. Raises ResNetsError where one is not a number."""
    first = run.state.step - len(run.unseen)
    for step, (loss, wrong, count) in enumerate(run.unseen, first + 1):
        value = float(loss)
        if not torch.isfinite(loss):
            raise ResNetsError(
                f"The loss became {value} in epoch {run.state.epoch + 1}, step {step} of {run.steps}.",
                LOWER,
            )
        run.state.sums["images"] += count
        run.state.sums["loss"] += value * count
        run.state.sums["wrong"] += float(wrong)
    run.unseen.clear()


def _note_bad(run: Run, pictures: Pictures, batch: Batch) -> None:
    """Name images that could not be read, once each; too many of them stop the run."""
    root = pictures.split.root
    new = tuple((file, reason) for file, reason in batch.bad if root / file not in run.bad)
    if new:
        report_bad(new, pictures.split)
        run.bad.update(root / file for file, _ in new)
        refuse_many(new, sum(path.is_relative_to(root) for path in run.bad), len(pictures))


def measure(run: Run, stop: Stop, weights: Tensors | None = None, what: str = "validation") -> Tally:
    """Errors on the validation images: of the run's network, or exactly (in float32) of the weights given.

    Ends the process where `stop` was asked, once the state is saved. Raises ResNetsError where the network's answers
    are not finite numbers.
    """
    engine, exact = run.engine, weights is not None
    if weights is not None:
        engine.measured.load_state_dict(weights)
    tally = Tally()
    batches = validation_batches(
        run.val,
        partial(normalise, recipe=run.config.recipe, channels_last=True),
        batch=VALIDATION_BATCH,
        workers=run.config.workers,
    )
    with Progress(what, len(run.val), quiet=run.quiet) as progress:
        for batch in batches:
            _note_bad(run, run.val, batch)
            if len(batch.targets):
                (x,) = to_device((batch.images,), engine.device)
                tally.add(engine.logits(x, exact=exact).cpu().numpy(), batch.targets)
                if tally.not_finite:
                    raise ResNetsError(f"What the network answers in epoch {run.state.epoch + 1} is no number.", LOWER)
            if stop.asked:
                if not exact:  # the weights in the engine are the run's own
                    _save(run)
                stop.leave()
            tally.errors += len(batch.bad)
            progress.advance(len(batch.targets))
    return tally


def close_epoch(run: Run, tally: Tally) -> None:
    """Write the epoch's row, the best weights and the state; then what is made from them."""
    state, sums = run.state, run.state.sums
    rate = learning_rate(run.config.preset, (state.epoch + 1) * run.steps - 1, run.steps * run.config.preset.epochs)
    row = {
        "epoch": state.epoch + 1,
        "train_loss": sums["loss"] / sums["images"],
        "train_top1_error": 100 * sums["wrong"] / sums["images"],
        "val_top1_error": tally.top1_error,
        "val_top5_error": tally.top5_error,
        "learning_rate": rate,
        "images_per_second": sums["images"] / sums["seconds"],
        "data_wait": sums["waited"] / sums["seconds"],
        "seconds": sums["seconds"],
    }
    state.epoch, state.step, state.sums = state.epoch + 1, 0, {}
    state.rows.append(row)
    run.engine.put(state)
    if state.best_error is None or tally.top1_error < state.best_error:
        state.best_error, state.best_epoch = tally.top1_error, state.epoch
        state.best = state.average or state.network
    checkpoint.save(state, run.folder)
    outputs.write(run.folder, run.config, state)
    if not run.quiet:
        print(_line(row, run), file=sys.stderr)


def _line(row: dict[str, float], run: Run) -> str:
    best = ", the best so far" if run.state.best_epoch == run.state.epoch else ""
    top5 = f" (top-5 {row['val_top5_error']:.2f} %)" if says_top5(len(run.config.classes)) else ""
    return (
        f"epoch {row['epoch']}/{run.config.preset.epochs}: loss {row['train_loss']:.3f}, "
        f"train error {row['train_top1_error']:.2f} %, val error {row['val_top1_error']:.2f} %{top5}, "
        f"{row['images_per_second']:,.0f} images/s, {row['data_wait']:.1%} data wait{_left(row, run)}{best}"
    )


def _left(row: dict[str, float], run: Run) -> str:
    """About how long the epochs to come will take: as this one did, by the pixels of their crops."""
    preset, done = run.config.preset, run.state.epoch
    pixels = [preset.crop_in(epoch) ** 2 for epoch in range(done - 1, preset.epochs)]
    seconds = row["seconds"] * sum(pixels[1:]) / pixels[0]
    return f", {duration(seconds)} left" if seconds else ""
