from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from resnets.card import RECIPES
from resnets.catalog import ARCHITECTURES, Architecture, find
from resnets.errors import ResNetsError
from resnets.graph import build
from resnets.network import INPUT, steps
from resnets.weights import files, t7
from resnets.weights.fold import fold
from resnets.weights.model import Model
from resnets.weights.recognise import recognise
from resnets.weights.torch7.export import FLOAT, export
from resnets.weights.torch7.run import run
from resnets.weights.torch7.tree import walk

# What Torch keeps from a forward pass, and what a layer of cuDNN says of its last input: made anew by the next one.
KEPT = {"nElem", "input_offset", "output_offset", "weight_offset", "iheight", "iwidth"}


def imported(tree: object) -> tuple[Architecture, dict[str, np.ndarray]]:
    found = walk(tree, "the tree")
    architecture, keys = recognise(found.steps, "the tree")
    return architecture, {name: found.arrays[key]() for name, key in keys.items()}


def graph(architecture: Architecture) -> list[object]:
    """The steps without their names: equal for two descriptions of one network."""
    places = {INPUT: -1, **{step.name: i for i, step in enumerate(steps(architecture))}}
    return [
        (*(getattr(step, f) for f in ("op", "channels", "kernel", "stride", "padding", "groups", "zeros")),
         [places[name] for name in step.inputs], [shape for _, shape in step.arrays])
        for step in steps(architecture)
    ]  # fmt: skip


def survives(model: Model) -> None:
    architecture, weights = imported(export(model, "cudnn"))
    assert graph(architecture) == graph(model.architecture)
    ours, theirs = (
        [arrays[name] for step in steps(a) for name, _ in step.arrays]
        for a, arrays in ((model.architecture, model.weights), (architecture, weights))
    )
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def sized(model: Model, side: int) -> Model:
    """The same with a recipe for images of that size, which the last pooling then fits."""
    return replace(model, card=replace(model.card, recipe=replace(RECIPES["fb"], size=side, crop=side)))


def runs(model: Model, side: int) -> None:
    """The modules and ONNX Runtime compute the same of images of that size."""
    x = np.random.default_rng(0).standard_normal((2, model.architecture.input_channels, side, side), np.float32)
    session = onnxruntime.InferenceSession(build(model).SerializeToString())
    (expected,) = session.run(["logits"], {"data": x})
    tree = export(sized(model, side), "cudnn")
    largest = t7.side(tree)
    assert largest is not None
    assert largest >= side > largest - 32
    found = run(tree, x)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def thin(name: str) -> Architecture:
    """The network of that name, but small: two blocks a stage, few channels."""
    full = find(name)
    by = 8 if full.groups == 1 and full.base_width == 64 else 1
    return replace(
        full,
        blocks=tuple(min(n, 2) for n in full.blocks),
        widths=tuple(n // by for n in full.widths),
        stem_widths=tuple(n // by for n in full.stem_widths),
        classes=7,
    )


def test_every_oracle_is_written_as_torch_has_built_it(oracle, shape_of):
    with files.opened(oracle.path) as source:
        stored, model = t7.tree(source), t7.read(source, None)
        every = {name for _, name, _ in shape_of(stored)}
        names = "cudnn" if "cudnn.SpatialConvolution" in every else "nn"
        ours, theirs = shape_of(export(model, names)), shape_of(stored)
    theirs = [row for row in theirs if row[1] != "nn.Copy"]  # before the last batch norm of old files
    exact = "all" not in oracle.path.name and "preresnet50.cuda" not in oracle.path.name
    assert len(ours) == len(theirs)
    for (path, name, fields), (its_path, its_name, its_fields) in zip(ours, theirs, strict=True):
        assert name.split(".")[1] == its_name.split(".")[1]
        if exact:  # neither changed by cudnn.convert nor written by the file of before
            kept = {key: value for key, value in its_fields.items() if key not in KEPT}
            assert (path, name, fields) == (its_path, its_name, kept | {"_type": FLOAT, "train": False})
    survives(model)


SOME = (
    "resnet50", "resnet50-v1", "resnet50-v2", "preresnet18", "resnet20-cifar", "preresnet164-cifar", "resnext50-32x4d",
    "resnet50d", "wide-resnet12-cifar",
)  # fmt: skip


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("folded", [False, True])
def test_a_network_comes_back_and_runs(random_model, name, folded):
    model = random_model(thin(name))
    model = fold(model) if folded else model
    survives(model)
    runs(model, 32 if model.architecture.cifar_stem else 64)


def test_zeros_on_both_sides_come_back_and_run(random_model):
    for widths in ((16, 32, 64), (36, 50, 51)):
        model = random_model(replace(thin("resnet20-cifar"), widths=widths, stem_widths=(12,), shortcut_zeros="both"))
        survives(model)
        runs(model, 32)


def test_the_last_pooling_fits_the_images_of_the_network(random_model):
    for stages, side, window in ((3, 0, 14), (4, 0, 7), (5, 0, 4), (4, 225, 8), (4, 100, 4), (4, 5000, 7), (9, 0, 1)):
        widths = tuple(4 * (i + 1) for i in range(stages))
        model = random_model(replace(find("resnet18"), blocks=(1,) * stages, widths=widths, stem_widths=(4,)))
        tree = export(sized(model, side) if side else model)
        pool = tree["modules"].items()[-3]
        assert (pool["kH"], pool["kW"], pool["dH"]) == (window, window, 1)
        survives(model)
        assert t7.side(tree) == window * 2 ** (stages + 1)


def test_shortcut_a_subsamples_with_any_stride_and_the_image_has_no_gradient(random_model):
    """resnet.lua: `shortcut` and the last lines of `createModel`."""
    tree = export(random_model(replace(thin("resnet20-cifar"), stem_widths=(8,), widths=(16, 32, 64))))
    for stage, stride in ((4.0, 1.0), (5.0, 2.0)):
        way = tree["modules"][stage]["modules"][1.0]["modules"][1.0]["modules"][2.0]["modules"].items()
        assert [module.name for module in way] == ["nn.SpatialAveragePooling", "nn.Concat"]
        assert way[0]["dW"] == stride
    first, second = tree["modules"].items()[:2]
    assert (first["gradInput"], second["gradInput"].size) == (None, ())


def test_a_batch_norm_after_additions_is_told_from_one_before_convolutions(random_model):
    for last in (False, True):
        changes = {"shortcut": "C", "post_add_batch_norm": True, "final_batch_norm": last}
        survives(random_model(replace(thin("resnet18"), **changes)))
    survives(random_model(replace(thin("resnet18"), final_batch_norm=True)))


@pytest.mark.matrix
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_named_network_comes_back_and_runs(random_model, name):
    for model in (random_model(thin(name)), fold(random_model(thin(name)))):
        survives(model)
        runs(model, 32 if model.architecture.cifar_stem else 224)


def variants(stem: str, block: str) -> list[Architecture]:
    """Everything that fields can say of a network of two stages."""
    first = [("both", "both"), ("none", "branch"), ("branch", "both")] if block.startswith("preact") else [()]
    extras = ("shortcut_pool", "post_add_batch_norm", "input_batch_norm", "stride_in", "final_batch_norm", "none")
    found = []
    for shortcut in ("A", "A both", "B", "C"):
        for bias in ("none", "all", "bottleneck-1x1"):
            for normed in (True, False):
                for extra in extras:
                    for modes in first:
                        changes = {extra: "1x1" if extra == "stride_in" else True} if extra != "none" else {}
                        try:
                            found.append(
                                Architecture(
                                    block, (2, 2), (8, 20), stem, (4, 6, 8) if stem == "deep" else (8,), classes=5,
                                    shortcut=shortcut[0], shortcut_zeros=shortcut[2:] or "after", conv_bias=bias,
                                    shortcut_batch_norm=normed, preact_first=modes, **changes,
                                )
                            )  # fmt: skip
                        except ResNetsError:  # fields that contradict each other
                            continue
    return found


@pytest.mark.matrix
@pytest.mark.parametrize("stem", ["imagenet", "deep", "cifar", "bare"])
@pytest.mark.parametrize("block", ["basic", "bottleneck", "preact-basic", "preact-bottleneck"])
def test_every_variant_comes_back_and_runs(random_model, stem, block):
    every = variants(stem, block)
    assert len(every) > 30
    for number, architecture in enumerate(every):
        for model in (random_model(architecture), fold(random_model(architecture))):
            survives(model)
            if number % 5 == 0:
                runs(model, 32)


@pytest.mark.matrix
@pytest.mark.parametrize("name", ["resnet18", "resnet50-v1", "preresnet50", "preresnet20-cifar", "resnet50d"])
def test_modules_compute_what_torch_computes(random_model, name):
    torch = pytest.importorskip("torch")
    from resnets.models.builder import build as module_of
    from resnets.models.builder import load_arrays

    model = random_model(thin(name))
    network = module_of(model.architecture)
    load_arrays(network, model.weights)
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64), np.float32)
    with torch.no_grad():
        expected = network.double().eval()(torch.from_numpy(x).double()).numpy()
    np.testing.assert_allclose(
        run(export(sized(model, 64)), x), expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max()
    )


def test_groups_are_refused_where_nn_has_none(random_model):
    model = random_model(thin("resnext50-32x4d"))
    with pytest.raises(ResNetsError, match="cudnn"):
        export(model)
    with pytest.raises(ResNetsError, match="'tf'"):
        export(model, "tf")


def test_index_maps_are_those_of_fb(random_model, shape_of):
    """Section 1.10 of the facts: torchvision's name and the path in fb's tree."""
    for name, count, paths in (
        ("resnet50", 11, {".1": "conv1", ".5.1.1.1.1": "layer1.0.conv1", ".8.2.1.1.7": "layer4.1.conv3",
                          ".6.1.1.2.1": "layer2.0.downsample.0", ".11": "fc"}),
        ("preresnet18", 13, {".5.1.1.1.1": "layer1.0.conv1", ".6.1.3.2.1": "layer2.0.downsample.0", ".9": "norm",
                             ".6.1.1": "layer2.0.bn1", ".13": "fc"}),
        ("resnet20-cifar", 9, {".1": "conv1", ".4.2.1.1.4": "layer1.1.conv2", ".9": "fc"}),
        ("preresnet20-cifar", 9, {".2.1.3.1.1": "layer1.0.conv1", ".5": "norm", ".9": "fc"}),
    ):  # fmt: skip
        model = random_model(thin(name))
        tree = export(model)
        assert len(tree["modules"].items()) == count
        for path, array in paths.items():
            at = tree
            for number in path.split(".")[1:]:
                at = at["modules"][float(number)]
            np.testing.assert_array_equal(at["weight"].array(), model.weights[f"{array}.weight"])
