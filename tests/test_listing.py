import json
from dataclasses import fields, replace

import pytest

from resnets import listing
from resnets.card import RECIPES
from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.fetch import cache, partial
from resnets.published.row import Digest, Published, Reported
from resnets.published.table import PUBLISHED, listed

ROW = Published(
    "resnet18.tiny",
    "tiny.t7",
    ("https://there.invalid/tiny.t7", "https://elsewhere.invalid/tiny.t7"),
    find("resnet18"),
    RECIPES["torchvision"],
    "BSD-3-Clause, with a grant",
    "https://there.invalid/page",
    size=102_000_000,
    size_source="https://there.invalid/sizes",
    digests=(Digest("sha256", "0123456789abcdef", "https://there.invalid/digests"),),
    reported=(
        Reported("accuracy", "69.758", "89.078", 224, "https://there.invalid/one", crops=10),
        Reported("accuracy", "70.10", "89.20", 288, "https://there.invalid/three"),
        Reported("accuracy", "68.10", "88.20", 224, "https://there.invalid/two", resize=256),
    ),
    also=("tiny/tiny.t7",),
    notes=("It is not there.",),
)


@pytest.fixture(autouse=True)
def no_cache_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "none"))


@pytest.fixture
def row(monkeypatch, tmp_path):
    """A row of the table that is in no cache."""
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path))
    monkeypatch.setitem(PUBLISHED, ROW.name, ROW)
    return ROW


def test_rows_of_architectures():
    rows = listing.architectures("resnet50")
    assert rows == [
        {
            "name": "resnet50",
            "depth": 50,
            "parameters": 25_557_032,
            "macs": 4_089_184_256,
            "image": 224,
            "classes": 1000,
        }
    ]
    assert "25,557,032  4.09 G" in listing.architecture_table(rows)


def test_what_nothing_answers_to_is_told_with_the_nearest_names():
    with pytest.raises(ResNetsError, match=r"Did you mean 'resnet50\.tv2' or"):
        raise listing.unmatched("*resnet50.tv3")
    assert "architecture matches" in str(listing.unmatched("vgg*", weights=False))


def test_every_field_of_a_row_is_a_fact_with_its_source(row):
    facts = json.loads(json.dumps(listing.published(row)))
    assert {field.name for field in fields(Published)} <= facts.keys()
    assert facts["digests"] == [
        {
            "algorithm": "sha256",
            "value": "0123456789abcdef",
            "source": "https://there.invalid/digests",
            "member": False,
        }
    ]
    assert [one["source"][-5:] for one in facts["reported"]] == ["d/one", "three", "d/two"]
    assert facts["reported"][0] | {"top1_error": 30.242, "crops": 10, "top1": "69.758"} == facts["reported"][0]
    assert (facts["architecture"], facts["fields"]["classes"]) == ("resnet18", 1000)
    assert facts["recipe_fields"]["crop"] == 224
    assert facts["cache"]["state"] == "absent"


def test_the_main_figure_is_of_one_crop_at_the_size_of_the_recipe(row):
    assert listing.main_figure(row).source == "https://there.invalid/two"
    text = listing.published_table([row])
    assert "68.10/88.20  31.90/11.80 " in text
    assert "*" not in text
    larger = replace(row, reported=row.reported[1:2])
    assert "29.90/10.80*" in listing.published_table([larger])
    assert " - " in listing.published_table([replace(row, reported=())])


def test_a_figure_of_another_recipe_than_the_row_s_has_a_star():
    """The sizes are the same: the zoo resized to a square what its README resizes to a short side."""
    for name, starred in (("resnet18-v1.zoo7", True), ("resnet50-v1.zoo12-int8", False), ("resnet50.tv2", False)):
        (line,) = listing.published_table([PUBLISHED[name]]).splitlines()[1:]
        assert ("*" in line) == starred, line


def test_conditions_say_who_says_them():
    one = Reported("error", "20.1", "4.8", 320, "", resize=320, pool="window7", conditions_source="https://there")
    assert listing.conditions(one) == (
        "ImageNet validation, 1 crop of 320, resized to 320, pooled over windows of 7x7 (https://there)"
    )
    other = Reported("accuracy", "70.1", None, 224, "", recipe="zoo-notebook", conditions="on a Tuesday")
    assert listing.conditions(other).endswith("1 crop of 224, recipe zoo-notebook, on a Tuesday")


def test_errors_have_the_decimals_that_are_printed():
    assert listing.errors(Reported("accuracy", "69.758", None, 224, "")) == "30.242/-"
    assert listing.errors(Reported("error", "24.10", "7.02", 224, "")) == "24.10/7.02"


def test_what_is_here_is_said_in_a_word(row):
    assert listing.standing(row) == "-"
    cache.home(row).mkdir()
    cache.part(row).write_bytes(bytes(34_000_000))
    assert listing.standing(row) == "34 of 102 MB"
    unknown = replace(row, size=None)
    assert listing.standing(unknown) == "34 MB"
    known = {"url": row.urls[0], "validator": None, "total": 104_000_000}
    partial.state_file(cache.part(row)).write_text(json.dumps(known))
    assert listing.standing(unknown) == "34 of 104 MB"
    cache.place(row).write_bytes(b"x")
    assert listing.standing(row) == "unchecked"


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_whole_table_fits_a_terminal(width):
    rows = listed()
    lines = listing.published_table(rows, width).splitlines()
    assert max(map(len, lines)) <= width
    assert ("licence" in lines[0]) == (width >= 100)
    found = [line.split()[0] for line in lines[1:] if not line.startswith(" ")]
    assert found == [row.name for row in rows]


def test_in_a_pipe_a_row_is_a_line():
    rows = listed()
    lines = listing.published_table(rows).splitlines()
    assert [line.split()[0] for line in lines] == ["weights", *(row.name for row in rows)]


def test_a_row_for_people_has_sources_of_everything(row):
    text = "\n".join(f"{name} {value}" for name, value in listing.lines(row))
    for url in (*row.urls, row.page, row.size_source, row.digests[0].source, *(r.source for r in row.reported)):
        assert url in text
    assert "sha256 0123456789abcdef (the first 16 of 64 digits)" in text
    assert "accuracy 69.758/89.078 %, which is an error of 30.242/10.922: ImageNet validation, 10 crops of 224" in text
    assert f"no; it would lie at {cache.place(row)}" in text


def test_columns_are_aligned():
    assert listing.table(("a", "n"), [("long", "1"), ("x", "100")]) == "a       n\nlong    1\nx     100"


def test_megabytes():
    assert [listing.megabytes(n) for n in (0, 4_000, 1_340_000, 102_400_000)] == ["0", "0.004", "1.3", "102"]
