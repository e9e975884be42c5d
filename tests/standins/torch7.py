"""A Model goes in, a .t7 comes out as fb.resnet.torch's pretrained files are: CUDA tensors, gradients, buffers.

cudnn's classes where fb uses them, optnet-less buffers (`output`, `gradWeight`, `gradBias`), and in ResNet-200's tree,
which the oldest preresnet.lua built, `nn.Copy` before the last batch norm.
"""

from pathlib import Path
from typing import Any

import numpy as np

from resnets.weights.model import Model
from resnets.weights.torch7.export import export
from resnets.weights.torch7.objects import Object, Storage, Table, Tensor, tensor
from resnets.weights.torch7.write import parts

_CUDA = {"torch.FloatTensor": "torch.CudaTensor", "torch.LongTensor": "torch.CudaLongTensor"}
_GRADIENTS = {"weight": "gradWeight", "bias": "gradBias"}


def write(model: Model, path: Path) -> None:
    """The whole file."""
    tree = export(model, "cudnn")
    copied = model.architecture.preact and model.architecture.preact_first == ("branch",) * 4
    if copied:
        _insert_copy(tree)
    _dress(tree)
    with path.open("wb") as file:
        for part in parts([tree]):
            file.write(part)


def _insert_copy(tree: Object) -> None:
    """nn.Copy stands before the last batch norm of the published 200: the tenth of fourteen modules."""
    modules = tree["modules"].items()
    last = max(i for i, module in enumerate(modules) if module.name == "nn.SpatialBatchNormalization")
    fields = [("_type", "torch.CudaTensor"), ("train", False), ("intype", "torch.CudaTensor")]
    copy = Object("nn.Copy", 1, Table([*fields, ("outtype", "torch.CudaTensor"), ("dontCast", True)]))
    modules.insert(last, copy)
    tree["modules"].pairs = [(float(i), module) for i, module in enumerate(modules, 1)]


def _dress(module: Object) -> None:
    """Every tensor as one of CUDA's, and beside each array its gradient."""
    fields: list[tuple[Any, Any]] = []
    for key, value in module.value.pairs:
        if key == "_type":
            value = "torch.CudaTensor"
        elif isinstance(value, Tensor):
            value = _cuda(value)
        fields.append((key, value))
        if key in _GRADIENTS:
            fields.append((_GRADIENTS[key], _gradient(value)))
        if key == "modules":
            for child in value.items():
                _dress(child)
    if module.name.endswith(("SpatialConvolution", "SpatialBatchNormalization")):
        fields = [(key, _some_output() if key == "output" else value) for key, value in fields]
    module.value.pairs = fields


def _cuda(found: Tensor) -> Tensor:
    storage = found.storage
    if storage is not None:
        storage = Storage("torch.CudaStorage", storage.count, 1, storage.elements)
    return Tensor(_CUDA.get(found.name, found.name), found.size, found.stride, found.offset, storage)


def _gradient(like: Tensor) -> Tensor:
    """Of the same size: in these files it doubles what is stored. That it is no weight shows."""
    return tensor(np.full(like.size, 1e3, np.float32), "Cuda")


def _some_output() -> Tensor:
    return tensor(np.full((1, 4, 3, 3), 7, np.float32), "Cuda")
