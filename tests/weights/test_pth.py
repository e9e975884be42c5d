import io
import json
import random
import zipfile
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest

from resnets.card import RECIPES, Label
from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.network import array_shapes
from resnets.weights import files, pth
from resnets.weights.model import Model, digest
from resnets.weights.options import Options
from resnets.weights.source import DamagedError, Source

TINY = replace(find("resnet18"), blocks=(1, 1, 1, 1), widths=(4, 6, 8, 10), stem_widths=(4,), classes=3)


def source(data, name="m.pth"):
    return Source.of(data, name)


def read(data, given=None):
    return files.read(source(data), given)


@pytest.fixture(scope="module")
def model(random_model):
    return random_model(TINY)


@pytest.fixture(scope="module")
def ours(model):
    return pth.write(model, Options())


def test_a_model_comes_back_with_its_card(model, random_model):
    labels = tuple(Label(name, name.upper()) for name in ("ä", "b", "c"))
    for architecture in (TINY, replace(find("preresnet20-cifar"), classes=3)):
        one = random_model(architecture)
        one = Model(architecture, one.weights, replace(one.card, labels=labels, recipe=RECIPES["cifar"]))
        data = pth.write(one, Options())
        assert pth.write(one, Options()) == data
        back = read(data)
        assert (back.architecture, back.card, back.notes) == (one.architecture, one.card, ())
        assert pth.read_card(source(data)) == one.card
        assert list(back.weights) == list(one.weights)
        assert digest(back.weights) == digest(one.weights)


def test_a_card_is_exchanged_and_the_arrays_stay(ours, model):
    card = replace(model.card, name="other")
    back = read(pth.with_card(source(ours), card))
    assert back.card == card
    assert digest(back.weights) == digest(model.weights)


def repacked(data, change):
    """The archive with one file of it changed, its checksums right."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        found = {name: change(name, file.read(name)) for name in file.namelist()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in found.items():
            file.writestr(name, content)
    return out.getvalue()


def test_arrays_that_are_not_those_of_the_card_are_refused(ours):
    turned = repacked(ours, lambda name, data: data[4:] + data[:4] if name.endswith("data/0") else data)
    with pytest.raises(ResNetsError, match="are not the ones that its card was written for"):
        read(turned)
    with pytest.raises(ResNetsError, match="another network than the one that was given"):
        read(ours, find("resnet18"))
    assert read(ours, replace(TINY, classes=9)).architecture == TINY
    other = repacked(ours, lambda name, data: data.replace(b"layer1.0.conv1.weight", b"layer1.0.conv9.weight"))
    with pytest.raises(ResNetsError, match=r"1 missing: layer1.0.conv1.weight; 1 not part .*: layer1.0.conv9.weight"):
        read(other)
    fewer = repacked(ours, lambda name, data: data.replace(b'"classes": 3', b'"classes": 4'))
    with pytest.raises(ResNetsError, match=r"2 of another shape: fc.weight \(3, 10\) instead of \(4, 10\)"):
        read(fewer)


def test_torch_loads_what_we_write(model, ours):
    torch = pytest.importorskip("torch")
    found = torch.load(io.BytesIO(ours), weights_only=True)
    assert json.loads(found["resnets.card"])["name"] == "random"
    assert list(found["state_dict"]) == list(model.weights)
    for name, tensor in found["state_dict"].items():
        np.testing.assert_array_equal(tensor.numpy(), model.weights[name])
        assert tensor.is_contiguous()
    mapped = io.BytesIO(pth.write(model, Options(names="torchvision")))
    bare = torch.load(mapped, weights_only=True)
    assert type(bare) is OrderedDict
    assert bare["bn1.num_batches_tracked"].dtype == torch.int64
    assert [name for name in bare if "num_batches" not in name] == list(model.weights)


def saved(value, **options):
    torch = pytest.importorskip("torch")
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


@pytest.fixture
def state(model):
    torch = pytest.importorskip("torch")
    return OrderedDict((name, torch.from_numpy(array.copy())) for name, array in model.weights.items())


def prefixed(state, prefix):
    return OrderedDict((prefix + name, tensor) for name, tensor in state.items())


WRAPPERS = {
    "plain": lambda s: s,
    "state_dict": lambda s: {"epoch": 3, "state_dict": s, "optimizer": {"state": {0: {"buffer": s["conv1.weight"]}}}},
    "model": lambda s: {"model": s, "args": None},
    "nested": lambda s: {"checkpoint": {"model": {"state_dict": s}}},
    "DataParallel": lambda s: {"state_dict": prefixed(s, "module.")},
    "compiled": lambda s: {"net": prefixed(s, "_orig_mod.")},
    "both, twice": lambda s: prefixed(s, "module._orig_mod.module."),
    "average": lambda s: {"model_ema": {"n_averaged": s["fc.bias"][0], **prefixed(s, "module.module.")}},
    "Lightning": lambda s: {"state_dict": prefixed(s, "model."), "hparams_name": "kwargs"},
}  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_state_dict_is_found_in_what_is_around_it(state, model, wrapper, zipped):
    found = read(saved(WRAPPERS[wrapper](state), _use_new_zipfile_serialization=zipped))
    assert found.architecture == TINY
    assert digest(found.weights) == digest(model.weights)
    assert found.card.source["names"] == "torchvision"
    assert found.card.labels is found.card.recipe is None


def test_of_several_state_dicts_the_average_is_taken_and_that_is_said(state, model):
    worse = OrderedDict((name, tensor * 0 + 1) for name, tensor in state.items())
    for value in (
        {"model": worse, "model_ema": state},
        {"state_dict": worse, "state_dict_ema": state},
        {"generator": worse, "state_dict": state},
        {"model": worse, "ema": {"module": state}},
    ):
        found = read(saved(value))
        assert digest(found.weights) == digest(model.weights)
        assert any("are left out" in note for note in found.notes)
        assert found.card.source["notes"] == [note for note in found.notes if "left out" in note]


def test_what_was_rounded_is_said(state, model):
    torch = pytest.importorskip("torch")
    for kind, how in ((torch.float16, "exactly"), (torch.bfloat16, "exactly"), (torch.float64, "rounded")):
        found = read(saved({name: tensor.to(kind) for name, tensor in state.items()}))
        for name, tensor in state.items():
            np.testing.assert_array_equal(found.weights[name], tensor.to(kind).float().numpy())
        kind_name = str(kind).removeprefix("torch.")
        assert f"{len(state)} arrays are {kind_name} in the file, and float32 here, {how}." in found.notes


def test_what_is_no_network_is_told_so(state):
    torch = pytest.importorskip("torch")
    with pytest.raises(ResNetsError, match=r"holds no state dict .* but a dict of 'state', 'param_groups'"):
        read(saved(torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0).state_dict()))
    with pytest.raises(ResNetsError, match="but a list"):
        read(saved([1, 2]))
    for value, what in (({}, "an empty dict"), ({1: 2}, "a dict of 1 things without names")):
        with pytest.raises(ResNetsError, match=f"but {what}"):
            read(saved(value))
    broken = {**state, "fc.weight": state["fc.weight"] * float("nan")}
    with pytest.raises(ResNetsError, match=r"1 arrays of m.pth hold NaN or infinity: fc.weight"):
        read(saved(broken))
    large = {name: tensor.double() * 1e300 for name, tensor in state.items()}
    with pytest.raises(ResNetsError, match="hold NaN or infinity"):
        read(saved(large))
    whole = {**state, "fc.weight": (state["fc.weight"] * 9).to(torch.int8)}
    with pytest.raises(ResNetsError, match=r"not of floating-point numbers: fc.weight \(int8\)"):
        read(saved(whole))
    fewer = {name: tensor for name, tensor in state.items() if not name.startswith("fc")}
    with pytest.raises(ResNetsError, match=r"2 missing: fc.weight, fc.bias"):
        read(saved(fewer))
    wrong = {**state, "fc.bias": torch.zeros(7)}
    with pytest.raises(ResNetsError, match=r"1 of another shape: fc.bias \(7,\) instead of \(3,\)"):
        read(saved(wrong))


def test_a_given_architecture_wins_and_is_checked(random_model):
    a = replace(find("resnet20-cifar"), classes=7, input_channels=1)
    bare = random_model(a).weights
    data = saved({name: pytest.importorskip("torch").from_numpy(array) for name, array in bare.items()})
    with pytest.raises(ResNetsError, match="--architecture, for instance resnet20-cifar"):
        read(data)
    found = read(data, find("resnet20-cifar"))
    assert found.architecture == a
    assert "implied" not in found.card.source
    with pytest.raises(ResNetsError, match=r"60 missing: layer1.3.conv1.weight.*"):
        read(data, find("resnet32-cifar"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_archive_is_read_as_a_state_dict(random_model):
    torch = pytest.importorskip("torch")
    from resnets.models.builder import build, load_arrays

    model = random_model(TINY)
    network = build(TINY)
    load_arrays(network, model.weights)
    out = io.BytesIO()
    torch.jit.save(torch.jit.trace(network.eval(), torch.zeros(1, 3, 32, 32)), out)
    found = read(out.getvalue())
    assert (found.architecture, digest(found.weights)) == (TINY, digest(model.weights))
    assert "It is a TorchScript archive, of which the arrays are read and no code." in found.notes


def test_the_published_cifar_network(shared):
    path = shared / "oracles" / "pth" / "resnet20-12fca82f.th"
    found = files.load(path)
    assert found.architecture == replace(find("resnet20-cifar"), shortcut_zeros="both")
    assert found.card.source["names"] == "akamaster"
    back = read(pth.write(found, Options(names="akamaster")))
    assert (back.architecture, digest(back.weights)) == (found.architecture, digest(found.weights))


def test_arrays_that_share_their_bytes_may_not_be_more_than_the_file(state):
    torch = pytest.importorskip("torch")
    one = torch.zeros(max(tensor.numel() for tensor in state.values()))
    shared = {name: one[: tensor.numel()].view(tensor.shape) for name, tensor in state.items()}
    with pytest.raises(ResNetsError, match="share their bytes"):
        read(saved(shared))


def mutated(whole, chance):
    """A file that something has happened to: bytes flipped, cut off, doubled, or numbers made large."""
    data = bytearray(whole)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(data))
        match chance.randrange(5):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4)))
            case 2:
                del data[at : at + chance.randrange(1, 64)]
            case 3:
                data[at:at] = data[at : at + chance.randrange(1, 64)]
            case 4:
                data[at] = chance.randrange(256)
    return bytes(data)


def fuzz(rounds, wholes, seed=0):
    """Reads mutated files: one error, or a model. A zip archive's arrays have a digest, so there the model is equal.

    Returns how many were refused.
    """
    chance = random.Random(seed)
    rights = [digest(read(whole).weights) for whole in wholes]
    refused = 0
    for number in range(rounds):
        whole, right = wholes[number % len(wholes)], rights[number % len(wholes)]
        try:
            found = read(mutated(whole, chance))
        except ResNetsError:
            refused += 1
            continue
        assert set(array_shapes(found.architecture)) == set(found.weights)
        if whole[:2] == b"PK":
            assert digest(found.weights) == right
    return refused


def test_mutated_files_are_one_error_or_the_same_model(ours, state):
    legacy = saved(state, _use_new_zipfile_serialization=False)
    assert fuzz(600, [ours, saved({"state_dict": state}), legacy]) > 200


@pytest.mark.matrix
def test_many_mutated_files(ours, state):
    legacy = saved(state, _use_new_zipfile_serialization=False)
    assert fuzz(20_000, [ours, saved({"state_dict": state}), legacy], seed=1) > 7_000


def test_every_truncation_is_one_error(ours):
    for length in range(0, len(ours), 97):
        with pytest.raises((ResNetsError, DamagedError)):
            read(ours[:length])
