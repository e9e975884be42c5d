import pytest

from resnets.card import Card, Label
from resnets.cli.measure import labelled, split_of, text
from resnets.errors import ResNetsError


def test_which_folder_is_measured(tmp_path):
    (tmp_path / "cat").mkdir()
    assert split_of(tmp_path) == tmp_path
    (tmp_path / "train").mkdir()
    with pytest.raises(ResNetsError, match="none to measure on"):
        split_of(tmp_path)
    (tmp_path / "test").mkdir()
    assert split_of(tmp_path) == tmp_path / "test"
    (tmp_path / "val").mkdir()
    assert split_of(tmp_path) == tmp_path / "val"
    only = tmp_path / "only"
    (only / "validation").mkdir(parents=True)
    assert split_of(only) == only / "validation"
    with pytest.raises(ResNetsError, match="no folder"):
        split_of(tmp_path / "none")


def test_classes_may_be_called_as_splits_are(tmp_path):
    for name in ("train/1.jpg", "truck/2.jpg", "test/3/deep.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert split_of(tmp_path) == tmp_path
    split, _, _ = labelled(tmp_path, Card("three", None, tuple(Label(n, n) for n in ("truck", "train", "test"))))
    assert split.files == ("test/3/deep.jpg", "train/1.jpg", "truck/2.jpg")


def test_a_model_without_labels_cannot_be_measured(photo_data):
    with pytest.raises(ResNetsError, match="has no labels"):
        labelled(photo_data, Card("bare", None))


def test_fewer_folders_than_classes_are_told(photo_data, capsys):
    labels = tuple(Label(name, name) for name in ("zebra", "rocket", "coffee", "cat"))
    split, targets, missing = labelled(photo_data, Card("four", None, labels))
    assert missing == ["zebra"]
    assert sorted(set(targets.tolist())) == [1, 2, 3]
    assert [labels[t].id for t in targets] == [file.split("/")[0] for file in split.files]
    assert "no folder for 1 of the model's 4 classes: zebra" in capsys.readouterr().err
    labelled(photo_data, Card("four", None, labels), quiet=True)
    assert capsys.readouterr().err == ""


def test_top5_is_told_where_it_says_something():
    found = {"name": "m", "data": "d", "images": 9, "crops": 1, "crop": 32, "recipe": "cifar"}
    found |= {f"top{k}_{what}": value for k in (1, 5) for what, value in (("error", 1.0), ("interval", [0.0, 2.0]))}
    assert "top-5 error" in text(found, 6)
    assert "top-5" not in text(found, 5)


def test_files_that_are_no_images_are_told_by_their_suffix(tmp_path, capsys):
    for name in ("cat/1.jpg", "cat/2.heic", "dog/3.jpg", "dog/4.HEIC"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    labelled(tmp_path, Card("two", None, (Label("cat", "cat"), Label("dog", "dog"))))
    assert capsys.readouterr().err == "passed over, no images by their suffix: 2 files (.heic 2)\n"
