"""torchvision's residual networks: ResNets, ResNeXts and wide ResNets, each as first published (V1) and again (V2).

What stands here is what `torchvision.models.get_model_weights(name)` of torchvision 0.28.0 says.
"""

from dataclasses import replace

from resnets.card import RECIPES
from resnets.catalog import find
from resnets.published.row import Digest, Published, Reported

PAGE = "https://github.com/pytorch/vision/blob/main/torchvision/models/resnet.py"
# Of V1 the page names a crop alone, and ImageClassification resizes to 256 by default.
PRESETS = "https://github.com/pytorch/vision/blob/main/torchvision/transforms/_presets.py"
HOST = "https://download.pytorch.org/models"
LICENCE = (
    "none stated for the weights, which torchvision (BSD-3-Clause) says may have terms of their own or of the data"
    " that they were trained on"
)
_FILE_NAME = "the file's name, against which torch.hub checks a download"

# Its class of weights without _Weights, version, digits in the file's name, top-1 and top-5 accuracy, side that the
# short side is resized to, size as printed in units of 1,048,576 bytes.
_FACTS = (
    ("ResNet18", 1, "f37072fd", "69.758", "89.078", 256, "44.661"),
    ("ResNet34", 1, "b627a593", "73.314", "91.420", 256, "83.275"),
    ("ResNet50", 1, "0676ba61", "76.130", "92.862", 256, "97.781"),
    ("ResNet50", 2, "11ad3fa6", "80.858", "95.434", 232, "97.790"),
    ("ResNet101", 1, "63fe2227", "77.374", "93.546", 256, "170.511"),
    ("ResNet101", 2, "cd907fc2", "81.886", "95.780", 232, "170.530"),
    ("ResNet152", 1, "394f9c45", "78.312", "94.046", 256, "230.434"),
    ("ResNet152", 2, "f82ba261", "82.284", "96.002", 232, "230.474"),
    ("ResNeXt50_32X4D", 1, "7cdf4587", "77.618", "93.698", 256, "95.789"),
    ("ResNeXt50_32X4D", 2, "1a0047aa", "81.198", "95.340", 232, "95.833"),
    ("ResNeXt101_32X8D", 1, "8ba56ff5", "79.312", "94.526", 256, "339.586"),
    ("ResNeXt101_32X8D", 2, "110c445d", "82.834", "96.228", 232, "339.673"),
    ("ResNeXt101_64X4D", 1, "173b62eb", "83.246", "96.454", 232, "319.318"),
    ("Wide_ResNet50_2", 1, "95faca4d", "78.468", "94.086", 256, "131.820"),
    ("Wide_ResNet50_2", 2, "9ba9bcbe", "81.602", "95.758", 232, "263.124"),
    ("Wide_ResNet101_2", 1, "32ee1156", "78.848", "94.284", 256, "242.896"),
    ("Wide_ResNet101_2", 2, "d733dc28", "82.510", "96.020", 232, "484.747"),
)


def _row(weights: str, version: int, digits: str, top1: str, top5: str, resize: int, megabytes: str) -> Published:
    theirs = weights.lower()
    name = theirs.replace("_", "-")
    file = f"{theirs}-{digits}.pth"
    default = PRESETS if resize == 256 else ""
    return Published(
        f"{name}.tv{version}",
        file,
        (f"{HOST}/{file}",),
        find(name),
        replace(RECIPES["torchvision"], size=resize),
        LICENCE,
        PAGE,
        digests=(Digest("sha256", digits, _FILE_NAME),),
        reported=(Reported("accuracy", top1, top5, 224, PAGE, resize=resize, conditions_source=default),),
        also=(f"{weights}_Weights.IMAGENET1K_V{version}",),
        notes=(f"torchvision gives its size as {megabytes}, in units of 1,048,576 bytes.",),
    )


ROWS = tuple(_row(*facts) for facts in _FACTS)
