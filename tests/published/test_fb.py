import re
from pathlib import Path

from resnets.published import fb

SEED = "seeds/000_6689c8facfb86086.txt"


def page_of(shared: Path) -> str:
    return (shared / SEED).read_text("utf-8")


def table(page: str, heading: str) -> dict[str, tuple[str, str]]:
    """Depth: the two errors, of the table under that heading."""
    part = page.partition(heading)[2].partition("#####")[0]
    rows = re.findall(r"^\| ResNet-(\d+) +\| ([\d.]+) .*?\| ([\d.]+) +\|", part, re.M)
    assert len(rows) == 6
    return {depth: (one, five) for depth, one, five in rows}


def test_every_figure_of_the_page_is_in_the_table_as_printed(shared):
    page = page_of(shared)
    single = table(page, "ImageNet 1-crop error rates (224x224)")
    ten = table(page, "ImageNet 10-crop error rates")
    assert len(fb.ROWS) == len(single)
    for row in fb.ROWS:
        depth = re.findall(r"\d+", row.file)[0]
        at = {(score.crops, score.crop): (score.top1, score.top5) for score in row.reported}
        assert (at.pop((1, 224)), at.pop((10, 224))) == (single[depth], ten[depth])
        large = re.findall(r"test crop of size 320x320, the error rate is ([\d.]+)/([\d.]+)\.", page)
        assert list(at.items()) == ([((1, 320), large[0])] if depth == "200" else [])
        assert all(score.kind == "error" for score in row.reported)


def test_every_link_of_the_page_is_a_row_with_that_link_first(shared):
    links = re.findall(r"\((https://\S+\.t7)\)", page_of(shared))
    assert len(links) == 6
    assert [row.urls[0] for row in fb.ROWS] == links


def test_what_the_page_says_of_two_networks_is_in_their_descriptions(shared):
    page = " ".join(page_of(shared).split())
    assert "ResNet-50 model has a batch normalization layer after the addition" in page
    assert "ResNet-200 model is the full pre-activation variant" in page
    found = {row.name: row.architecture for row in fb.ROWS}
    assert [name for name, a in found.items() if a and a.post_add_batch_norm] == ["resnet50.fb"]
    assert [name for name, a in found.items() if a and a.preact] == ["preresnet200.fb"]
    assert [row.also for row in fb.ROWS if row.also] == [("resnet200.fb",)]


def test_what_the_page_does_not_print_has_a_source_of_its_own(shared):
    """It prints crops, and neither what images are resized to nor how the maps of larger ones are pooled."""
    page = page_of(shared)
    assert "256" not in page.replace("sha256", "")
    for row in fb.ROWS:
        for score in row.reported:
            large = score.crop == 320
            assert score.source == fb.PAGE
            assert (score.resize, score.pool) == ((320, "window7") if large else (256, "global"))
            assert score.conditions_source.removeprefix(fb.REPOSITORY) == (
                "/issues/31" if large else "/blob/master/datasets/imagenet.lua"
            )


def test_nobody_printed_a_digest_or_a_size():
    for row in fb.ROWS:
        assert (row.digests, row.size, row.checksum_url) == ((), None, None)
        assert any("pins the sha256" in note for note in row.notes)
