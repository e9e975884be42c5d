from dataclasses import replace

import numpy as np
import pytest

from resnets.card import Card
from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.weights.fold import fold
from resnets.weights.model import Model
from resnets.weights.source import Source
from resnets.weights.torch7.export import export
from resnets.weights.torch7.modules import root
from resnets.weights.torch7.objects import Object, Storage, Table, Tensor, tensor
from resnets.weights.torch7.read import read
from resnets.weights.torch7.run import run
from resnets.weights.torch7.tree import walk

TINY = replace(find("resnet20-cifar"), blocks=(1, 1), widths=(4, 8), stem_widths=(4,), classes=3)


def test_other_words_for_the_same_network_are_understood(tree, random_model, at, change, recognised):
    expected = random_model(TINY).weights
    conv, norm, relu = (at(tree, str(i)) for i in (1, 2, 3))
    conv.name = "nn.SpatialConvolutionMM"
    change(conv, padding=1.0, padW=None, padH=None, weight=tensor(expected["conv1.weight"].reshape(4, 27)))
    std = 1 / np.sqrt(expected["bn1.running_var"].astype(np.float64) + 1e-5)
    norm.name, norm.version = "fbnn.SpatialBatchNormalization", 1
    change(norm, running_var=None, running_std=tensor(std))
    change(relu, threshold=None, val=None, mode="CUDNN_ACTIVATION_RELU")
    relu.name = "cudnn.ReLU"
    dropout, softmax = (Object(name, 1, Table([("p", 0.5), ("v2", True)])) for name in ("nn.Dropout", "cudnn.SoftMax"))
    last = tree["modules"].pairs.pop()[1]
    tree["modules"].pairs += [(8.0, dropout), (9.0, last), (10.0, softmax)]
    change(at(tree, "7"), size=Storage("torch.LongStorage", 2, elements=np.array([-1, 8])), numInputDims=None)
    wrapped = Object("nn.DataParallelTable", 2, Table([("modules", Table([(1.0, tree), (2.0, conv)]))]))
    architecture, weights = recognised(wrapped)
    assert architecture == TINY
    for name, array in expected.items():
        np.testing.assert_allclose(weights[name], array, rtol=1e-6, atol=1e-6)
    assert walk(wrapped, "").left_out == ["modules[1].modules[10] (cudnn.SoftMax)"]


def test_what_a_file_leaves_out_is_what_torch_takes(tree, random_model, at, change, recognised):
    change(at(tree, "2"), weight=None, bias=None, affine=False)
    change(at(tree, "8"), bias=None)
    architecture, weights = recognised(tree)
    assert architecture == TINY
    np.testing.assert_array_equal(weights["bn1.weight"], np.ones(4))
    np.testing.assert_array_equal(weights["bn1.bias"], np.zeros(4))
    np.testing.assert_array_equal(weights["fc.bias"], np.zeros(3))


def test_a_batch_norm_that_became_an_affine_map_is_one_again(random_model, at, recognised):
    """imagine-nn folds ResNet-50's batch norms; those after an addition stay, as inn.ConstAffine."""
    model = fold(random_model(replace(TINY, shortcut="C", shortcut_batch_norm=False, post_add_batch_norm=True)))
    tree = export(model)
    for path, name in (("3.1.3", "layer1.0.bn_add"), ("4.1.3", "layer2.0.bn_add")):
        gamma, beta, mean, var = (
            model.weights[f"{name}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(var + 1e-5)
        fields = {"a": tensor(scale), "b": tensor(beta - mean * scale), "inplace": True}
        norm = at(tree, path)
        norm.name, norm.value = "inn.ConstAffine", Table(list(fields.items()))
    x = np.random.default_rng(0).normal(size=(2, 3, 32, 32))
    architecture, weights = recognised(tree)
    variances = [array for name, array in weights.items() if name.endswith("running_var")]
    assert [array.tolist() for array in variances] == [[np.float32(1 - 1e-5)] * n for n in (4, 8)]
    again = export(replace(model, architecture=architecture, weights=weights))
    np.testing.assert_allclose(run(tree, x), run(export(model), x), rtol=1e-5)
    np.testing.assert_allclose(run(again, x), run(export(model), x), rtol=1e-5)


@pytest.mark.parametrize("kind", ["Half", "Double", "Cuda", "CudaHalf"])
def test_arrays_of_every_type_become_float32(tree, random_model, kind, at, change, recognised):
    change(at(tree, "1"), weight=tensor(at(tree, "1")["weight"].array(), kind))
    found = recognised(tree)[1]["conv1.weight"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, random_model(TINY).weights["conv1.weight"], rtol=1e-3 if "Half" in kind else 0)


def test_only_arrays_of_the_network_are_read(tree, monkeypatch, at, change, recognised):
    change(at(tree, "1"), gradWeight=Tensor("torch.FloatTensor", (9,), (1,), 0, Storage("torch.FloatStorage", 9)))
    with pytest.raises(AssertionError):  # the storage of that gradient has neither elements nor a file
        at(tree, "1")["gradWeight"].array()
    assert "conv1.weight" in recognised(tree)[1]


@pytest.mark.parametrize(
    ("path", "fields", "text"),
    [
        ("1", {"kW": None}, r"modules\[1\] \(nn.SpatialConvolution\): its field kW is missing"),
        ("1", {"kW": "3"}, "its field kW is '3'"),
        ("1", {"dH": 0.0}, "no window is"),
        ("1", {"dW": 1.5}, "its field dW is 1.5"),
        ("6", {"kW": 65.0, "kH": 65.0}, "no window is 65x65"),
        ("1", {"padH": 1e9}, "padH is 1000000000.0"),
        ("1", {"nInputPlane": 5.0}, r"weight is of shape \(4, 3, 3, 3\) instead of \(4, 5, 3, 3\) or \(4, 45\)"),
        ("1", {"weight": None}, "its field weight is missing"),
        ("1", {"weight": True}, "its field weight is True, not a tensor"),
        ("1", {"weight": tensor(np.ones((4, 3, 3, 3)), "Int")}, "is a torch.IntTensor"),
        ("1", {"bias": tensor(np.ones(5))}, r"its field bias is of shape \(5,\) instead of \(4,\)"),
        ("1", {"weight": Tensor("torch.FloatTensor", (4, 3, 3, 3), (0, 0, 0, 0), 0, Storage("torch.FloatStorage", 1))},
         "more numbers than it holds"),
        ("2", {"running_mean": tensor(np.ones(3))}, r"running_mean is of shape \(3,\)"),
        ("2", {"eps": None}, "its field eps is missing"),
        ("2", {"eps": float("nan")}, "its field eps is nan"),
        ("4", {"modules": None}, "its field modules is missing, not a table"),
        ("4", {"modules": Table([(2.0, Object("nn.Identity", 1, Table()))])}, "numbered from 1"),
        ("4", {"modules": Table([(1.0, "nn.Identity")])}, "numbered from 1"),
        ("4", {"modules": Table()}, "it has no modules"),
        ("7", {"size": tensor(np.ones(1))}, "not a torch.LongStorage"),
        ("8", {"weight": tensor(np.ones((3, 9)))}, r"of shape \(3, 9\) instead of \(3, 8\)"),
    ],
)  # fmt: skip
def test_a_broken_module_is_refused_with_its_path(tree, path, fields, text, at, change, recognised):
    change(at(tree, path), **fields)
    with pytest.raises(ResNetsError, match=text):
        recognised(tree)


@pytest.mark.parametrize(
    ("path", "name", "fields", "text"),
    [
        ("1", None, {"kW": 1.0, "weight": tensor(np.ones((4, 3, 3, 1)))}, r"modules\[1\] \(a convolution 3x1 with"),
        ("1", "nn.SpatialFullConvolution", {}, r"modules\[1\] \(nn.SpatialFullConvolution\) has no place"),
        ("3", "nn.PReLU", {}, r"modules\[3\] \(nn.PReLU\) has no place"),
        ("3", "evil.ReLU", {}, r"modules\[3\] \(evil.ReLU\) has no place"),
        ("3", "ReLU", {}, r"modules\[3\] \(ReLU\) has no place"),
        ("4", "Sequential", {}, r"modules\[4\] \(Sequential\) has no place"),
        ("3", None, {"threshold": 1.0}, "a nn.ReLU with threshold"),
        ("3", "nn.Dropout", {"p": 0.5}, "first version"),
        ("6", None, {"divide": None}, "that adds without dividing"),
        ("6", None, {"padW": 1.0, "padH": 1.0}, r"modules\[6\] \(an average pooling 16x16 .* padding 1x1\)"),
        ("6", None, {"kW": 15.0}, r"modules\[6\] \(an average pooling 16x15"),
        ("6", None, {"kW": 1.0, "kH": 1.0, "dW": 2.0, "dH": 2.0}, r"modules\[7\] \(a nn.View of a map that no"),
        ("6", None, {"kW": 6.0, "kH": 6.0, "dW": 6.0, "dH": 6.0}, r"modules\[6\] \(an average pooling 6x6 .* edge"),
        ("6", None, {"kW": 16.0, "kH": 16.0, "dW": 16.0, "dH": 16.0}, r"modules\[6\] \(an average pooling 16x16"),
        ("6", None, {"dW": 2.0, "dH": 2.0}, r"modules\[6\] \(an average pooling 16x16 .* overlaps or skips"),
        ("6", "nn.Identity", {}, r"modules\[7\] \(a nn.View of a map that no pooling makes a single pixel"),
        ("7", "nn.Identity", {}, r"modules\[6\] .* that no nn.View follows\), modules\[8\] \(a nn.Linear that reads a"),
        ("7", None, {"size": Storage("torch.LongStorage", 2, elements=np.array([-1, 8]))}, r"makes \(-1, 8\) of 8"),
        ("7", None, {"numElements": 9.0}, r"numElements 9.0 contradicts its size \(8,\)"),
        ("7", "nn.Reshape", {"batchMode": False}, r"makes \(8,\) of 8 channels"),
        ("7", None, {"size": Storage("torch.LongStorage", 1, elements=np.array([9]))}, r"makes \(9,\) of 8 channels"),
        ("3", "nn.SoftMax", {}, r"modules\[3\] \(nn.SoftMax\) has no place"),
        ("5.1.1.2.2.2", "nn.Identity", {}, "a nn.Concat of other things"),
        ("4.1.1.1.1", None, {"nInputPlane": 5.0, "weight": tensor(np.ones((4, 5, 3, 3)))}, "to 4, and gets 4"),
        ("5.1.1.2.2", None, {"dimension": 3.0}, "a nn.Concat of other things"),
        ("5.1.1.2.2.2", None, {"constant_scalar": 0.5}, "a nn.Concat of other things"),
        ("5.1.1.2.2.2", None, {"inplace": True}, "a nn.Concat of other things"),
        ("5.1.1.2.2.1", None, {"updateOutput": True}, "a nn.Concat of other things"),
        ("5.1.1.2.1", None, {"ceil_mode": True}, r"an average pooling 1x1 with stride 2x2 .* overlaps or skips"),
        ("5.1.2", "nn.CMulTable", {}, r"modules\[1\].modules\[2\] \(nn.CMulTable\): it reads the 2 values"),
        ("5.1.1", "nn.Sequential", {}, "it adds 1 values"),
    ],
)  # fmt: skip
def test_what_no_residual_network_has_is_refused_with_its_path(tree, path, name, fields, text, at, change, recognised):
    module = at(tree, path)
    module.name = name or module.name
    change(module, **fields)
    with pytest.raises(ResNetsError, match=text):
        recognised(tree)


def test_zeros_on_both_sides(random_model, at, change, recognised):
    both = replace(TINY, shortcut_zeros="both")
    assert recognised(export(random_model(both)))[0] == both
    for fields, text in (
        ({"value": 1.0}, "a nn.Padding of other things"),
        ({"index": 2.0}, "a nn.Padding of other things"),
        ({"dim": 2.0}, "a nn.Padding of other things"),
        ({"pad": -1.5}, "a nn.Padding of other things"),
        ({"pad": -3.0}, r"modules\[2\].modules\[2\] has .*zeros \(3, 2\)|channels"),
    ):
        tree = export(random_model(both))
        change(at(tree, "5.1.1.2.2"), **fields)
        with pytest.raises(ResNetsError, match=text):
            recognised(tree)


def test_additions_take_two_values_and_networks_end_in_one(tree, at, recognised):
    ways = at(tree, "4.1.1")["modules"].pairs
    ways.append((3.0, Object("nn.Identity", 1, Table())))
    with pytest.raises(ResNetsError, match="it adds 3 values, not two"):
        recognised(tree)
    ways.pop()
    tree["modules"].pairs.append((9.0, Object("nn.ConcatTable", 1, Table([("modules", Table(ways))]))))
    with pytest.raises(ResNetsError, match="ends in 2 values"):
        walk(tree, "the file")


def test_poolings_that_round_otherwise_are_other_poolings(random_model, at, change, recognised):
    full = replace(find("resnet18d"), widths=(4, 4, 8, 8), stem_widths=(4, 4, 4), classes=3)
    assert recognised(export(random_model(full)))[0] == full
    for path, name, fields, text in (
        ("10", None, {"ceil_mode": True}, r"modules\[10\] \(a maximum pooling 3x3 .* rounds up\)"),
        ("10", "inn.SpatialMaxPooling", {}, "rounds up"),
        ("13.1.1.2.1", None, {"ceil_mode": False}, r"an average pooling 2x2 .* that may leave out an edge"),
        (
            "13.1.1.2.1",
            "cudnn.SpatialAveragePooling",
            {"mode": "CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING"},
            "contradicts",
        ),
        ("13.1.1.2.1", "cudnn.SpatialAveragePooling", {"count_include_pad": True}, "divides by more numbers"),
    ):
        tree = export(random_model(full))
        at(tree, path).name = name or at(tree, path).name
        change(at(tree, path), **fields)
        with pytest.raises(ResNetsError, match=text):
            recognised(tree)
    tree = export(random_model(full))
    at(tree, "13.1.1.2.1").name = "cudnn.SpatialAveragePooling"
    assert recognised(tree)[0] == full, "of fields that nn wrote, count_include_pad says it"
    change(at(tree, "13.1.1.2.1"), mode="CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING")
    assert recognised(tree)[0] == full


def test_every_broken_module_is_named(tree, at, change, recognised):
    for path in ("1", "2", "5.1.1.1.1"):
        change(at(tree, path), weight=True)
    with pytest.raises(ResNetsError) as error:
        recognised(tree)
    for path in ("modules[1] ", "modules[2] ", "modules[5].modules[1].modules[1].modules[1].modules[1] "):
        assert path in error.value.problem


def test_a_relu_that_changes_the_shortcut_is_refused(random_model, at, change, recognised):
    """In place on the block's own input: Torch's shortcut would carry the rectified value."""
    tree = export(random_model(TINY))
    branch = at(tree, "4.1.1.1")
    children = [Object("nn.ReLU", 1, Table([("inplace", True)])), *branch["modules"].items()]
    change(branch, modules=Table([(float(i), child) for i, child in enumerate(children, 1)]))
    with pytest.raises(ResNetsError, match="works in place"):
        recognised(tree)


def test_what_works_in_place_on_what_was_read_before_is_as_usual(tree, at, change, recognised):
    """ConcatTable{Identity, branch}, then an addition into the block's own input, which nothing reads later."""
    block = at(tree, "4.1")
    ways = at(tree, "4.1.1")["modules"]
    ways.pairs = [(1.0, ways[2.0]), (2.0, ways[1.0])]
    assert block["modules"][2.0]["inplace"] is True
    x = np.random.default_rng(0).normal(size=(2, 3, 32, 32))
    recognised_as, weights = recognised(tree)
    expected = run(export(Model(recognised_as, weights, Card("", recognised_as))), x)
    np.testing.assert_allclose(run(tree, x), expected, rtol=1e-9)
    inner = Object(
        "nn.ConcatTable", 1, Table([("modules", Table([(1.0, block), (2.0, Object("nn.Identity", 1, Table()))]))])
    )
    change(at(tree, "4"), modules=Table([(1.0, inner), (2.0, Object("nn.CAddTable", 1, Table()))]))
    with pytest.raises(ResNetsError, match="works in place"):
        recognised(tree)


@pytest.mark.parametrize("file", ["mlp_flat_params", "linear_nobias"])
def test_a_classifier_without_convolutions_is_no_residual_network(shared, file, recognised):
    found = read(Source.of((shared / f"oracles/torch7/misc/{file}.t7").read_bytes(), file))
    with pytest.raises(ResNetsError, match=r"no residual network .*\(a nn.Linear that reads the image\)"):
        recognised(root(found, file))
