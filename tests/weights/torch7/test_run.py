from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.weights import files
from resnets.weights.source import Source
from resnets.weights.torch7.cover import side
from resnets.weights.torch7.export import export
from resnets.weights.torch7.forward import LAYERS
from resnets.weights.torch7.modules import OddModuleError, root
from resnets.weights.torch7.objects import Object, Storage, Table, tensor
from resnets.weights.torch7.read import read
from resnets.weights.torch7.run import outputs, run
from resnets.weights.torch7.tree import walk

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


def test_a_window_outside_the_map_is_refused():
    with pytest.raises(OddModuleError, match="lies outside a map of 4x4"):
        forward(pool("nn.SpatialAveragePooling", 1, 2, ceil_mode=True, divide=True), IMAGE[:, :, :4, :4])


def test_what_is_not_above_a_threshold_becomes_its_value():
    found = forward(module("nn.Threshold", threshold=1, val=-9), IMAGE)
    np.testing.assert_array_equal(found, np.where(IMAGE > 1, IMAGE, -9))


def test_a_pooling_and_a_view_are_what_is_stored(random_model):
    """4x4/1 over the 8x8 map of 32 pixels: in Torch 25 rows an image. The network is one for images of 16 pixels."""
    tree = export(random_model(replace(find("resnet20-cifar"), blocks=(1, 1, 1))))
    small = np.random.default_rng(0).normal(size=(2, 3, 16, 16))
    assert side(walk(tree, "")) == 32
    with pytest.raises(ResNetsError, match=r"window 8x8 .* is larger than a map of 4x4"):
        run(tree, small)
    pooling = tree["modules"][7.0]
    kept = [(key, value) for key, value in pooling.value.pairs if key not in ("kH", "kW")]
    pooling.value.pairs = [*kept, ("kH", 4.0), ("kW", 4.0)]
    assert side(walk(tree, "")) == 16
    assert run(tree, small).shape == (2, 10)
    for images in (1, 2):
        with pytest.raises(ResNetsError, match=f"makes {25 * images} rows of answers of {images} images"):
            run(tree, np.zeros((images, 3, 32, 32)))


@pytest.mark.parametrize(
    ("name", "size", "fields", "shape", "found"),
    [
        ("View", (8,), {"numInputDims": 3.0}, (2, 8, 1, 1), (2, 8)),
        ("View", (8,), {"numInputDims": 3.0}, (2, 8, 5, 5), (50, 8)),
        ("View", (8,), {}, (2, 8, 5, 5), (50, 8)),
        ("View", (8,), {}, (1, 8, 1, 1), (8,)),
        ("View", (-1, 8), {}, (2, 8, 1, 1), (2, 8)),
        ("View", (-1, 8), {"numInputDims": 3.0}, (2, 8, 1, 1), (2, 1, 8)),
        ("View", (-1,), {"numInputDims": 3.0}, (2, 8, 5, 5), (2, 200)),
        ("View", (-1,), {}, (2, 8, 1, 1), (16,)),
        ("View", (9,), {"numInputDims": 3.0}, (2, 8, 1, 1), None),
        ("Reshape", (8,), {}, (2, 8, 1, 1), (2, 8)),
        ("Reshape", (8,), {"batchMode": False}, (1, 8, 1, 1), (8,)),
        ("Reshape", (8,), {"batchMode": True}, (2, 8, 5, 5), None),
        ("Reshape", (200,), {}, (1, 8, 5, 5), (1, 200)),
    ],
)
def test_views_fold_what_is_left_into_the_batch(name, size, fields, shape, found):
    """nn/View.lua and nn/Reshape.lua, worked out by hand."""
    layer = module(f"nn.{name}", size=Storage("torch.LongStorage", len(size), elements=np.array(size)), **fields)
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    if found is None:
        with pytest.raises((OddModuleError, ValueError)):
            forward(layer, x)
    else:
        np.testing.assert_array_equal(forward(layer, x), x.reshape(found))


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


def test_what_follows_a_softmax_reads_probabilities():
    with pytest.raises(ResNetsError, match=r"modules\[2\] \(nn.View\): it follows modules\[1\]"):
        run(module("nn.Sequential", [module("nn.SoftMax"), *head()[1:]]), IMAGE)


def test_additions_are_of_one_shape_and_of_one_table():
    pooled = pool("nn.SpatialAveragePooling", 5, 1, divide=True)
    for ways, text in (
        ([module("nn.Identity"), pooled], r"of the shapes \(3, 5, 5\), \(3, 1, 1\)"),
        ([module("nn.ConcatTable", [module("nn.Identity")]), module("nn.Identity")], "values of another ConcatTable"),
    ):
        network = module("nn.Sequential", [module("nn.ConcatTable", ways), module("nn.CAddTable"), *head()])
        with pytest.raises(ResNetsError, match=text):
            run(network, IMAGE)


def test_dropout_of_the_first_version_scales_in_place():
    x = IMAGE.copy()
    forward(module("nn.Dropout", p=0.25), x)
    np.testing.assert_array_equal(x, IMAGE)
    LAYERS["Dropout"](module("nn.Dropout", p=0.25, inplace=True), x)
    np.testing.assert_array_equal(x, IMAGE * 0.75)


def test_lists_of_copies_are_looked_at_a_bounded_number_of_times():
    """20,000 times one DataParallelTable of 100,000 entries, in a file of 2.4 MB."""
    wrapped = module("nn.DataParallelTable", [module("nn.Identity")] * 100_000)
    begun = perf_counter()
    with pytest.raises(ResNetsError, match="too many"):
        run(module("nn.Sequential", [wrapped] * 20_000), IMAGE)
    with pytest.raises(ResNetsError, match="more than 100,000 at"):
        walk(module("nn.Sequential", [module("nn.ConcatTable", [wrapped] * 20_000)]), "the file")
    with pytest.raises(ResNetsError, match="more than 100,000 at"):
        walk(module("nn.Sequential", [module("nn.Concat", [module("nn.Identity")] * 50_000)] * 20_000), "the file")
    assert perf_counter() - begun < 5
