import re
from pathlib import Path

import numpy as np
import pytest

from resnets.catalog import ARCHITECTURES, find
from resnets.images.decode import decode
from resnets.images.prepare import normalise, prepare
from resnets.published import timm as ours
from resnets.published import timm_digests
from resnets.published.table import PUBLISHED
from resnets.weights import files

NETWORKS = sorted({row.name.partition(".")[0] for row in ours.ROWS})
LARGE = [name for name in NETWORKS if sum(find(name).blocks) > 16 or name.startswith("wide")]


def their_name(row):
    return row.page.rpartition("/")[2]


def data_config(row, measured=False):
    from timm import get_pretrained_cfg
    from timm.data import resolve_data_config

    cfg = get_pretrained_cfg(their_name(row)).to_dict()
    return resolve_data_config(pretrained_cfg=cfg, use_test_size=measured)


def test_the_rows_are_all_that_timm_has_of_the_catalogs_networks(peers):
    import timm

    theirs = {}
    for name in timm.list_pretrained():
        network, _, tag = name.partition(".")
        if network.replace("_", "-") in ARCHITECTURES and timm.get_pretrained_cfg(name).num_classes == 1000:
            theirs[f"{network.replace('_', '-')}.{tag}"] = name
    assert {row.name: their_name(row) for row in ours.ROWS} == theirs
    assert all(row.also == ((theirs[row.name],) if theirs[row.name] != row.name else ()) for row in ours.ROWS)


def test_the_files_and_licences_are_timms(peers):
    import timm
    from timm.models import _hub

    for row in ours.ROWS:
        cfg = timm.get_pretrained_cfg(their_name(row))
        assert row.page == f"https://huggingface.co/{cfg.hf_hub_id}"
        assert row.urls == (f"{row.page}/resolve/main/{row.file}",)
        assert (cfg.hf_hub_filename, row.file) == (None, _hub.HF_SAFE_WEIGHTS_NAME)
        assert not cfg.custom_load
        assert cfg.label_offset is None
        assert row.licence.lower() == cfg.license
        assert ("commercial" in " ".join(row.notes)) == ("-nc-" in cfg.license)


def test_accuracies_belong_to_the_size_at_which_timm_measures(peers):
    from math import floor

    for row in ours.ROWS:
        config = data_config(row, measured=True)
        crop = config["input_size"][1]
        resize = floor(crop / config["crop_pct"])
        printed = [score for score in row.reported if score.source == ours.RESULTS]
        assert [(score.crop, score.resize, score.crops) for score in printed] == [(crop, resize, 1)] * len(printed)
        differs = (row.recipe.size, row.recipe.crop) != (resize, crop)
        assert any(f"resizes to {resize} and crops to {crop} where" in note for note in row.notes) == differs


@pytest.mark.parametrize(
    ("theirs", "publisher", "apart"),
    [("tv_in1k", "tv1", 0.02), ("tv2_in1k", "tv2", 0.02), ("gluon_in1k", "gluoncv", 0.2)],
)
def test_what_timm_measured_of_others_weights_is_near_what_they_print(theirs, publisher, apart):
    """Two tables by two hands: a wrong digit in one of them shows, unless it is among the last."""
    compared = 0
    for row in ours.ROWS:
        network, _, tag = row.name.partition(".")
        other = PUBLISHED.get(f"{network}.{publisher}")
        if tag != theirs or other is None or not other.reported or not row.reported:
            continue
        if network == "resnext101-64x4d":  # resized to 256 by timm, and to 232 by torchvision
            continue
        (one,), (printed,) = row.reported, other.reported
        assert abs(one.top1_error - printed.top1_error) < apart, row.name
        assert one.top5_error is not None
        assert printed.top5_error is not None
        assert abs(one.top5_error - printed.top5_error) < apart, row.name
        compared += 1
    assert compared >= 6


def test_every_row_prepares_images_as_timm_does(peers, photos):
    from PIL import Image
    from timm.data import create_transform

    recipes = {}
    for row in ours.ROWS:
        recipes.setdefault((row.recipe, str(data_config(row))), row)
    assert len({recipe for recipe, _ in recipes}) == len(recipes) > 8
    for row in recipes.values():
        transform = create_transform(**data_config(row), is_training=False)
        for photo in (photos["coffee"], photos["camera"]):
            theirs = transform(Image.open(photo).convert("RGB")).numpy()
            image = decode(photo.read_bytes(), exif=row.recipe.exif, alpha=row.recipe.alpha)
            mine = normalise(prepare(image, row.recipe), row.recipe)[0]
            assert mine.shape == theirs.shape
            assert np.abs(mine - theirs).max() < 1e-6


@pytest.mark.parametrize(
    "network", [pytest.param(n, marks=[pytest.mark.matrix] if n in LARGE else []) for n in NETWORKS]
)
def test_a_file_of_timms_is_read_as_the_rows_network(peers, tmp_path: Path, network):
    import timm
    from safetensors.torch import save_file

    rows = [row for row in ours.ROWS if row.name.startswith(f"{network}.")]
    model = timm.create_model(their_name(rows[0]))
    path = tmp_path / ours.FILE
    save_file(model.state_dict(), path, metadata={"format": "pt"})  # as timm's save_for_hf does
    assert {row.architecture for row in rows} == {files.load(path).architecture} == {find(network)}


def test_digests_are_whole_and_stand_on_the_rows_own_page():
    digests = {row.name: digest for row in ours.ROWS for digest in row.digests}
    assert len({digest.value for digest in digests.values()}) == len(digests) == len(timm_digests.SHOWN)
    for row in ours.ROWS:
        for digest in row.digests:
            assert digest.algorithm == "sha256"
            assert re.fullmatch("[0-9a-f]{64}", digest.value)
            assert re.fullmatch(f"{re.escape(row.page)}/blob/(main|[0-9a-f]{{40}})/{row.file}", digest.source)
    assert timm_digests.REVISIONS.keys() <= timm_digests.SHOWN.keys()
