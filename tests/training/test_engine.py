"""The arithmetic of a step, against SGD with Nesterov's momentum, label smoothing and the average written out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from resnets.training.config import Config  # noqa: E402
from resnets.training.engine import Engine  # noqa: E402
from resnets.training.plan import plan  # noqa: E402

RATES = (1e-3, 2e-3, 5e-4)  # so small that rounding does not grow from step to step


@pytest.fixture
def config(photo_data: Path) -> Config:
    found, _ = plan(
        photo_data, "quick-cifar", architecture="resnet20-cifar", precision="float32", device="cpu", quiet=True
    )
    return found


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(8, 3, 32, 32, generator=generator), torch.arange(8) % 3


def steps(engine: Engine) -> list[float]:
    return [float(engine.step(*batch(), rate, taken)[0]) for taken, rate in enumerate(RATES)]


def test_three_steps_are_those_of_the_textbook(config: Config) -> None:
    config = replace(config, preset=replace(config.preset, weight_decay=0.5))  # so large that it is seen
    engine, same = Engine(config), Engine(config)
    decay, smoothing, momentum = (getattr(config.preset, n) for n in ("weight_decay", "label_smoothing", "momentum"))
    x, y = batch()
    names = [name for name, _ in same.network.named_parameters()]
    weights = [p.detach().double().numpy().copy() for p in same.network.parameters()]
    velocity = [np.zeros_like(w) for w in weights]
    start, average = [w.copy() for w in weights], [w.copy() for w in weights]
    losses = []
    for taken, rate in enumerate(RATES):
        with torch.no_grad():
            for parameter, w in zip(same.network.parameters(), weights):
                parameter.copy_(torch.from_numpy(w))
        same.network.train()
        likely = torch.log_softmax(same.network(x), 1)
        # section 7 of arXiv:1512.00567: every class gets its share of the smoothing, the true one the rest as well
        loss = -((1 - smoothing) * likely[torch.arange(8), y] + smoothing * likely.mean(1)).mean()
        losses.append(float(loss.detach()))
        slopes = torch.autograd.grad(loss, list(same.network.parameters()))
        memory = min(config.preset.ema, (1 + taken) / (10 + taken))
        for i, slope in enumerate(slopes):
            g = slope.double().numpy() + decay * weights[i]
            velocity[i] = momentum * velocity[i] + g
            weights[i] -= rate * (g + momentum * velocity[i])
            average[i] = memory * average[i] + (1 - memory) * weights[i]
    np.testing.assert_allclose(steps(engine), losses, rtol=1e-4)
    assert engine.average is not None
    moved, followed = dict(engine.network.named_parameters()), dict(engine.average.named_parameters())
    for name, s, w, a in zip(names, start, weights, average):
        for found, wanted in ((moved[name], w), (followed[name], a)):
            difference = np.linalg.norm(found.detach().numpy() - wanted)
            assert difference < 3e-3 * np.linalg.norm(wanted - s), name


def test_bfloat16_rounds_the_convolutions_and_nothing_else(config: Config) -> None:
    exact, rounded = Engine(config), Engine(replace(config, precision="bfloat16"))
    x, _ = batch()
    near, far = exact.logits(x), rounded.logits(x)
    assert near.dtype == far.dtype == torch.float32
    assert 1e-6 < float((near - far).abs().max()) < 0.1 * float(near.abs().max())
    assert torch.equal(near, rounded.logits(x, exact=True))
    assert all(p.dtype == torch.float32 for p in rounded.network.parameters())


def test_without_decay_of_norms_only_the_convolutions_and_the_classifier_shrink(config: Config) -> None:
    free = Engine(replace(config, preset=replace(config.preset, decay_norms=False)))
    shrinking = {id(p) for g in free.optimizer.param_groups if g["weight_decay"] for p in g["params"]}
    for name, parameter in free.network.named_parameters():
        assert (id(parameter) in shrinking) == (name.startswith("conv") or ".conv" in name or name == "fc.weight"), name
