"""What many tests need: photographs, data made of them, a tiny model, and what is there only on some machines."""

import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

os.environ["RESNETS_OFFLINE"] = "1"  # no test may reach for the network
os.environ["MPLBACKEND"] = "agg"
# A job in the background ignores Ctrl-C, and so would every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for the peers is marked so: `-m peers` finds all of it."""
    for item in items:
        if "peers" in getattr(item, "fixturenames", ()):
            item.add_marker("peers")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of archives and oracles that lies beside some checkouts."""
    if not SHARED.is_dir():
        pytest.skip("the oracles and archives are not here (../shared)")
    return SHARED


@pytest.fixture(scope="session")
def peers(shared: Path) -> None:
    """Makes torchvision and timm importable beside a CPU-only torch. A test that asks for it is marked `peers`."""
    pytest.importorskip("torch", reason="torch is not installed")
    missing = [name for name in ("torchvision", "timm") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed (.ci/run adds them)")
    if "declare_ops" not in sys.modules:
        sys.path.insert(0, str(shared / "oracles" / "peers"))
        try:
            import declare_ops
        finally:
            sys.path.pop(0)
        declare_ops.declare()


@pytest.fixture(scope="session")
def server_class() -> Any:
    """The class of `server`, for a test that needs a second one, or one with a certificate."""
    name = "resnets_test_server"
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "fetch" / "server.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Server


@pytest.fixture
def server(server_class: Any) -> Iterator[Any]:
    """A web server on 127.0.0.1 that answers as a test says: `server.put("/a", b"...")`, `server.url("/a")`."""
    one = server_class()
    yield one
    one.close()


@pytest.fixture(scope="session")
def photos() -> dict[str, Path]:
    """The photographs of examples/ by name: camera (grey), cat, coffee, rocket."""
    return {path.stem: path for path in sorted((ROOT / "examples").glob("*.jpg"))}


@pytest.fixture(scope="session")
def photo_data(tmp_path_factory: pytest.TempPathFactory, photos: dict[str, Path]) -> Path:
    """A data set to read, never to change: train/{cat,coffee,rocket}/ with 8 cuttings of 40x40 each, val/ with 4."""
    from PIL import Image

    root = tmp_path_factory.mktemp("photo-data")
    for label in ("cat", "coffee", "rocket"):
        with Image.open(photos[label]) as photo:
            picture = photo.convert("RGB")
        across, down = (picture.width - 120) // 3, (picture.height - 120) // 2
        boxes = [(i % 4 * across, i // 4 * down) for i in range(12)]
        for number, (x, y) in enumerate(boxes):
            split = "val" if number % 3 == 2 else "train"
            folder = root / split / label
            folder.mkdir(parents=True, exist_ok=True)
            cutting = picture.crop((x, y, x + 120, y + 120)).resize((40, 40), Image.Resampling.LANCZOS)
            cutting.save(folder / f"{number:02}.jpg", quality=90)
    return root


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights that knows cat, coffee and rocket: an 8-layer CIFAR network as .onnx."""
    from dataclasses import replace

    from resnets.card import RECIPES, Card, Label
    from resnets.catalog import find
    from resnets.initialise import initialise
    from resnets.weights.files import save
    from resnets.weights.model import Model

    architecture = replace(find("resnet20-cifar"), blocks=(1, 1, 1), classes=3)
    labels = tuple(Label(name, name) for name in ("cat", "coffee", "rocket"))
    card = Card("tiny", architecture, labels, replace(RECIPES["resnets"], size=32, crop=32))
    path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    save(Model(architecture, initialise(architecture), card), path)
    return path


@pytest.fixture
def rewritten(tiny_model: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes the tiny model as another tool would leave it: `rewritten("y", tail=("Softmax",))`.

    The outputs are called as given, the first being the answer, behind nodes of the kinds in `tail`; a card is lost
    unless one is given.
    """
    import onnx

    from resnets.card import KEY, to_json

    def write(*outputs: str, tail: tuple[str, ...] = (), card: object = None) -> Path:
        proto = onnx.load(tiny_model)
        del proto.metadata_props[:], proto.graph.output[:]
        if card is not None:
            proto.metadata_props.add(key=KEY, value=to_json(card))
        names = ["logits", *(f"tail{i}" for i in range(len(tail)))]
        proto.graph.node.extend(onnx.helper.make_node(op, [names[i]], [names[i + 1]]) for i, op in enumerate(tail))
        for node in proto.graph.node:
            node.output[:] = [outputs[0] if name == names[-1] else name for name in node.output]
        known = {name for node in proto.graph.node for name in node.output}
        proto.graph.node.extend(onnx.helper.make_node("Identity", outputs[:1], [n]) for n in outputs if n not in known)
        proto.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in outputs)
        path = tmp_path / "rewritten.onnx"
        onnx.save(proto, path)
        return path

    return write
