"""Settings and the machine go in, one frozen Config comes out: what config.yaml holds and a resumed run obeys."""

import hashlib
import platform
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from resnets import card, catalog
from resnets.card import Recipe
from resnets.catalog import Architecture
from resnets.errors import ResNetsError
from resnets.training.presets import Preset
from resnets.values import frozen, plain

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Config:
    """A run, whole. `threads` and `precision` change the arithmetic, so they are settled once and kept."""

    data: str
    name: str
    architecture: Architecture
    preset: Preset
    recipe: Recipe
    seed: int
    device: str
    precision: str
    threads: int
    workers: int
    compile: bool
    val_split: float | None
    classes: tuple[str, ...]
    train_images: int
    val_images: int
    fingerprint: str  # of the files and classes of both splits
    machine: dict[str, str]
    measured_on: str = "val"  # the folder of the validation images, or the share of `train` that was kept apart


def recipe_for(architecture: Architecture, crop: int) -> Recipe:
    """Our own recipe at that crop: CIFAR stems see the whole image, others the short side at 8/7 of it (256/224)."""
    size = crop if architecture.cifar_stem else round(crop * 256 / 224)
    return replace(card.RECIPES["resnets"], size=size, crop=crop)


def settle_device(wanted: str, *, resumed: bool = False) -> str:
    """`auto` is CUDA where there is one, else the CPU. Raises ResNetsError for a device that is not there."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = wanted.split(":")[0]
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind not in present:
        raise ResNetsError(f"There is no kind of device called {wanted!r}.", "Use auto, cpu, cuda, cuda:1 or mps.")
    if not present[kind]:
        remedy = "Go on with the run on a machine like the one it began on." if resumed else "Use --device cpu."
        raise ResNetsError(f"This machine, or this build of torch, has no {kind}.", remedy)
    number = wanted.partition(":")[2] or "0"
    if kind == "cuda" and not (number.isdigit() and int(number) < torch.cuda.device_count()):
        raise ResNetsError(
            f"{wanted!r} is none of the {torch.cuda.device_count()} devices here.", "Write cuda:0 for the first."
        )
    return wanted


def settle_precision(wanted: str, device: str) -> str:
    """`auto` by what the hardware computes natively, never by timing: bfloat16 where it does, else float32."""
    kind = device.split(":")[0]
    if wanted == "auto":
        native = (kind == "cpu" and cpu_has_bfloat16()) or (
            kind == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8
        )
        return "bfloat16" if native else "float32"  # compute capability 8, Ampere, is the first with bfloat16
    if wanted not in PRECISIONS:
        raise ResNetsError(f"There is no precision {wanted!r}.", f"Use auto, {', '.join(PRECISIONS)}.")
    if wanted == "float16" and kind == "cpu":
        raise ResNetsError("CPUs do not train in float16.", "Use --precision bfloat16 or float32.")
    return wanted


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 itself (AVX512-BF16 or AMX-BF16); emulated, it is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(errors="replace").split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def machine(device: str) -> dict[str, str]:
    """What the same bits depend on."""
    found = {"torch": str(torch.__version__), "python": platform.python_version(), "system": platform.platform()}
    try:
        rows = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        found["cpu"] = next(row.split(":", 1)[1].strip() for row in rows if row.startswith("model name"))
    except (OSError, StopIteration):
        found["cpu"] = platform.processor()
    if device.startswith("cuda"):
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def data_fingerprint(*prints: str) -> str:
    """One digest over those of the splits."""
    return hashlib.sha256("".join(prints).encode()).hexdigest()


def to_yaml(config: Config) -> str:
    """The text of config.yaml."""
    value = plain(config) | {
        "architecture": catalog.to_json(config.architecture),
        "recipe": card.recipe_to_json(config.recipe),
        "preset": plain(config.preset),
        "classes": list(config.classes),
    }
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def from_yaml(text: str) -> Config:
    """The reverse of `to_yaml`."""
    try:
        value: dict[str, Any] = yaml.safe_load(text)
        known = {f.name for f in fields(Config)}
        made = {
            "architecture": catalog.from_json(value["architecture"]),
            "recipe": card.recipe_from_json(value["recipe"]),
            "preset": Preset(**frozen(value["preset"])),
            "classes": tuple(value["classes"]),
        }
        return Config(**{k: v for k, v in (value | made).items() if k in known})
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise ResNetsError(f"The run's settings cannot be read ({error}).", "Start a new run.") from error
