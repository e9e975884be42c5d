"""A finished run becomes the bundled model: its last weights as .onnx with a complete card, its record in docs/runs.

    python scripts/bundle_model.py runs/cifar10 cifar10

The last weights and not the best: `best` was chosen by the error on the very images that the card's error is of.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from resnets.weights.files import load, save

ROOT = Path(__file__).resolve().parents[1]
NOTE = "10,000 test files, lossy JPEG re-encodings of CIFAR-10: not comparable with published CIFAR-10 errors"


def main(run: Path, name: str) -> None:
    model = load(run / "last.safetensors")
    scores = tuple({**score, "note": NOTE} for score in model.card.scores)
    card = replace(model.card, scores=scores, licence="Apache-2.0")
    path = ROOT / "src" / "resnets" / "bundled" / f"{name}.onnx"
    path.parent.mkdir(exist_ok=True)
    save(replace(model, card=card), path)
    record = ROOT / "docs" / "runs" / name
    record.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / "results.csv", record / "results.csv")
    shutil.copyfile(run / "plots" / "convergence.png", record / "convergence.png")
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {scores[0]['top1_error']} % error")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
