"""state.pt: the whole truth of a run in one file, written whole or not at all, of tensors and plain values only."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnets.errors import ResNetsError
from resnets.files import whole

NAME = "state.pt"
FORMAT = 1
Tensors = dict[str, Tensor]


@dataclass
class State:
    """Where a run stands. `step` counts batches of `epoch` (both from 0) that are done.

    `network`, `average` (empty without EMA) and `best` are state dicts; `rows` are those of results.csv so far;
    `sums` are the running totals of the epoch under way; `random` is torch's generator.
    The schedule has no state of its own: the rate is a function of the step.
    """

    config: str  # the text of config.yaml
    network: Tensors = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    average: Tensors = field(default_factory=dict)
    best: Tensors = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)
    epoch: int = 0
    step: int = 0
    best_error: float | None = None
    best_epoch: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    random: Tensor = field(default_factory=torch.get_rng_state)


def save(state: State, run: Path) -> None:
    """Write `run`/state.pt. A full disk raises ResNetsError and leaves the last one as it was."""
    data = io.BytesIO()  # given a file, torch turns the system's refusal of a byte into an error that says nothing
    torch.save({"format": FORMAT, **state.__dict__}, data)
    with whole(run / NAME) as file:
        file.write(data.getbuffer())


def expect(run: Path) -> None:
    """Raises ResNetsError where the folder holds no run."""
    if not (run / NAME).is_file():
        raise ResNetsError(
            f"{run} holds no run ({NAME} is not there).", f"Start one with `resnets train DATA --out {run}`."
        )


def load(run: Path) -> State:
    """Read `run`/state.pt, on the CPU, without executing anything it may hold."""
    expect(run)
    path = run / NAME
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        raise ResNetsError(
            f"{path} cannot be read ({type(error).__name__}).", "The file is damaged: start a new run."
        ) from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ResNetsError(f"{path} is not a state of this version.", "Resume with the version that began the run.")
    del value["format"]
    return State(**value)
