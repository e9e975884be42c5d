"""What to train on what, settled before any work: the splits, the settings, the augmentation, the decoded images."""

import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from resnets import catalog
from resnets.catalog import Architecture
from resnets.data import augment
from resnets.data.augment import Augmentation
from resnets.data.batches import batches_per_epoch
from resnets.data.folders import Split, fingerprint, read_training
from resnets.data.pictures import Pictures, read_pictures
from resnets.errors import ResNetsError
from resnets.images.decode import decode
from resnets.images.prepare import prepare
from resnets.inputs import passed_over
from resnets.parallel import cores
from resnets.training.config import Config, data_fingerprint, machine, recipe_for, settle_device, settle_precision
from resnets.training.presets import Preset, preset_named

Splits = tuple[Split, Split]
FEW = 500  # steps


def read_splits(data: Path, val_split: float | None, seed: int, *, quiet: bool = False) -> tuple[Splits, str]:
    """((training, validation), their fingerprint). No image is opened."""
    splits = read_training(data, val_split, seed)
    ignored = Counter(dict(splits[0].ignored)) + Counter(dict(splits[1].ignored if val_split is None else ()))
    if ignored and not quiet:
        print(passed_over(ignored), file=sys.stderr)
    return splits, data_fingerprint(*(fingerprint(split) for split in splits))


def plan(
    data: Path,
    preset: str | None = None,
    *,
    architecture: str | Architecture | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    workers: int | None = None,
    compile: bool = False,
    val_split: float | None = None,
    quiet: bool = False,
    **changes: Any,
) -> tuple[Config, Splits]:
    """The settings of a new run. `changes` replace fields of the preset; None leaves them.

    The preset defaults by the network's stem: fb-cifar for CIFAR networks, fb-imagenet for the others.
    """
    if preset is None:
        if architecture is None:
            raise ResNetsError("Nothing says what to train.", "Give --architecture or --preset.")
        preset = "fb-cifar" if _found(architecture).cifar_stem else "fb-imagenet"
    chosen = preset_named(preset, **changes)
    wanted = architecture or chosen.architecture
    splits, digest = read_splits(data, val_split, seed, quiet=quiet)
    _refuse_bytes([data.resolve().name, *splits[0].classes])
    classes = splits[0].classes
    network = replace(_found(wanted), classes=len(classes))
    _refuse_misfit(network, chosen)
    device = settle_device(device)
    config = Config(
        data=str(data.resolve()),
        name=wanted if isinstance(wanted, str) else "custom",
        architecture=network,
        preset=chosen,
        recipe=recipe_for(network, chosen.crop),
        seed=seed,
        device=device,
        precision=settle_precision(precision, device),
        threads=threads or cores(),
        workers=workers or max(1, cores() - 1 if device == "cpu" else cores()),
        compile=compile,
        val_split=val_split,
        classes=classes,
        train_images=len(splits[0]),
        val_images=len(splits[1]),
        fingerprint=digest,
        machine=machine(device),
        measured_on=splits[1].root.name if val_split is None else f"train, {val_split:.0%} kept apart",
    )
    if not quiet:
        _warn_few(config)
    return config, splits


def _refuse_bytes(names: list[str]) -> None:
    """Folder names become labels and go into JSON: what is not UTF-8 is refused before any work."""
    bad = [name for name in names if any("\ud800" <= c <= "\udfff" for c in name)]
    if bad:
        shown = ", ".join(name.encode("utf-8", "backslashreplace").decode() for name in bad)
        raise ResNetsError(f"These folder names are not UTF-8: {shown}.", "Rename the folders.")


def _warn_few(config: Config) -> None:
    """Presets are made for thousands of steps: a rate that is right for those tears a short run apart."""
    steps = config.preset.epochs * batches_per_epoch(config.train_images, config.preset.batch, whole=config.compile)
    if steps < FEW:
        print(
            f"only {steps:,} steps in all, and preset {config.preset.name} is made for thousands: more --epochs, a "
            "smaller --batch or a lower --lr may learn more",
            file=sys.stderr,
        )


def _found(architecture: str | Architecture) -> Architecture:
    return catalog.find(architecture) if isinstance(architecture, str) else architecture


def _refuse_misfit(network: Architecture, preset: Preset) -> None:
    if network.classes < 2:
        raise ResNetsError("There is only one class: nothing can be told apart.", "Add folders of other classes.")
    if preset.pad is not None and not network.cifar_stem:
        raise ResNetsError(
            f"Preset {preset.name} trains on whole small images, and this network is for photographs.",
            "Use a preset for photographs, such as fb-imagenet, or a CIFAR network.",
        )


def augmentation(config: Config, epoch: int) -> Augmentation:
    """The preset's augmentation, in fb.resnet.torch's order: crop, colours, flip; then what others added."""
    preset, recipe = config.preset, config.recipe
    mean = tuple(round(m / recipe.scale) for m in recipe.mean)
    side = preset.crop_in(epoch)
    if preset.pad is not None:
        # As many places for a smaller crop as for a whole one, and as little of the padding.
        parts = [augment.random_crop(side, max(0, preset.pad - (preset.crop - side) // 2), mean)]
    else:
        parts = [augment.random_resized_crop(side, preset.smallest_area)]
    if preset.jitter:
        parts.append(augment.colour_jitter(preset.jitter))
    if preset.lighting:
        parts.append(augment.lighting(preset.lighting))
    if preset.flip:
        parts.append(augment.random_flip())
    if preset.cutout:
        parts.append(augment.cutout(preset.cutout, mean))
    return augment.compose(parts)


def read_data(config: Config, splits: Splits, *, quiet: bool) -> tuple[Pictures, Pictures]:
    """Both splits decoded: training images whole, validation images as the recipe's crops."""
    recipe = config.recipe
    load = partial(decode, exif=recipe.exif, alpha=recipe.alpha)
    small = config.preset.pad is not None  # padded crops need images of one size: the recipe's

    def crop(path: Path) -> Any:
        return prepare(load(path), recipe)[0]

    train = read_pictures(splits[0], crop if small else load, label="reading training images", quiet=quiet)
    val = read_pictures(splits[1], crop, label="reading validation images", quiet=quiet)
    return train, val
