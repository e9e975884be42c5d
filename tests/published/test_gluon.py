import re
from pathlib import Path

import pytest

from resnets.catalog import find as network
from resnets.network import array_shapes
from resnets.published import gluon
from resnets.published.row import Published
from resnets.published.table import find
from resnets.weights.dialects.gluon import GLUONCV, STRUCTURAL


def facts(shared: Path, begin: str, end: str) -> str:
    text = (shared / "reference" / "seed-facts.md").read_text("utf-8")
    return text.partition(begin)[2].partition(end)[0]


def row_of(name: str) -> Published:
    row = find(name)
    assert row is not None, name
    return row


def test_the_digests_begin_as_the_facts_say(shared):
    text = facts(shared, "SHA1 prefixes: ", "Pre-1.3")
    found = 0
    for version, depths in re.findall(r"(v[12]) (.+?)[;.]", text):
        for depth, digits, theirs in re.findall(r"(\d+) ([0-9a-f]{8})(?: \(GluonCV: ([0-9a-f]{8})\))?", depths):
            mxnet = row_of(f"resnet{depth}-{version}.gluon")
            gluoncv = row_of(f"resnet{depth}-{version}.gluoncv")
            assert mxnet.digests[0].value.startswith(digits)
            assert gluoncv.digests[0].value.startswith(theirs or digits)
            found += 1
    assert found == 10


def test_the_accuracies_of_gluoncv_are_those_of_the_facts(shared):
    text = facts(shared, "GluonCV accuracies (top1/top5, retrained with modern recipe): ", ". **The")
    found = 0
    for version, depths in re.findall(r"(v\d[a-z]?) (.+?)(?:;|$)", text):
        for depth, top1, top5 in re.findall(r"(\d+) ([\d.]+)/([\d.]+)", depths):
            ours = {"v1b": f"resnet{depth}", "v1d": f"resnet{depth}d"}.get(version, f"resnet{depth}-{version}")
            (score,) = row_of(f"{ours}.gluoncv").reported
            assert (score.kind, score.top1, score.top5) == ("accuracy", top1, top5)
            found += 1
    assert found == 16


def test_the_file_is_called_by_the_digest_of_the_params_in_it():
    for row in gluon.ROWS:
        (digest,) = row.digests
        assert (digest.algorithm, digest.member, row.member) == ("sha1", True, ".params")
        stem, _, digits = row.file.removesuffix(".zip").rpartition("-")
        assert digits == digest.value[:8]
        assert f"{stem}-{digits}.params" in row.also
        assert len(digest.value) == 40 or row.name.endswith(f".gluoncv-{digits}")


@pytest.mark.parametrize("row", gluon.ROWS, ids=lambda row: row.name)
def test_the_names_of_its_arrays_imply_the_network_of_the_row(row):
    """The first begins with the class that made the file, whose names are told from others by the names alone."""
    a = row.architecture
    dialect = GLUONCV if re.match(r"resnet\d+_v1[bcds]", row.file) else STRUCTURAL
    names, shapes = dialect.names(a), array_shapes(a)
    assert dialect.implied({theirs: shapes[name] for name, theirs in names.items()}) == a


def test_the_arrays_are_as_many_as_mxnet_counts(shared):
    text = facts(shared, "Gluon total array elements incl. running stats", "\n").replace(",", "")
    counted = 0
    for version, depths in re.findall(r"(v[12]) (.+?)\.", text):
        for depth, count in re.findall(r"(\d+)→(\d+)", depths):
            a = row_of(f"resnet{depth}-{version}.gluon").architecture
            assert a is not None
            total = 0
            for shape in array_shapes(a).values():
                size = 1
                for n in shape:
                    size *= n
                total += size
            assert total == int(count)
            counted += 1
    assert counted == 10


def test_the_networks_for_cifar_are_gluons_and_take_small_images():
    small = [row for row in gluon.ROWS if row.labels == "cifar10"]
    assert [row.name for row in small] == [f"preresnet{depth}-cifar.gluoncv" for depth in (20, 56, 110)]
    for row in small:
        a = row.architecture
        assert a is not None
        assert a != network(row.name.partition(".")[0])
        assert (a.classes, a.input_batch_norm, a.shortcut, row.recipe.crop) == (10, True, "B", 32)
        assert not row.reported
        assert "does not say which of the two" in row.notes[-1]


def test_no_licence_of_the_weights_is_claimed():
    assert {row.licence for row in gluon.ROWS} == {
        "none stated for the weights; the code of MXNet and of GluonCV is Apache-2.0"
    }
