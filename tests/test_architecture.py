"""The house rules: who imports whom, where torch may be, how long files and functions are, what things are called."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "resnets"
MODULES = sorted(SOURCE.rglob("*.py"))
ALL_FILES = sorted(
    path for folder in ("src", "tests", "benchmarks", "scripts") for path in (ROOT / folder).rglob("*.py")
)

# room: the rooms that it may import, besides itself. Nothing imports a room listed below itself: there are no cycles.
# A room is a file or folder of src/resnets; where files of one folder lie on two floors, the lower ones stand by name.
MAY_IMPORT = {
    "errors": "",
    "progress": "",
    "parallel": "",
    "values": "",
    "evaluate": "errors",
    "files": "errors",
    "parts": "errors files",
    "catalog": "errors values",
    "network": "catalog errors",
    "card": "catalog errors values",
    "labels": "card errors",
    "published": "card catalog errors",
    "fetch": "errors files progress published",
    "listing": "card catalog errors fetch network published values",
    "images": "card errors",
    "inputs": "errors images",
    "weights.model": "card catalog errors network",
    "weights.fold": "network weights.model",
    "initialise": "card catalog network weights.model",
    "weights.source": "",
    "weights.dialects": "card catalog errors network weights.model weights.source",
    "graph": "catalog errors network weights.dialects weights.fold weights.model",
    "weights": "card catalog errors fetch files graph labels network published weights.dialects weights.fold"
    " weights.model weights.source",
    "describe": "card catalog errors fetch listing network published weights weights.model weights.source",
    "engines": "errors",
    "predictions": "card engines errors",
    "proof": "card engines errors images inputs parallel predictions progress weights weights.model weights.source",
    "samples": "engines errors weights weights.model weights.source",
    "convert": "card catalog errors files proof weights weights.fold weights.model weights.source",
    "classify": "card engines errors images labels parallel predictions weights weights.source",
    "data": "errors images inputs parallel progress",
    "plots": "errors files",
    "models": "catalog errors initialise network published weights weights.model",
    "training": "card catalog data errors evaluate files images inputs models parallel plots progress values weights"
    " weights.model",
    "cli": "card catalog classify convert data describe errors evaluate fetch files images initialise inputs labels"
    " listing network parts plots predictions progress published samples training weights",
}
TORCH = ("models", "training", "data.batches", "engines.torch")  # and nothing else imports it


def name_of(path: Path) -> str:
    """weights/onnx.py → weights.onnx; the package's own __init__.py → the empty name."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room_of(module: str) -> str:
    """The longest name of the table that the module is or lies in."""
    parts = module.split(".")
    names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((name for name in names if name in MAY_IMPORT), parts[0])


def imports_of(path: Path) -> Iterator[str]:
    """Every module that the file imports anywhere, also inside functions, but for type checking alone."""
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(r"resnets\.cli\.\w+", str(node.value)):
            yield str(node.value)  # the table of verbs imports by name


def ours(module: str) -> str | None:
    """resnets.weights.onnx.read → weights.onnx.read; None for what is not ours."""
    return module.removeprefix("resnets.") if module.startswith("resnets.") else None


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path):
    room = room_of(name_of(path))
    if not name_of(path):
        return  # the public names, each resolved when it is first used
    imported = {room_of(name) for module in imports_of(path) if (name := ours(module))}
    extra = imported - set(MAY_IMPORT[room].split()) - {room}
    assert not extra, f"{room} may not import {', '.join(sorted(extra))}: move the code, or change the table"


def test_the_table_goes_downwards_and_names_every_room():
    order = list(MAY_IMPORT)
    upwards = [(room, r) for room in order for r in MAY_IMPORT[room].split() if order.index(r) >= order.index(room)]
    assert not upwards
    there = {room_of(name_of(path)) for path in MODULES if name_of(path)}
    assert there == set(MAY_IMPORT)


def test_architecture_md_has_the_same_table():
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8").split("\n| room | may import |\n")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| ([^|]*) \|$", text, re.MULTILINE)
    assert {room: " ".join(re.findall(r"`([\w.]+)`", cell)) for room, cell in rows} == MAY_IMPORT
    assert [room for room, _ in rows] == list(MAY_IMPORT)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_torch_is_imported_only_where_it_may_be(path):
    name = name_of(path)
    if any(name == room or name.startswith(f"{room}.") for room in TORCH):
        return
    assert not [m for m in imports_of(path) if m.split(".")[0] in ("torch", "torchvision", "timm")]


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_stay_short(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 300, "split by what flows, never into a second part"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno + 1 <= 60, node.name


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_say_what_enters_and_what_leaves(path):
    text = path.read_text("utf-8")
    if path.name == "__init__.py" and path.parent != SOURCE:
        assert text == "", "an __init__.py that re-exports ties rooms into a knot"
        return
    lines = (ast.get_docstring(ast.parse(text)) or "").splitlines()
    assert lines, "no docstring"
    assert lines[0].endswith((".", ":")), "the first line is a whole sentence"


def test_names_say_what_a_thing_is():
    vague = re.compile(r"utils?|common|base|helpers?|managers?|factory|misc")
    assert not [path for path in ALL_FILES if vague.fullmatch(path.stem)]
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                own = node.name != "get_command"  # click's word, which we override
                assert not (own and re.match(r"_*(get|do)_", node.name)), f"{path.name}: {node.name}"
