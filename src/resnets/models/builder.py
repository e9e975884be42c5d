"""Architecture → nn.Module, and NumPy arrays ⇄ state dict. Parameters carry the canonical names of network.py."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnets import catalog
from resnets.catalog import Architecture
from resnets.errors import ResNetsError
from resnets.initialise import classifier, initialise
from resnets.models.blocks import BLOCKS, batch_norm, convolution, shortcut
from resnets.network import array_shapes, block_shapes
from resnets.weights.model import Arrays, fit


class ResNet(nn.Module):
    """A residual network: [n, channels, h, w] normalised pixels → [n, classes] logits. Any size from 32x32 up.

    `features(x)` gives the pooled features [n, c], `maps(x)` the output of each stage.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.bn0 = batch_norm(a, a.input_channels, behind_convolution=False) if a.input_batch_norm else nn.Identity()
        self.conv1, self.bn1 = _stem_convolution(a)
        self.relu = nn.Identity() if a.stem == "bare" else nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if a.cifar_stem else nn.MaxPool2d(3, 2, 1)
        self.stages = [f"layer{number}" for number in range(1, len(a.blocks) + 1)]
        for name, shapes in zip(self.stages, block_shapes(a), strict=True):
            blocks = (BLOCKS[a.block](a, shape, shortcut(a, shape)) for shape in shapes)
            self.add_module(name, nn.Sequential(*blocks))
        final = a.final_batch_norm
        self.norm = batch_norm(a, a.features, behind_convolution=False) if final else nn.Identity()
        self.relu_last = nn.ReLU(inplace=True) if final else nn.Identity()
        self.fc: nn.Module = nn.Linear(a.features, a.classes)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The output of each stage, [n, c, h, w] each; the last one after the final batch norm where there is one."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(self.bn0(x)))))
        found = []
        for name in self.stages:
            x = self.get_submodule(name)(x)
            found.append(x)
        found[-1] = self.relu_last(self.norm(x))
        return found

    def features(self, x: Tensor) -> Tensor:
        """Pooled features, [n, c]."""
        return self.maps(x)[-1].mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits, [n, classes]."""
        return self.fc(self.features(x))  # type: ignore[no-any-return]


class StageMaps(nn.Module):
    """The same network, giving the outputs of its stages as a list instead of logits."""

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.network.maps(x)


def _stem_convolution(a: Architecture) -> tuple[nn.Module, nn.Module]:
    bias, widths = a.conv_bias == "all", a.stem_widths
    if a.stem == "bare":
        return convolution(a.input_channels, widths[0], 3, bias=bias), nn.Identity()
    bias = bias or a.batch_norm == "none"
    norm = batch_norm(a, widths[-1])
    if a.stem != "deep":
        kernel, stride = (7, 2) if a.stem == "imagenet" else (3, 1)
        return convolution(a.input_channels, widths[0], kernel, stride, bias=bias), norm
    parts: list[nn.Module] = []
    channels = a.input_channels
    for width, stride in zip(widths, (2, 1, 1), strict=True):
        parts += [convolution(channels, width, 3, stride, bias=bias), batch_norm(a, width), nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(*parts[:-2]), norm


def build(architecture: Architecture) -> ResNet:
    """The network with torch's own random weights: load arrays with `load_arrays`, or start from `initialised`."""
    return ResNet(architecture)


def initialised(architecture: Architecture, seed: int = 0) -> ResNet:
    """The network with the weights that `resnets create` would write."""
    network = build(architecture)
    load_arrays(network, initialise(architecture, seed))
    return network


def load_arrays(network: ResNet, weights: Arrays) -> None:
    """Copy NumPy arrays in, by canonical name. Raises ResNetsError that lists every mismatch."""
    fitting = fit(network.architecture, weights, "the weights")
    own = network.state_dict()
    with torch.no_grad():
        for name, array in fitting.items():
            own[name].copy_(torch.from_numpy(np.ascontiguousarray(array)))


def arrays(network: ResNet) -> Arrays:
    """The network's parameters and running statistics as float32 arrays (copies), by canonical name."""
    return arrays_of(network.architecture, network.state_dict())


def arrays_of(architecture: Architecture, state: dict[str, Tensor]) -> Arrays:
    """The same from a state dict; torch's `num_batches_tracked` is not part of a network."""
    return {name: state[name].detach().to("cpu", torch.float32).numpy().copy() for name in array_shapes(architecture)}


def create_model(
    name: str,
    pretrained: bool = False,
    num_classes: int | None = None,
    in_chans: int = 3,
    features_only: bool = False,
) -> nn.Module:
    """A torch network by name, as timm's function of that name makes it.

    `name` is an architecture (`resnets list`), published weights, of which only the architecture counts without
    `pretrained`, or with `pretrained=True` anything else that `resnets.load` opens. Where `num_classes` is not the
    file's, the classifier is drawn anew; 0 leaves it out, and the network gives pooled features. Where `in_chans` is
    not, the first convolution is adapted. `features_only` gives the outputs of the stages as a list. Raises
    ResNetsError for a name without weights, and where a network cannot take that number of channels.
    """
    if pretrained:
        network = _pretrained(name, num_classes, in_chans)
    else:
        row = _architecture(name)
        network = initialised(replace(row, classes=num_classes or row.classes, input_channels=in_chans))
    if num_classes == 0:
        network.fc = nn.Identity()
    return StageMaps(network) if features_only else network


def _architecture(name: str) -> Architecture:
    """Of the catalog, or of published weights of that name."""
    if name not in catalog.ARCHITECTURES:
        from resnets.published.table import named

        row = named(name)
        if row is not None and row.architecture is None:
            raise ResNetsError(f"{name} is a graph that runs as it is, not a network to build.", "Use Classifier.")
        if row is not None and row.architecture is not None:
            return row.architecture
    return catalog.find(name)


def _pretrained(name: str, num_classes: int | None, in_chans: int) -> ResNet:
    from resnets.weights.files import load

    model = load(name)
    a, weights = model.architecture, dict(model.weights)
    wanted = replace(a, classes=num_classes or a.classes, input_channels=in_chans)
    if wanted.classes != a.classes:
        weights |= classifier(wanted)
    if wanted.input_channels != a.input_channels:
        if a.input_batch_norm:
            raise ResNetsError(
                f"{name} normalises its {a.input_channels} input channels by statistics that no other has.",
                f"Leave in_chans at {a.input_channels}, or use a network without a batch norm on its input.",
            )
        stem = "conv1.0.weight" if a.stem == "deep" else "conv1.weight"
        weights[stem] = adapted(weights[stem], in_chans)
    network = build(wanted)
    load_arrays(network, weights)
    return network


def adapted(kernel: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """A first convolution [out, in, h, w] for images of another number of channels, as timm makes it.

    timm/models/_manipulate.py, adapt_input_conv: for one channel the sum over all, so that a grey image gives what it
    gave as RGB; for several they are repeated in turn, and scaled so that equal channels give what they gave.
    """
    own = kernel.shape[1]
    if channels == 1:
        return np.asarray(kernel.sum(1, keepdims=True), np.float32)
    return np.asarray(kernel[:, np.arange(channels) % own] * np.float32(own / channels), np.float32)
