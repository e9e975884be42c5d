"""Folders of images: what is found, in which order, and what is refused."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from resnets.data import folders
from resnets.errors import ResNetsError


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_classes_and_files_are_in_byte_order(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/10.JPG", "a/x.png", "Z/q.jpeg", "a/deep/y.webp", "a/notes.txt", "é/1.bmp"):
        touch(tmp_path / name)
    split = folders.read_split(tmp_path)
    assert split.classes == ("Z", "a", "b", "é")
    assert split.files == ("Z/q.jpeg", "a/deep/y.webp", "a/x.png", "b/10.JPG", "b/2.jpg", "é/1.bmp")
    assert split.targets.tolist() == [0, 1, 1, 2, 2, 3]
    assert split.ignored == ((".txt", 1),)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "holds no class folders"),
        (["loose.jpg"], "holds no class folders"),
        (["a/1.jpg", "b/notes.txt", "c/2.txt"], "No images in b, c"),
        (["Cat/1.jpg", "cat/2.jpg", "dog/3.jpg"], "Cat and cat"),
    ],
)
def test_folders_that_cannot_be_trained_on(tmp_path: Path, files: list[str], words: str) -> None:
    for name in files:
        touch(tmp_path / name)
    with pytest.raises(ResNetsError, match=words):
        folders.read_split(tmp_path)


def test_what_is_hidden_or_goes_round_is_no_image_of_a_class(tmp_path: Path) -> None:
    for name in (
        "a/1.jpg",
        "a/.ipynb_checkpoints/1.jpg",
        "a/.2.jpg",
        "a/b/3.jpg",
        "a/b-c.jpg",
        "b/4.jpg",
        ".git/5.jpg",
    ):
        touch(tmp_path / name)
    (tmp_path / "a" / "up").symlink_to(tmp_path)  # would put the images of b into a
    (tmp_path / "a" / "round").symlink_to(tmp_path / "a")
    for name in ("self", "a/self", "a/self.jpg"):
        (tmp_path / name).symlink_to("self" if name[-4:] != ".jpg" else "self.jpg")
    split = folders.read_split(tmp_path)
    assert split.classes == ("a", "b")
    assert split.files == ("a/1.jpg", "a/b-c.jpg", "a/b/3.jpg", "a/self.jpg", "b/4.jpg")
    assert dict(split.ignored) == {"hidden": 1, "": 1}  # a/.2.jpg and a/self


def test_folders_that_cannot_be_listed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1.jpg", "a/shut/2.jpg", "b/shut/3.jpg", "b/4.jpg"):
        touch(tmp_path / name)
    real = os.scandir

    def refuse(path: str) -> Iterator[os.DirEntry[str]]:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ResNetsError, match=r"cannot be read: .*a/shut, .*b/shut"):
        folders.read_split(tmp_path)


def test_missing_folder_and_file_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(ResNetsError, match="There is no folder"):
        folders.read_split(tmp_path / "nowhere")
    touch(tmp_path / "file")
    with pytest.raises(ResNetsError, match="is not a folder"):
        folders.read_split(tmp_path / "file")


def test_validation_follows_training_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train/a/1.jpg", "train/b/1.jpg", "train/c/1.jpg", "test/b/1.jpg", "test/c/2.jpg"):
        touch(tmp_path / name)
    train, val = folders.read_training(tmp_path, None, 0)
    assert val.classes == train.classes == ("a", "b", "c")
    assert val.targets.tolist() == [1, 2]  # by position b would be class 0
    assert capsys.readouterr().err == f"no images of 1 of 3 classes in {tmp_path / 'test'}: a\n"


def test_every_unknown_class_of_validation_is_named(tmp_path: Path) -> None:
    for name in ("train/a/1.jpg", "train/b/1.jpg", "val/x/1.jpg", "val/a/1.jpg", "val/y/1.jpg"):
        touch(tmp_path / name)
    with pytest.raises(ResNetsError, match="lacks: x, y"):
        folders.read_training(tmp_path, None, 0)


def test_without_validation_a_split_is_offered_and_made(tmp_path: Path) -> None:
    for label, count in (("a", 20), ("b", 10), ("c", 3)):
        for number in range(count):
            touch(tmp_path / "train" / label / f"{number}.jpg")
    with pytest.raises(ResNetsError, match=r"--val-split 0\.1"):
        folders.read_training(tmp_path, None, 0)
    train, val = folders.read_training(tmp_path, 0.2, 0)
    assert np.bincount(val.targets).tolist() == [4, 2, 1]
    assert not set(train.files) & set(val.files)
    assert len(train) + len(val) == 33
    again = folders.read_training(tmp_path, 0.2, 0)[1]
    assert again.files == val.files
    assert folders.read_training(tmp_path, 0.2, 1)[1].files != val.files


def test_classes_may_be_called_as_splits_are(tmp_path: Path) -> None:
    for label in ("train", "truck"):
        for number in range(4):
            touch(tmp_path / label / f"{number}.jpg")
    train, val = folders.read_training(tmp_path, 0.25, 0)
    assert train.classes == ("train", "truck")
    assert (len(train), len(val)) == (6, 2)


def test_a_split_beside_a_validation_folder_is_refused(tmp_path: Path) -> None:
    for name in ("train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg"):
        touch(tmp_path / name)
    with pytest.raises(ResNetsError, match="has its own val folder"):
        folders.read_training(tmp_path, 0.1, 0)


def test_fingerprint_tells_another_listing(photo_data: Path, tmp_path: Path) -> None:
    before = folders.fingerprint(folders.read_split(photo_data / "train"))
    copy = tmp_path / "copy"
    shutil.copytree(photo_data / "train", copy)
    assert folders.fingerprint(folders.read_split(copy)) == before  # where it lies does not matter
    next((copy / "cat").iterdir()).rename(copy / "cat" / "other.jpg")
    assert folders.fingerprint(folders.read_split(copy)) != before
