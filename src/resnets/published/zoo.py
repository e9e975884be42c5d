"""The ONNX Model Zoo's ResNets: MXNet's v1 and v2, quantised ones, Caffe2's ResNet-50; and the files it began with."""

from resnets.card import RECIPES, Recipe
from resnets.catalog import Architecture, find
from resnets.published.row import Digest, Published, Reported

ZOO = "https://github.com/onnx/models"
PAGE = f"{ZOO}/blob/main/validated/vision/classification/resnet/README.md"
MANIFEST = f"{ZOO}/blob/main/ONNX_HUB_MANIFEST.json"
FOLDER = "validated/vision/classification/resnet/model"
# GitHub's large files stopped on 1 July 2025, as the README of the repository announces, and its models moved to the
# first of these. The others give whole files where that is undone, or a pointer in their place.
HOSTS = (
    "https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main",
    "https://media.githubusercontent.com/media/onnx/models/main",
    f"{ZOO}/raw/main",
)
FIRST_PAGE = f"{ZOO}/blob/222411bfa7441d8c9b3fbbc42e1e67a561832268/models/image_classification/resnet/README.md"
FIRST_HOST = "https://s3.amazonaws.com/onnx-model-zoo/resnet"
LICENCE = "Apache-2.0"  # so both pages end

_MODELS = {  # name: bytes and sha256 of the .onnx file
    "resnet18-v1.zoo7": (46_820_737, "4e8f8653e7a2222b3904cc3fe8e304cd8b339ce1d05fd24688162f86fb6df52c"),
    "resnet34-v1.zoo7": (87_302_588, "883a41b2e30ddc2e422c108b091b5e70b92d37dc5c345a2c563dcae27971e2cc"),
    "resnet50-v1.zoo7": (102_583_340, "af16a04a6ec48ac494065d4439fe9dea590d337b9ca6dc328160ccf04a217b9c"),
    "resnet101-v1.zoo7": (178_914_043, "760702f6ec0138f71ebac66f4e95d1c72dc9267a8544f4d4667a53075fd0497c"),
    "resnet152-v1.zoo7": (241_816_206, "b0ec92437bf8c9d0739bf9bafdea9638e13f9e3c1e2fb766ad546cc182fd3f6d"),
    "resnet18-v2.zoo7": (46_806_737, "3b4d048057854022232aa20bf68262e31718ab7119a17f920b8a2dc1433f824b"),
    "resnet34-v2.zoo7": (87_288_587, "3d3815e25f4b1ea967e2a526a3b27ef2a03af1725bdc199a63a271c26862d914"),
    "resnet50-v2.zoo7": (102_442_452, "79102261eb6e5fd7af5d27f41316293e388c5cb691e5d25bfb035c4f64fefe31"),
    "resnet101-v2.zoo7": (178_682_301, "3a0a819ea0953fb4700b0d98e43540aeee253e5b4c503c552b0c7979fc67767d"),
    "resnet152-v2.zoo7": (241_503_848, "40fb3f6dd313ba786a2c8077a0ef7d7b4afeda5d037365400d3a7fbc2b1bee64"),
    "resnet50-v1.zoo12": (102_576_593, "3f03fdef724b22947eed826f1eef1dc5c34151bb4c37d634f1db89dfa2dd1526"),
    "resnet50-v1.zoo12-int8": (25_816_052, "c234f30975989788b4405f25253275aae247ab6dbdd34aaa69ab0a59ff76f6d0"),
    "resnet50-v1.zoo12-qdq": (25_753_167, "e6429d274805654c79ba68dc886c1efd4eff95393e747c35d3fdab579febd8a0"),
    "resnet50.caffe2-3": (102_491_873, "22cbd5723582d9e4636c46da43732980c8a60f8fc74c37f15db522034e6ae84d"),
    "resnet50.caffe2-6": (102_490_291, "166b367d86f2afe34f7438154f2798d081b13d369df20c75b485b76763c16a0e"),
    "resnet50.caffe2-7": (102_489_425, "48c377bd20b8e7c1b4a2e371c1badefbb9db906f57bcc5c800a28835c6b988bf"),
    "resnet50.caffe2-8": (102_489_425, "4f4a244f1485883fbf4faa0f967409a747164733a7b59b2d07d124d6bbd26ae0"),
    "resnet50.caffe2-9": (102_489_425, "822daa93e11ecd505f282eb16e02d7fa6d7a88a4db0c9f832320798e508ba0dd"),
}
_TARBALLS = {  # name: bytes and sha256 of the .tar.gz with the model and its sample test data
    "resnet18-v1.zoo7": (43_835_620, "2163225f89c858f120b5376758b752e57139601e967f6c6f614a3d77e9d66505"),
    "resnet34-v1.zoo7": (81_220_173, "c95b29c28e4d2c6b9ee7969e668b35cff335ec11761e9722f3ebe67490c19f7b"),
    "resnet50-v1.zoo7": (95_435_189, "898a9183256e884ae06fb1c11869386eccd38393ab41d9339909e974519a9feb"),
    "resnet101-v1.zoo7": (166_222_423, "27f51a51a9de6c1b10455cb09164f384746288c4b9e7bbb4af49ab206abd6703"),
    "resnet152-v1.zoo7": (226_450_954, "470ccde11c3ee2b490c214e48459c03e5b4118e8143f83dd795263efcf794cf3"),
    "resnet18-v2.zoo7": (43_808_776, "a64c111fac5d4e8bebf9246507ec7a92ea1c1596de09fca73bb7f94e9750e316"),
    "resnet34-v2.zoo7": (81_189_514, "b04865581abb9a51af87cfc170ac26e928eeade336e16abbe984c410441453cc"),
    "resnet50-v2.zoo7": (95_237_476, "d6a8b7ec924dae64e19c0850e7aa9c633095f7c4422393f5cc478c4982e97667"),
    "resnet101-v2.zoo7": (165_872_227, "566663c700f5cc1e8eb0043c00923d5422abaca4fae21568973ef9c446084f6e"),
    "resnet152-v2.zoo7": (225_131_715, "78b507483050a427870a264c398d121f44b92d69c8ca0c53217eb5137b6b51e3"),
    "resnet50-v1.zoo12": (96_559_469, "9391137cfc8fbec372d7a1e59e272d67550dab72d93cf7c7d6256782262599ea"),
    "resnet50-v1.zoo12-int8": (22_355_322, "662710f50cafe29f44727b9cd8be5430fb06da18d3004cf5f9d9645c0dc39d71"),
    "resnet50-v1.zoo12-qdq": (17_049_336, "6a93ba624ecab599d3f8511b1409f5103beb2f1708a85955397a3132ca423d99"),
    "resnet50.caffe2-3": (96_754_305, "b83fbf3bc6a25ece62216e2ed801061383af864c1b1ddc9c18d0a08e6daead61"),
    "resnet50.caffe2-6": (98_379_563, "92df484b9242282bb3a8ee6e82849db3c82dd96d231f253c9287b483c6f119e5"),
    "resnet50.caffe2-7": (95_636_370, "c3c19b61bffe72bf94b6c0214c1f5f5375b3cca08ee24ec83fff515b6761ac57"),
    "resnet50.caffe2-8": (95_636_234, "04b0525962974065137fcf3d37cb4608d73f36e3d28bea5933af56e61cad35ce"),
    "resnet50.caffe2-9": (95_636_091, "e0703ef13fefd8207747ec5713eb07fc87fa0ab1257e92a052bc7b761101d49c"),
}
_ACCURACIES = {  # top-1 and top-5, of the files of 2018 and of today alike
    "resnet18-v1": ("69.93", "89.29"),
    "resnet34-v1": ("73.73", "91.40"),
    "resnet50-v1": ("74.93", "92.38"),
    "resnet101-v1": ("76.48", "93.20"),
    "resnet152-v1": ("77.11", "93.61"),
    "resnet18-v2": ("69.70", "89.49"),
    "resnet34-v2": ("73.36", "91.43"),
    "resnet50-v2": ("75.81", "92.82"),
    "resnet101-v2": ("77.42", "93.61"),
    "resnet152-v2": ("78.20", "94.21"),
    "resnet50-v1.zoo12": ("74.97", "92.33"),
    "resnet50-v1.zoo12-int8": ("74.77", "92.32"),
    "resnet50-v1.zoo12-qdq": ("74.43", None),
}
_FIRST_SIZES = {  # MB of the .onnx file and of the .tar.gz, as printed
    "resnet18-v1": ("44.7", "42.9"),
    "resnet34-v1": ("83.3", "78.6"),
    "resnet50-v1": ("97.8", "92.2"),
    "resnet101-v1": ("170.6", "159.8"),
    "resnet152-v1": ("230.6", "217.2"),
    "resnet18-v2": ("44.6", "42.9"),
    "resnet34-v2": ("83.2", "78.6"),
    "resnet50-v2": ("97.7", "92.0"),
    "resnet101-v2": ("170.4", "159.4"),
    "resnet152-v2": ("230.3", "216.0"),
}

# What README, preprocessing graph and imagenet_preprocess.py tell users to do; the accuracies were measured otherwise.
_DOCUMENTED = RECIPES["zoo-readme"]
# Of the models of opset 12 README and measurement agree: the one points to onnxrt_inference.ipynb, the other was Neural
# Compressor's resnet50_v1_5.yaml, and both resize to a square by OpenCV.
_OPSET_12 = RECIPES["zoo-notebook"]

_NOTEBOOK = "centre crop; by imagenet_validation.ipynb, whose Resize(256) makes a square"
_COMPRESSOR = "centre crop; by Neural Compressor, whose Resize of 256 makes a square"
_SQUARE = "Its accuracies were measured on images resized to a square of 256 pixels: `--recipe zoo-notebook` does that."
_TESTS = "An archive: beside the model it holds sample inputs and outputs."
_SPATIAL = (
    "The batch norms of the files of 2018 have the attribute spatial=0, which ONNX Runtime refused or computed wrongly;"
    " it is left out of account here."
)
_VNNI = "Its sample outputs came from a processor with AVX512-VNNI; others differ in the last digits."
_BATCH_1 = "The graph takes one image at a time, for a Reshape in it has a fixed shape; converted, it takes any number."
_OLD = "Its opset is older than ONNX Runtime runs: the network is read from the graph, and built anew."


def _architecture(name: str) -> Architecture | None:
    """Caffe2's has its stride in the 3x3, as the graph printed in apache/tvm issue 3307 shows."""
    return None if name.endswith(("-int8", "-qdq")) else find(name.partition(".")[0])


def _path(name: str) -> str:
    """The file at the zoo without its suffix: resnet50-v1.zoo12-int8 is resnet50-v1-12-int8."""
    return name.replace(".caffe2-", "-caffe2-v1-").replace(".zoo", "-")


def _reported(name: str, page: str) -> tuple[Reported, ...]:
    printed = _ACCURACIES.get(name, _ACCURACIES.get(name.partition(".")[0]))
    if printed is None:
        return ()
    conditions = _COMPRESSOR if ".zoo12" in name else _NOTEBOOK
    return (Reported("accuracy", *printed, 224, page, recipe="zoo-notebook", conditions=conditions),)


def _recipe(name: str) -> Recipe:
    if ".caffe2" in name:
        return RECIPES["caffe2"]
    return _OPSET_12 if ".zoo12" in name else _DOCUMENTED


def _notes(name: str) -> tuple[str, ...]:
    if ".caffe2" in name:
        return (_OLD if name.endswith(("-3", "-6")) else _BATCH_1,)
    if ".zoo12" in name:
        return (_VNNI,) if _architecture(name) is None else ()
    return (_SQUARE,)


def _row(name: str, tarball: bool = False) -> Published:
    file = _path(name) + (".tar.gz" if tarball else ".onnx")
    size, sha256 = (_TARBALLS if tarball else _MODELS)[name]
    return Published(
        f"{name}-tar" if tarball else name,
        file,
        tuple(f"{host}/{FOLDER}/{file}" for host in HOSTS),
        _architecture(name),
        _recipe(name),
        LICENCE,
        PAGE,
        size=size,
        size_source=MANIFEST,
        digests=(Digest("sha256", sha256, MANIFEST),),
        reported=_reported(name, PAGE),
        member=".onnx" if tarball else None,
        also=(f"{FOLDER}/{file}",),
        notes=(*_notes(name), *((_TESTS,) if tarball else ())),
    )


def _first(architecture: str, tarball: bool = False) -> Published:
    """A file of 2018, from the host that the zoo's first README names."""
    stem = architecture.replace("-", "")
    file = stem + (".tar.gz" if tarball else ".onnx")
    printed = _FIRST_SIZES[architecture][tarball]
    digest = (
        "no digest of the archive is published: the MD5 that the page links is taken to be the model's"
        if tarball
        else "no other digest is published than that of its MD5 file"
    )
    return Published(
        f"{architecture}.zoo-s3" + ("-tar" if tarball else ""),
        file,
        (f"{FIRST_HOST}/{stem}/{file}",),
        find(architecture),
        _DOCUMENTED,
        LICENCE,
        FIRST_PAGE,
        reported=_reported(architecture, FIRST_PAGE),
        member=".onnx" if tarball else None,
        # The page links one MD5 a network, behind the model and before the archive: taken to be the model's.
        checksum_url=None if tarball else f"{FIRST_HOST}/{stem}/{stem}-md5.txt",
        also=(f"{stem}/{file}",) if tarball else (f"{stem}/{file}", f"{stem}/{stem}-md5.txt", f"{stem}-md5.txt"),
        notes=(
            f"ONNX 1.2.1, opset 7; its size is printed as {printed} MB, and {digest}.",
            _SQUARE,
            _SPATIAL,
            *((_TESTS,) if tarball else ()),
        ),
    )


ROWS = (
    *(_row(name) for name in _MODELS),
    *(_row(name, tarball=True) for name in _TARBALLS),
    *(_first(architecture) for architecture in _FIRST_SIZES),
    *(_first(architecture, tarball=True) for architecture in _FIRST_SIZES),
)
