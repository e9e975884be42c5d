"""Training from folders: what it writes, what it refuses, and that it learns."""

import csv
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402
import yaml  # noqa: E402

from resnets import plots  # noqa: E402
from resnets.catalog import find  # noqa: E402
from resnets.classify import Classifier  # noqa: E402
from resnets.errors import ResNetsError  # noqa: E402
from resnets.evaluate import Tally  # noqa: E402
from resnets.training import checkpoint, epoch, loop  # noqa: E402
from resnets.training.config import settle_device, settle_precision  # noqa: E402
from resnets.weights.files import load  # noqa: E402

SETTINGS = {"architecture": "resnet20-cifar", "batch": 8, "threads": 1}


@pytest.fixture(scope="module")
def run(photo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve epochs on three kinds of cuttings, which are easily told apart."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return loop.train(photo_data, "quick-cifar", out=out, quiet=True, epochs=12, learning_rate=0.05, **SETTINGS)


def test_it_learns_and_the_file_that_it_writes_says_the_same(run: Path, photo_data: Path) -> None:
    with open(run / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert ",".join(rows[0]).startswith(
        "epoch,train_loss,train_top1_error,val_top1_error,val_top5_error,learning_rate,images_per_second"
    )
    assert float(rows[-1]["train_loss"]) < 0.8 * float(rows[0]["train_loss"])
    best = load(run / "best.safetensors").card
    assert best.scores[0]["images"] == 12
    assert best.scores[0]["top1_error"] <= 34
    classifier = Classifier(run / "best.onnx")
    images = sorted((photo_data / "val").rglob("*.jpg"))
    predicted = [row[0].label for row in classifier.classify(images, top=1)]
    wrong = np.mean([label != path.parent.name for label, path in zip(predicted, images)])
    assert 100 * wrong == pytest.approx(best.scores[0]["top1_error"], abs=0.01)


def test_the_run_folder_and_the_card_hold_everything(run: Path) -> None:
    names = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()}
    assert names == {
        "config.yaml", "results.csv", "state.pt", "best.safetensors", "last.safetensors", "best.onnx",
        "plots/convergence.png",
    }  # fmt: skip
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["preset"]["learning_rate"] == 0.05
    assert config["threads"] == 1
    assert config["train_images"] == 24
    card = load(run / "last.safetensors").card
    assert card.name == "resnet20-cifar"
    assert [label.id for label in card.labels or ()] == ["cat", "coffee", "rocket"]
    assert card.recipe is not None
    assert (card.recipe.size, card.recipe.crop) == (32, 32)
    assert card.source["epochs"] == 12


def test_a_used_folder_is_never_written_over(run: Path, photo_data: Path, tmp_path: Path) -> None:
    before = (run / "state.pt").read_bytes()
    with pytest.raises(ResNetsError, match="--resume"):
        loop.train(photo_data, "quick-cifar", out=run, **SETTINGS)
    assert (run / "state.pt").read_bytes() == before
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ResNetsError, match="already holds something else"):
        loop.train(photo_data, "quick-cifar", out=tmp_path, **SETTINGS)


def test_photographs_train_with_every_augmentation(photo_data: Path, tmp_path: Path) -> None:
    out = loop.train(
        photo_data, "fb-imagenet", out=tmp_path / "run", quiet=True, epochs=1, crop=64, batch=12, threads=1
    )
    assert load(out / "last.safetensors").card.recipe.size == 73  # 64 * 256 / 224


def test_nan_stops_with_epoch_and_step(photo_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ResNetsError, match=r"epoch 1, step [2-9] of 3") as caught:
        loop.train(photo_data, "fb-cifar", out=tmp_path / "run", quiet=True, learning_rate=1e30, **SETTINGS)
    assert "--lr" in caught.value.remedy
    assert checkpoint.load(tmp_path / "run").step == 0  # the state of before stays good


def test_the_best_weights_are_those_of_the_smallest_error(
    photo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = iter([8, 3, 5])
    measure = loop.measure

    def measured(run: epoch.Run, stop: object, *rest: object) -> Tally:
        return measure(run, stop, *rest) if rest else Tally(images=12, top1_wrong=next(wrong))

    monkeypatch.setattr(loop, "measure", measured)
    loop.train(photo_data, "quick-cifar", out=tmp_path / "run", quiet=True, epochs=3, **SETTINGS)
    state = checkpoint.load(tmp_path / "run")
    assert (state.best_epoch, state.best_error) == (2, 25.0)
    best, last = load(tmp_path / "run" / "best.safetensors"), load(tmp_path / "run" / "last.safetensors")
    assert best.card.weights_sha256 != last.card.weights_sha256
    assert best.card.source["epochs"] == 2
    assert best.card.scores[0]["data"] == "photo-data0/val"
    assert "chosen by its error on these images" in best.card.scores[0]["note"]
    assert "note" not in last.card.scores[0]


def test_a_network_that_ends_in_nonsense_is_no_result(photo_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ResNetsError, match="is no number"):
        loop.train(
            photo_data, "fb-cifar", out=tmp_path / "run", quiet=True, learning_rate=1e30, epochs=1,
            **{**SETTINGS, "batch": 24},
        )  # fmt: skip
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_a_finished_run_needs_no_matplotlib(
    run: Path, photo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plots, "drawable", lambda: False)
    out = loop.train(photo_data, "quick-cifar", out=tmp_path / "run", epochs=1, **SETTINGS)
    assert f"resnets plot {out}" in capsys.readouterr().err
    assert (out / "best.onnx").is_file()
    before = (out / "best.onnx").stat().st_mtime_ns
    assert loop.resume(out) == out
    assert (out / "best.onnx").stat().st_mtime_ns == before  # complete as it is


def test_a_run_without_a_name_never_shares_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [loop._new("a") for _ in range(3)] == [Path("runs/a"), Path("runs/a-2"), Path("runs/a-3")]
    with pytest.raises(ResNetsError):
        loop.train(tmp_path / "nowhere", "quick-cifar", quiet=True)
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["a", "a-2", "a-3"]


def test_a_failing_look_counts_the_right_step(photo_data: Path) -> None:
    state = checkpoint.State("", step=7, sums=dict.fromkeys(("images", "loss", "wrong"), 0.0))
    good, bad = torch.tensor(1.0), torch.tensor(float("nan"))
    run = epoch.Run.__new__(epoch.Run)
    run.state, run.unseen = state, [(good, good, 2), (bad, good, 2), (good, good, 2)]
    run.train, run.config = [0] * 20, type("C", (), {"preset": type("P", (), {"batch": 2}), "compile": False})
    with pytest.raises(ResNetsError, match="step 6 of 10"):
        epoch._look(run)


def test_settings_that_make_no_sense_are_refused_before_any_work(photo_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for settings, words in (
        ({"architecture": "resnet21"}, "No architecture is called 'resnet21'"),
        ({"preset": "fb-cifer", "architecture": "resnet20-cifar"}, "Did you mean 'fb-cifar'"),
        ({"preset": "quick-cifar", "architecture": "resnet18"}, "whole small images"),
        (
            {"architecture": "resnet18", "device": "cuda:0" if not torch.cuda.is_available() else "tpu"},
            "device|no cuda",
        ),
        ({"architecture": "resnet18", "precision": "float16", "device": "cpu"}, "CPUs do not train in float16"),
        ({}, "Nothing says what to train"),
    ):
        with pytest.raises(ResNetsError, match=words):
            loop.train(photo_data, out=out, quiet=True, **settings)
    assert not out.exists()


def test_precision_follows_the_machine_not_a_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    from resnets.training import config

    monkeypatch.setattr(config, "cpu_has_bfloat16", lambda: True)
    assert settle_precision("auto", "cpu") == "bfloat16"
    monkeypatch.setattr(config, "cpu_has_bfloat16", lambda: False)
    assert settle_precision("auto", "cpu") == "float32"
    assert settle_precision("bfloat16", "cpu") == "bfloat16"
    assert settle_device("cpu") == "cpu"


def test_the_same_seed_gives_the_same_network_and_another_one_does_not() -> None:
    from resnets.models.builder import arrays, initialised

    a, b, c = (arrays(initialised(find("resnet20-cifar"), seed))["conv1.weight"] for seed in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
