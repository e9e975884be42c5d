import random
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from resnets.catalog import ARCHITECTURES, Architecture, find
from resnets.errors import ResNetsError
from resnets.network import Step, same, steps
from resnets.weights.recognise import recognise

NARROW: dict[str, Any] = {"blocks": (1, 2, 1), "widths": (8, 16, 32)}
SMALL = replace(find("resnet50"), **NARROW)
PRE = replace(find("preresnet50"), preact_first=("branch", "branch", "both"), **NARROW)
VARIANTS = {
    "published 50": replace(SMALL, conv_bias="all", shortcut_batch_norm=False, post_add_batch_norm=True),
    "published 200": replace(PRE, shortcut_batch_norm=True),
    "grouped": replace(SMALL, groups=4, base_width=32),
    "shortcut C": replace(find("preresnet20-cifar"), blocks=(2, 1, 1), shortcut="C"),
    "zeros on both sides": replace(find("resnet20-cifar"), blocks=(1, 1, 1), shortcut_zeros="both"),
    "biases": replace(find("resnet18"), conv_bias="all", classes=5),
    "one channel, other eps": replace(find("resnet18-v2"), input_channels=1, eps=2e-5, classes=1),
    "cifar stem, pre-activation in the branch": replace(
        find("preresnet20-cifar"), stem="cifar", preact_first=("branch", "both", "none"), shortcut="B"
    ),
    "bare stem, bottleneck": replace(
        find("preresnet164-cifar"), blocks=(1, 1), widths=(8, 8), preact_first=("both",) * 2
    ),
}
ALL = {name: a for name, a in ARCHITECTURES.items() if sum(a.blocks) < 60} | VARIANTS


def foreign(architecture: Architecture, seed: int = 0) -> list[Step]:
    """The same network under names of another tool, in another order that can be computed too."""
    names = {"data": "data"}
    renamed = []
    for number, step in enumerate(steps(architecture)):
        names[step.name] = f"node{number}"
        arrays = tuple((f"array of {name}", shape) for name, shape in step.arrays)
        inputs = tuple(names[name] for name in step.inputs)
        renamed.append(replace(step, name=names[step.name], inputs=inputs, arrays=arrays))
    waiting, done, shuffled = renamed, {"data"}, []
    order = random.Random(seed)
    while waiting:
        ready = [step for step in waiting if done.issuperset(step.inputs)]
        step = order.choice(ready)
        waiting = [other for other in waiting if other is not step]
        done.add(step.name)
        shuffled.append(replace(step, inputs=tuple(order.sample(step.inputs, len(step.inputs)))))
    return shuffled


def changed(found: list[Step], name: str, **fields: Any) -> list[Step]:
    assert any(step.name == name for step in found)
    return [replace(step, **fields) if step.name == name else step for step in found]


@pytest.mark.parametrize("name", ALL)
def test_every_network_is_recognised_by_its_graph_alone(name):
    found, keys = recognise(foreign(ALL[name]), "m")
    assert found == ALL[name]
    assert all(key == f"array of {ours}" for ours, key in keys.items())
    assert len(keys) == sum(len(step.arrays) for step in steps(ALL[name]))


@pytest.mark.parametrize("name", ALL)
def test_folded_networks_are_recognised_as_folded(name):
    architecture = replace(ALL[name], batch_norm="none")
    found, keys = recognise(foreign(architecture), "m")
    assert found.batch_norm == "none"
    assert same(found, architecture)
    assert all(key == f"array of {ours}" for ours, key in keys.items())


def test_an_eps_that_was_rounded_to_32_bits_is_the_one_that_was_meant():
    rounded = [replace(step, eps=9.999999747378752e-06) if step.eps else step for step in steps(find("resnet18"))]
    assert recognise(rounded, "m")[0].eps == 1e-5


BASE = replace(find("resnet50"), blocks=(1, 2), widths=(8, 16))
ODD = {
    "every odd step is named": (
        changed(changed(steps(BASE), "layer1.0.relu1", op="Sigmoid"), "maxpool", op="MaxPool with holes"),
        r"maxpool \(MaxPool with holes\), layer1.0.relu1 \(Sigmoid\) have no place",
    ),
    "stride in stage 1": (
        changed(steps(BASE), "layer1.0.conv2", stride=2),
        "layer1.0.conv2 has stride 2 instead of 1",
    ),
    "a kernel": (
        changed(
            steps(BASE), "layer2.1.conv1", kernel=3, padding=1, arrays=(("layer2.1.conv1.weight", (16, 64, 3, 3)),)
        ),
        r"layer2.1.conv1 has kernel 3 instead of 1, padding 1 instead of 0, arrays",
    ),
    "two eps": (changed(steps(BASE), "bn1", eps=1e-3), "more than one eps: 1e-05, 0.001"),
    "a bias": (
        changed(
            steps(BASE),
            "layer2.0.conv1",
            arrays=(("layer2.0.conv1.weight", (16, 32, 1, 1)), ("layer2.0.conv1.bias", (16,))),
        ),
        "1 of 12 convolutions have a bias",
    ),
    "an answer that is read on": (
        [*steps(BASE), Step("relu", "after", ("fc",), 1000)],
        "behind the last block stand relu, global_pool, linear, relu",
    ),
    "something beside": ([*steps(BASE), Step("relu", "aside", ("nowhere",), 1)], "aside: not on the way"),
    "three ways": ([*steps(BASE), Step("relu", "third", ("maxpool",), 32)], "maxpool: 3 steps read it"),
    "a read inside": ([*steps(BASE), Step("relu", "spy", ("layer1.0.bn1",), 8)], "layer1.0.bn1: 2 steps read it"),
    "no blocks": (
        [replace(steps(BASE)[0], name="c"), Step("global_pool", "p", ("c",), 64), Step("linear", "l", ("p",), 9)],
        "no residual block",
    ),
    "nothing": ([], "no residual block"),
    "a cycle": (
        [Step("relu", "a", ("b",), 3), Step("relu", "b", ("a",), 3)],
        "no residual block|not on the way",
    ),
    "a cycle from the image": (
        [Step("add", "a", ("data", "b"), 3), Step("relu", "b", ("a",), 3)],
        "an addition in a place",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_what_is_no_residual_network_is_refused_by_the_name_of_the_step(case):
    found, why = ODD[case]
    with pytest.raises(ResNetsError, match=why) as refused:
        recognise(found, "m.t7")
    assert refused.value.problem.startswith("m.t7 holds no residual network that resnets can describe")


def test_any_one_changed_number_is_noticed():
    """No field of a step can differ and the network still be taken for one of ours, but as another Architecture."""
    draw = random.Random(0)
    for _ in range(300):
        found = steps(BASE)
        step = draw.choice([s for s in found if s.op in ("conv", "max_pool", "batch_norm", "linear")])
        field = draw.choice(["channels", "kernel", "stride", "padding", "groups"])
        altered = changed(found, step.name, **{field: getattr(step, field) + 1})
        with suppress(ResNetsError):
            architecture, _ = recognise(altered, "m")
            assert steps(architecture) == altered
