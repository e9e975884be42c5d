"""fb.resnet.torch's six models: Torch7 files that were trained on ImageNet, of which no digest was ever printed.

Nor was a size: the ones that a third party's mirror shows are not taken for facts here.
"""

from dataclasses import replace

from resnets.card import RECIPES
from resnets.catalog import find
from resnets.published.row import Published, Reported

REPOSITORY = "https://github.com/facebookarchive/fb.resnet.torch"
PAGE = f"{REPOSITORY}/blob/master/pretrained/README.md"
HOST = "https://d2j0dndfm35trm.cloudfront.net"
TRANSFORMS = f"{REPOSITORY}/blob/master/datasets/imagenet.lua"  # of validation: Scale(256), then CenterCrop or TenCrop
# One of its authors: the short side resized to 320, cropped to 320x320, and the network run fully convolutionally,
# which is to have its 7x7 pooling and its classifier at every place of the larger map.
LARGE = f"{REPOSITORY}/issues/31"
LICENCE = (
    "BSD-3-Clause, with an additional grant of patents (version 2): the repository's, which one of its authors says is"
    f" the models' too ({REPOSITORY}/issues/53)"
)

# Not those of resnet.lua and preresnet.lua as they stand: issues 41, 42, 45, 49, 117 and 191 of the repository.
_LAYOUTS = {
    18: replace(find("resnet18"), conv_bias="all", shortcut_batch_norm=False),
    34: replace(find("resnet34"), conv_bias="all", shortcut_batch_norm=False),
    50: replace(find("resnet50"), conv_bias="all", shortcut_batch_norm=False, post_add_batch_norm=True),
    101: find("resnet101"),
    152: replace(find("resnet152"), conv_bias="all"),
    200: replace(find("preresnet200"), preact_first=("branch",) * 4, shortcut_batch_norm=True),
}
_ERRORS = {  # depth: top-1 and top-5 error of one crop, of ten
    18: ("30.43", "10.76", "28.22", "9.42"),
    34: ("26.73", "8.74", "24.76", "7.35"),
    50: ("24.01", "7.02", "22.24", "6.08"),
    101: ("22.44", "6.21", "21.08", "5.35"),
    152: ("22.16", "6.16", "20.69", "5.21"),
    200: ("21.66", "5.79", "20.15", "4.93"),
}
_UNCHECKED = "No digest and no size of it was ever printed: the first download pins the sha256 of what came."
_CUDA = "Its tensors are of CUDA, as far as its users have told; it is read without a GPU."
_BIASES = "Every convolution has a bias, as its users found."
_BARE = "Every convolution has a bias, and its projections have no batch norm, as its users found."
_BRANCH = "By an early state of preresnet.lua: its blocks begin with their own batch norm, and projections have one."
_NOTES = {
    18: (_BARE,),
    34: (_BARE,),
    50: ("It has a batch norm after the addition, and none behind a block's last convolution.", _BARE),
    101: ("Its network is presumed to be that of resnet.lua.",),
    152: (_BIASES,),
    200: ("It is the full pre-activation network of arXiv:1603.05027.", _BRANCH),
}


def _reported(depth: int) -> tuple[Reported, ...]:
    one, five, one_of_ten, five_of_ten = _ERRORS[depth]
    found = (
        Reported("error", one, five, 224, PAGE, resize=256, conditions_source=TRANSFORMS),
        Reported("error", one_of_ten, five_of_ten, 224, PAGE, crops=10, resize=256, conditions_source=TRANSFORMS),
    )
    large = Reported("error", "20.1", "4.8", 320, PAGE, resize=320, pool="window7", conditions_source=LARGE)
    return (*found, large) if depth == 200 else found


def _row(depth: int) -> Published:
    name = f"preresnet{depth}" if depth == 200 else f"resnet{depth}"
    mirror = ("https://dl.fbaipublicfiles.com/deepmask/models/resnet-50.t7",) if depth == 50 else ()
    return Published(
        f"{name}.fb",
        f"resnet-{depth}.t7",
        (f"{HOST}/resnet-{depth}.t7", *mirror),
        _LAYOUTS[depth],
        RECIPES["fb"],
        LICENCE,
        PAGE,
        reported=_reported(depth),
        also=("resnet200.fb",) if depth == 200 else (),
        notes=(*_NOTES[depth], _CUDA, _UNCHECKED),
    )


ROWS = tuple(_row(depth) for depth in _LAYOUTS)
