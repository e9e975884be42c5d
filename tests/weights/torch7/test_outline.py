from pathlib import Path

import numpy as np
import pytest

from resnets.weights.source import Source
from resnets.weights.torch7.objects import Function, Object, Storage, Table, tensor
from resnets.weights.torch7.outline import MAX_LINES, outline, pointer, what
from resnets.weights.torch7.read import read

KNOWN = {
    "checkpoints/resnet20-cifar10-trained-cudnn/latest.t7": "checkpoint of a training, model_4.t7 after epoch 4",
    "checkpoints/resnet20-cifar10-trained-cudnn/optimState_4.t7": "learning rate 0.1, 269,722 numbers of momentum",
    "features/features.t7": "the features of 3 images, 512 numbers each",
    "features/features-preresnet50-batch5.t7": "the features of 5 images, 2,048 numbers each",
    "dataset/imagenet-gen.t7": "3 images to train on and 3 to validate, 3 classes",
}


def objects(path: Path):
    return read(Source.of(path.read_bytes(), path.name))


@pytest.mark.parametrize("name", KNOWN)
def test_what_fb_resnet_torch_writes_beside_its_models_is_known(shared, name):
    assert KNOWN[name] in (what(objects(shared / "oracles" / "torch7" / name)) or "")


def test_models_and_other_values_are_none_of_these(shared):
    folder = shared / "oracles" / "torch7"
    others = [*sorted((folder / "misc").glob("table*.t7")), folder / "models" / "resnet20-cifar10-B.t7"]
    assert [what(objects(path)) for path in others] == [None] * len(others)
    assert what([]) is None


def test_a_table_that_holds_a_network_is_a_model_whatever_else_is_in_it():
    network = Object("nn.Sequential", 1, Table())
    for fields in (
        [("learningRate", 0.1), ("momentum", 0.9)],
        [("epoch", 4.0), ("modelFile", "model_4.t7"), ("optimFile", "optimState_4.t7")],
    ):
        assert what([Table(fields)])
        assert what([Table([*fields, ("model", network)])]) is None
        assert pointer([Table([*fields, ("best", network)])]) is None
    assert what([Table([("modelFile", "a.t7")])]) == "a pointer to the last checkpoint of a training, a.t7"
    assert pointer([Table([("modelFile", "a.t7")])]) == "a.t7"


def test_cifar_as_torch_has_it_is_known():
    def split(n):
        images = tensor(np.zeros((n, 3, 2, 2), np.uint8), "Byte")
        return Table([("data", images), ("labels", tensor(np.ones(n, np.uint8), "Byte"))])

    assert what([split(5)]) == "a data set of 5 images with their labels"
    assert what([Table([("train", split(5)), ("val", split(2))])]) == "a data set of 7 images with their labels"
    assert what([Table([("train", split(5)), ("val", Table())])]) is None


def test_an_outline_names_what_is_there_and_says_each_thing_once():
    inner = Table([(1.0, tensor(np.zeros((2, 3)))), (2.0, "a\x1b[2Jb"), (2.5, None)])
    top = Table([("first", inner), ("again", inner), (True, Object("nn.Linear", 1, Table([("weight", 1e300)])))])
    top.pairs += [("f", Function(8, b"abc", Table())), ("s", Storage("torch.IntStorage", 1234)), ("self", top)]
    assert outline([top]) == [
        "table of 6",
        "  first: table of 3",
        "    1: torch.FloatTensor 2 x 3",
        '    2: "a\\x1b[2Jb"',
        "    2.5: nil",
        "  again: table of 3 (as above)",
        "  true: nn.Linear",
        "    weight: 1e+300",
        "  f: function, 3 bytes",
        "  s: torch.IntStorage of 1,234",
        "  self: table of 6 (as above)",
    ]
    assert outline(["a", 1.0]) == ['object 1: "a"', "object 2: 1"]


def test_an_outline_is_short_whatever_it_is_of():
    wide = Table([(float(i), Table([(float(j), "x" * 500) for j in range(100)])) for i in range(100)])
    deep = Table()
    for _ in range(10_000):
        deep = Table([("inner", deep)])
    for one in (wide, deep, Table([(wide, deep), ("wide", wide), ("deep", deep)])):
        lines = outline([one])
        assert len(lines) <= MAX_LINES
        assert max(map(len, lines)) < 100
    assert "    ... and 88 more" in outline([wide])
    assert len(outline([1.0] * 500)) == MAX_LINES
