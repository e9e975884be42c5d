"""What each preset does to an image, and what is refused or told before any work."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from resnets.errors import ResNetsError
from resnets.training.config import Config, from_yaml, to_yaml
from resnets.training.plan import augmentation, plan, read_splits
from resnets.training.presets import PRESETS


def planned(data: Path, preset: str, **changes: object) -> Config:
    return plan(data, preset, device="cpu", quiet=True, **changes)[0]


def augmented(config: Config, epoch: int, image: np.ndarray, draws: int = 200) -> np.ndarray:
    augment = augmentation(config, epoch)
    return np.stack([augment(image, np.random.default_rng(n)) for n in range(draws)])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_config_survives_its_own_yaml(preset: str, photo_data: Path) -> None:
    config = planned(photo_data, preset)
    assert from_yaml(to_yaml(config)) == config


@pytest.mark.parametrize("preset", ["fb-cifar", "quick-cifar"])
def test_small_images_are_shifted_flipped_and_padded_with_the_mean(preset: str, photo_data: Path) -> None:
    config = planned(photo_data, preset)
    # Red says how far right, green how far down a pixel was; blue marks what was not padding.
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = np.arange(32), np.arange(32)[:, None], 255
    seen = augmented(config, config.preset.epochs - 1, image)
    assert seen.shape == (200, 32, 32, 3)
    real = seen[..., 2] == 255
    mean = [round(255 * m) for m in config.recipe.mean]
    assert (seen[~real] == mean).all()
    steps = np.diff(seen[..., 0].astype(int), axis=2)[real[:, :, 1:] & real[:, :, :-1]]
    assert {-1, 1} <= set(steps.tolist()) <= {-1, 1}
    mirrored = [(np.diff(s[16, :, 0].astype(int))[r[16, 1:] & r[16, :-1]] < 0).any() for s, r in zip(seen, real)]
    assert 70 < sum(mirrored) < 130
    rows = [int(s[:, :, 1][r].min()) for s, r in zip(seen, real)]
    assert set(rows) == {0, 1, 2, 3, 4}  # shifted by up to 4 pixels
    # A shifted window has whole rows and columns of padding; a hole within it is what cutout covers.
    holes = [np.count_nonzero(~r[r.any(1)][:, r.any(0)]) for r in real]
    assert max(holes) == (config.preset.cutout**2)


def test_crops_grow_and_the_last_epoch_is_whole(photo_data: Path) -> None:
    config = planned(photo_data, "quick-cifar", epochs=20)
    image = np.zeros((32, 32, 3), np.uint8)
    sides = [augmented(config, epoch, image, 1).shape[1] for epoch in range(20)]
    assert sides == [24] * 9 + [28] * 5 + [32] * 6
    for epochs in (1, 2, 3):
        assert replace(config.preset, epochs=epochs).crop_in(epochs - 1) == 32


def test_photographs_are_cut_flipped_and_recoloured(photo_data: Path) -> None:
    config = planned(photo_data, "fb-imagenet", crop=64)
    image = np.zeros((90, 120, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = np.arange(120), np.arange(90)[:, None], 128
    plain = replace(config, preset=replace(config.preset, jitter=0.0, lighting=0.0))
    seen = augmented(plain, 0, image)
    assert seen.shape[1:] == (64, 64, 3)
    assert 70 < np.count_nonzero(seen[:, 32, 0, 0] > seen[:, 32, -1, 0]) < 130
    widths = np.abs(seen[:, 32, -1, 0].astype(int) - seen[:, 32, 0, 0])
    assert widths.min() < 45 < 100 < widths.max()  # from a small part of the image to nearly all of it
    coloured = augmented(config, 0, image)
    assert coloured.dtype == np.float32
    blue = coloured[..., 2].mean((1, 2))
    assert blue.min() < 100 < 160 < blue.max()  # brightness from 0.6 to 1.4
    bare = augmented(replace(config, preset=replace(config.preset, jitter=0.0)), 0, image)[..., 2].mean((1, 2))
    assert 0.5 < bare.std() < 20  # lighting alone


def test_few_steps_are_told(photo_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan(photo_data, "quick-cifar", device="cpu", epochs=3, batch=8)
    assert "only 9 steps in all" in capsys.readouterr().err


def test_files_passed_over_are_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train/a/1.jpg", "train/a/2.heic", "val/a/3.jpg", "val/a/4.heic", "val/a/5.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    read_splits(tmp_path, None, 0)
    assert capsys.readouterr().err == "passed over, no images by their suffix: 3 files (.heic 2, .txt 1)\n"
    (tmp_path / "train" / "a" / "6.jpg").touch()
    read_splits(tmp_path / "train", 0.5, 0)  # both halves come from the same folder
    assert capsys.readouterr().err == "passed over, no images by their suffix: 1 file (.heic 1)\n"


def test_names_that_are_no_text_are_refused(photo_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for split in ("train", "val"):
        (data / split / "cat").mkdir(parents=True)
        (data / split / "cat" / "a.jpg").write_bytes(b"")
        (data / split / "ch\udce2t").mkdir()
        (data / split / "ch\udce2t" / "a.jpg").write_bytes(b"")
    with pytest.raises(ResNetsError, match=r"not UTF-8: ch\\udce2t"):
        planned(data, "fb-cifar")
