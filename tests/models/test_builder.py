"""The torch networks against the list of steps, and against torchvision's and timm's own networks."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from resnets.card import Card  # noqa: E402
from resnets.catalog import ARCHITECTURES, Architecture, find  # noqa: E402
from resnets.errors import ResNetsError  # noqa: E402
from resnets.models import builder  # noqa: E402
from resnets.network import INPUT, Step, array_shapes, steps  # noqa: E402
from resnets.weights.model import Model  # noqa: E402

THIN = {  # one network per branch of the code, thin and shallow
    "basic B": replace(find("resnet18"), blocks=(2, 1, 1, 1), widths=(8, 16, 24, 32), stem_widths=(8,), classes=7),
    "basic C": replace(find("resnet18"), blocks=(2, 1, 1, 1), widths=(8, 16, 24, 32), stem_widths=(8,), shortcut="C"),
    "v1": replace(find("resnet50-v1"), blocks=(1, 2, 1, 1), widths=(8, 16, 24, 32), stem_widths=(8,), classes=7),
    "v2 basic": replace(find("resnet18-v2"), widths=(8, 16, 24, 32), stem_widths=(8,), classes=7),
    "v2 bottleneck": replace(find("resnet50-v2"), blocks=(1, 2, 1, 1), widths=(8, 16, 24, 32), stem_widths=(8,)),
    "preresnet": replace(find("preresnet50"), blocks=(2, 2, 1, 1), widths=(8, 16, 24, 32), stem_widths=(8,)),
    "old preresnet200": replace(
        find("preresnet50"), blocks=(1, 2), widths=(8, 16), stem_widths=(8,), preact_first=("branch", "branch"),
        shortcut_batch_norm=True,
    ),
    "cifar A": replace(find("resnet20-cifar"), blocks=(1, 2, 1)),
    "cifar A, zeros on both sides": replace(find("resnet20-cifar"), blocks=(1, 1, 1), shortcut_zeros="both"),
    "preresnet cifar": replace(find("preresnet20-cifar"), blocks=(1, 2, 1)),
    "published 50": replace(
        find("resnet50"), blocks=(1, 2, 1, 1), widths=(8, 16, 24, 32), stem_widths=(8,), conv_bias="all",
        shortcut_batch_norm=False, post_add_batch_norm=True,
    ),
    "resnext": replace(find("resnext50-32x4d"), blocks=(1, 1, 1, 1), groups=4, base_width=16, widths=(8, 16, 24, 32)),
    "deep, pooled": replace(find("resnet50d"), blocks=(1, 2, 1, 1), widths=(8, 16, 24, 32), stem_widths=(4, 4, 8)),
    "folded": replace(find("resnet18"), widths=(8, 16, 24, 32), stem_widths=(8,), batch_norm="none"),
    "folded preresnet": replace(find("preresnet18"), widths=(8, 16, 24, 32), stem_widths=(8,), batch_norm="none"),
}  # fmt: skip


def compute(step: Step, values: dict[str, "torch.Tensor"], arrays: dict[str, "torch.Tensor"]) -> "torch.Tensor":
    """One step, in the plainest torch there is: what the network's modules have to agree with."""
    f = torch.nn.functional
    x, *rest = (values[name] for name in step.inputs)
    held = {name.rpartition(".")[2]: arrays[name] for name, _ in step.arrays}
    match step.op:
        case "conv":
            return f.conv2d(x, held["weight"], held.get("bias"), step.stride, step.padding, groups=step.groups)
        case "batch_norm":
            return f.batch_norm(
                x, held["running_mean"], held["running_var"], held["weight"], held["bias"], eps=step.eps
            )
        case "relu":
            return x.clamp(min=0)
        case "max_pool":
            return f.max_pool2d(x, step.kernel, step.stride, step.padding)
        case "average_pool":
            return f.avg_pool2d(x, step.kernel, step.stride, ceil_mode=True, count_include_pad=False)
        case "pad_channels":
            return f.pad(x, (0, 0, 0, 0, *step.zeros))
        case "add":
            return x + rest[0]
        case "global_pool":
            return x.mean((2, 3))
        case "linear":
            return f.linear(x, held["weight"], held["bias"])
    raise AssertionError(step.op)


def randomised(architecture: Architecture) -> builder.ResNet:
    """A network whose every array matters: gammas 0.5 to 1.2, statistics of one training-mode pass."""
    generator = torch.Generator().manual_seed(1)
    network = builder.initialised(architecture)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.2, generator=generator)
            torch.nn.init.normal_(module.bias, 0, 0.2, generator=generator)
            module.momentum = None  # the plain average: after one pass, that pass
    with torch.no_grad():
        network.train()(torch.randn(8, architecture.input_channels, 64, 64, generator=generator))
    return network.eval()


@pytest.mark.parametrize("name", THIN)
def test_every_module_computes_its_step(name: str) -> None:
    network = randomised(THIN[name])
    seen: dict[str, torch.Tensor] = {}
    kinds = (torch.nn.Conv2d, torch.nn.BatchNorm2d, torch.nn.Linear)
    for path, module in network.named_modules():
        if isinstance(module, kinds):
            module.register_forward_hook(lambda _m, _x, y, path=path: seen.update({path: y.detach().clone()}))
    x = torch.randn(2, 3, 40, 48, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        logits, features = network(x), network.features(x)
    arrays = {name: torch.from_numpy(array) for name, array in builder.arrays(network).items()}
    values = {INPUT: x}
    for step in steps(THIN[name]):
        values[step.name] = compute(step, values, arrays)
        if step.arrays:
            torch.testing.assert_close(seen.pop(step.name), values[step.name], rtol=1e-3, atol=1e-3, msg=step.name)
    assert not seen, "modules that are no step"
    torch.testing.assert_close(logits, values["fc"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features, values["avgpool"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_names_and_shapes_are_those_of_the_steps(name: str) -> None:
    with torch.device("meta"):
        network = builder.build(ARCHITECTURES[name])
    own = {k: tuple(v.shape) for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert own == array_shapes(ARCHITECTURES[name])


@pytest.mark.peers
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("resnet18", "torchvision/resnet18"),
        ("resnet50", "torchvision/resnet50"),
        ("resnext50-32x4d", "torchvision/resnext50_32x4d"),
        ("wide-resnet50-2", "torchvision/wide_resnet50_2"),
        ("resnet18d", "timm/resnet18d"),
        ("resnet26t", "timm/resnet26t"),
        ("resnet50c", "timm/resnet50c"),
        ("resnet50d", "timm/resnet50d"),
        ("resnet50s", "timm/resnet50s"),
    ],
)
@pytest.mark.usefixtures("peers")
def test_same_output_as_the_peers_network(ours: str, theirs: str) -> None:
    library, name = theirs.split("/")
    if library == "timm":
        import timm

        peer = timm.create_model(name)
    else:
        import torchvision

        peer = torchvision.models.get_model(name)
    network = randomised(find(ours))
    peer.load_state_dict(network.state_dict())
    x = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected, found = peer.eval()(x), network(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_weights_go_in_and_come_out_unchanged() -> None:
    network = randomised(THIN["v1"])
    other = builder.build(THIN["v1"])
    builder.load_arrays(other, builder.arrays(network))
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(x), other.eval()(x))


def test_channels_last_gives_the_same_output() -> None:
    network = randomised(THIN["cifar A"])
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        expected = network(x)
        found = network.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_create_model_offers_maps_classes_and_channels() -> None:
    network = builder.create_model("resnet18", num_classes=5, in_chans=1)
    assert network(torch.randn(2, 1, 64, 64)).shape == (2, 5)
    maps = builder.create_model("resnet18", features_only=True)(torch.randn(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 16, 24), (128, 8, 12), (256, 4, 6), (512, 2, 3)]


def test_create_model_loads_weights_that_it_is_given(tiny_model) -> None:
    from resnets.weights.files import load

    network = builder.create_model(str(tiny_model), pretrained=True)
    held = network.state_dict()
    for name, array in load(tiny_model).weights.items():
        np.testing.assert_array_equal(held[name].numpy(), array)


@pytest.fixture
def published(tmp_path, monkeypatch) -> str:
    """resnet18.tv1 as it would be, were it thin: its file in the cache, its digest in the table."""
    from resnets.fetch import cache
    from resnets.published.row import Digest
    from resnets.published.table import PUBLISHED
    from resnets.weights import files
    from resnets.weights.source import Source

    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    thin = replace(find("resnet18"), widths=(8, 16, 24, 32), stem_widths=(8,))
    row = PUBLISHED["resnet18.tv1"]
    cache.place(row).parent.mkdir(parents=True)
    weights = builder.arrays(randomised(thin))
    weights["fc.weight"] *= np.float32(3)  # not as drawn
    files.save(Model(thin, weights, Card("", thin)), cache.place(row), names="torchvision")
    data = cache.place(row).read_bytes()
    digest = Digest("sha256", Source.of(data, "").sha256(), "here")
    monkeypatch.setitem(
        PUBLISHED, row.name, replace(row, architecture=thin, size=len(data), digests=(digest,), reported=())
    )
    return row.name


def test_published_weights_come_by_name(published) -> None:
    from resnets.classify import Classifier

    network = builder.create_model(published, pretrained=True).eval()
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(4))
    expected = Classifier(published).logits(x.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(network(x).numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
        fresh = builder.create_model(published)
    assert fresh.architecture == network.architecture
    assert not np.array_equal(fresh.state_dict()["bn1.weight"], network.state_dict()["bn1.weight"])


def test_another_number_of_classes_draws_the_classifier_anew_and_nothing_else(published) -> None:
    from resnets.initialise import initialise

    network, whole = (builder.create_model(published, pretrained=True, num_classes=n) for n in (7, None))
    held, other = network.state_dict(), whole.state_dict()
    drawn = initialise(network.architecture)
    for name in ("fc.weight", "fc.bias"):
        np.testing.assert_array_equal(held.pop(name).numpy(), drawn[name])
    assert held
    assert all(torch.equal(array, other[name]) for name, array in held.items())


@pytest.mark.parametrize("pretrained", [False, True])
def test_no_classes_leave_the_features(published, pretrained: bool) -> None:
    network = builder.create_model(published, pretrained=pretrained, num_classes=0).eval()
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert network(x).shape == (1, 32)
        if pretrained:
            whole = builder.create_model(published, pretrained=True).eval()
            assert isinstance(whole, builder.ResNet)
            assert torch.equal(network(x), whole.features(x))


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_other_channels_adapt_the_first_convolution(published, channels: int) -> None:
    network = builder.create_model(published, pretrained=True, in_chans=channels).eval()
    whole = builder.create_model(published, pretrained=True).eval()
    kernel, own = (module.state_dict()["conv1.weight"] for module in (network, whole))
    x = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        assert network(x.expand(-1, channels, -1, -1)).shape == (2, 1000)
        if channels == 1:
            torch.testing.assert_close(network(x), whole(x.expand(-1, 3, -1, -1)))
        else:
            assert torch.equal(kernel[:, channels - 1], own[:, (channels - 1) % 3] * (3 / channels))


@pytest.mark.peers
@pytest.mark.usefixtures("peers")
@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_the_first_convolution_is_adapted_as_timm_does(channels: int) -> None:
    from timm.models import adapt_input_conv

    kernel = np.random.default_rng(0).standard_normal((4, 3, 7, 7), np.float32)
    expected = adapt_input_conv(channels, torch.from_numpy(kernel)).numpy()
    np.testing.assert_allclose(builder.adapted(kernel, channels), expected, rtol=1e-6, atol=1e-6)


def test_other_names_of_published_weights_name_their_network() -> None:
    for name in ("wide_resnet50_2.tv_in1k", "Wide_ResNet50_2_Weights.IMAGENET1K_V1"):
        assert builder.create_model(name).architecture == find("wide-resnet50-2")
    with pytest.raises(ResNetsError, match=r"No architecture is called 'resnet-18\.t7'"):
        builder.create_model("resnet-18.t7")


def test_what_create_model_cannot_make(published, tmp_path) -> None:
    from resnets.weights import files

    with pytest.raises(ResNetsError, match=r"resnet18 is an architecture.*Published weights.* resnet18\.a1_in1k"):
        builder.create_model("resnet18", pretrained=True)
    with pytest.raises(ResNetsError, match=r"No architecture is called 'resnet18\.tv9'"):
        builder.create_model("resnet18.tv9")
    path = tmp_path / "v2.safetensors"
    thin = THIN["v2 basic"]
    files.save(Model(thin, builder.arrays(randomised(thin)), Card("", thin)), path)
    with pytest.raises(ResNetsError, match="normalises its 3 input channels"):
        builder.create_model(str(path), pretrained=True, in_chans=1)


def test_list_models_lists_both_kinds() -> None:
    import resnets

    assert "resnet50.tv2" in resnets.list_models("resnet50", pretrained=True)
    assert resnets.list_models("resnet50") == ["resnet50"]
