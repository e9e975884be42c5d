"""Pictures: decoded once, kept when they fit; unreadable ones are named and counted."""

from pathlib import Path

import numpy as np
import pytest

from resnets.data import pictures
from resnets.data.folders import read_split
from resnets.errors import ResNetsError
from resnets.images.decode import decode


def load(path: Path) -> np.ndarray:
    return decode(path)


def test_one_bad_image_is_named_and_keeps_its_place(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = pictures.read_pictures(read_split(broken), load, label="reading", quiet=True)
    assert len(found) == 300  # as many as when nothing is kept: what is trained does not hang on free memory
    assert found.bad[0][0] == "cat/077.jpg"
    assert "cat/077.jpg" in capsys.readouterr().err
    with pytest.raises(ResNetsError, match=r"cannot be decoded|not an image|truncated"):
        found.image(77)
    assert found.image(78).shape == (40, 40, 3)


def test_too_many_bad_images_stop_everything(broken: Path) -> None:
    for number in range(10):
        (broken / "rocket" / f"{number:03}.jpg").write_bytes(b"no image")
    with pytest.raises(ResNetsError, match="11 of 300 images cannot be read") as caught:
        pictures.read_pictures(read_split(broken), load, label="reading", quiet=True)
    assert "rocket/003.jpg" in str(caught.value)


def kept(root: Path) -> bool:
    return pictures.read_pictures(read_split(root), load, label="reading", quiet=True).kept is not None


def test_what_does_not_fit_is_not_kept(photo_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "available_memory", lambda: 24 * 40 * 40 * 3)
    assert not kept(photo_data / "train")
    monkeypatch.setattr(pictures, "available_memory", lambda: 3 * 24 * 40 * 40 * 3)
    assert kept(photo_data / "train")
