"""A Model goes in, its module tree comes out as fb.resnet.torch's resnet.lua and preresnet.lua would have built it.

Where those files say nothing (deep stems, zeros on both sides, folded batch norms) modules of nn say it. The tree is
read off the network's steps, so that every variant that `network` knows is built in one way.
"""

from collections.abc import Iterator, Mapping
from itertools import groupby

import numpy as np

from resnets.errors import ResNetsError
from resnets.network import INPUT, Step, layers, steps
from resnets.weights.model import Model
from resnets.weights.torch7.cover import MAX_SIDE
from resnets.weights.torch7.objects import Object, Storage, Table, Tensor, tensor

FLOAT = "torch.FloatTensor"
NAMES = ("nn", "cudnn")


def export(model: Model, names: str | None = None) -> Object:
    """The whole network as an nn.Sequential of nn's classes, or with `cudnn` of those that fb's files took from cudnn.

    Raises ResNetsError for unknown names, and for grouped convolutions, which only cudnn has.
    """
    library = names or "nn"
    if library not in NAMES:
        raise ResNetsError(f"Modules of Torch7 have no names {library!r}.", f"Use {' or '.join(NAMES)}.")
    if model.architecture.groups > 1 and library == "nn":
        raise ResNetsError(
            f"Torch7's nn has no convolution with groups, and this network's have {model.architecture.groups}.",
            "Write it with --names cudnn, whose class has them.",
        )
    build = _Build(model, library)
    flat = [module for step in _outside(build.plan, "stem") for module in build.modules(step)]
    for _, stage in groupby(_blocks(build.plan), key=lambda block: block[0].name.partition(".")[0]):
        flat.append(_sequential([_block(build, block) for block in stage]))
    flat += [module for step in _outside(build.plan, "head") for module in build.modules(step)]
    return _sequential(flat)


def _in_block(step: Step) -> bool:
    return step.name.startswith("layer")


def _outside(plan: list[Step], where: str) -> Iterator[Step]:
    """The steps before the first block, or those behind the last."""
    first = next(i for i, step in enumerate(plan) if _in_block(step))
    for i, step in enumerate(plan):
        if not _in_block(step) and (i < first) == (where == "stem"):
            yield step


def _blocks(plan: list[Step]) -> Iterator[list[Step]]:
    """The steps of each block: those whose names begin alike, `layer1.0`."""
    inside = [step for step in plan if _in_block(step)]
    for _, block in groupby(inside, key=lambda step: step.name.split(".")[:2]):
        yield list(block)


def _block(build: "_Build", block: list[Step]) -> Object:
    """Sequential{what both ways read, ConcatTable{branch, shortcut}, CAddTable, what follows}."""
    by_name = {step.name: step for step in block}
    add = next(step for step in block if step.op == "add")
    branch, shortcut = (_way(by_name, name) for name in add.inputs)
    shared = [one for one, other in zip(branch, shortcut) if one is other]
    branch, shortcut = branch[len(shared) :], shortcut[len(shared) :]
    following = block[block.index(add) + 1 :]
    both = _object(
        "nn.ConcatTable", {"output": Table(), "modules": _numbered([build.row(branch), build.shortcut(shortcut)])}
    )
    total = _object("nn.CAddTable", {"gradInput": Table(), "inplace": True})
    before, behind = ([m for step in part for m in build.modules(step)] for part in (shared, following))
    for module in before[:1]:  # fb marks the batch norm that both ways read, for the sharing of gradients
        module.value.pairs.append(("__shareGradInputKey", "preact"))
    return _sequential([*before, both, total, *behind])


def _way(by_name: Mapping[str, Step], name: str) -> list[Step]:
    """The steps of the block that lead to that one, in order."""
    way: list[Step] = []
    while name in by_name:
        way.insert(0, by_name[name])
        name = by_name[name].inputs[0]
    return way


class _Build:
    """Modules of one network's steps."""

    def __init__(self, model: Model, library: str) -> None:
        self.a, self.weights, self.library = model.architecture, model.weights, library
        self.side = _side(model)
        self.plan = steps(self.a)
        self.channels = {INPUT: self.a.input_channels, **{step.name: step.channels for step in self.plan}}

    def row(self, way: list[Step]) -> Object:
        return _sequential([module for step in way for module in self.modules(step)])

    def shortcut(self, way: list[Step]) -> Object:
        """nn.Identity, Sequential{modules}, or as in the published 18, 34 and 50 a convolution by itself."""
        if not way:
            return _object("nn.Identity")
        bare = len(way) == 1 and way[0].op == "conv" and not self.a.preact and not self.a.shortcut_batch_norm
        if bare:
            return self._conv(way[0])
        if way[0].op == "pad_channels":  # fb subsamples with stride 1 too
            return _sequential([_average_pool("nn", 1, 1), *self.modules(way[0])])
        return self.row(way)

    def modules(self, step: Step) -> list[Object]:
        """What stands in a Sequential for one step."""
        match step.op:
            case "conv":
                return [self._conv(step)]
            case "batch_norm":
                return [self._batch_norm(step)]
            case "relu":
                return [self._relu()]
            case "max_pool":
                return [_max_pool(step)]
            case "average_pool":
                return [_average_pool("nn", step.kernel, step.stride, ceil=step.kernel > 1)]
            case "pad_channels":
                return list(_pad(step, self.channels[step.inputs[0]]))
            case "global_pool":
                return [_average_pool(self.library, self.side, 1), _view(step.channels)]
            case "linear":
                return [self._linear(step)]
        raise AssertionError(step.op)

    def _arrays(self, step: Step) -> dict[str, Tensor]:
        return {name.rpartition(".")[2]: tensor(self.weights[name]) for name, _ in step.arrays}

    def _conv(self, step: Step) -> Object:
        inputs = self.channels[step.inputs[0]]
        fields: dict[str, object] = {
            "nInputPlane": inputs,
            "nOutputPlane": step.channels,
            "finput": _empty(),
            "fgradInput": _empty(),
            **_window(step.kernel, step.stride, step.padding),
            **self._arrays(step),
        }
        if self.library == "cudnn":
            fields |= {"groups": step.groups, "iSize": _longs([0, 0, 0, 0])}
        found = _object(f"{self.library}.SpatialConvolution", fields)
        if step is self.plan[0]:  # fb drops the gradient of the image
            found.value.pairs = [(key, value) for key, value in found.value.pairs if key != "gradInput"]
        return found

    def _batch_norm(self, step: Step) -> Object:
        plain = {"eps": step.eps, "momentum": 0.1, "affine": True, "save_mean": _empty(), "save_std": _empty()}
        found = _object("nn.SpatialBatchNormalization", {**plain, **self._arrays(step)}, version=2)
        if step.name == "norm":
            found.value.pairs.append(("__shareGradInputKey", "last"))
        return found

    def _relu(self) -> Object:
        if self.library == "cudnn":
            return _object("cudnn.ReLU", {"inplace": True, "mode": "CUDNN_ACTIVATION_RELU"})
        return _object("nn.ReLU", {"inplace": True, "threshold": 0, "val": 0})

    def _linear(self, step: Step) -> Object:
        return _object("nn.Linear", {"addBuffer": _empty(), **self._arrays(step)})


def _side(model: Model) -> int:
    """Side of the last map: 7 or 8 of fb's networks, whose images have 224 pixels, or 32 for a stem that pools nothing.

    The images are those of the card's recipe, where it has one that can be read back.
    """
    crop = model.card.recipe.crop if model.card.recipe else 0
    if not 0 < crop <= MAX_SIDE:
        crop = 32 if model.architecture.cifar_stem else 224
    rows = layers(model.architecture, crop, crop)
    pooled = next(row.step.inputs[0] for row in rows if row.step.op == "global_pool")
    return next(row.output[-1] for row in rows if row.step.name == pooled)


def _object(name: str, fields: Mapping[str, object] | None = None, version: int = 1) -> Object:
    """A module with what every module has, in evaluation mode and without gradients."""
    every = {"_type": FLOAT, "train": False, "output": _empty(), "gradInput": _empty(), **(fields or {})}
    numbers = [(key, float(value) if type(value) is int else value) for key, value in every.items()]
    return Object(name, version, Table(numbers))


def _numbered(values: list[Object]) -> Table:
    return Table([(float(i), value) for i, value in enumerate(values, 1)])


def _sequential(children: list[Object]) -> Object:
    return _object("nn.Sequential", {"modules": _numbered(children)})


def _window(kernel: int, stride: int, padding: int = 0) -> dict[str, int]:
    return {"kW": kernel, "kH": kernel, "dW": stride, "dH": stride, "padW": padding, "padH": padding}


def _max_pool(step: Step) -> Object:
    indices = Tensor("torch.LongTensor", (), (), 0, None)
    window = _window(step.kernel, step.stride, step.padding)
    return _object("nn.SpatialMaxPooling", {"ceil_mode": False, "indices": indices, **window})


def _average_pool(library: str, kernel: int, stride: int, *, ceil: bool = False) -> Object:
    # Of an incomplete window only what is there counts: nn then agrees with graph.py.
    fields: dict[str, object] = {"ceil_mode": ceil, "count_include_pad": not ceil, **_window(kernel, stride)}
    if library == "cudnn":
        fields |= {"mode": "CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING", "iSize": _longs([0, 0, 0, 0])}
    else:
        fields["divide"] = True
    return _object(f"{library}.SpatialAveragePooling", fields)


def _view(features: int) -> Object:
    return _object("nn.View", {"size": _longs([features]), "numElements": features, "numInputDims": 3})


def _pad(step: Step, inputs: int) -> Iterator[Object]:
    """fb doubles channels with Concat{Identity, MulConstant(0)}; nn.Padding adds any number of zeros on either side."""
    before, after = step.zeros
    if (before, after) == (0, inputs):
        zeros = _object("nn.MulConstant", {"constant_scalar": 0, "inplace": False})
        parts = _numbered([_object("nn.Identity"), zeros])
        yield _object("nn.Concat", {"dimension": 2, "outputSize": _longs([]), "modules": parts})
        return
    for count in (-before, after):
        if count:
            fields = {"dim": 1, "nInputDim": 3, "pad": count, "value": 0, "index": 1, "outputSize": _longs([])}
            yield _object("nn.Padding", fields)


def _empty() -> Tensor:
    return Tensor(FLOAT, (), (), 0, None)


def _longs(values: list[int]) -> Storage:
    return Storage("torch.LongStorage", len(values), elements=np.array(values, np.int64))
