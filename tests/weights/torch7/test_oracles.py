from dataclasses import replace

import numpy as np
import onnxruntime

from resnets.catalog import find
from resnets.graph import build
from resnets.weights import files

# What each of the oracles is, beside the catalog's network of that kind.
FIELDS = {
    "resnet20-cifar10-A": ("resnet20-cifar", {}),
    "resnet20-cifar10-B": ("resnet20-cifar", {"shortcut": "B"}),
    "resnet20-cifar10-C": ("resnet20-cifar", {"shortcut": "C"}),
    "resnet20-cifar100-A-cudnn": ("resnet20-cifar", {"classes": 100}),
    "preresnet20-cifar10-A": ("preresnet20-cifar", {}),
    "preresnet20-cifar10-B-cudnn": ("preresnet20-cifar", {"shortcut": "B"}),
    "thin8-resnet18-A": ("resnet18", {"shortcut": "A"}),
    "thin8-resnet18-B": ("resnet18", {}),
    "thin8-resnet18-C": ("resnet18", {"shortcut": "C"}),
    "thin8-resnet50-B": ("resnet50", {}),
    "thin8-preresnet18-B": ("preresnet18", {}),
    "thin8-preresnet50-B": ("preresnet50", {}),
    "thin8-preresnet200-B": ("preresnet200", {}),
    "thin8-published18": ("resnet18", {"conv_bias": "all", "shortcut_batch_norm": False}),
    "thin8-published50": (
        "resnet50",
        {"conv_bias": "all", "shortcut_batch_norm": False, "post_add_batch_norm": True},
    ),
    "thin8-published-preresnet50": ("preresnet50", {"preact_first": ("branch",) * 4, "shortcut_batch_norm": True}),
    "thin8-biased152": ("resnet152", {"conv_bias": "all"}),
    "model_4": ("resnet20-cifar", {}),
}


def test_every_oracle_is_the_network_that_it_was_built_as(oracle):
    name, changes = FIELDS[oracle.path.name.split(".")[0].removesuffix("-double")]
    thin = {"widths": (8, 16, 32, 64), "stem_widths": (8,)} if "thin8" in oracle.path.name else {}
    assert files.load(oracle.path).architecture == replace(find(name), **thin, **changes)


def test_every_oracle_computes_in_float32_what_torch_computes(oracle):
    model = files.load(oracle.path)
    assert all(array.dtype == np.float32 for array in model.weights.values())
    session = onnxruntime.InferenceSession(build(model).SerializeToString())
    found = session.run(["logits"], {"data": oracle.images.astype(np.float32)})[0]
    assert np.abs(found - oracle.logits).max() <= max(1e-4, 2 * oracle.difference)
    assert (found.argmax(1) == oracle.logits.argmax(1)).all()
