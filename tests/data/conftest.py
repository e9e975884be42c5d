"""Image folders with something wrong in them."""

from pathlib import Path

import pytest


@pytest.fixture
def broken(photo_data: Path, tmp_path: Path) -> Path:
    """150 images a class, one of them cut short."""
    for label in ("cat", "rocket"):
        (tmp_path / label).mkdir()
        data = next((photo_data / "train" / label).iterdir()).read_bytes()
        for number in range(150):
            (tmp_path / label / f"{number:03}.jpg").write_bytes(data)
    (tmp_path / "cat" / "077.jpg").write_bytes(data[:300])
    return tmp_path
