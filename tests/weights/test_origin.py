"""What a row of the table of published weights makes of the card of its file, and of no other file."""

from dataclasses import replace

import pytest

from resnets.catalog import find
from resnets.classify import Classifier
from resnets.errors import ResNetsError
from resnets.fetch import cache
from resnets.labels import lists
from resnets.published.row import Digest
from resnets.published.table import PUBLISHED
from resnets.weights import files, formats
from resnets.weights.source import Source

NET = replace(find("resnet18"), widths=(4, 6, 8, 10), stem_widths=(4,), classes=3)
THIN = replace(NET, classes=1000)


@pytest.fixture
def place(tmp_path, monkeypatch, random_model):
    """Makes a row thin and puts a file of that network, or another, where it belongs; `**changes` of the row."""
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))

    def put(name, net=THIN, **changes):
        found = PUBLISHED[name]
        changes = {"architecture": THIN, "size": None, "digests": (), **changes}
        thin = replace(found, **changes)
        cache.place(found).parent.mkdir(parents=True, exist_ok=True)
        names = "torchvision" if found.file.endswith((".pth", ".safetensors")) else None
        files.save(random_model(net), cache.place(found), names=names)
        monkeypatch.setitem(PUBLISHED, name, thin)
        return thin

    return put


@pytest.fixture
def row(place, monkeypatch):
    """resnet18.tv1 as it would be, were it thin: a file of its layout in the cache, whose digest is known."""
    thin = place("resnet18.tv1")
    data = cache.place(thin).read_bytes()
    known = replace(thin, size=len(data), digests=(Digest("sha256", Source.of(data, "").sha256(), "here"),))
    monkeypatch.setitem(PUBLISHED, known.name, known)
    return known


def test_a_row_s_file_has_the_row_s_card(row):
    card = files.load(row.name).card
    assert (card.name, card.recipe, card.licence) == (row.name, row.recipe, row.licence)
    assert card.labels == lists.read(row.labels)
    assert card.source["published"] == row.name
    assert (card.source["sha256"], card.source["url"]) == (row.digests[0].value, row.urls[0])
    assert "notes" not in card.source


def test_the_card_has_the_address_that_the_file_came_from(place, server, monkeypatch):
    """Of a file that was put there by hand, and of which no digest is known, no one can tell that."""
    thin = place("resnet18.a2_in1k")
    assert "url" not in files.load(thin.name).card.source
    server.put("/model.safetensors", cache.place(thin).read_bytes())
    cache.remove(thin)
    monkeypatch.delenv("RESNETS_OFFLINE")
    mirrored = replace(thin, urls=(server.url("/nothing"), server.url("/model.safetensors")))
    monkeypatch.setitem(PUBLISHED, thin.name, mirrored)
    assert files.load(thin.name).card.source["url"] == mirrored.urls[1]


def test_other_files_in_a_row_s_folder_are_not_the_row_s(row, random_model):
    other = cache.home(row) / "other.safetensors"
    files.save(random_model(NET), other, names="torchvision")
    card = files.load(other).card
    assert card.recipe is None
    assert "notes" not in card.source


NOT_YET = "It lies where resnet18.tv1 belongs but has not been verified: use it by name."


def test_a_file_that_was_not_verified_is_not_the_row_s(row, random_model, tmp_path):
    """By its path it is opened without being checked: its card says nothing of the row until it has been."""
    path = cache.place(row)
    for one in (path, tmp_path / "link.pth"):
        if one != path:
            one.symlink_to(path)
        found = files.load(one)
        assert (found.card.recipe, found.card.labels, found.card.scores) == (None, None, ())
        assert found.notes[-1] == NOT_YET
    assert files.load(row.name).card.recipe == row.recipe
    assert files.load(path).card.recipe == files.load(tmp_path / "link.pth").card.recipe == row.recipe


def test_a_file_that_was_written_over_is_not_the_row_s(row, random_model):
    path = cache.place(row)
    files.load(row.name)
    files.save(random_model(replace(THIN, widths=(4, 6, 8, 12))), path, names="torchvision")
    card = files.load(path).card
    assert (card.recipe, card.labels, card.scores) == (None, None, ())
    assert "sha256" not in card.source
    assert card.source["notes"] == [NOT_YET]


@pytest.mark.parametrize(
    ("name", "net", "published", "its", "known"),
    [
        ("resnet18.a2_in1k", replace(THIN, blocks=(3, 4, 6, 3)), THIN, "basic blocks 3,4,6,3", "basic blocks 2,2,2,2"),
        ("resnet18.a3_in1k", THIN, find("resnet18"), "widths 4,6,8,10", "published one resnet18."),
        ("resnet18.a2_in1k", NET, THIN, "shortcut B of 3 classes", "shortcut B of 1,000 classes"),
        ("resnet34.fb", replace(THIN, input_channels=1), THIN, "of 1 input channels", "of 3 input channels"),
        ("resnet18.fb", THIN, replace(THIN, stem="cifar"), "imagenet stem", "cifar stem"),
    ],
)
def test_another_network_in_a_row_s_place_is_not_the_row_s(place, name, net, published, its, known):
    thin = place(name, net, architecture=published)
    with pytest.raises(ResNetsError) as caught:
        files.load(name)
    problem = caught.value.problem
    assert problem.startswith(f"{cache.place(thin)} is not {name}: its network is ")
    assert its in problem.partition("published one")[0]
    assert known in problem
    assert caught.value.remedy.startswith(f"Put {thin.file} from https://")
    assert cache.recorded(thin) is None
    with pytest.raises(ResNetsError, match="its network is"):
        Classifier(name)


def test_half_a_file_is_not_kept_where_no_digest_can_tell(place, server, monkeypatch):
    """What the first address gives cannot be opened: nothing of it is pinned, and the next one is asked."""
    thin = place("resnet18.fb")
    data = cache.place(thin).read_bytes()
    cache.place(thin).unlink()
    server.put("/half.t7", data[: len(data) // 2])
    server.put("/whole.t7", data)
    monkeypatch.delenv("RESNETS_OFFLINE")
    half = replace(thin, urls=(server.url("/half.t7"),))
    monkeypatch.setitem(PUBLISHED, thin.name, half)
    with pytest.raises(ResNetsError, match=r"it is truncated, damaged, or no Torch7 file"):
        files.load(thin.name)
    assert cache.state(half).kind == "absent"
    monkeypatch.setitem(PUBLISHED, thin.name, replace(thin, urls=(*half.urls, server.url("/whole.t7"))))
    assert files.load(thin.name).card.source["url"] == server.url("/whole.t7")


def test_a_graph_is_compared_where_no_digest_tells_what_it_is(place, random_model):
    """A graph runs as it is: its network is recovered for this alone."""
    name = "resnet18-v1.zoo-s3"
    thin = place(name, checksum_url=None)
    plain_graph(cache.place(thin), random_model(NET))
    with pytest.raises(ResNetsError, match=r"its network is .* of 3 classes, .* of 1,000 classes\. Put"):
        Classifier(name)
    cache.place(thin).unlink()
    place(name, checksum_url=None)
    plain_graph(cache.place(thin), random_model(THIN))
    assert Classifier(name).card.name == name


def test_a_graph_that_is_no_residual_network_is_no_row_s(place, rewritten):
    name = "resnet18-v1.zoo-s3"
    thin = place(name, checksum_url=None)
    rewritten("y", tail=("Sigmoid",)).replace(cache.place(thin))
    with pytest.raises(
        ResNetsError, match=r"resnet18v1\.onnx is not resnet18-v1\.zoo-s3: it holds no residual network"
    ):
        Classifier(name)


def plain_graph(path, model):
    """The model's graph without a card, as others write it."""
    import onnx

    graph = onnx.load_from_string(files.built(model).model)
    del graph.metadata_props[:]
    onnx.save(graph, path)


def test_what_a_digest_vouches_for_is_the_row_s_whatever_the_table_says_of_it(row, monkeypatch):
    monkeypatch.setitem(PUBLISHED, row.name, replace(row, architecture=find("resnet18")))
    found = files.load("resnet18.tv1")
    assert found.card.name == "resnet18.tv1"
    assert "widths (4, 6, 8, 10) (published: (64, 128, 256, 512))" in found.notes[-1]


def test_details_of_a_network_are_the_file_s_and_are_told(place):
    biased = replace(THIN, conv_bias="all", shortcut_batch_norm=False)
    place("resnet18.fb", THIN, architecture=biased)
    found = files.load("resnet18.fb")
    assert found.architecture == THIN
    assert found.card.name == "resnet18.fb"
    assert found.notes[-1].endswith(
        "taken as it is: conv_bias none (published: all), shortcut_batch_norm True (published: False)."
    )
    assert found.notes[-1] in Classifier("resnet18.fb").card.source["notes"]
    cache.remove(PUBLISHED["resnet18.fb"])
    place("resnet18.fb", biased, architecture=biased)
    assert "not in all details" not in "".join(files.load("resnet18.fb").notes)


README = "https://github.com/facebookarchive/fb.resnet.torch/blob/master/pretrained/README.md"
ZOO = "https://github.com/onnx/models/blob/main/validated/vision/classification/resnet/README.md"
SCORES = {
    "preresnet200.fb": {
        "data": f"ImageNet validation, as reported at {README}",
        "crops": 1,
        "crop": 320,
        "resize": 320,
        "pool": "window7",
        "conditions_source": "https://github.com/facebookarchive/fb.resnet.torch/issues/31",
        "top1_error": 20.1,
        "top5_error": 4.8,
    },
    "resnet18.fb": {
        "data": f"ImageNet validation, as reported at {README}",
        "crops": 10,
        "crop": 224,
        "resize": 256,
        "pool": "global",
        "conditions_source": "https://github.com/facebookarchive/fb.resnet.torch/blob/master/datasets/imagenet.lua",
        "top1_error": 28.22,
        "top5_error": 9.42,
    },
    "resnet18-v1.zoo7": {
        "data": f"ImageNet validation, as reported at {ZOO}",
        "crops": 1,
        "crop": 224,
        "pool": "global",
        "recipe": "zoo-notebook",
        "conditions": "centre crop; by imagenet_validation.ipynb, whose Resize(256) makes a square",
        "top1_error": 30.07,
        "top5_error": 10.71,
    },
    "resnet18.tv1": {
        "data": "ImageNet validation, as reported at"
        " https://github.com/pytorch/vision/blob/main/torchvision/models/resnet.py",
        "crops": 1,
        "crop": 224,
        "resize": 256,
        "pool": "global",
        "conditions_source": "https://github.com/pytorch/vision/blob/main/torchvision/transforms/_presets.py",
        "top1_error": 30.242,
        "top5_error": 10.922,
    },
}


@pytest.mark.parametrize("name", SCORES)
def test_a_score_has_every_condition_of_the_figure(place, name):
    net = replace(find("preresnet18"), widths=(4, 6, 8, 10), stem_widths=(4,)) if name == "preresnet200.fb" else THIN
    thin = place(name, net, architecture=net)
    found = files.load(name).card.scores
    assert len(found) == len(thin.reported)
    assert found[-1] == SCORES[name]


def test_pytorch_s_bin_is_read_by_what_it_is(tmp_path, random_model):
    path = tmp_path / "pytorch_model.bin"
    files.save(random_model(NET), path, names="torchvision")
    assert files.load(path).architecture == NET
    for data, what in ((b"\0" * 4096, "no PyTorch file"), (b"version https://git-lfs", "git-lfs pointer")):
        path.write_bytes(data)
        with pytest.raises(Exception, match=what):
            files.load(path)
    assert formats.format_of(path).module == "pth"
