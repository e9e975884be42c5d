import io
from dataclasses import replace

import numpy as np
import pytest

from resnets.catalog import ARCHITECTURES, find, named
from resnets.errors import ResNetsError
from resnets.network import array_shapes
from resnets.weights import files, pth, safetensors
from resnets.weights.dialects.named import DIALECTS, renamed
from resnets.weights.dialects.torch import counters
from resnets.weights.options import Options
from resnets.weights.source import Source

ZEROS = {"resnet20-cifar": "both"}


@pytest.mark.parametrize("names", ["torchvision", "timm", "akamaster", "canonical"])
@pytest.mark.parametrize("name", [n for n, a in ARCHITECTURES.items() if sum(a.blocks) <= 16])
def test_writing_is_the_table_turned_round(name, names):
    """Each dialect either reads its own names back as the same network, or refuses to write them."""
    a = replace(ARCHITECTURES[name], shortcut_zeros=ZEROS.get(name, "after"))
    dialect = DIALECTS[names]
    parts = a.preact or a.stem == "deep" or a.shortcut_pool
    if (
        (parts and names == "torchvision")
        or (a.preact and names == "timm")
        or (names == "akamaster" and a.stem != "cifar")
    ):
        with pytest.raises(ResNetsError, match=r"none for parts of this network: (pre-act|stem|shortcut_pool|input_b)"):
            dialect.names(a)
        return
    table = dialect.names(a)
    theirs = {table[n]: shape for n, shape in array_shapes(a).items()}
    assert len(theirs) == len(table)
    try:
        back = dialect.implied(theirs)
    except ResNetsError:
        assert a.shortcut == "A" or a.preact
        return
    assert back is not None
    assert replace(back, stride_in=a.stride_in, shortcut_zeros=a.shortcut_zeros) == a
    assert back.stride_in == "3x3"


def test_a_network_that_the_names_would_not_say_is_not_renamed(random_model):
    small = {"widths": (4, 8, 12, 16), "stem_widths": (4,), "classes": 2}
    v1 = random_model(replace(find("resnet50-v1"), blocks=(1, 1, 1, 1), **small))
    for names, reason in (
        ("torchvision", r"another network than this one: stride_in \(1x1 would become 3x3\)"),
        ("akamaster", r"none for parts of this network: stem \(imagenet\)"),
    ):
        with pytest.raises(ResNetsError, match=reason):
            renamed(v1, names)
    forced = renamed(v1, "torchvision", force=True)
    assert [name for name in forced if not counters(name)] == list(v1.weights)
    with pytest.raises(ResNetsError, match="stride_in"):
        pth.write(v1, Options(names="timm"))
    assert pth.write(v1, Options(names="timm", force=True))
    after = random_model(replace(find("resnet20-cifar"), blocks=(1, 1, 1)))
    with pytest.raises(ResNetsError, match=r"shortcut_zeros \(after would become both\)"):
        renamed(after, "akamaster")
    with pytest.raises(ResNetsError, match=r"cannot say this network.*add zero channels"):
        renamed(after, "torchvision")
    deep = random_model(replace(find("resnet50d"), blocks=(1, 1, 1, 1), widths=(4, 8, 12, 16), classes=2))
    with pytest.raises(ResNetsError, match=r"none for parts of this network: stem \(deep\), shortcut_pool"):
        renamed(deep, "torchvision")
    eps = random_model(replace(find("resnet18"), eps=1e-3, **small))
    with pytest.raises(ResNetsError, match=r"eps \(0.001 would become 1e-05\)"):
        renamed(eps, "timm")


def test_akamaster_s_projections_are_called_shortcut(random_model):
    for zeros in ("A", "B"):
        a = replace(
            find("resnet20-cifar"), blocks=(1, 2, 1), shortcut=zeros, shortcut_zeros="both" if zeros == "A" else "after"
        )
        model = random_model(a)
        arrays = renamed(model, "akamaster")
        assert ("layer2.0.shortcut.0.weight" in arrays) == (zeros == "B")
        back = files.read(Source.of(pth.write(model, Options(names="akamaster")), "m.pth"))
        assert back.architecture == a


def test_counters_are_counters():
    found = ("num_batches_tracked", "bn1.num_batches_tracked", "layer1.0.bn1.num_batches_tracked", "n_averaged")
    assert all(counters(name) for name in found)
    assert not any(counters(name) for name in ("bn1.running_var", "num_batches", "xnum_batches_tracked"))


def shaken(network):
    """Random batch-norm statistics and weights, so that any slip shows; ready to be evaluated."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.3, 0.8)
            module.bias.data.normal_(0, 0.1)
    return network.eval()


FEW = {
    "torchvision": ["resnet18", "resnext50_32x4d"],
    "timm": ["resnet14t", "resnet18d", "resnet50s"],
}
MANY = {
    "torchvision": ["resnet34", "resnet50", "resnet101", "resnet152", "resnext101_32x8d", "resnext101_64x4d",
                    "wide_resnet50_2", "wide_resnet101_2"],
    "timm": ["resnet10t", "resnet26", "resnet26d", "resnet26t", "resnet34d", "resnet50", "resnet50c", "resnet50d",
             "resnet50t", "resnet101c", "resnet101d", "resnet152s", "resnet200d", "resnext50d_32x4d",
             "resnext101_32x4d", "wide_resnet50_2"],
}  # fmt: skip


def pairs(table):
    return [(library, name) for library, names in table.items() for name in names]


def in_and_out(library, name):
    """A peer's own network comes in, computes the same as our torch network, and goes out with identical arrays."""
    torch = pytest.importorskip("torch")
    import timm
    import torchvision

    from resnets.models.builder import build, load_arrays

    make = torchvision.models.get_model if library == "torchvision" else timm.create_model
    network = shaken(make(name, num_classes=11))
    out = io.BytesIO()
    torch.save(network.state_dict(), out)
    found = files.read(Source.of(out.getvalue(), f"{name}.pth"))
    known = named(found.architecture)
    assert known in (None, name.replace("_", "-"))
    ours = build(found.architecture).eval()
    load_arrays(ours, found.weights)
    with torch.no_grad():
        x = torch.randn(1, 3, 64, 80)
        np.testing.assert_allclose(ours(x).numpy(), network(x).numpy(), atol=1e-5)
    before = network.state_dict()
    for data, read in (
        (pth.write(found, Options(names=library)), lambda data: torch.load(io.BytesIO(data), weights_only=True)),
        (safetensors.write(found, Options(names=library)), __import__("safetensors.torch").torch.load),
    ):
        state = read(data)
        assert state.keys() == before.keys()
        assert all(torch.equal(state[key], before[key]) for key in before)
        network.load_state_dict(state, strict=True)


@pytest.mark.parametrize(("library", "name"), pairs(FEW))
def test_networks_of_peers_come_in_and_go_back_out(peers, library, name):
    in_and_out(library, name)


@pytest.mark.matrix
@pytest.mark.parametrize(("library", "name"), pairs(MANY))
def test_more_networks_of_peers_come_in_and_go_back_out(peers, library, name):
    in_and_out(library, name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("seresnet18", r"squeeze-and-excitation: layer1\.0\.se\.fc1"),
        ("ecaresnet26t", r"squeeze-and-excitation: layer1\.0\.se\.conv"),
        ("resnet50_gn", "group norm"),
        ("resnetrs50", "pools with a convolution"),
        ("resnest14d", "20 missing: layer1.0.conv2.weight"),
        ("resnet33ts", "not those of a residual network"),
    ],
)
def test_other_networks_of_timm_are_refused(peers, name, reason):
    torch = pytest.importorskip("torch")
    import timm

    out = io.BytesIO()
    torch.save(timm.create_model(name, num_classes=2).state_dict(), out)
    with pytest.raises(ResNetsError, match=reason):
        files.read(Source.of(out.getvalue(), "m.pth"))
