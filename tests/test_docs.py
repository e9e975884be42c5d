"""Documents that can fail: their commands run, generated parts are fresh, every help text has a working example."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.standins.rows import Maker

from resnets.cli.main import VERBS, cli
from resnets.published.table import PUBLISHED

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "examples" / "README.md"])
HAS_TORCH = importlib.util.find_spec("torch") is not None
# A fenced block, with the comment before it where one marks a set-up command (those are run by .ci/run).
BLOCK = re.compile(r"(?:<!-- (setup): \w+ -->\n)?^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


EXECUTED = ("README.md", "docs/convert.md", "docs/published.md")


def blocks() -> list[tuple[str, str]]:
    """The blocks to run, in order: language and text."""
    texts = (BLOCK.findall((ROOT / name).read_text("utf-8")) for name in EXECUTED)
    return [(language, text) for found in texts for setup, language, text in found if not setup]


@pytest.fixture(scope="module")
def place(tmp_path_factory, photo_data, tiny_model):
    """Where a reader would stand: examples/ and a small data set lie there, and runs/first where nothing can train.

    Published weights that would be downloaded are in the cache, and one more was brought from elsewhere: stand-ins.
    """
    folder = tmp_path_factory.mktemp("reader")
    for name, there in (("resnet18.fb", "cache/resnet18.fb"), ("resnet34.fb", "from-elsewhere")):
        (folder / there).mkdir(parents=True)
        row = PUBLISHED[name]
        shutil.copy(Maker(tmp_path_factory.mktemp("made")).made(row).file, folder / there / row.file)
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copytree(photo_data, folder / "photos")
    if not HAS_TORCH:
        (folder / "runs/first").mkdir(parents=True)
        shutil.copy(tiny_model, folder / "runs/first/best.onnx")
    return folder


@pytest.mark.parametrize(("language", "text"), blocks(), ids=lambda value: value.split("\n")[0][:50])
def test_the_documents_do_what_they_say(place, language, text):
    if ("resnets train" in text or "create_model" in text) and not HAS_TORCH:
        pytest.skip("torch is not installed")
    # The reader's own data would take hours; ours is small, and one pass shows that the command stands.
    text = re.sub(r"--epochs \d+", "--epochs 1", text)
    command = ["bash", "-euo", "pipefail", "-c", text] if language == "bash" else [sys.executable, "-c", text]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "RESNETS_CACHE": str(place / "cache")}
    run = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=False, timeout=200)
    assert run.returncode == 0, run.stderr
    assert not re.search(r"Warning|Traceback", run.stderr)


def test_the_readme_left_what_it_promises(place):
    """Runs after the commands above, in the same place."""
    rows = (place / "rows.jsonl").read_text().splitlines()
    assert len(rows) == len(list((ROOT / "examples").glob("*.jpg")))
    assert all('"error": null' in row for row in rows)
    assert {"new.t7", "new.pth", "back.onnx", "structural.params", "small.safetensors"} <= set(os.listdir(place))
    assert {"fresh.onnx", "fresh.safetensors", "named.onnx", "copy.safetensors", "error.json", "resnet18.onnx"} <= set(
        os.listdir(place)
    )
    if HAS_TORCH:
        names = "config.yaml results.csv state.pt best.safetensors last.safetensors best.onnx plots".split()
        assert set(names) <= set(os.listdir(place / "runs/first"))
        assert (place / "first.png").stat().st_size > 10_000


def test_set_up_commands_are_there_and_ci_runs_them():
    readme, ci = (ROOT / "README.md").read_text("utf-8"), (ROOT / ".ci" / "run").read_text("utf-8")
    marked = re.findall(r"<!-- setup: (\w+) -->\n```bash\n([^\n]+)\n```\n", readme)
    assert [name for name, _ in marked] == ["classify", "test"]
    assert re.findall(r"^part .* set_up (\w+)$", ci, re.MULTILINE) == ["classify", "test"]


def _generator():
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "scripts" / "generate_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_fresh():
    generator = _generator()
    for document in (ROOT / name for name in generator.DOCUMENTS):
        text = document.read_text("utf-8")
        assert text == generator.refreshed(text), f"{document.name} is stale: run scripts/generate_docs.py"
        assert "<!-- generated:" in text
        stale = re.sub(r"(<!-- generated: \w+ -->\n)", r"\1Once upon a time\n", text)
        assert generator.refreshed(stale) == text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text("utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def _leaves(context: click.Context, command: click.Command, words: tuple[str, ...]):
    """The commands under a verb with the words that call them: (("card", "set"), …)."""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _leaves(context, inner, (*words, name))
    else:
        yield words, command


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples_that_parse(verb):
    context = click.Context(cli)
    command = cli.get_command(context, verb)
    assert command is not None
    for words, leaf in _leaves(context, command, (verb,)):
        call = f"resnets {' '.join(words)}"
        lines = re.findall(rf"^ *{call}(?: (.*))?$", leaf.help or "", re.MULTILINE)
        assert lines, f"`{call} --help` shows no example"
        for line in lines:
            # Reads the options as a real call would (an unknown one raises), and runs nothing.
            leaf.make_context(call, shlex.split(line, comments=True))
