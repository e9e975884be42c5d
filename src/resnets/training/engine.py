"""One network, its optimiser and its average: a batch goes in, the loss comes out and the weights have moved."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from resnets.models.builder import ResNet, initialised
from resnets.training.checkpoint import State, Tensors
from resnets.training.config import PRECISIONS, Config


class Engine:
    """The network under training on its device, in channels-last layout, the faster one for its convolutions."""

    def __init__(self, config: Config) -> None:
        self.config, preset = config, config.preset
        self.device = torch.device(config.device)
        self.dtype = PRECISIONS[config.precision]
        if self.device.type == "cuda":  # shapes are fixed but for crops that grow, and no promise of bits is made there
            torch.backends.cudnn.benchmark = True
        self.network = self._place(initialised(config.architecture, config.seed))
        self.average = copy.deepcopy(self.network).eval() if preset.ema else None
        # Listed once: copying a state dict into a network leaves its tensors where they are.
        self.ours = _floats(self.average.state_dict()) if self.average is not None else []
        self.theirs = _floats(self.network.state_dict())
        self.optimizer = torch.optim.SGD(
            _groups(self.network, preset.weight_decay, preset.decay_norms),
            lr=preset.learning_rate,
            momentum=preset.momentum,
            nesterov=preset.nesterov,
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.loss = nn.CrossEntropyLoss(label_smoothing=preset.label_smoothing)
        self.forward: Any = torch.compile(self.network, dynamic=False) if config.compile else self.network

    def _place(self, network: ResNet) -> ResNet:
        return network.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    @property
    def measured(self) -> ResNet:
        """The network that validation measures and files hold: the average where there is one."""
        return self.average if self.average is not None else self.network

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def step(self, x: Tensor, y: Tensor, rate: float, taken: int) -> tuple[Tensor, Tensor]:
        """One step on [n, 3, h, w] and [n]: (loss, how many were classified wrongly), both still on the device.

        `taken` is the number of steps before this one: the average's memory grows with it to the preset's.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        with self._autocast():
            logits = self.forward(x)
        logits = logits.float()
        loss = self.loss(logits, y)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self._follow(min(self.config.preset.ema, (1 + taken) / (10 + taken)))
        return loss.detach(), (logits.detach().argmax(1) != y).sum()

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        torch._foreach_lerp_(self.ours, self.theirs, 1 - decay)

    @torch.no_grad()
    def logits(self, x: Tensor, *, exact: bool = False) -> Tensor:
        """Float32 logits [n, classes] of the measured network; `exact` computes in float32 as the saved file will."""
        network = self.measured.eval()
        if exact:
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # a GPU's default rounds to 10 bits
                return network(x).float()  # type: ignore[no-any-return]
        with self._autocast():
            return network(x).float()  # type: ignore[no-any-return]

    def put(self, state: State) -> None:
        """Copy everything of the engine that a resumed run needs into `state`."""
        state.network = _copied(self.network.state_dict())
        state.average = _copied(self.average.state_dict()) if self.average is not None else {}
        state.optimizer = self.optimizer.state_dict()
        state.scaler = self.scaler.state_dict()
        state.random = torch.get_rng_state()

    def take(self, state: State) -> None:
        """The reverse of `put`."""
        self.network.load_state_dict(state.network)
        if self.average is not None:
            self.average.load_state_dict(state.average)
        self.optimizer.load_state_dict(state.optimizer)
        self.scaler.load_state_dict(state.scaler)
        torch.set_rng_state(state.random)


def _groups(network: nn.Module, decay: float, decay_norms: bool) -> list[dict[str, Any]]:
    """Parameters with weight decay, and those without: batch norms and biases unless `decay_norms`."""
    every = list(network.parameters())
    if decay_norms:
        return [{"params": every, "weight_decay": decay}]
    return [
        {"params": [p for p in every if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in every if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _floats(state: Tensors) -> list[Tensor]:
    return [tensor for tensor in state.values() if tensor.is_floating_point()]


def _copied(state: Tensors) -> Tensors:
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def to_device(arrays: Iterable[Any], device: torch.device) -> list[Tensor]:
    """NumPy arrays as tensors on the device; images [n, 3, h, w] in channels-last layout, copied if they are not."""
    tensors = []
    for array in arrays:
        tensor = torch.from_numpy(array)
        if tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        if device.type == "cuda":
            tensor = tensor.pin_memory()
        tensors.append(tensor.to(device, non_blocking=True))
    return tensors
