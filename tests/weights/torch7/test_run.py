from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.graph import build
from resnets.weights import files
from resnets.weights.source import Source
from resnets.weights.torch7.export import export
from resnets.weights.torch7.forward import LAYERS
from resnets.weights.torch7.modules import root
from resnets.weights.torch7.objects import Object, Storage, Table, tensor
from resnets.weights.torch7.read import read
from resnets.weights.torch7.run import outputs, run

LAYER_FILES = Path(__file__).parents[2] / "oracles/torch7/layers"
IMAGE = np.arange(2 * 3 * 5 * 5, dtype=np.float64).reshape(2, 3, 5, 5) % 7 - 3


def module(name: str, children: list[Object] | None = None, **fields: object) -> Object:
    pairs = [(key, float(value) if type(value) is int else value) for key, value in fields.items()]
    if children is not None:
        pairs.append(("modules", Table([(float(i), child) for i, child in enumerate(children, 1)])))
    return Object(name, 1, Table(pairs))


def pool(name: str, kernel: int, stride: int, padding: int = 0, **fields: object) -> Object:
    window = {"kW": kernel, "kH": kernel, "dW": stride, "dH": stride, "padW": padding, "padH": padding}
    return module(name, **window, **fields)


def forward(layer: Object, x: np.ndarray) -> np.ndarray:
    return LAYERS[layer.name.split(".")[1]](layer, x.copy())


def test_every_oracle_gives_what_torch_gives_in_double_precision(oracle):
    with files.opened(oracle.path) as source:
        logits, features = outputs(root(read(source), "oracle"), oracle.images)
    assert np.abs(logits - oracle.logits).max() <= 1e-9 * np.abs(oracle.logits).max()
    # Torch's features are of single precision, but for the network of doubles.
    tolerance = max(2 * oracle.difference, 1e-5) if oracle.features.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(features, oracle.features.reshape(features.shape), rtol=0, atol=tolerance)


def test_single_precision_is_as_far_off_as_torchs(oracle):
    with files.opened(oracle.path) as source:
        found = run(root(read(source), "oracle"), oracle.images, np.float32)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - oracle.logits).max() <= max(5 * oracle.difference, 2e-5)


@pytest.mark.parametrize("name", ["conv_old_2d_padding", "conv_new", "bn_v1_running_std", "bn_v2"])
def test_layers_of_old_files_give_what_torch_gives(name):
    layer, io = (
        read(Source.of((LAYER_FILES / f"{file}.t7").read_bytes(), file))[0]
        for file in (name, f"{name.split('_')[0]}_io")
    )
    found = forward(layer, io["input"].array().astype(np.float64))
    np.testing.assert_allclose(found, io["output"].array(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("groups", "stride", "bias"), [(1, 1, True), (3, 2, False)])
def test_convolution_against_its_definition(monkeypatch, groups, stride, bias):
    monkeypatch.setattr("resnets.weights.torch7.forward.CHUNK", 1)  # one row of the output at a time
    weight = np.random.default_rng(0).normal(size=(6, 3 // groups, 3, 2)).astype(np.float32)
    fields = {"weight": tensor(weight), **({"bias": tensor(np.arange(6.0))} if bias else {})}
    layer = module(
        "cudnn.SpatialConvolution", nInputPlane=3, nOutputPlane=6, groups=groups, kH=3, kW=2, dH=stride, dW=1,
        padH=2, padW=1, **fields,
    )  # fmt: skip
    padded = np.pad(IMAGE, ((0, 0), (0, 0), (2, 2), (1, 1)))
    expected = np.zeros((2, 6, (9 - 3) // stride + 1, 7 - 2 + 1))
    for n, o, y, x in np.ndindex(expected.shape):
        own = padded[n, o // (6 // groups) * (3 // groups) :][: 3 // groups]
        expected[n, o, y, x] = (own[:, y * stride : y * stride + 3, x : x + 2] * weight[o]).sum() + o * bias
    np.testing.assert_allclose(forward(layer, IMAGE), expected, rtol=1e-6)


def test_windows_that_round_up_hold_what_is_there():
    x = IMAGE[:, :, :5, :5]
    ceil = forward(pool("nn.SpatialAveragePooling", 2, 2, ceil_mode=True, divide=True, count_include_pad=False), x)
    assert ceil.shape == (2, 3, 3, 3)
    np.testing.assert_allclose(ceil[:, :, 2, 2], x[:, :, 4, 4])
    np.testing.assert_allclose(ceil[:, :, 0, 2], x[:, :, :2, 4].mean(2))
    # cuDNN divides by the window, inn always rounds up, and nn without `divide` gives sums.
    mode = "CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING"
    cudnn = forward(pool("cudnn.SpatialAveragePooling", 2, 2, ceil_mode=True, mode=mode), x)
    np.testing.assert_allclose(cudnn[:, :, 2, 2], x[:, :, 4, 4] / 4)
    np.testing.assert_array_equal(forward(pool("inn.SpatialMaxPooling", 2, 2), x)[:, :, 2, 2], x[:, :, 4, 4])
    floor = forward(pool("nn.SpatialAveragePooling", 2, 2), x)
    np.testing.assert_allclose(floor[:, :, 1, 1], x[:, :, 2:4, 2:4].sum((2, 3)))


def test_maximum_pooling_pads_with_nothing():
    found = forward(pool("nn.SpatialMaxPooling", 3, 2, 1), np.full((1, 1, 4, 4), -5.0))
    np.testing.assert_array_equal(found, np.full((1, 1, 2, 2), -5.0))


def test_a_window_that_rounds_up_begins_inside_the_image():
    found = forward(pool("nn.SpatialMaxPooling", 2, 2, 1, ceil_mode=True), IMAGE)
    assert found.shape == (2, 3, 3, 3)
    np.testing.assert_array_equal(found[:, :, 2, 2], IMAGE[:, :, 3:, 3:].max((2, 3)))


def test_what_is_not_above_a_threshold_becomes_its_value():
    found = forward(module("nn.Threshold", threshold=1, val=-9), IMAGE)
    np.testing.assert_array_equal(found, np.where(IMAGE > 1, IMAGE, -9))


def test_the_last_pooling_takes_the_whole_map_of_any_size():
    for side in (3, 4, 9):
        x = np.random.default_rng(0).normal(size=(2, 5, side, side))
        found = forward(pool("nn.SpatialAveragePooling", 4, 1, divide=True), x)
        np.testing.assert_allclose(found, x.mean((2, 3), keepdims=True))


def head() -> list[Object]:
    flat = module("nn.View", size=Storage("torch.LongStorage", 1, elements=np.array([3])), numInputDims=3.0)
    return [pool("nn.SpatialAveragePooling", 5, 1, divide=True), flat, module("nn.Linear", weight=tensor(np.eye(3)))]


def test_what_works_in_place_changes_what_others_read():
    ways = [module("nn.ReLU", inplace=True, threshold=0, val=0), module("nn.Identity")]
    network = module("nn.Sequential", [module("nn.ConcatTable", ways), module("nn.CAddTable"), *head()])
    np.testing.assert_allclose(run(network, IMAGE), 2 * np.maximum(IMAGE, 0).mean((2, 3)))
    ways[0].value.pairs[0] = ("inplace", False)
    np.testing.assert_allclose(run(network, IMAGE), (np.maximum(IMAGE, 0) + IMAGE).mean((2, 3)))


def test_logits_come_out_whatever_the_network_ends_in():
    plain, softmax = (module("nn.Sequential", [*head(), *end]) for end in ([], [module("cudnn.LogSoftMax")]))
    np.testing.assert_array_equal(run(plain, IMAGE), run(softmax, IMAGE))
    wrapped = module("nn.DataParallelTable", [plain, module("nn.Sequential", [module("nn.Unknown")])])
    np.testing.assert_array_equal(run(plain, IMAGE), run(wrapped, IMAGE))


def test_what_cannot_be_run_is_refused_with_its_path():
    deep = module("nn.Sequential", [module("nn.ReLU")])
    for _ in range(100):
        deep = module("nn.Sequential", [deep])
    bomb = module("nn.Identity")
    for _ in range(30):
        bomb = module("nn.Sequential", [bomb, bomb])
    for network, text in (
        (
            module("nn.Sequential", [module("nn.Sequential", [module("nn.Tanh")])]),
            r"modules\[1\]\.modules\[1\] \(nn.Tanh",
        ),
        (module("nn.Sequential", [module("nn.Linear", weight=tensor(np.ones((2, 7))))]), "nn.Linear"),
        (module("nn.Sequential", [pool("nn.SpatialMaxPooling", 9, 1)]), "larger than a map of 5x5"),
        (module("nn.Sequential", [module("nn.ReLU")]), "Linear"),
        (deep, "64 times"),
        (bomb, "too many"),
    ):
        with pytest.raises(ResNetsError, match=text):
            run(network, IMAGE)


def test_images_of_another_size_are_run_as_the_network_of_a_global_pooling(random_model):
    small = replace(find("resnet18"), widths=(4, 8, 8, 8), stem_widths=(4,), classes=3)
    model = random_model(small)
    session = onnxruntime.InferenceSession(build(model).SerializeToString())
    for size in ((64, 64), (224, 224), (250, 310)):
        x = np.random.default_rng(0).standard_normal((1, 3, *size), np.float32)
        (expected,) = session.run(["logits"], {"data": x})
        np.testing.assert_allclose(run(export(model), x), expected, rtol=1e-3, atol=1e-4)
