"""timm's residual networks on the Hugging Face Hub: a network's name and a tag that says how its weights were trained.

What stands here is what timm 1.0.31 says (timm/models/resnet.py): the networks of the catalog, with ImageNet's 1,000
classes. Images are prepared as timm prepares them unless told otherwise; it measures many at a larger size, and that is
the size which its accuracies belong to.
"""

from dataclasses import replace
from math import floor

from resnets.card import RECIPES, Recipe
from resnets.catalog import find
from resnets.published.row import Published, Reported
from resnets.published.timm_digests import shown

HUB = "https://huggingface.co/timm"
FILE = "model.safetensors"  # what timm asks the Hub for first
RESULTS = (
    "https://github.com/huggingface/pytorch-image-models/blob/0173a139a2c66db3a41ebfe1d8ac4fb02483642e"
    "/results/results-imagenet.csv"
)
CARD = f"{HUB}/mobilenetv4_conv_small.e2400_r224_in1k"  # a model card, which compares it with other networks

_LICENCES = {"tv": "BSD-3-Clause", "tv2": "BSD-3-Clause", "fb": "CC-BY-NC-4.0"}  # by the first part of a tag
_OTHERS = "Apache-2.0"

# Network and tag in timm's spelling, filter, crop, what part of the resized short side it takes, both for measuring,
# top-1 and top-5 accuracy: of a single crop, in RESULTS, where they stand there.
_FACTS: tuple[tuple[str, str, int, float, int, float, str | None, str | None], ...] = (
    ("resnet18.a1_in1k", "bicubic", 224, 0.95, 288, 1.0, "73.158", "91.026"),
    ("resnet18.a2_in1k", "bicubic", 224, 0.95, 288, 1.0, "72.372", "90.596"),
    ("resnet18.a3_in1k", "bicubic", 160, 0.95, 224, 0.95, "68.254", "88.176"),
    ("resnet18.fb_ssl_yfcc100m_ft_in1k", "bilinear", 224, 0.875, 224, 0.875, "72.594", "91.418"),
    ("resnet18.fb_swsl_ig1b_ft_in1k", "bilinear", 224, 0.875, 224, 0.875, "73.282", "91.732"),
    ("resnet18.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "70.838", "89.754"),
    ("resnet18.tv_in1k", "bilinear", 224, 0.875, 224, 0.875, "69.760", "89.070"),
    ("resnet34.a1_in1k", "bicubic", 224, 0.95, 288, 1.0, "77.918", "93.766"),
    ("resnet34.a2_in1k", "bicubic", 224, 0.95, 288, 1.0, "77.158", "93.274"),
    ("resnet34.a3_in1k", "bicubic", 160, 0.95, 224, 0.95, "72.970", "91.108"),
    ("resnet34.bt_in1k", "bicubic", 224, 0.875, 288, 0.95, "76.480", "93.354"),
    ("resnet34.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "74.578", "91.984"),
    ("resnet34.ra4_e3600_r224_in1k", "bicubic", 224, 0.9, 288, 1.0, None, None),
    ("resnet34.tv_in1k", "bilinear", 224, 0.875, 224, 0.875, None, None),
    ("resnet50.a1_in1k", "bicubic", 224, 0.95, 288, 1.0, "81.214", "95.102"),
    ("resnet50.a1h_in1k", "bicubic", 176, 0.9, 224, 1.0, "80.676", "95.306"),
    ("resnet50.a2_in1k", "bicubic", 224, 0.95, 288, 1.0, "80.772", "94.988"),
    ("resnet50.a3_in1k", "bicubic", 160, 0.95, 224, 0.95, "78.048", "93.780"),
    ("resnet50.am_in1k", "bicubic", 224, 0.875, 224, 0.875, "78.998", "94.396"),
    ("resnet50.b1k_in1k", "bicubic", 224, 0.95, 288, 1.0, "80.706", "95.432"),
    ("resnet50.b2k_in1k", "bicubic", 224, 0.95, 288, 1.0, "80.454", "95.318"),
    ("resnet50.bt_in1k", "bicubic", 224, 0.875, 288, 0.95, "79.640", "94.892"),
    ("resnet50.c1_in1k", "bicubic", 224, 0.95, 288, 1.0, "80.912", "95.552"),
    ("resnet50.c2_in1k", "bicubic", 224, 0.95, 288, 1.0, "80.870", "95.534"),
    ("resnet50.d_in1k", "bicubic", 224, 0.95, 288, 1.0, "80.972", "95.430"),
    ("resnet50.fb_ssl_yfcc100m_ft_in1k", "bilinear", 224, 0.875, 224, 0.875, "79.234", "94.826"),
    ("resnet50.fb_swsl_ig1b_ft_in1k", "bilinear", 224, 0.875, 224, 0.875, "81.182", "95.992"),
    ("resnet50.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "77.580", "93.718"),
    ("resnet50.ra_in1k", "bicubic", 224, 0.875, 288, 0.95, "79.836", "94.966"),
    ("resnet50.ram_in1k", "bicubic", 224, 0.875, 288, 0.95, "79.976", "95.052"),
    ("resnet50.tv2_in1k", "bilinear", 176, 0.875, 224, 0.965, "80.850", "95.434"),
    ("resnet50.tv_in1k", "bilinear", 224, 0.875, 224, 0.875, "76.130", "92.858"),
    ("resnet101.a1_in1k", "bicubic", 224, 0.95, 288, 1.0, "82.322", "95.632"),
    ("resnet101.a1h_in1k", "bicubic", 224, 0.95, 288, 1.0, "82.778", "96.310"),
    ("resnet101.a2_in1k", "bicubic", 224, 0.95, 288, 1.0, "82.236", "95.730"),
    ("resnet101.a3_in1k", "bicubic", 160, 0.95, 224, 0.95, "79.814", "94.606"),
    ("resnet101.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "79.310", "94.522"),
    ("resnet101.tv2_in1k", "bilinear", 176, 0.875, 224, 0.965, "81.890", "95.768"),
    ("resnet101.tv_in1k", "bilinear", 224, 0.875, 224, 0.875, "77.376", "93.542"),
    ("resnet152.a1_in1k", "bicubic", 224, 0.95, 288, 1.0, "82.732", "95.720"),
    ("resnet152.a1h_in1k", "bicubic", 224, 0.95, 288, 1.0, "83.450", "96.538"),
    ("resnet152.a2_in1k", "bicubic", 224, 0.95, 288, 1.0, "82.608", "95.752"),
    ("resnet152.a3_in1k", "bicubic", 160, 0.95, 224, 0.95, "80.546", "95.000"),
    ("resnet152.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "79.694", "94.736"),
    ("resnet152.tv2_in1k", "bilinear", 176, 0.875, 224, 0.965, "82.288", "96.004"),
    ("resnet152.tv_in1k", "bilinear", 224, 0.875, 224, 0.875, "78.322", "94.048"),
    ("resnext50_32x4d.a1_in1k", "bicubic", 224, 0.95, 288, 1.0, "81.466", "95.174"),
    ("resnext50_32x4d.a1h_in1k", "bicubic", 224, 0.95, 288, 1.0, "82.014", "95.934"),
    ("resnext50_32x4d.a2_in1k", "bicubic", 224, 0.95, 288, 1.0, "81.304", "95.096"),
    ("resnext50_32x4d.a3_in1k", "bicubic", 160, 0.95, 224, 0.95, "79.268", "94.306"),
    ("resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k", "bilinear", 224, 0.875, 224, 0.875, "80.338", "95.398"),
    ("resnext50_32x4d.fb_swsl_ig1b_ft_in1k", "bilinear", 224, 0.875, 224, 0.875, "82.174", "96.222"),
    ("resnext50_32x4d.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "79.360", "94.430"),
    ("resnext50_32x4d.ra_in1k", "bicubic", 224, 0.875, 288, 0.95, "80.698", "95.390"),
    ("resnext50_32x4d.tv2_in1k", "bilinear", 176, 0.875, 224, 0.965, "81.182", "95.340"),
    ("resnext50_32x4d.tv_in1k", "bilinear", 224, 0.875, 224, 0.875, "77.618", "93.696"),
    ("resnext101_32x4d.fb_ssl_yfcc100m_ft_in1k", "bilinear", 224, 0.875, 224, 0.875, "80.924", "95.734"),
    ("resnext101_32x4d.fb_swsl_ig1b_ft_in1k", "bilinear", 224, 0.875, 224, 0.875, "83.232", "96.758"),
    ("resnext101_32x4d.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "80.340", "94.930"),
    ("resnext101_32x8d.fb_ssl_yfcc100m_ft_in1k", "bilinear", 224, 0.875, 224, 0.875, "81.606", "96.040"),
    ("resnext101_32x8d.fb_swsl_ig1b_ft_in1k", "bilinear", 224, 0.875, 224, 0.875, "84.302", "97.176"),
    ("resnext101_32x8d.fb_wsl_ig1b_ft_in1k", "bilinear", 224, 0.875, 224, 0.875, "82.698", "96.632"),
    ("resnext101_32x8d.tv2_in1k", "bilinear", 176, 0.875, 224, 0.965, "82.832", "96.232"),
    ("resnext101_32x8d.tv_in1k", "bilinear", 224, 0.875, 224, 0.875, "79.310", "94.520"),
    ("resnext101_64x4d.c1_in1k", "bicubic", 224, 0.95, 288, 1.0, "83.156", "96.374"),
    ("resnext101_64x4d.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "80.600", "94.992"),
    ("resnext101_64x4d.tv_in1k", "bilinear", 224, 0.875, 224, 0.875, "82.992", "96.244"),
    ("wide_resnet50_2.racm_in1k", "bicubic", 224, 0.875, 288, 0.95, "82.280", "96.064"),
    ("wide_resnet50_2.tv2_in1k", "bilinear", 176, 0.875, 224, 0.965, "81.606", "95.762"),
    ("wide_resnet50_2.tv_in1k", "bilinear", 224, 0.875, 224, 0.875, "78.480", "94.086"),
    ("wide_resnet101_2.tv2_in1k", "bilinear", 176, 0.875, 224, 0.965, "82.498", "96.018"),
    ("wide_resnet101_2.tv_in1k", "bilinear", 224, 0.875, 224, 0.875, "78.838", "94.282"),
    ("resnet50c.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "78.012", "93.988"),
    ("resnet101c.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "79.542", "94.586"),
    ("resnet152c.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "79.910", "94.844"),
    ("resnet18d.ra2_in1k", "bicubic", 224, 0.875, 288, 0.95, "73.794", "91.838"),
    ("resnet18d.ra4_e3600_r224_in1k", "bicubic", 224, 0.9, 288, 1.0, None, None),
    ("resnet34d.ra2_in1k", "bicubic", 224, 0.875, 288, 0.95, "78.436", "94.344"),
    ("resnet50d.a1_in1k", "bicubic", 224, 0.95, 288, 1.0, "81.450", "95.218"),
    ("resnet50d.a2_in1k", "bicubic", 224, 0.95, 288, 1.0, "81.164", "95.084"),
    ("resnet50d.a3_in1k", "bicubic", 160, 0.95, 224, 0.95, "78.722", "94.236"),
    ("resnet50d.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "79.078", "94.468"),
    ("resnet50d.ra2_in1k", "bicubic", 224, 0.875, 288, 0.95, "81.356", "95.738"),
    ("resnet50d.ra4_e3600_r224_in1k", "bicubic", 224, 0.95, 288, 1.0, None, None),
    ("resnet101d.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "80.426", "95.024"),
    ("resnet101d.ra2_in1k", "bicubic", 256, 0.95, 320, 1.0, "83.016", "96.452"),
    ("resnet152d.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "80.476", "95.202"),
    ("resnet152d.ra2_in1k", "bicubic", 256, 0.95, 320, 1.0, "83.684", "96.740"),
    ("resnet200d.ra2_in1k", "bicubic", 256, 0.95, 320, 1.0, "83.964", "96.824"),
    ("resnet50s.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "78.718", "94.242"),
    ("resnet101s.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "80.302", "95.150"),
    ("resnet152s.gluon_in1k", "bicubic", 224, 0.875, 224, 0.875, "81.002", "95.410"),
    ("resnet14t.c3_in1k", "bicubic", 176, 0.875, 224, 0.95, "72.254", "90.302"),
    ("resnet26t.ra2_in1k", "bicubic", 256, 0.94, 320, 1.0, "78.332", "94.124"),
)
_ON_CARDS = {
    "resnet50d.ra4_e3600_r224_in1k": (
        Reported("accuracy", "81.838", "95.922", 288, CARD),
        Reported("accuracy", "80.952", "95.384", 224, CARD),
    ),
}


def _row(
    theirs: str, kernel: str, crop: int, part: float, larger: int, its_part: float, top1: str | None, top5: str | None
) -> Published:
    network, _, tag = theirs.partition(".")
    ours = network.replace("_", "-")
    page = f"{HUB}/{theirs}"
    measured = floor(larger / its_part)
    in_results = () if top1 is None else (Reported("accuracy", top1, top5, larger, RESULTS, resize=measured),)
    return Published(
        f"{ours}.{tag}",
        FILE,
        (f"{page}/resolve/main/{FILE}",),
        find(ours),
        _recipe(tag, kernel, crop, part),
        _LICENCES.get(tag.partition("_")[0], _OTHERS),
        page,
        digests=shown(theirs, page, FILE),
        reported=in_results or _ON_CARDS.get(theirs, ()),
        also=(theirs,) if ours != network else (),
        notes=_notes(tag, (floor(crop / part), crop), (measured, larger)),
    )


def _recipe(tag: str, kernel: str, crop: int, part: float) -> Recipe:
    """timm/data/transforms_factory.py: torchvision's Resize and CenterCrop of an image that Pillow opened."""
    recipe = replace(RECIPES["torchvision"], size=floor(crop / part), crop=crop, filter=f"pillow-{kernel}")
    return replace(recipe, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)) if tag.startswith("ra4_") else recipe


def _notes(tag: str, prepared: tuple[int, int], measured: tuple[int, int]) -> tuple[str, ...]:
    sizes = (
        f"timm resizes to {prepared[0]} and crops to {prepared[1]} unless told otherwise, but resizes to"
        f" {measured[0]} and crops to {measured[1]} where it measures."
    )
    larger = (sizes,) if measured != prepared else ()
    return (*larger, "Its licence allows no commercial use.") if tag.startswith("fb_") else larger


ROWS = tuple(_row(*facts) for facts in _FACTS)
