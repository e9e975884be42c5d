"""MXNet's and GluonCV's networks: zip archives of one .params file each, whose SHA-1 both libraries check.

GluonCV 0.10 lists other digests for some of them, of files for MXNet 2; those of its table of accuracies stand here.
Its CIFAR_ResNet v1 are left out: their stem has no ReLU behind its batch norm, which no architecture here describes; so
are group-normalised, pruned and quantised networks, and ResNeXts, whose names of arrays are not read.
"""

from dataclasses import replace

from resnets.card import RECIPES
from resnets.catalog import Architecture, find
from resnets.published.row import Digest, Published, Reported

# The second stands in Dive into Deep Learning as MXNET_GLUON_REPO for readers in China.
HOSTS = (
    "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/gluon/models",
    "https://apache-mxnet.s3.cn-north-1.amazonaws.com.cn/gluon/models",
)
MXNET = "https://github.com/apache/mxnet/blob/1.9.1/python/mxnet/gluon/model_zoo/model_store.py"
MXNET_PAGE = (
    "https://github.com/apache/mxnet/blob/01e371e340101673aa5407273ba818a91f471c04/docs/api/python/gluon/model_zoo.md"
)
GLUONCV = "https://github.com/dmlc/gluon-cv/blob/5677756/gluoncv/model_zoo/model_store.py"
GLUONCV_TABLES = "https://github.com/dmlc/gluon-cv/blob/master/docs/model_zoo/csv_tables/Classifications"
LICENCE = "none stated for the weights; the code of MXNet and of GluonCV is Apache-2.0"

# MXNet's page names mean and std alone, and GluonCV's scripts trained its weights.
IMAGENET = RECIPES["gluoncv"]
# GluonCV's demo_cifar10.py: Resize(32), a square, which leaves the images of CIFAR-10 as they are.
CIFAR = replace(
    IMAGENET, resize="square", size=32, crop=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)
)

_MXNET = {  # MXNet's name: SHA-1 of the .params file, top-1 and top-5 accuracy, which are printed as fractions
    "resnet18_v1": ("a0666292f0a30ff61f857b0b66efc0228eb6a54b", "70.93", "89.92"),
    "resnet34_v1": ("48216ba99a8b1005d75c0f3a0c422301a0473233", "74.37", "91.87"),
    "resnet50_v1": ("0aee57f96768c0a2d5b23a6ec91eb08dfb0a45ce", "76.47", "93.13"),
    "resnet101_v1": ("d988c13d6159779e907140a638c56f229634cb02", "78.34", "94.01"),
    "resnet152_v1": ("671c637a14387ab9e2654eafd0d493d86b1c8579", "79.00", "94.38"),
    "resnet18_v2": ("a81db45fd7b7a2d12ab97cd88ef0a5ac48b8f657", "71.00", "89.92"),
    "resnet34_v2": ("9d6b80bbc35169de6b6edecffdd6047c56fdd322", "74.40", "92.08"),
    "resnet50_v2": ("ecdde35339c1aadbec4f547857078e734a76fb49", "77.11", "93.43"),
    "resnet101_v2": ("18e93e4f48947e002547f50eabbcc9c83e516aa6", "78.53", "94.17"),
    "resnet152_v2": ("f2695542de38cf7e71ed58f02893d82bb409415e", "79.21", "94.31"),
}
_GLUONCV = {  # the same of GluonCV's, where its file is not MXNet's
    "resnet50_v1": ("cc729d95031ca98cf2ff362eb57dee4d9994e4b2", "77.36", "93.57"),
    "resnet152_v1": ("acfd09703b113143af9c33898bad8b6154fd6fb0", "79.22", "94.64"),
    "resnet18_v1b": ("2d9d980c990442f826f20781ed039851e78dabe3", "70.94", "89.83"),
    "resnet34_v1b": ("8e16b84814e84f64d897854003f049872991eaa6", "74.65", "92.08"),
    "resnet50_v1b": ("0ecdba34691be172036ddf244ff1b2eade75ffde", "77.67", "93.82"),
    "resnet101_v1b": ("a455932aa95cb7dcfa05fd040b9b5a5660733c39", "79.20", "94.61"),
    "resnet152_v1b": ("a5a61ee1ce5ab7c09720775b223360f3c60e211d", "79.69", "94.74"),
    "resnet50_v1c": ("2a4e070854db538595cc7ee02e1a914bdd49ca02", "78.03", "94.09"),
    "resnet101_v1c": ("064858f23f9878bfbbe378a88ccb25d612b149a1", "79.60", "94.75"),
    "resnet152_v1c": ("75babab699e1c93f5da3c1ce4fd0092d1075f9a0", "80.01", "94.96"),
    "resnet50_v1d": ("117a384ecf61490eb31ea147eb0e61e6d2b8a449", "79.15", "94.58"),
    "resnet101_v1d": ("1b2b825feff86b0354642a4ab59f9b6e35e47338", "80.51", "95.12"),
    "resnet152_v1d": ("cddbc86ff24a5544f57242ded0acb14ef1fbd437", "80.61", "95.34"),
    "resnet50_v1s": ("25a187fa281ddc98afbcd0cc0f0646885b874b80", None, None),
    "resnet101_v1s": ("bd93a83c05f709a803b1221aeff0b028e6eebb03", None, None),
    "resnet152_v1s": ("cf74621d988ad06c6c6aa44f5597e5b600a966cc", None, None),
}
_TAGGED = {  # trained without mix-up; GluonCV knows these by the first digits of the SHA-1 alone
    "resnet50_v1d": ("00319ddc", "78.48", "94.20"),
    "resnet101_v1d": ("8659a9d6", "79.78", "94.80"),
    "resnet152_v1d": ("cfe0220d", "80.26", "95.00"),
}
_CIFAR10 = {  # depth: SHA-1, top-1 accuracy of training without and with mix-up
    20: ("4f2d18804c94f2d283b8b45256d048bd3d6dd479", "92.1", "92.7"),
    56: ("0a3e74104ec7bcfffefe2d9d5cc1f8e74311ec51", "93.7", "94.6"),
    110: ("bf160f8b3cb3884a1ea871739f3c8e151e114159", "94.3", "95.5"),
}
_HOST = (
    "Downloads from its host were reported to fail in February 2024 (dmlc/gluon-cv issue 1778), and nobody here could"
    " see whether it serves the file today."
)
_UNREPORTED = "GluonCV publishes it as the backbone of segmentation networks, and prints no accuracy."


def _ours(theirs: str) -> str:
    """The catalog's name: resnet50_v1 is resnet50-v1, resnet50_v1b is resnet50, resnet50_v1d is resnet50d."""
    stem, _, version = theirs.partition("_")
    return f"{stem}-{version}" if version in ("v1", "v2") else stem + version.removeprefix("v1").replace("b", "")


def _published(name: str, theirs: str, sha1: str, source: str, architecture: Architecture) -> Published:
    """What all of them have in common."""
    stem = f"{theirs}-{sha1[:8]}"
    return Published(
        name,
        f"{stem}.zip",
        tuple(f"{host}/{stem}.zip" for host in HOSTS),
        architecture,
        IMAGENET,
        LICENCE,
        source,
        digests=(Digest("sha1", sha1, source, member=True),),
        member=".params",
        also=(f"{stem}.params",),
        notes=(_HOST,),
    )


def _mxnet(theirs: str) -> Published:
    sha1, top1, top5 = _MXNET[theirs]
    name = _ours(theirs)
    row = _published(f"{name}.gluon", theirs, sha1, MXNET, find(name))
    shared = () if theirs in _GLUONCV else (f"{name}.gluoncv",)
    return replace(row, also=(*row.also, *shared), reported=(Reported("accuracy", top1, top5, 224, MXNET_PAGE),))


def _gluoncv(theirs: str, sha1: str, top1: str | None, top5: str | None) -> Published:
    name = _ours(theirs)
    tag = f"-{sha1}" if len(sha1) == 8 else ""
    page = f"{GLUONCV_TABLES}/ResNet.csv"
    row = _published(f"{name}.gluoncv{tag}", theirs, sha1, page if tag else GLUONCV, find(name))
    if top1 is None:
        return replace(row, notes=(*row.notes, _UNREPORTED))
    return replace(row, reported=(Reported("accuracy", top1, top5, 224, page),))


def _cifar(depth: int) -> Published:
    sha1, plain, mixed = _CIFAR10[depth]
    name = f"preresnet{depth}-cifar"
    # CIFARResNetV2: Gluon's ResNetV2 in the sizes of CIFAR, where fb's has shortcut A and no batch norm on the input.
    network = replace(
        find(name), shortcut="B", input_batch_norm=True, preact_first=("branch", "both", "both"), classes=10
    )
    row = _published(f"{name}.gluoncv", f"cifar_resnet{depth}_v2", sha1, GLUONCV, network)
    note = (
        f"GluonCV prints a top-1 accuracy of {plain} % on CIFAR-10 for training without mix-up and of {mixed} % with it"
        f" ({GLUONCV_TABLES}/CIFAR10.csv), and does not say which of the two the file is."
    )
    return replace(row, recipe=CIFAR, labels="cifar10", notes=(*row.notes, note))


ROWS = (
    *(_mxnet(theirs) for theirs in _MXNET),
    *(_gluoncv(theirs, *facts) for table in (_GLUONCV, _TAGGED) for theirs, facts in table.items()),
    *(_cifar(depth) for depth in _CIFAR10),
)
