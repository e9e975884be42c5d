"""Training from image files against the same network, precision and optimiser stepping on one tensor in memory.

    python benchmarks/train_throughput.py DATA [--preset quick-cifar] [--architecture NAME] [--steps 30] [--rounds 5]

Blocks of steps of both kinds take turns, so that a noisy machine disturbs both alike. Prints the rates, their ratio,
and the ratio with the one-time decoding spread over the epochs of the preset. The goal is 0.95.
"""

import argparse
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

import torch

from resnets.data.batches import Batch, batches_per_epoch, training_batches
from resnets.images import normalise
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
    )
    torch.set_num_threads(config.threads)
    began = time.perf_counter()
    train, _ = read_data(config, splits, quiet=True)
    decoding = time.perf_counter() - began
    engine = Engine(config)
    per_epoch = batches_per_epoch(len(train), config.preset.batch, whole=True)

    augment = augmentation(config, config.preset.epochs)  # as in the last epochs: whole crops
    prepare = partial(normalise, recipe=config.recipe, channels_last=True)

    def files() -> Generator[Batch]:
        for epoch in range(1_000_000):
            yield from training_batches(
                train, augment, prepare, batch=config.preset.batch, seed=0, epoch=epoch, start=0, stop=per_epoch,
                workers=config.workers,
            )  # fmt: skip

    def steps(batches: Iterator[Batch], count: int) -> float:
        start = time.perf_counter()
        for batch in islice(batches, count):
            x, y = to_device((batch.images, batch.targets), engine.device)
            engine.step(x, y, 1e-4, 0)
        if engine.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    def from_files() -> float:
        with closing(files()) as batches:  # its threads end with the block: none works ahead while the other is timed
            steps(batches, AHEAD * config.workers)  # what they have prepared before the clock runs is not counted
            return steps(batches, asked.steps)

    with closing(files()) as batches:
        fixed = next(batches)
    fixed_x, fixed_y = to_device((fixed.images, fixed.targets), engine.device)

    def from_memory() -> float:
        start = time.perf_counter()
        for _ in range(asked.steps):
            engine.step(fixed_x, fixed_y, 1e-4, 0)
        if engine.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    from_memory(), from_files()  # warm up
    pairs = [(from_files(), from_memory()) for _ in range(asked.rounds)]
    images = asked.steps * config.preset.batch
    read, held = (sorted(times)[len(times) // 2] for times in zip(*pairs))
    ratio = sorted(h / r for r, h in pairs)[len(pairs) // 2]
    total = len(train) * config.preset.epochs
    spread = 1 / (1 / ratio + decoding / total * images / held)
    print(f"{config.name}, {config.precision}, batch {config.preset.batch}, {config.device}, {config.threads} threads")
    print(f"from files   {images / read:8,.0f} images/s")
    print(f"from memory  {images / held:8,.0f} images/s")
    print(f"ratio        {ratio:8.3f}  (median of {len(pairs)} pairs, {min(h / r for r, h in pairs):.3f} to "
          f"{max(h / r for r, h in pairs):.3f}; goal 0.95)")  # fmt: skip
    print(f"with {decoding:.0f} s of decoding over {config.preset.epochs} epochs {spread:.3f}")


if __name__ == "__main__":
    main()
