import json
import re
from pathlib import Path
from typing import Any

from resnets.card import RECIPES
from resnets.published import zoo
from resnets.published.row import Published
from resnets.published.table import find

SEED = "seeds/004_f9d449c15d90fb3a.txt"


def manifest(shared: Path) -> list[dict[str, Any]]:
    """The zoo's own entries, but the graph that only prepares images."""
    entries = json.loads((shared / "reference" / "onnx-hub-resnet.json").read_text("utf-8"))
    return [entry for entry in entries if "/preproc/" not in entry["model_path"]]


def sha256_of(row: Published) -> str:
    (digest,) = row.digests
    assert (digest.algorithm, digest.member) == ("sha256", False)
    return digest.value


def test_every_entry_of_the_manifest_is_two_rows_with_that_digest_and_size(shared):
    entries = manifest(shared)
    assert len(entries) == 18
    seen = set()
    for entry in entries:
        about = entry["metadata"]
        model, archive = find(entry["model_path"]), find(about["model_with_data_path"])
        assert model is not None
        assert archive is not None
        assert archive.name == f"{model.name}-tar"
        assert model.urls[0].endswith(f"onnxmodelzoo/legacy_models/resolve/main/{entry['model_path']}")
        assert archive.urls[0].endswith(f"onnxmodelzoo/legacy_models/resolve/main/{about['model_with_data_path']}")
        assert (model.size, sha256_of(model)) == (about["model_bytes"], about["model_sha"])
        assert (archive.size, sha256_of(archive)) == (about["model_with_data_bytes"], about["model_with_data_sha"])
        assert (model.member, archive.member) == (None, ".onnx")
        seen |= {model.name, archive.name}
    assert seen == {row.name for row in zoo.ROWS if ".zoo-s3" not in row.name}


def test_the_names_say_the_network_and_the_opset(shared):
    for entry in manifest(shared):
        row = find(entry["model_path"])
        assert row is not None
        assert re.fullmatch(rf"resnet\d+(-v[12])?\.(zoo|caffe2-){entry['opset_version']}(-int8|-qdq)?", row.name)
        ports = entry["metadata"].get("extra_ports", {}).get("features", [])
        if row.architecture is not None and ports:
            assert ports[0]["shape"][1] == row.architecture.features


def first_page(shared: Path) -> list[tuple[str, ...]]:
    """Link and size of the model, link of its MD5, link and size of the archive, ONNX, opset, top-1, top-5."""
    text = (shared / SEED).read_text("utf-8")
    link = r"\[([\d.]+) MB\]\((\S+?)\)\s*\|"
    rows = re.findall(
        rf"^\|ResNet-\d+\|\s*{link}\s*\[MD5\]\((\S+?)\)\s*\|\s*{link}"
        r"\s*([\d.]+)\s*\|\s*(\d+)\s*\|\s*([\d.]+)\s*\|\s*([\d.]+)\s*\|",
        text,
        re.M,
    )
    assert len(rows) == len(re.findall(r"^\|ResNet-\d+\|", text, re.M)) == 10
    return rows


def test_every_figure_and_link_of_the_first_page_is_in_the_table_as_printed(shared):
    seen = set()
    for size, url, checksum, archive_size, archive_url, onnx, opset, top1, top5 in first_page(shared):
        row, archive = find(url.rpartition("/")[2]), find(archive_url.rpartition("/")[2])
        assert row is not None
        assert archive is not None
        assert (row.urls, row.checksum_url, archive.urls) == ((url,), checksum, (archive_url,))
        assert f"ONNX {onnx}, opset {opset}; its size is printed as {size} MB" in row.notes[0]
        assert f" {archive_size} MB" in archive.notes[0]
        today = find(row.name.replace(".zoo-s3", ".zoo7"))
        for one in (row, archive, today):
            assert one is not None
            assert [(s.kind, s.top1, s.top5, s.crop, s.crops) for s in one.reported] == [
                ("accuracy", top1, top5, 224, 1)
            ]
        seen |= {row.name, archive.name}
    assert seen == {row.name for row in zoo.ROWS if ".zoo-s3" in row.name}


def test_the_licence_is_the_page_s(shared):
    page = (shared / SEED).read_text("utf-8")
    assert re.search(r"^## License\s+Apache 2\.0\s*$", page, re.M)
    assert {row.licence for row in zoo.ROWS} == {"Apache-2.0"}


def test_no_digest_of_the_first_archives_is_told():
    for row in zoo.ROWS:
        if ".zoo-s3" in row.name:
            archive = row.member is not None
            assert (row.checksum_url is None, row.digests) == (archive, ())
            assert ("no digest of the archive is published" in row.notes[0]) == archive
            assert ("no other digest is published than that of its MD5 file" in row.notes[0]) != archive


def test_the_first_files_are_found_by_what_they_were_called():
    for name in (
        "resnet18v1/resnet18v1.onnx",
        "resnet18v1.onnx",
        "resnet18v1-md5.txt",
        "resnet18v1/resnet18v1-md5.txt",
    ):
        row = find(name)
        assert row is not None
        assert row.name == "resnet18-v1.zoo-s3"
    for name in ("resnet152v2/resnet152v2.tar.gz", "resnet152v2.tar.gz"):
        row = find(name)
        assert row is not None
        assert (row.name, row.checksum_url) == ("resnet152-v2.zoo-s3-tar", None)


def test_quantised_graphs_run_as_they_are_and_each_source_has_its_own_pixels():
    found = {row.name: row for row in zoo.ROWS}
    assert sorted(name for name, row in found.items() if row.architecture is None) == [
        f"resnet50-v1.zoo12-{kind}" for kind in ("int8", "int8-tar", "qdq", "qdq-tar")
    ]
    for name, row in found.items():
        recipe = "caffe2" if ".caffe2-" in name else "zoo-notebook" if ".zoo12" in name else "zoo-readme"
        assert row.recipe == RECIPES[recipe]
        assert all(score.recipe == "zoo-notebook" for score in row.reported)
        assert any("--recipe zoo-notebook" in note for note in row.notes) == (recipe == "zoo-readme")


def test_accuracies_of_the_quantised_ones_are_those_of_the_facts(shared):
    facts = (shared / "reference" / "seed-facts.md").read_text("utf-8")
    printed = re.findall(r"^\| (resnet\S+) (?:\(fp32\) )?\| ([\d.]+)/([\d.]+|–) \|", facts, re.M)
    assert len(printed) == 13
    for file, top1, top5 in printed:
        row = find(f"{file}.onnx")
        assert row is not None
        assert [(s.top1, s.top5 or "–") for s in row.reported] == [(top1, top5)]
    for row in zoo.ROWS:
        assert bool(row.reported) == (".caffe2" not in row.name)
