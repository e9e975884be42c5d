"""How to train: each preset is a function that returns a frozen value; its docstring has command and result."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from resnets.errors import ResNetsError, did_you_mean

SCHEDULES = ("step", "cosine", "one-cycle")


@dataclass(frozen=True)
class Preset:
    """Everything about a training run but the network, the data and the machine.

    `learning_rate` is the peak, for batches of `batch`. `schedule`: `step` multiplies by 0.1 after each of `drops`,
    `cosine` falls to nothing, `one-cycle` rises and falls in straight lines; drops and `warmup` are shares of the run,
    so that `epochs` scales them. `decay_norms`: whether weight decay reaches batch norms and biases. `ema`: decay per
    step of the averaged weights that are then measured and saved, 0 for none.
    `crop`: side of the training image in pixels. `pad`: random crop of the padded image; None: random resized crop.
    `growth`: (share of the run, share of `crop`) pairs in order: until then training crops have that smaller side.
    """

    name: str
    architecture: str
    epochs: int
    batch: int
    learning_rate: float
    schedule: str
    crop: int
    pad: int | None
    drops: tuple[float, ...] = ()
    warmup: float = 0.0
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4
    decay_norms: bool = True
    label_smoothing: float = 0.0
    ema: float = 0.0
    flip: bool = True
    cutout: int = 0
    jitter: float = 0.0
    lighting: float = 0.0
    smallest_area: float = 0.08
    growth: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        wrong = [
            problem
            for bad, problem in (
                (self.schedule not in SCHEDULES, f"schedule {self.schedule!r} is not one of {', '.join(SCHEDULES)}"),
                (self.epochs < 1, "epochs must be at least 1"),
                (self.batch < 2, "a batch needs at least 2 images"),
                (not self.learning_rate > 0, "the learning rate must be above 0"),
                (self.weight_decay < 0, "weight decay cannot be negative"),
                (self.crop < 32, "crops under 32 pixels leave these networks nothing to look at"),
                (not 0 <= self.ema < 1, "ema must be from 0 up to, but not, 1"),
                (not 0 <= self.warmup < 1, "warm-up must be a share of the run"),
            )
            if bad
        ]
        if wrong:
            raise ResNetsError(f"This cannot be trained: {'; '.join(wrong)}.", "Change those settings.")

    def crop_in(self, epoch: int) -> int:
        """Side of the training crops of epoch `epoch`, counted from 0. The last epoch always sees whole ones."""
        if epoch >= self.epochs - 1:
            return self.crop
        return next((round(self.crop * part) for until, part in self.growth if epoch < until * self.epochs), self.crop)


def fb_cifar() -> Preset:
    """fb.resnet.torch's CIFAR-10: 164 epochs, rate 0.1 divided by ten from epochs 81 and 122 on.

    resnets train cifar10 --architecture resnet20-cifar --preset fb-cifar --out runs/resnet20

    8.75 % error for ResNet-20 on the original CIFAR-10 in table 6 of arXiv:1512.03385; not run to the end here.
    """
    return Preset("fb-cifar", "resnet20-cifar", 164, 128, 0.1, "step", crop=32, pad=4, drops=(80 / 164, 121 / 164))


def fb_imagenet() -> Preset:
    """fb.resnet.torch's ImageNet: 90 epochs, rate 0.1 divided by ten every 30, colour jitter and lighting.

    resnets train imagenet --architecture resnet50 --preset fb-imagenet --out runs/resnet50

    24.01 % error for ResNet-50 with one crop, as fb.resnet.torch reports it; not run here.
    """
    return Preset(
        "fb-imagenet", "resnet18", 90, 256, 0.1, "step", crop=224, pad=None, drops=(1 / 3, 2 / 3),
        jitter=0.4, lighting=0.1,
    )  # fmt: skip


def quick_cifar() -> Preset:
    """A short CIFAR run: one cycle to 0.3, label smoothing, cutout (arXiv:1708.04552), averaged weights, growing crops.

    Crops of 24 and 28 pixels cost 0.56 and 0.77 of whole ones, and serve as well while the rate is high.

    resnets train cifar10-jpeg --preset quick-cifar --epochs 80 --threads 1 --out runs/cifar10

    9.44 % error on lossy JPEG copies of CIFAR-10, not comparable with published figures: the run of the bundled model,
    whose results.csv and plot are in docs/runs.
    """
    return Preset(
        "quick-cifar", "wide-resnet12-cifar", 60, 128, 0.3, "one-cycle", crop=32, pad=4, warmup=0.25,
        weight_decay=5e-4, label_smoothing=0.1, ema=0.999, cutout=8, growth=((0.45, 0.75), (0.7, 0.875)),
    )  # fmt: skip


def quick_photos() -> Preset:
    """A short run on photographs, 128-pixel crops: one cycle, label smoothing, crops of a third of the area and more.

    resnets train imagenette --preset quick-photos --architecture resnet18 --crop 128 --epochs 5 --out runs/imagenette

    25.10 % error on ten classes of ImageNet's photographs, from scratch: docs/runs.
    """
    return Preset(
        "quick-photos", "resnet18", 5, 64, 0.1, "one-cycle", crop=128, pad=None, warmup=0.25,
        weight_decay=5e-4, label_smoothing=0.1, smallest_area=0.35,
    )  # fmt: skip


PRESETS: dict[str, Callable[[], Preset]] = {
    "fb-cifar": fb_cifar,
    "fb-imagenet": fb_imagenet,
    "quick-cifar": quick_cifar,
    "quick-photos": quick_photos,
}


def preset_named(name: str, **changes: Any) -> Preset:
    """The preset of that name with some fields replaced; a change of None leaves the field as it is."""
    if name not in PRESETS:
        hint = did_you_mean(name, PRESETS, f"Use one of {', '.join(PRESETS)}.")
        raise ResNetsError(f"No preset is called {name!r}.", hint)
    return replace(PRESETS[name](), **{k: v for k, v in changes.items() if v is not None})
