"""Names of models: bundled, on the disk, published; and what is said of a name that is none."""

import pytest

from resnets.errors import ResNetsError
from resnets.weights import names
from resnets.weights.names import resolve

HUB = "for that repository of the Hugging Face Hub"


def test_names_that_are_no_model(tmp_path, monkeypatch, tiny_model):
    monkeypatch.setattr(names, "BUNDLED", tmp_path)
    with pytest.raises(ResNetsError, match="no bundled model"):
        resolve(None)
    (tmp_path / "resnet20-cifar10.onnx").write_bytes(tiny_model.read_bytes())
    assert resolve(None) == resolve("resnet20-cifar10") == tmp_path / "resnet20-cifar10.onnx"
    for name, reason in (
        (
            "resnet50",
            r"not a model.*: (resnet50\.\S*,? ){3}and more: `resnets list resnet50 --published`.* 2\d\. .*create",
        ),
        ("resnet20-cifar1O", "Did you mean 'resnet20-cifar10'"),
        ("zebra", "no model called 'zebra'"),
        ("missing.onnx", "There is no file missing.onnx"),
        ("resnet-18.t7", "There is no file resnet-18.t7.*resnet18.fb, which is a published file of that name"),
        ("resnet50.tv9", "Did you mean 'resnet50.tv"),
        ("runs/first", "There is no file runs/first"),
        ("~nosuchuser/m.onnx", "There is no file ~nosuchuser/m.onnx"),
        ("wide_resnet50_2", "Did you mean .*'wide-resnet50-2'"),
    ):
        with pytest.raises(ResNetsError, match=reason):
            resolve(name)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        (
            "timm/resnet50.a1_in1k",
            f"Write hf:timm/resnet50.a1_in1k {HUB}, or resnet50.a1_in1k, as `resnets list` calls its weights.",
        ),
        ("hf_hub:timm/resnet50.zzz", f"Write hf:timm/resnet50.zzz {HUB}."),
        ("hf-hub:me/mine@v1", f"Write hf:me/mine@v1 {HUB}."),
        ("microsoft/resnet-50", f"Write hf:microsoft/resnet-50 {HUB}."),
        ("there/model", "Check the path."),
        ("nowhere/model.pth", "Check the path."),
        ("https://example.org/a.pth?download=1", "Download it and give the path of its file."),
        (
            "https://d2j0dndfm35trm.cloudfront.net/resnet-18.t7",
            "`resnets fetch resnet18.fb` downloads it.",
        ),
        ("https://huggingface.co/microsoft/resnet-50", "Write hf:microsoft/resnet-50."),
        ("https://huggingface.co/me/mine/blob/v1/onnx/model.onnx", "Write hf:me/mine@v1:onnx/model.onnx."),
        (
            "https://huggingface.co/timm/resnet50.a1_in1k/resolve/main/model.safetensors?download=true",
            "`resnets fetch resnet50.a1_in1k` downloads it, or write hf:timm/resnet50.a1_in1k:model.safetensors.",
        ),
        ("https://huggingface.co/timm/resnet50.a1_in1k/tree/main", "Write hf:timm/resnet50.a1_in1k."),
    ],
)
def test_what_to_type_for_what_lies_elsewhere(name, remedy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    with pytest.raises(ResNetsError) as error:
        resolve(name)
    assert error.value.remedy == remedy


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("resnet18v1.tar.gz", "resnet18-v1.zoo-s3-tar"),
        ("resnet18v1-md5.txt", "resnet18-v1.zoo-s3"),
        ("resnet18_v1-a0666292.zip", "resnet18-v1.gluon"),
        ("resnet18_v1-a0666292.params", "resnet18-v1.gluon"),
    ],
)
def test_the_name_of_a_publisher_s_file_downloads_nothing(file, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ResNetsError) as error:
        resolve(file)
    assert error.value.problem == f"There is no file {file}."
    assert error.value.remedy == f"Check the path, or use {name}, which is a published file of that name."


def test_a_folder_hides_no_name_and_a_file_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    for name in ("cifar10", "resnet18.fb", "own"):
        (tmp_path / name).mkdir()
    assert resolve("cifar10").parent == names.BUNDLED
    with pytest.raises(ResNetsError, match="not in the cache"):  # and nothing may be downloaded
        resolve("resnet18.fb")
    for folder in ("./resnet18.fb", "own"):
        with pytest.raises(ResNetsError, match="is a folder"):
            resolve(folder)
    for name in ("cifar10", "resnet18.fb"):
        (tmp_path / name).rmdir()
        (tmp_path / name).write_bytes(b"")
        assert str(resolve(name)) == name
