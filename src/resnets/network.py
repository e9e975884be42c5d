"""An Architecture goes in, the flat list of its steps comes out: the one place that knows how a ResNet is put together.

The ONNX graph, the readers and writers of weights, the size table and the tests of the torch models all read this list.
A step is one operation with its canonical name (see ARCHITECTURE.md), the steps it reads, and its arrays.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from resnets.catalog import Architecture

Shape = tuple[int, ...]
INPUT = "data"


@dataclass(frozen=True)
class Step:
    """One operation: conv, batch_norm, relu, max_pool, average_pool, pad_channels, add, global_pool or linear.

    `channels` is what it puts out; `arrays` are (canonical name, shape) in the order of the usual files; `inputs` are
    the names of the steps it reads (`data` is the image). `zeros`: channels that pad_channels adds before and after.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    channels: int
    arrays: tuple[tuple[str, Shape], ...] = ()
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    groups: int = 1
    eps: float = 0.0
    zeros: tuple[int, int] = (0, 0)


class _Builder:
    """The list under construction, and the name and channels of the value that the next step reads."""

    def __init__(self, architecture: Architecture) -> None:
        self.a = architecture
        self.steps: list[Step] = []
        self.at, self.channels = INPUT, architecture.input_channels

    def put(
        self, op: str, name: str, channels: int | None = None, *, reads: tuple[str, ...] = (), **rest: object
    ) -> None:
        self.channels = channels or self.channels
        self.steps.append(Step(op, name, reads or (self.at,), self.channels, **rest))  # type: ignore[arg-type]
        self.at = name

    def conv(
        self, name: str, out: int, kernel: int, stride: int = 1, *, groups: int = 1, bias: bool, folded: bool
    ) -> None:
        """A convolution padded to keep the size at stride 1. `folded`: a batch norm behind it became its bias."""
        arrays: list[tuple[str, Shape]] = [(f"{name}.weight", (out, self.channels // groups, kernel, kernel))]
        if bias or folded:
            arrays.append((f"{name}.bias", (out,)))
        self.put(
            "conv", name, out, arrays=tuple(arrays), kernel=kernel, stride=stride, padding=kernel // 2, groups=groups
        )

    def batch_norm(self, name: str) -> None:
        arrays = tuple((f"{name}.{part}", (self.channels,)) for part in BATCH_NORM_ARRAYS)
        self.put("batch_norm", name, arrays=arrays, eps=self.a.eps)

    def conv_norm(
        self, conv: str, norm: str, out: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = False
    ) -> None:
        folded = self.a.batch_norm == "none"
        self.conv(conv, out, kernel, stride, groups=groups, bias=bias, folded=folded)
        if not folded:
            self.batch_norm(norm)


BATCH_NORM_ARRAYS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class BlockShape:
    """Where a block stands: its name (`layer1.0`), channels in, the width of its stage, its stride.

    `first` is its stage's `preact_first`, and `branch` in all blocks after the first of a stage.
    """

    name: str
    inputs: int
    width: int
    stride: int
    first: str

    def convolutions(self, a: Architecture) -> tuple[tuple[int, int, int, int, bool], ...]:
        """(channels out, kernel, stride, groups, bias) of each convolution of the branch."""
        every = a.conv_bias == "all"
        if not a.bottleneck:
            return ((self.width, 3, self.stride, 1, every), (self.width, 3, 1, 1, every))
        inner = self.width * a.base_width // 64 * a.groups
        ends = every or a.conv_bias == "bottleneck-1x1"
        early, late = (self.stride, 1) if a.stride_in == "1x1" else (1, self.stride)
        return ((inner, 1, early, 1, ends), (inner, 3, late, a.groups, every), (self.width * 4, 1, 1, 1, ends))


def block_shapes(architecture: Architecture) -> Iterator[list[BlockShape]]:
    """The blocks of each stage in order. Each stage after the first begins with stride 2."""
    channels = architecture.stem_widths[-1]
    for stage, (count, width) in enumerate(zip(architecture.blocks, architecture.widths, strict=True)):
        shapes = []
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            first = architecture.preact_first[stage] if architecture.preact and index == 0 else "branch"
            shapes.append(BlockShape(f"layer{stage + 1}.{index}", channels, width, stride, first))
            channels = width * architecture.expansion
        yield shapes


def projects(architecture: Architecture, block: BlockShape) -> bool:
    """Whether this block's shortcut is more than the identity."""
    changes = block.stride != 1 or block.inputs != block.width * architecture.expansion
    return changes or architecture.shortcut == "C"


def zero_channels(architecture: Architecture, inputs: int, outputs: int) -> tuple[int, int]:
    """How many zero channels shortcut A puts before and after its own."""
    missing = outputs - inputs
    before = missing // 2 if architecture.shortcut_zeros == "both" else 0
    return before, missing - before


def steps(architecture: Architecture) -> list[Step]:
    """The network as a flat list, from the image to the logits, in the order in which it is computed."""
    b = _Builder(architecture)
    _stem(b)
    for stage in block_shapes(architecture):
        for block in stage:
            (_preact_block if architecture.preact else _block)(b, block)
    if architecture.final_batch_norm:
        b.batch_norm("norm")
        b.put("relu", "relu_last")
    b.put("global_pool", "avgpool")
    fc = (("fc.weight", (architecture.classes, b.channels)), ("fc.bias", (architecture.classes,)))
    b.put("linear", "fc", architecture.classes, arrays=fc)
    return b.steps


def feature_map(architecture: Architecture) -> str:
    """Name of the step that the global pooling reads: its output is the feature map."""
    return next(step.inputs[0] for step in reversed(steps(architecture)) if step.op == "global_pool")


def _stem(b: _Builder) -> None:
    a = b.a
    bias = a.conv_bias == "all"
    if a.input_batch_norm:
        b.batch_norm("bn0")
    if a.stem == "bare":
        b.conv("conv1", a.stem_widths[0], 3, bias=bias, folded=False)
        return
    if a.stem == "deep":  # names of timm's nn.Sequential: 0 conv, 1 batch norm, 2 ReLU, 3 conv, ...
        b.conv_norm("conv1.0", "conv1.1", a.stem_widths[0], 3, 2, bias=bias)
        b.put("relu", "conv1.2")
        b.conv_norm("conv1.3", "conv1.4", a.stem_widths[1], 3, bias=bias)
        b.put("relu", "conv1.5")
        b.conv_norm("conv1.6", "bn1", a.stem_widths[2], 3, bias=bias)
    else:
        kernel, stride = (7, 2) if a.stem == "imagenet" else (3, 1)
        b.conv_norm("conv1", "bn1", a.stem_widths[0], kernel, stride, bias=bias)
    b.put("relu", "relu")
    if a.stem != "cifar":
        b.put("max_pool", "maxpool", kernel=3, stride=2, padding=1)


def _shortcut(b: _Builder, block: BlockShape, source: str) -> str:
    """Put the shortcut's steps, reading `source`; returns the name of its output."""
    a, out = b.a, block.width * b.a.expansion
    if not projects(a, block):
        return source
    b.at, b.channels = source, block.inputs
    if a.shortcut == "A":
        if block.stride != 1:
            b.put("average_pool", f"{block.name}.shortcut.subsample", kernel=1, stride=block.stride)
        if out != block.inputs:
            b.put("pad_channels", f"{block.name}.shortcut.pad", out, zeros=zero_channels(a, block.inputs, out))
        return b.at
    stride, offset = block.stride, 0
    if a.shortcut_pool:  # timm counts the pooling as downsample.0, and keeps its place where it pools nothing
        offset = 1
        if stride != 1:
            b.put("average_pool", f"{block.name}.downsample.0", kernel=stride, stride=stride)
        stride = 1
    conv, norm = f"{block.name}.downsample.{offset}", f"{block.name}.downsample.{offset + 1}"
    bias = a.conv_bias == "all"
    if a.shortcut_batch_norm:
        b.conv_norm(conv, norm, out, 1, stride, bias=bias)
    else:
        b.conv(conv, out, 1, stride, bias=bias, folded=False)
    return b.at


def _block(b: _Builder, block: BlockShape) -> None:
    """Figure 5 of arXiv:1512.03385: convolutions with batch norm, addition, ReLU."""
    source = b.at
    convolutions = block.convolutions(b.a)
    for number, (out, kernel, stride, groups, bias) in enumerate(convolutions, 1):
        conv, norm = f"{block.name}.conv{number}", f"{block.name}.bn{number}"
        last = number == len(convolutions)
        if last and b.a.post_add_batch_norm:
            b.conv(conv, out, kernel, stride, groups=groups, bias=bias, folded=False)
        else:
            b.conv_norm(conv, norm, out, kernel, stride, groups, bias)
        if not last:
            b.put("relu", f"{block.name}.relu{number}")
    _join(b, block, source)
    if b.a.post_add_batch_norm:
        b.batch_norm(f"{block.name}.bn_add")
    b.put("relu", f"{block.name}.relu")


def _preact_block(b: _Builder, block: BlockShape) -> None:
    """Figure 4(e) of arXiv:1603.05027: batch norm and ReLU before each convolution, nothing after the addition."""
    source = b.at
    convolutions = block.convolutions(b.a)
    for number, (out, kernel, stride, groups, bias) in enumerate(convolutions, 1):
        conv, norm = f"{block.name}.conv{number}", f"{block.name}.bn{number}"
        if number == 1 and block.first != "none":
            b.batch_norm(norm)
            b.put("relu", f"{block.name}.relu1")
            source = b.at if block.first == "both" else source
        if number == len(convolutions):
            b.conv(conv, out, kernel, stride, groups=groups, bias=bias, folded=False)
        else:  # the batch norm behind this convolution is the next one's
            b.conv_norm(conv, f"{block.name}.bn{number + 1}", out, kernel, stride, groups, bias)
            b.put("relu", f"{block.name}.relu{number + 1}")
    _join(b, block, source)


def _join(b: _Builder, block: BlockShape, source: str) -> None:
    branch = b.at
    shortcut = _shortcut(b, block, source)
    b.put("add", f"{block.name}.add", block.width * b.a.expansion, reads=(branch, shortcut))


def same(a: Architecture, b: Architecture) -> bool:
    """Do two descriptions mean one network? Where batch norms are folded, several fields may say the same."""
    return a == b or steps(a) == steps(b)


def array_shapes(architecture: Architecture) -> dict[str, Shape]:
    """Canonical name → shape of every array, in the order of the steps."""
    return {name: shape for step in steps(architecture) for name, shape in step.arrays}


def parameters(architecture: Architecture) -> int:
    """Trainable parameters: all array elements but the running statistics."""
    shapes = array_shapes(architecture).items()
    return sum(prod(shape) for name, shape in shapes if not name.endswith(("running_mean", "running_var")))


def depth(architecture: Architecture) -> int:
    """Layers as the papers count them: the stem's convolution, those of the branches, the classifier."""
    return 1 + sum(architecture.blocks) * (3 if architecture.bottleneck else 2) + 1


@dataclass(frozen=True)
class Layer:
    """One row of the size table: a step, the shape of its output without the batch, its parameters and its MACs."""

    step: Step
    output: Shape
    parameters: int
    macs: int


def layers(architecture: Architecture, height: int, width: int) -> list[Layer]:
    """The size table for one image of that size. MACs are the multiplications of convolutions and the classifier."""
    sizes: dict[str, tuple[int, int]] = {INPUT: (height, width)}
    rows = []
    for step in steps(architecture):
        h, w = sizes[step.inputs[0]]
        if step.op == "average_pool":  # ceil mode
            h, w = -(-h // step.stride), -(-w // step.stride)
        elif step.op in ("conv", "max_pool"):
            h, w = ((n + 2 * step.padding - step.kernel) // step.stride + 1 for n in (h, w))
        elif step.op == "global_pool":
            h = w = 1
        sizes[step.name] = (h, w)
        count = sum(prod(s) for n, s in step.arrays if not n.endswith(("running_mean", "running_var")))
        macs = prod(step.arrays[0][1]) * h * w if step.op in ("conv", "linear") else 0
        output = (step.channels,) if step.op in ("global_pool", "linear") else (step.channels, h, w)
        rows.append(Layer(step, output, count, macs))
    return rows
