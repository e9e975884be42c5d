from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from resnets.card import Card
from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.graph import build
from resnets.initialise import initialise
from resnets.network import array_shapes
from resnets.weights import files, params
from resnets.weights.model import Model, digest
from resnets.weights.mxnet.arrays import array, stored
from resnets.weights.mxnet.lists import write_arrays
from resnets.weights.options import Options
from resnets.weights.source import Source


def read_arrays(source: Source) -> dict[str, np.ndarray]:
    return {name: array(one) for name, one in stored(source).items() if one.kind}


WIDTHS = {"widths": (4, 3, 5, 7), "stem_widths": (4,), "classes": 3}
DEEP = {"widths": (2, 3, 5, 7), "stem_widths": (3, 3, 6), "classes": 3}
THUMBNAIL = {"stem": "bare", "blocks": (1, 2, 1), "widths": (4, 6, 8), "stem_widths": (4,)}
GLUON = {
    **{f"{d}-{v}": replace(find(f"resnet{d}-{v}"), **WIDTHS) for d in (18, 34, 50, 101, 152) for v in ("v1", "v2")},
    "200-v2": replace(find("resnet50-v2"), blocks=(3, 24, 36, 3), **WIDTHS),
    "thumbnail-v1": replace(find("resnet18-v1"), **THUMBNAIL),
    "thumbnail-v2": replace(find("resnet18-v2"), preact_first=("branch", "both", "both"), **THUMBNAIL),
    "thumbnail-50-v1": replace(find("resnet50-v1"), **THUMBNAIL, input_channels=1),
    "cifar-v2": replace(find("resnet50-v2"), preact_first=("both",) * 3, **THUMBNAIL),
}
GLUONCV = {
    "34-b": replace(find("resnet34"), **WIDTHS),
    "50-b": replace(find("resnet50"), **WIDTHS),
    **{f"50-{kind}": replace(find(f"resnet50{kind}"), **DEEP) for kind in "cdes"},
}


def model(architecture, seed=0):
    draw = np.random.default_rng(seed)
    weights = initialise(architecture, seed)
    for name, values in weights.items():
        if values.ndim == 1 and name != params.FIXED_SCALE:
            weights[name] = draw.uniform(0.5, 1.5, values.shape).astype(np.float32)
    return Model(architecture, weights, Card("made", architecture))


def in_memory(arrays) -> Source:
    return Source.of(write_arrays(arrays), "x.params")


def check_outputs(read: Model, folder: Path) -> None:
    expected = np.load(folder / "io.npz")
    proto = build(read, outputs=("features",)).SerializeToString()
    session = onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"])
    logits, features = session.run(None, {"data": expected["input"]})
    np.testing.assert_allclose(logits, expected["logits"], atol=1e-5)
    np.testing.assert_allclose(features, expected["features"], atol=1e-5)


def test_an_exported_file_of_mxnet_computes_what_mxnet_computed(exported):
    read = files.load(exported / "exported-0000.params")
    check_outputs(read, exported)
    assert read.card.source["names"] == "exported"
    assert read.architecture == replace(find("resnet50-v2"), widths=(4, 8, 12, 16), stem_widths=(8,), classes=10)
    data = params.write(read, Options(names="exported"))
    # Which network of its process it was is not kept.
    assert data.replace(b"resnetv20_", b"resnetv21_") == (exported / "exported-0000.params").read_bytes()


@pytest.mark.parametrize("name", ["thin-resnet18-v1", "thin-resnet18-v2", "thin-resnet50-v1", "thin-resnet50-v2"])
def test_the_three_styles_of_mxnet_are_one_network_and_are_rewritten_byte_for_byte(shared, name):
    folder = shared / "oracles" / "gluon" / name
    named = {"structural": "structural", "prefixed": "prefixed", "exported": "exported-0000"}
    read = {style: files.load(folder / f"{file}.params") for style, file in named.items()}
    check_outputs(read["structural"], folder)
    assert len({digest(one.weights) for one in read.values()}) == 1
    assert {style: one.card.source["names"] for style, one in read.items()} == {style: style for style in named}
    for style, file in named.items():
        data = params.write(read["prefixed"], Options(names=style))
        ours, theirs = f"resnet{name[-2:]}0_".encode(), f"resnet{name[-2:]}{int('50' in name)}_".encode()
        assert data.replace(ours, theirs) == (folder / f"{file}.params").read_bytes()


@pytest.mark.parametrize("name", GLUON | GLUONCV)
def test_what_is_written_is_read(name):
    made = model((GLUON | GLUONCV)[name])
    styles = (None, "structural", "prefixed", "exported") if name in GLUON else (None, "gluoncv")
    for style in styles + (("prefixed", "exported") if name in ("34-b", "50-b") else ()):
        back = params.read(Source.of(params.write(made, Options(names=style)), "x.params"))
        assert back.architecture == made.architecture
        assert digest(back.weights) == digest(made.weights)


@pytest.mark.parametrize(
    ("architecture", "options", "why"),
    [
        (replace(find("resnext50-32x4d"), **WIDTHS), Options(), "groups is 32, and 1 there"),
        (find("resnet50d"), Options(names="prefixed"), "only d and e pool"),
        (replace(find("resnet18"), shortcut_pool=True), Options(names="exported"), "read as another one's"),
        (find("resnet50"), Options(names="structural"), "stride_in is 3x3, and 1x1 there; conv_bias"),
    ],
)
def test_what_the_names_cannot_say_is_refused(architecture, options, why):
    thin = replace(architecture, widths=(2, 3, 5, 7), classes=3)
    if architecture.groups > 1:
        thin = replace(architecture, widths=(16, 16, 16, 16))
    with pytest.raises(ResNetsError, match=why):
        params.write(model(thin), options)


def test_a_learned_scale_of_the_input_batch_norm_is_refused():
    made = model(GLUON["18-v2"])
    made.weights[params.FIXED_SCALE][1] = 2
    with pytest.raises(ResNetsError, match=r"bn0\.weight.* other numbers than 1"):
        params.write(made, Options())


def test_the_scale_that_mxnet_ignores_is_one_and_is_told(exported):
    stored = read_arrays(Source.of((exported / "exported-0000.params").read_bytes(), "x"))
    before = params.read(in_memory(stored))
    stored["arg:resnetv21_batchnorm0_gamma"] = np.array([3, 1, 0.5], np.float32)
    after = params.read(in_memory(stored))
    assert digest(after.weights) == digest(before.weights)
    assert after.card.source["notes"] == [
        "MXNet takes arg:resnetv21_batchnorm0_gamma for 1, whatever is stored there, and so it is 1 here."
    ]


def test_floats_of_other_widths_become_float32(exported):
    made = files.load(exported / "exported-0000.params")
    names = params.STRUCTURAL.names(made.architecture)
    for kind, note in (
        ("f2", "259 arrays are float16 in the file, and float32 here, exactly."),
        ("f8", "259 arrays are float64 in the file, and float32 here, rounded."),
    ):
        back = params.read(in_memory({their: made.weights[name].astype(kind) for name, their in names.items()}))
        assert back.card.source["notes"] == [note]
        assert all((back.weights[n] == made.weights[n].astype(kind).astype("f4")).all() for n in names)
    for bad, why in ((np.ones(10, "i1"), r"1 arrays .* output.bias \(i1\)"), (np.full(10, 1e300), "NaN or infinity")):
        arrays = {their: made.weights[name] for name, their in names.items()} | {"output.bias": bad}
        with pytest.raises(ResNetsError, match=why):
            params.read(in_memory(arrays))


def test_every_mismatch_is_listed_at_once():
    made = model(GLUON["18-v1"])
    arrays = {their: made.weights[name] for name, their in params.STRUCTURAL.names(made.architecture).items()}
    arrays["features.9.0.se.weight"] = arrays.pop("features.5.0.downsample.0.weight")
    del arrays["features.4.1.body.3.weight"]
    arrays["output.weight"] = np.ones((3, 8), np.float32)
    with pytest.raises(ResNetsError) as error:
        params.read(in_memory(arrays))
    assert (
        "2 missing: features.4.1.body.3.weight, features.5.0.downsample.0.weight;"
        " 1 not part of the network: features.9.0.se.weight; 1 of another shape: output.weight (3, 8) instead of (3, 7)"
    ) in error.value.problem


def test_the_given_network_decides_where_names_leave_it_open():
    pooled, plain = GLUONCV["50-d"], GLUONCV["50-c"]
    made = model(pooled)
    arrays = {"net_" + their: made.weights[name] for name, their in params.PREFIXED.names(pooled).items()}
    with pytest.raises(ResNetsError, match="--architecture"):
        params.read(in_memory(arrays))
    assert params.read(in_memory(arrays), pooled).architecture == pooled
    assert params.read(in_memory(arrays), replace(plain, classes=1000)).architecture == plain
    with pytest.raises(ResNetsError, match="do not fit"):
        params.read(in_memory(arrays), find("resnet50d"))
    with pytest.raises(ResNetsError, match="do not say that they belong to the network that was given"):
        params.read(in_memory(arrays), find("preresnet50"))


@pytest.mark.parametrize("arrays", [{}, {"x": np.ones(3)}, {"arg:fc1_weight": np.ones((2, 2))}])
def test_names_of_nobody_are_refused(arrays):
    with pytest.raises(ResNetsError, match="do not say which network they belong to"):
        params.read(in_memory(arrays))


def test_an_array_of_a_network_is_read_once_into_memory_of_its_own(exported):
    read = files.load(exported / "exported-0000.params")
    assert all(array.flags.owndata and array.flags.writeable for array in read.weights.values())
    assert [*read.weights] == [*array_shapes(read.architecture)]
