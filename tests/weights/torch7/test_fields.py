"""Fields that change what nn or cudnn computes: each is refused when the network is read and when it is run."""

from dataclasses import replace

import numpy as np
import pytest

from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.weights.recognise import recognise
from resnets.weights.torch7.export import export
from resnets.weights.torch7.objects import Function, Object, Table, tensor
from resnets.weights.torch7.run import run
from resnets.weights.torch7.tree import walk

# 1 convolution, 2 batch norm, 3 ReLU, 4 maximum, 5-6 stages, 7 pooling, 8 View, 9 Linear
TINY = replace(find("resnet18"), blocks=(1, 1), widths=(4, 8), stem_widths=(4,), classes=3)
INCLUDE, EXCLUDE = (f"CUDNN_POOLING_AVERAGE_COUNT_{what}_PADDING" for what in ("INCLUDE", "EXCLUDE"))


@pytest.fixture
def tree(random_model) -> Object:
    network = export(random_model(TINY))
    last = network["modules"].pairs.pop()[1]
    extra = [("nn.Dropout", [("p", 0.5), ("v2", True)]), ("nn.Copy", [("output", tensor(np.ones(2)))])]
    modules = [*(Object(name, 1, Table(fields)) for name, fields in extra), last]
    network["modules"].pairs += [(9.0 + i, one) for i, one in enumerate(modules)]  # 9 Dropout, 10 Copy, 11 Linear
    return network


def test_the_network_itself_is_read_and_run(tree):
    assert recognise(walk(tree, "the file").steps, "the file")[0] == TINY
    assert run(tree, np.zeros((2, 3, 224, 224), np.float32)).shape == (2, 3)


@pytest.mark.parametrize(
    ("path", "name", "fields", "text"),
    [
        (1, None, {"updateOutput": Function(6, b"", Table())}, "with a function of its own in place of updateOutput"),
        (1, None, {"forward": Function(8, b"", Table())}, "with a function of its own in place of forward"),
        (1, None, {"groups": 2.0}, "with groups 2.0, which only cudnn has"),
        (1, "cudnn.SpatialConvolution", {"padding": 3.0}, "a field padding, which cudnn does not read"),
        (2, None, {"affine": False}, "affine is False, with a weight"),
        (2, None, {"weight": None, "bias": None}, "affine is True, without a weight"),
        (2, None, {"running_std": tensor(np.ones(4))}, "both running_var and running_std"),
        (2, None, {"running_var": None, "running_std": tensor(np.ones(4))}, "running_std in class version 2"),
        (2, "cudnn.SpatialBatchNormalization", {"mode": "CUDNN_BATCHNORM_PER_ACTIVATION"}, "CUDNN_BATCHNORM_PER"),
        (3, "cudnn.ReLU", {"mode": "CUDNN_ACTIVATION_TANH"}, "with mode 'CUDNN_ACTIVATION_TANH'"),
        (3, "nn.Threshold", {"threshold": None}, "without threshold"),
        (4, "cudnn.SpatialMaxPooling", {"mode": INCLUDE}, f"with mode '{INCLUDE}'"),
        (4, None, {"padH": 2.0, "padW": 2.0}, "half a window at most"),
        (4, None, {"padding": 1.0}, "which poolings do not read"),
        (4, "inn.SpatialMaxPooling", {}, "which inn does not read"),
        (7, "cudnn.SpatialAveragePooling", {"mode": "CUDNN_POOLING_MAX"}, "with mode 'CUDNN_POOLING_MAX'"),
        (7, "cudnn.SpatialAveragePooling", {"mode": EXCLUDE}, f"mode {EXCLUDE} contradicts its count_include_pad"),
        (7, "cudnn.SpatialAveragePooling", {"divide": False}, "which cudnn refuses"),
        (7, None, {"ceil_mode": None, "padH": 1.0, "padW": 1.0}, "for which Torch takes no padding"),
        (8, None, {"numElements": 4.0}, "numElements 4.0 contradicts"),
        (8, "nn.Reshape", {"nelement": 4.0}, "nelement 4.0 contradicts"),
        (9, None, {"stochastic_inference": True}, "stochastic_inference, which drops numbers at random"),
        (10, None, {"output": tensor(np.ones(2), "Byte")}, "that makes a torch.ByteTensor of what it reads"),
        (11, "nn.DataParallelTable", {"modules": Table([(1.0, Object("nn.Identity", 1, Table()))]), "dimension": 2.0},
         "along dimension 2.0 instead of 1"),
        (1, None, {str(i): 0.0 for i in range(200)}, "fields"),
    ],
)  # fmt: skip
def test_a_field_that_changes_what_is_computed_is_refused_by_both(tree, path, name, fields, text):
    module = tree["modules"][float(path)]
    module.name = name or module.name
    kept = [(key, value) for key, value in module.value.pairs if key not in fields]
    module.value.pairs = kept + [(key, value) for key, value in fields.items() if value is not None]
    where = rf"modules\[{path}\] \(.*{text}"
    with pytest.raises(ResNetsError, match=where):
        recognise(walk(tree, "the file").steps, "the file")
    with pytest.raises(ResNetsError, match=where):
        run(tree, np.zeros((1, 3, 224, 224), np.float32))


def test_what_torch_leaves_beside_them_is_passed_over(tree):
    for path, fields in (
        (1, {"groups": 1.0, "convDescData": Table([("upscaleA", Table([(1.0, 2.0)]))])}),
        (3, {"mode": "CUDNN_ACTIVATION_RELU"}),
        (7, {"mode": INCLUDE}),
        (9, {"stochastic_inference": False}),
        (10, {"updateOutput": Function(8, b"", Table())}),
    ):
        tree["modules"][float(path)].value.pairs += list(fields.items())
    assert recognise(walk(tree, "the file").steps, "the file")[0] == TINY
    assert run(tree, np.zeros((2, 3, 224, 224), np.float32)).shape == (2, 3)
