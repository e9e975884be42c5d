"""What names of the Hub mean, which file of a repository is the model, and what a path in its cache is called."""

import json
import os
import subprocess
import sys

import pytest

from resnets.errors import ResNetsError
from resnets.fetch import hub

COMMIT = "a" * 40
NAMES = """
import json, sys
from pathlib import Path
from resnets.fetch import hub
print(json.dumps([hub.name_of(Path(path)) for path in sys.argv[1:]]))
assert "huggingface_hub" not in sys.modules
import huggingface_hub.constants
print(json.dumps(huggingface_hub.constants.HF_HUB_CACHE))
print(json.dumps([hub.name_of(Path(path)) for path in sys.argv[1:]]))
"""


@pytest.mark.parametrize(
    ("environment", "cache"),
    [
        ({}, "HOME/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "HOME/xdg"}, "HOME/xdg/huggingface/hub"),
        ({"HF_HOME": "~/hf"}, "HOME/hf/hub"),
        ({"HF_HOME": "~/hf", "HUGGINGFACE_HUB_CACHE": "HOME/old"}, "HOME/old"),
        ({"HUGGINGFACE_HUB_CACHE": "HOME/old", "HF_HUB_CACHE": "$HOME/new"}, "HOME/new"),
    ],
)
def test_the_name_of_a_path_is_told_in_the_cache_of_the_library_alone(tmp_path, environment, cache):
    pytest.importorskip("huggingface_hub")
    known = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "XDG_"))}
    cache = cache.replace("HOME", str(tmp_path))
    known |= {"HOME": str(tmp_path)}
    known |= {k: v.replace("$HOME", "$H").replace("HOME", str(tmp_path)) for k, v in environment.items()} | {
        "H": str(tmp_path)
    }
    inside = f"models--o--thin/snapshots/{COMMIT}/onnx/model.onnx"
    (tmp_path / "link").symlink_to(cache)
    paths = [
        f"{cache}/{inside}",
        f"{tmp_path}/elsewhere/{inside}",
        f"{tmp_path}/link/{inside}",
        "a\udcff",
        f"{cache}/x.onnx",
    ]
    done = subprocess.run([sys.executable, "-c", NAMES, *paths], env=known, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    name = f"hf:o/thin@{COMMIT}:onnx/model.onnx"
    found, there, imported = map(json.loads, done.stdout.splitlines())
    assert (there, found, imported) == (cache, [name, None, name, None, None], found)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["b.safetensors", "model.safetensors", "model.onnx"], "model.safetensors"),
        (["b.safetensors", "model.onnx", "fp16/b.safetensors"], "b.safetensors"),
        (["a.onnx", "model.onnx"], "model.onnx"),
        (["onnx/model.onnx", "onnx/model_int8.onnx", "a.pth"], "onnx/model.onnx"),
        (["a.pth", "pytorch_model.bin", "training_args.bin"], "a.pth"),
        (["training_args.bin", "pytorch_model.bin"], "pytorch_model.bin"),
        (["resnet-18.t7", "README.md"], "resnet-18.t7"),
    ],
)
def test_the_one_model_of_a_repository(names, expected):
    assert hub.chosen(names, hub.Wanted("o/n")) == expected


def test_several_models_and_none_are_listed():
    with pytest.raises(ResNetsError, match=r"several model files: a\.onnx, b\.onnx\. Say which: hf:o/n:a\.onnx"):
        hub.chosen(["a.onnx", "b.onnx", "c.pth"], hub.Wanted("o/n"))
    with pytest.raises(ResNetsError, match=r"hf:o/n@v1 has no model file .* among its 2: \\x1b\[31m, x\.h5"):
        hub.chosen(["x.h5", "\x1b[31m"], hub.Wanted("o/n", "v1"))
    with pytest.raises(ResNetsError, match=r"hf:o/n has no file 'resnet\.onnx'. It has a\.onnx, c/d\.pth\."):
        hub.chosen(["a.onnx", "c/d.pth", "x.h5"], hub.Wanted("o/n", file="resnet.onnx"))
    many = [*(f"{n}.txt" for n in range(hub.MOST_FILES)), "model.onnx"]
    with pytest.raises(ResNetsError, match=r"100,001 files, too many.* Write hf:o/n:FILE"):
        hub.chosen(many, hub.Wanted("o/n"))
    assert hub.chosen(many, hub.Wanted("o/n", file="model.onnx")) == "model.onnx"


def test_names_are_taken_apart():
    assert hub.parsed("hf:o/n") == hub.Wanted("o/n")
    assert hub.parsed("hf:o/n@refs/pr/1:a/b.onnx") == hub.Wanted("o/n", "refs/pr/1", "a/b.onnx")
    for name in ("hf:n", "hf:o/n/m", "hf:o/..", "hf:o/n@", "hf:o/n:", "hf:o/n:../a.pth", "hf:o/n@../x", "hf:o/n:/a.pth",
                 "hf:o/n:a\\b.pth", "hf:o/n:\x1b.pth", f"hf:o/{'n' * 200}", "hf:ö/n@x:y:"):  # fmt: skip
        with pytest.raises(ResNetsError, match=r"hf:OWNER/NAME|no model file by its name") as refused:
            hub.parsed(name)
        assert refused.value.problem.isprintable()
    with pytest.raises(ResNetsError, match=r"tf_model\.h5 is no model file by its name"):
        hub.parsed("hf:o/n:tf_model.h5")
