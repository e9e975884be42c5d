"""Training from image files against the same network, precision and optimiser stepping on one tensor in memory.

    python benchmarks/train_throughput.py DATA [--preset quick-cifar] [--architecture NAME] [--steps 30] [--rounds 5]

Blocks of steps of both kinds take turns, so that a noisy machine disturbs both alike. Prints the rates, their ratio,
and the ratio with the one-time decoding spread over the epochs of the preset. The goal is 0.95.
"""

import argparse
import time
from collections.abc import Generator, Iterable
from contextlib import closing
from functools import partial
from itertools import islice, repeat
from pathlib import Path

import torch
from torch import Tensor

from resnets.data.batches import Batch, batches_per_epoch, training_batches
from resnets.data.pictures import Pictures
from resnets.images.prepare import normalise
from resnets.training.config import Config
from resnets.training.engine import Engine, to_device
from resnets.training.plan import augmentation, plan, read_data

AHEAD = 3  # batches that each thread may have ready or under way


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--preset", default="quick-cifar")
    parser.add_argument("--architecture")
    parser.add_argument("--crop", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=30, help="steps a block")
    parser.add_argument("--rounds", type=int, default=5, help="blocks of each kind")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    config, splits = plan(
        asked.data,
        asked.preset,
        architecture=asked.architecture,
        crop=asked.crop,
        batch=asked.batch,
        device=asked.device,
        quiet=True,
    )
    torch.set_num_threads(config.threads)
    began = time.perf_counter()
    train, _ = read_data(config, splits, quiet=True)
    decoding = time.perf_counter() - began
    pairs = measured(config, train, asked.steps, asked.rounds)
    images = asked.steps * config.preset.batch
    read, held = (sorted(times)[len(times) // 2] for times in zip(*pairs))
    ratios = sorted(h / r for r, h in pairs)
    ratio = ratios[len(pairs) // 2]
    spread = 1 / (1 / ratio + decoding / (len(train) * config.preset.epochs) * images / held)
    print(f"{config.name}, {config.precision}, batch {config.preset.batch}, {config.device}, {config.threads} threads")
    print(f"from files   {images / read:8,.0f} images/s")
    print(f"from memory  {images / held:8,.0f} images/s")
    print(f"ratio        {ratio:8.3f}  (median of {len(pairs)} pairs, {ratios[0]:.3f} to {ratios[-1]:.3f}; goal 0.95)")
    print(f"with {decoding:.0f} s of decoding over {config.preset.epochs} epochs {spread:.3f}")


def measured(config: Config, train: Pictures, count: int, rounds: int) -> list[tuple[float, float]]:
    """Seconds of `count` steps from files and from memory, in turn."""
    engine, preset = Engine(config), config.preset
    augment = augmentation(config, preset.epochs)  # as in the last epochs: whole crops
    prepare = partial(normalise, recipe=config.recipe, channels_last=True)
    per_epoch = batches_per_epoch(len(train), preset.batch, whole=True)

    def files() -> Generator[Batch]:
        for epoch in range(1_000_000):
            yield from training_batches(
                train, augment, prepare, batch=preset.batch, seed=0, epoch=epoch, start=0, stop=per_epoch,
                workers=config.workers,
            )  # fmt: skip

    def seconds(batches: Iterable[tuple[Tensor, Tensor]]) -> float:
        start = time.perf_counter()
        for x, y in islice(batches, count):
            engine.step(x, y, 1e-4, 0)
        if engine.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    def from_files() -> float:
        with closing(files()) as batches:  # its threads end with the block: none works ahead while the other is timed
            for _ in range(AHEAD * config.workers):  # what is ready before the clock runs is not counted
                next(batches)
            return seconds((x, y) for x, y in (to_device((b.images, b.targets), engine.device) for b in batches))

    with closing(files()) as batches:
        fixed = next(batches)
    x, y = to_device((fixed.images, fixed.targets), engine.device)
    seconds(repeat((x, y))), from_files()  # warm up
    return [(from_files(), seconds(repeat((x, y)))) for _ in range(rounds)]


if __name__ == "__main__":
    main()
