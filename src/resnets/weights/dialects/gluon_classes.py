"""A class of MXNet's and sizes go in, the Architecture that it builds comes out; or an Architecture, and its class.

The classes are Gluon's ResNetV1 and ResNetV2 (mxnet/gluon/model_zoo/vision/resnet.py), and GluonCV's ResNetV1b
(gluoncv/model_zoo/resnetv1b.py), which has c, d, e and s in it.
"""

from dataclasses import dataclass, replace

from resnets.catalog import ARCHITECTURES, Architecture, differing
from resnets.errors import ResNetsError
from resnets.network import Shape

CLASSES = {"v1": "Gluon's ResNetV1", "v2": "Gluon's ResNetV2", "v1b": "GluonCV's ResNetV1b"}
# The last digit counts the networks made before in the process that exported the ONNX zoo's files.
_ZOO = {
    f"resnet{depth}-{version}": (version, f"resnet{version}{count}_")
    for version, counts in (("v1", (5, 6, 7, 8, 9)), ("v2", (2, 3, 4, 5, 7)))
    for depth, count in zip((18, 34, 50, 101, 152), counts, strict=True)
}


@dataclass(frozen=True)
class Outline:
    """What tells networks of one class apart, as the shapes of its convolutions' weights show it.

    `family`: a key of CLASSES. `stem`: its convolutions; `stem_normed`: whether a batch norm follows them. `firsts`:
    the first convolution of each stage, of `blocks` blocks. `pooled`: whether shortcuts pool.
    """

    family: str
    stem: tuple[Shape, ...]
    stem_normed: bool
    firsts: tuple[Shape, ...]
    blocks: tuple[int, ...]
    classes: int
    pooled: bool = False


def built(o: Outline) -> Architecture:
    """The network that the class builds in these sizes. Raises ResNetsError where the sizes are none of a network."""
    bottleneck = o.firsts[0][2] == 1
    widths = tuple(shape[0] for shape in o.firsts)
    deep = len(o.stem) == 3
    plain = Architecture(
        "bottleneck" if bottleneck else "basic",
        o.blocks,
        widths,
        stem="deep" if deep else "imagenet" if o.stem_normed else "bare",
        stem_widths=tuple(shape[0] for shape in o.stem),
        shortcut_pool=o.pooled,
        input_channels=o.stem[0][1],
        classes=o.classes,
    )
    if o.family == "v1b":
        return plain
    if o.family == "v1":  # whose 1x1 convolutions were left with their biases
        return replace(plain, stride_in="1x1", conv_bias="bottleneck-1x1") if bottleneck else plain
    # A block hands its raw input to an identity shortcut, its activated one to a projection.
    identity = plain.stem_widths[-1] == widths[0] * plain.expansion
    return replace(
        plain,
        block=f"preact-{plain.block}",
        shortcut_batch_norm=False,
        preact_first=("branch" if identity else "both", *("both" for _ in widths[1:])),
        input_batch_norm=True,
        final_batch_norm=True,
    )


def family_of(a: Architecture, families: tuple[str, ...]) -> str:
    """The first of these classes that builds this network. Raises ResNetsError with the fields that none has."""
    lost = {family: differing(a, built(_outline(a, family))) for family in families}
    family = min(families, key=lambda name: len(lost[name]))
    if lost[family]:
        fields = "; ".join(f"{name} is {ours}, and {theirs} there" for name, (ours, theirs) in lost[family].items())
        raise ResNetsError(
            f"These names can say what {' and '.join(CLASSES[name] for name in families)} build, and this network is"
            f" not among it. The nearest is of {CLASSES[family]}: {fields}.",
            "Write .onnx, .safetensors, .pth or .t7, which can say any network.",
        )
    return family


def _outline(a: Architecture, family: str) -> Outline:
    """The outline of an architecture, as if it were of that class."""
    kernel = 1 if a.bottleneck else 3
    gluoncv = family == "v1b"
    widths = a.stem_widths if gluoncv and a.stem == "deep" else a.stem_widths[-1:]
    return Outline(
        family,
        stem=tuple((width, a.input_channels, kernel, kernel) for width in widths),
        stem_normed=gluoncv or not a.cifar_stem,
        firsts=tuple((width, width, kernel, kernel) for width in a.widths),
        blocks=a.blocks,
        classes=a.classes,
        pooled=gluoncv and a.shortcut_pool,
    )


def prefix_of(a: Architecture, family: str) -> str:
    """What the names of an exported network begin with: the zoo's own where the zoo has this network."""
    for name, (version, prefix) in _ZOO.items():
        known = ARCHITECTURES[name]
        if version == family and replace(known, classes=a.classes, input_channels=a.input_channels) == a:
            return prefix
    return f"resnet{family}0_"
