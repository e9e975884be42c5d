"""The parts of a residual network in torch: a block class is one figure of a paper."""

import torch
from torch import Tensor, nn

from resnets.catalog import Architecture
from resnets.network import BlockShape, projects, zero_channels


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, *, bias: bool = False
) -> nn.Conv2d:
    """A convolution padded so that stride 1 keeps the size."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)


def batch_norm(architecture: Architecture, channels: int, *, behind_convolution: bool = True) -> nn.Module:
    """Batch norm, or nothing where it stood behind a convolution and has been folded into it."""
    if behind_convolution and architecture.batch_norm == "none":
        return nn.Identity()
    return nn.BatchNorm2d(channels, eps=architecture.eps)


class ZeroPadded(nn.Module):
    """Shortcut A, section 3.3 of arXiv:1512.03385: every stride-th pixel, and channels of zeros. No parameters."""

    def __init__(self, stride: int, zeros: tuple[int, int]) -> None:
        super().__init__()
        self.stride, self.zeros = stride, zeros

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] → [n, before + c + after, ceil(h / stride), ceil(w / stride)]."""
        return nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, *self.zeros))


def shortcut(architecture: Architecture, block: BlockShape) -> nn.Module:
    """What carries a block's input around it: identity, zero-padded (A), or a 1x1 convolution (B, C)."""
    a, outputs = architecture, block.width * architecture.expansion
    if not projects(a, block):
        return nn.Identity()
    if a.shortcut == "A":
        return ZeroPadded(block.stride, zero_channels(a, block.inputs, outputs))
    pool: list[nn.Module] = []
    stride = block.stride
    if a.shortcut_pool:  # bag of tricks, figure 2(c) of arXiv:1812.01187
        pool = [nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()]
        stride = 1
    folded = a.batch_norm == "none" and a.shortcut_batch_norm
    project = convolution(block.inputs, outputs, 1, stride, bias=a.conv_bias == "all" or folded)
    norm = [batch_norm(a, outputs)] if a.shortcut_batch_norm else []
    return nn.Sequential(*pool, project, *norm)


def _add_convolutions(module: nn.Module, a: Architecture, block: BlockShape) -> None:
    """Give a block its conv1, conv2, … and the batch norm behind each, bn1, bn2, … (post) or bn2, bn3, … (pre)."""
    shapes, inputs = block.convolutions(a), block.inputs
    for number, (outputs, kernel, stride, groups, bias) in enumerate(shapes, 1):
        last = number == len(shapes)
        bare = last and (a.preact or a.post_add_batch_norm)
        folded = a.batch_norm == "none" and not bare
        module.add_module(f"conv{number}", convolution(inputs, outputs, kernel, stride, groups, bias=bias or folded))
        if not bare:
            module.add_module(f"bn{number + 1 if a.preact else number}", batch_norm(a, outputs))
        inputs = outputs
    if a.post_add_batch_norm:
        module.add_module(f"bn{len(shapes)}", nn.Identity())


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut: figure 5, left, of arXiv:1512.03385."""

    conv1: nn.Conv2d
    conv2: nn.Conv2d
    bn1: nn.Module
    bn2: nn.Module

    def __init__(self, architecture: Architecture, block: BlockShape, shortcut: nn.Module) -> None:
        super().__init__()
        _add_convolutions(self, architecture, block)
        self.downsample = shortcut
        self.bn_add = _after_addition(architecture, block)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] → [n, width, h / stride, w / stride]."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu_(self.bn_add(y + self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut: figure 5, right, of arXiv:1512.03385."""

    conv1: nn.Conv2d
    conv2: nn.Conv2d
    conv3: nn.Conv2d
    bn1: nn.Module
    bn2: nn.Module
    bn3: nn.Module

    def __init__(self, architecture: Architecture, block: BlockShape, shortcut: nn.Module) -> None:
        super().__init__()
        _add_convolutions(self, architecture, block)
        self.downsample = shortcut
        self.bn_add = _after_addition(architecture, block)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] → [n, 4 width, h / stride, w / stride]."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu_(self.bn_add(y + self.downsample(x)))


def _after_addition(a: Architecture, block: BlockShape) -> nn.Module:
    if not a.post_add_batch_norm:
        return nn.Identity()
    return batch_norm(a, block.width * a.expansion, behind_convolution=False)


class PreactBasic(nn.Module):
    """Batch norm and ReLU before each of two 3x3 convolutions: figure 4(e) of arXiv:1603.05027."""

    conv1: nn.Conv2d
    conv2: nn.Conv2d
    bn2: nn.Module

    def __init__(self, architecture: Architecture, block: BlockShape, shortcut: nn.Module) -> None:
        super().__init__()
        self.first = block.first
        self.bn1 = _before_branch(architecture, block)
        _add_convolutions(self, architecture, block)
        self.downsample = shortcut
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] → [n, width, h / stride, w / stride]."""
        y = x if self.first == "none" else self.relu(self.bn1(x))
        carried = self.downsample(y if self.first == "both" else x)
        y = self.relu(self.bn2(self.conv1(y)))
        return self.conv2(y) + carried  # type: ignore[no-any-return]


class PreactBottleneck(nn.Module):
    """Batch norm and ReLU before each of the 1x1, 3x3 and 1x1 convolutions: section 3 of arXiv:1603.05027."""

    conv1: nn.Conv2d
    conv2: nn.Conv2d
    conv3: nn.Conv2d
    bn2: nn.Module
    bn3: nn.Module

    def __init__(self, architecture: Architecture, block: BlockShape, shortcut: nn.Module) -> None:
        super().__init__()
        self.first = block.first
        self.bn1 = _before_branch(architecture, block)
        _add_convolutions(self, architecture, block)
        self.downsample = shortcut
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] → [n, 4 width, h / stride, w / stride]."""
        y = x if self.first == "none" else self.relu(self.bn1(x))
        carried = self.downsample(y if self.first == "both" else x)
        y = self.relu(self.bn2(self.conv1(y)))
        y = self.relu(self.bn3(self.conv2(y)))
        return self.conv3(y) + carried  # type: ignore[no-any-return]


def _before_branch(a: Architecture, block: BlockShape) -> nn.Module:
    return nn.Identity() if block.first == "none" else batch_norm(a, block.inputs, behind_convolution=False)


BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck] | type[PreactBasic] | type[PreactBottleneck]] = {
    "basic": BasicBlock,
    "bottleneck": Bottleneck,
    "preact-basic": PreactBasic,
    "preact-bottleneck": PreactBottleneck,
}
