"""Label lists: the shipped ones against what other packages carry, files of every form, and files that are none."""

import json

import pytest

from resnets.card import Label
from resnets.errors import ResNetsError
from resnets.labels import lists


def test_imagenet_is_in_wordnet_order_with_the_zoos_text():
    labels = lists.read("imagenet-1k")
    ids = [label.id for label in labels]
    assert len(set(ids)) == 1000
    assert ids == sorted(ids)
    assert labels[281] == Label("n02123045", "tabby, tabby cat")
    assert labels[0] == Label("n01440764", "tench, Tinca tinca")
    # Twice in the list, and the reason why ids are WordNet's: the bird and the machine.
    assert [i for i, label in enumerate(labels) if label.name == "crane"] == [134, 517]


def test_imagenet_agrees_with_timm_and_torchvision(peers):
    import timm.data
    from torchvision.models._meta import _IMAGENET_CATEGORIES as categories

    info = timm.data.ImageNetInfo()
    ours = lists.read("imagenet-1k")
    assert [(x.id, x.name) for x in ours] == list(zip(info.label_names(), info.label_descriptions(), strict=True))
    # torchvision keeps one of the names, and tells apart the two pairs that have the same first one.
    told_apart = {"crane bird", "maillot tank suit"}
    assert [c for x, c in zip(ours, categories, strict=True) if c not in x.name.split(", ")] == sorted(told_apart)


def test_cifar_lists_are_the_data_sets_own_order():
    ten, hundred = lists.read("cifar10"), lists.read("cifar100")
    assert " ".join(x.name for x in ten) == "airplane automobile bird cat deer dog frog horse ship truck"
    assert len(hundred) == 100
    assert [hundred[i].id for i in (0, 1, 41, 59, 99)] == ["apple", "aquarium_fish", "lawn_mower", "pine_tree", "worm"]
    assert all(x.id == x.name for x in ten + hundred)


WNIDS = (Label("n02123045", "tabby, tabby cat"), Label("n02099601", "golden retriever"))
NAMES = (Label("tabby, tabby cat", "tabby, tabby cat"), Label("golden retriever", "golden retriever"))
FORMS = {
    "synset.txt": ("n02123045 tabby, tabby cat\nn02099601 golden retriever\n", WNIDS),
    "tabs.txt": ("\ufeffn02123045\ttabby, tabby cat\r\nn02099601\tgolden retriever\r\n", WNIDS),
    "folders.txt": ("n02123045\nn02099601", tuple(Label(x.id, x.id) for x in WNIDS)),
    "classes.txt": ("tabby, tabby cat\ngolden retriever\n", NAMES),
    "class_to_idx.json": (json.dumps({"golden retriever": 1, "tabby, tabby cat": 0}), NAMES),
    "id2label.json": (json.dumps({"1": "golden retriever", "0": "tabby, tabby cat"}), NAMES),
    "id2label": ('{"0": "tabby, tabby cat", "1": "golden retriever"}', NAMES),
    "config.json": (
        json.dumps({"depths": [2], "label2id": {"a": 0}, "id2label": {"0": NAMES[0].name, "1": NAMES[1].name}}),
        NAMES,
    ),
    "class_index.json": (json.dumps({"0": [WNIDS[0].id, WNIDS[0].name], "1": [WNIDS[1].id, WNIDS[1].name]}), WNIDS),
    "names.json": (json.dumps([x.name for x in NAMES]), NAMES),
    # Folders named by numbers, in byte order: the number in the name is not the index.
    "digits.json": (json.dumps({"0": 0, "10": 1, "2": 2}), tuple(Label(x, x) for x in ("0", "10", "2"))),
    "digits-id2label.json": (json.dumps({"0": "7", "1": "3"}), (Label("7", "7"), Label("3", "3"))),
}


@pytest.mark.parametrize("name", FORMS)
def test_files_of_every_form_are_read(tmp_path, name):
    text, expected = FORMS[name]
    (tmp_path / name).write_bytes(text.encode())
    assert lists.read(tmp_path / name) == expected


BAD = {
    "empty.txt": (b" \n\n", "is empty"),
    "binary.txt": (b"\x89PNG\r\n\x1a\n\xff\xfe", "not a text file"),
    "nul.txt": (b"cat\0dog\n", "not a text file"),
    "hole.txt": (b"cat\n\ndog\n", "empty lines: 2"),
    "mixed.txt": (b"n02123045 tabby\ngolden retriever\n", "these do not: 2"),
    "twice.txt": (b"cat\ndog\ncat\n", "more than once: 'cat'"),
    "broken.json": (b'{"cat": 0,', "not valid JSON"),
    "deep.json": (b"[" * 100_000, "not valid JSON"),
    "gap.json": (b'{"cat": 0, "dog": 2}', "1 is missing, 2 is out of range"),
    "repeated.json": (b'{"cat": 0, "dog": 0}', "1 is missing, 0 is there 2 times"),
    "swallowed.json": (b'{"cat": 0, "dog": 1, "cat": 2}', "more than once: 'cat'"),
    "negative.json": (b'{"cat": -1, "dog": 0}', "-1 is out of range"),
    "fractions.json": (b'{"cat": 0.0, "dog": 1.0}', "is no label list"),
    "other.json": (b'{"depths": [3, 4, 6, 3]}', "is no label list"),
    "nothing.json": (b"{}", "is no label list"),
    "numbers.json": (b"[1, 2]", "is not a label"),
    "half.json": (b'["a", "\\ud800"]', "is not a label"),
    "twins.json": (b'{"0": "crane", "1": "maillot", "2": "crane"}', "more than once: 'crane'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_list_is_refused_in_two_sentences(tmp_path, name):
    data, problem = BAD[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ResNetsError) as caught:
        lists.read(tmp_path / name)
    assert problem in caught.value.problem
    assert caught.value.problem.endswith(".")
    assert caught.value.remedy.endswith(".")
    assert name in caught.value.problem


def test_a_missing_list_names_the_shipped_ones(tmp_path):
    with pytest.raises(ResNetsError, match="imagenet-1k, cifar10, cifar100"):
        lists.read("imagenet")
    with pytest.raises(ResNetsError, match="cannot be read"):
        lists.read(tmp_path)  # a folder
