"""hf: names against a server on 127.0.0.1 that speaks as much of the Hub's language as huggingface_hub needs."""

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from resnets.card import Card
from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.fetch import hub
from resnets.initialise import initialise
from resnets.weights import files
from resnets.weights.formats import FORMATS
from resnets.weights.model import Model

pytest.importorskip("huggingface_hub")
COMMIT, LATER = "a" * 40, "b" * 40
# What a user's process does with each name: a line of JSON each.
CHILD = """
import json, sys
from resnets.errors import ResNetsError
from resnets.fetch import hub
for name in sys.argv[1:]:
    try:
        print(json.dumps(["path", str(hub.fetch(name))]))
    except ResNetsError as error:
        print(json.dumps([error.problem, error.remedy]))
"""
LOAD = """
import json, sys
import resnets
model = resnets.load(sys.argv[1])
card = model.card
print(json.dumps([card.name, card.recipe.size, [x.name for x in card.labels], card.licence, card.source["hub"]]))
"""
CLASSIFY = """
import sys
import resnets
print(resnets.Classifier(sys.argv[1], recipe="cifar").classify(sys.argv[2])[0].index)
"""


class Hub:
    """Repositories on a server, and processes that ask for them with a cache of their own."""

    def __init__(self, server, home) -> None:
        self.server, self.home = server, home

    def put(self, name, bodies, revision="main", commit=COMMIT) -> None:
        listing = {"id": name, "sha": commit, "siblings": [{"rfilename": file} for file in bodies]}
        for at in (revision, commit):
            self.server.put(f"/api/models/{name}/revision/{at}", json.dumps(listing).encode())
            for file, body in bodies.items():
                etag = f'"{hashlib.sha256(body).hexdigest()}"'
                told = {"X-Repo-Commit": commit, "X-Linked-Size": str(len(body)), "X-Linked-Etag": etag}
                self.server.put(f"/{name}/resolve/{at}/{quote(file)}", body, headers=told, etag=etag)

    def refuse(self, name, status, code, revision="main") -> None:
        self.server.put(f"/api/models/{name}/revision/{revision}", b"{}", status=status, headers={"X-Error-Code": code})

    def run(self, *arguments, child=CHILD, **environment):
        known = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "RESNETS_"))}
        known |= {"HF_ENDPOINT": self.server.base, "HF_HOME": str(self.home), "RESNETS_CACHE": str(self.home / "ours")}
        done = subprocess.run(
            [sys.executable, "-c", child, *arguments],
            env=known | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    def fetched(self) -> list[str]:
        """The files of repositories that were sent, in order."""
        paths = [request.path for request in self.server.requests if request.method == "GET"]
        return [path.rpartition("/")[2] for path in paths if "/resolve/" in path]


@pytest.fixture
def there(server, tmp_path) -> Hub:
    return Hub(server, tmp_path / "home")


@pytest.fixture
def model(tmp_path) -> dict[str, bytes]:
    """A repository as timm lays it out: bare weights under timm's names, and config.json."""
    net = replace(find("resnet18"), widths=(4, 6, 8, 10), stem_widths=(4,), classes=3)
    files.save(Model(net, initialise(net), Card("", net)), tmp_path / "model.safetensors", names="timm")
    inner = {
        "input_size": [3, 160, 160], "interpolation": "bicubic", "crop_pct": 0.95, "crop_mode": "center",
        "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1], "num_classes": 3, "license": "mit",
    }  # fmt: skip
    config = {"architecture": "thin", "pretrained_cfg": inner, "label_names": ["cat", "dog", "owl"]}
    return {
        "model.safetensors": (tmp_path / "model.safetensors").read_bytes(),
        "config.json": json.dumps(config).encode(),
        "README.md": b"# a model",
        "pytorch_model.bin": b"the same, older",
        "optimizer.pt": b"much larger",
    }


def test_a_repository_becomes_a_model_with_its_card_and_once_more_without_network(there, model):
    there.put("o/thin", model)
    (found,), said = there.run("hf:o/thin", child=LOAD)
    assert found == ["thin", 168, ["cat", "dog", "owl"], "mit", f"hf:o/thin@{COMMIT}:model.safetensors"]
    assert there.fetched() == ["config.json", "model.safetensors"], "and nothing else"
    assert said == f"Fetching model.safetensors of hf:o/thin, commit aaaaaaaa, from {there.server.base}.\n"
    before = len(there.server.requests)
    for offline in ({"RESNETS_OFFLINE": "1"}, {"RESNETS_OFFLINE": "true"}, {"HF_HUB_OFFLINE": "1"}):
        (again,), said = there.run("hf:o/thin", child=LOAD, **offline)
        assert (again, said) == (found, "")
        ((problem, remedy),), _ = there.run("hf:o/other", **offline)
        assert problem.startswith(f"hf:o/other is not in the cache at {there.home}")
        assert "network" in remedy
    assert len(there.server.requests) == before


def test_again_downloads_anew(there, model):
    again = CHILD.replace("fetch(name)", "fetch(name, again=True)")
    there.put("o/thin", model)
    name = f"hf:o/thin@{COMMIT}"
    ((_, path),), _ = there.run(name)
    Path(path).write_bytes(b"damaged")
    there.run(name)
    assert Path(path).read_bytes() == b"damaged"
    there.server.requests.clear()
    found, said = there.run(name, child=again)
    assert found == [["path", path]]
    assert said.startswith("Fetching model.safetensors of ")
    assert there.fetched() == ["config.json", "model.safetensors"]
    assert Path(path).read_bytes() == model["model.safetensors"]
    ((problem, _),), _ = there.run(name, child=again, RESNETS_OFFLINE="1")
    assert problem.startswith(f"hf:o/thin@{COMMIT} is not fetched again: RESNETS_OFFLINE")
    there.server.close()
    ((problem, _),), _ = there.run("hf:o/thin", child=again)
    assert "cannot be fetched now" in problem


def test_a_branch_is_asked_for_and_a_commit_is_not(there, model):
    there.put("o/thin", model)
    there.run("hf:o/thin")
    there.put("o/thin", {**model, "model.safetensors": b"newer"}, commit=LATER)
    before = len(there.server.requests)
    rows, _ = there.run(f"hf:o/thin@{COMMIT}", "hf:o/thin", f"hf:o/thin@{COMMIT}:model.safetensors")
    paths = [path.split("/snapshots/")[1] for _, path in rows]
    assert paths == [f"{commit}/model.safetensors" for commit in (COMMIT, LATER, COMMIT)]
    asked = [request.path for request in there.server.requests[before:]]
    assert not [path for path in asked if COMMIT in path]
    there.server.close()
    (row,), said = there.run("hf:o/thin")
    assert LATER in row[1]
    assert "out of reach or out of order" in said
    assert said.endswith("The copy of commit bbbbbbbb is used.\n")


def test_a_file_that_was_not_fetched_is_not_taken_for_one_that_was(there, model):
    there.put("o/thin", {**model, "other.onnx": b"another"})
    there.run("hf:o/thin")
    held = CHILD.replace("fetch(name)", "cached(name)")
    rows, _ = there.run("hf:o/thin:other.onnx", "hf:o/none", "hf:o/thin", child=held)
    assert [row[1] for row in rows[:2]] == ["None", "None"]
    assert rows[2][1].endswith(f"{COMMIT}/model.safetensors")
    there.server.close()
    ((problem, remedy),), said = there.run("hf:o/thin:other.onnx")
    assert problem.startswith(f"hf:o/thin cannot be fetched now: {there.server.base} is out of reach")
    assert remedy.startswith("Check the network")
    assert said == ""
    ((problem, _),), _ = there.run("hf:o/thin:other.onnx", RESNETS_OFFLINE="1")
    assert problem.startswith("hf:o/thin:other.onnx is not in the cache")


def test_what_cannot_be_had_is_told_in_two_sentences(there):
    there.put("o/thin", {"model.safetensors": b"x"})
    there.refuse("o/private", 401, "RepoNotFound")
    there.refuse("o/gated", 403, "GatedRepo")
    there.refuse("o/thin", 404, "RevisionNotFound", revision="old")
    there.refuse("o/broken", 503, "")
    there.server.put("/api/models/o/page/revision/main", b"<html>Sign in to the airport's network</html>")
    there.server.put("/api/models/o/list/revision/main", b"[]")
    wanted = {
        "hf:o/missing": ("There is no repository o/missing", "Check its name; if it is private.*hf auth login"),
        "hf:o/private": ("There is no repository o/private at http.*, or it is private", "hf auth login.*HF_TOKEN"),
        "hf:o/gated": ("only given to those who have accepted its terms", "Accept them at http.*/o/gated"),
        "hf:o/thin@old": ("o/thin has no revision 'old'", "a branch, tag or commit of http.*/o/thin"),
        "hf:o/broken": (r"out of order \(HfHubHTTPError: .*503", "Check the network"),
        "hf:o/page": ("hf:o/page cannot be fetched", "Look at http.*/o/page"),
        "hf:o/list": ("hf:o/list cannot be fetched", "Look at http.*/o/list"),
    }  # fmt: skip
    rows, _ = there.run(*wanted)
    for (problem, remedy), (what, how) in zip(rows, wanted.values(), strict=True):
        assert re.search(what, problem), problem
        assert re.search(how, remedy), remedy
    assert not there.fetched()
    there.server.close()
    ((problem, remedy),), _ = there.run("hf:o/thin")
    assert re.search(r"hf:o/thin cannot be fetched now: .* out of reach .*(ConnectError|ConnectionError)", problem)
    assert "HTTPS_PROXY" in remedy


def test_a_download_that_is_cut_is_made_whole_and_one_that_is_refused_is_no_model(there, model):
    there.put("o/thin", model)
    place = f"/o/thin/resolve/{COMMIT}/model.safetensors"
    there.server.once(place)
    there.server.once(place, status=403, body=b"{}")
    ((problem, remedy),), _ = there.run("hf:o/thin")
    assert problem.endswith("does not let model.safetensors of hf:o/thin be read (403).")
    assert "HF_TOKEN" in remedy
    ((problem, _),), _ = there.run("hf:o/thin", RESNETS_OFFLINE="1")
    assert "is not in the cache" in problem
    there.server.once(place)
    there.server.once(place, after=1000)
    (*_, (_, path)), _ = there.run("hf:o/thin", "hf:o/thin")  # huggingface_hub before 2 gives up the first time
    assert Path(path).read_bytes() == model["model.safetensors"]


def test_files_that_a_graph_needs_come_too(there, tmp_path, tiny_model, photos):
    import onnx

    folder = tmp_path / "export"
    folder.mkdir()
    proto = onnx.load(tiny_model)
    del proto.metadata_props[:]
    onnx.save(proto, folder / "model.onnx", save_as_external_data=True, location="weights of it.bin", size_threshold=0)
    bodies = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(bodies) == 2
    there.put("o/graph", {**{f"onnx/{name}": body for name, body in bodies.items()}, "onnx/other.bin": b"not this"})
    for offline in ({}, {"RESNETS_OFFLINE": "1"}):
        (found,), _ = there.run("hf:o/graph", str(photos["cat"]), child=CLASSIFY, **offline)
        assert found in (0, 1, 2)
    assert sorted(there.fetched()) == ["model.onnx", "weights%20of%20it.bin"]
    (data,) = there.home.glob("hub/models--o--graph/snapshots/*/onnx/weights of it.bin")
    assert data.read_bytes() == bodies["weights of it.bin"]


def test_without_the_library_its_name_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ResNetsError, match=r"huggingface_hub, which is not installed.*pip install 'resnets\[hub\]'"):
        hub.fetch("hf:o/thin")


def test_every_format_that_is_read_is_looked_for():
    assert set(hub.SUFFIXES) == set(FORMATS)
