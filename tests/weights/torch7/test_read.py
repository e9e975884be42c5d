import json
import math
from pathlib import Path

import numpy as np
import pytest

from resnets.errors import ResNetsError
from resnets.weights.source import Source
from resnets.weights.torch7.objects import UNVERSIONED, Function, Object, Table, Tensor
from resnets.weights.torch7.read import read

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "oracles" / "torch7" / "misc"
MISC = SHARED if SHARED.is_dir() else ROOT / "tests" / "oracles" / "torch7" / "misc"  # all values, or the small ones
EXPECTED = json.loads((MISC / "expected.json").read_text("utf-8"))
FILES = sorted(name for name in EXPECTED if name.endswith(".t7"))
OWN_WAY = "class_custom_write.t7"  # what no reader without the class can read


def value(name):
    """The first object of an oracle."""
    return read(Source.of((MISC / name).read_bytes(), name))[0]


def check(want, found):
    """Is that what Torch said of the value before it wrote it?"""
    match want["kind"]:
        case "nil":
            assert found is None
        case "boolean":
            assert found is want["value"]
        case "number":
            assert type(found) is float
            assert found == want["value"]
        case "string":
            data = found.encode("utf-8", "surrogateescape")
            assert data == (bytes(want["bytes"]) if "bytes" in want else want["value"].encode())
        case "storage":
            assert found.name == want["class"]
            numbers(want["values"], found.read(0, found.count))
        case "tensor":
            tensor(want, found)
        case "object":
            assert found.name == want["class"]
            assert want.get("version") in (None, f"V {found.version}")
        case "function":
            assert isinstance(found, Function)
            upvalues = [(one["name"], one["value"]) for one in found.upvalues.items()]
            assert len(want.get("upvalues", upvalues)) == len(upvalues)
        case "array":
            assert len(found.items()) == len(found.pairs)
            for one, is_ in zip(want.get("values", []), found.items()):
                assert type(is_) is (
                    float if isinstance(one, (int, float)) and not isinstance(one, bool) else type(is_)
                )
                assert is_ == one or str(is_) == one
                assert math.copysign(1, is_) == math.copysign(1, one) if one == 0 and type(one) is float else True
        case "table":
            assert isinstance(found, Table)
            assert len(found.pairs) == (want["n"] if "n" in want and "s" not in want else len(found.pairs))
            assert all(found[key] == want[key] for key in ("b", "n", "s") if "s" in want)
    for key, one in want.items():
        if isinstance(one, dict) and isinstance(found, Object):  # as nn's own reader turned it: same numbers, new shape
            if found[key]:
                numbers(one["values"], found[key].array())
        elif isinstance(one, dict) and found[key] is not None:
            check(one, found[key])


def tensor(want, found):
    assert (found.name, list(found.size), list(found.stride)) == (want["class"], want["size"], want["stride"])
    assert found.offset == want["offset1"] - 1
    assert (found.storage is None) == (want.get("storage") == "nil")
    if found.storage:
        assert found.storage.count == want["storage_size"]
    array = found.array()
    assert array.shape == found.size if found.size else array.shape == (0,)
    numbers(want["values"], array)


def numbers(want, found):
    assert found.dtype == np.dtype(found.dtype.str)
    right = np.array([float(n) if isinstance(n, str) else n for n in want]).astype(found.dtype)
    np.testing.assert_array_equal(found.reshape(-1), right)
    if found.dtype.kind == "f":
        np.testing.assert_array_equal(
            np.signbit(found.reshape(-1)[~np.isnan(right)]), np.signbit(right[~np.isnan(right)])
        )


def test_a_class_that_writes_in_its_own_way_is_named():
    with pytest.raises(ResNetsError, match=r"written by my\.ClassC, perhaps in a way that only Torch reads"):
        value(OWN_WAY)


@pytest.mark.parametrize("name", [name for name in FILES if name != OWN_WAY])
def test_each_value_is_what_torch_says(name):
    want = EXPECTED[name]
    if "same_as" in want:
        assert len(value(name).pairs) == len(value(want["same_as"]).pairs)
        want = EXPECTED[want["same_as"]]
        if "cuda" in name:
            want = json.loads(json.dumps(want).replace("torch.Float", "torch.Cuda"))
    found = value(name)
    check(want, found)
    if name in MEANINGS:
        assert MEANINGS[name](found)


def nested(t):
    items = t["list"].items()
    return (
        t["a"]["b"]["c"].items()[2]["x"] == "deep"
        and [one.items()[0] for one in items] == [1.0, 2.0, 3.0][: len(items)]
    )


def depth(t, key):
    levels = 0
    while isinstance(t, Table):
        t, levels = t[key], levels + 1
    return levels


def key_table(t):
    (key,) = (key for key, _ in t.pairs if isinstance(key, Table))
    return t["same"] is key and t.pairs[[k for k, _ in t.pairs].index(key)][1] == "value under a table key"


def mixed(t):
    keys = (1.0, 2.0, 3.5, True, False, -7.0, "", "name", 0.0)
    words = ("one", "two", "float key", "bool key", "false key", "negative", "empty string key", "string key", "zero")
    return [t[key] for key in keys] == list(words)


def shared_upvalue(t):
    first, second, third = t.items()
    one = {u["name"]: u for u in first.upvalues.items()}["up1"]
    return first is third and one["id"] == second.upvalues.items()[0]["id"] and one["value"] == 41


def closure(f):
    found = {u["name"]: u["value"] for u in f.upvalues.items()}
    return found["up1"] == 41 and found["up2"]["msg"] == "in upvalue" and f.code.startswith(b"\x1bLJ")


def one_storage(t):
    tensors = [v for _, v in t.pairs if isinstance(v, Tensor)]
    return len(tensors) == 4 and all(v.storage is t["storage"] for v in tensors)


def user(t):
    a, b = t.items()
    names = [(one.name, one.version, one["x"], one["t"].array().tolist()) for one in (a, b)]
    return names == [("my.ClassA", 1, 1.0, [1, 2, 3]), ("my.ClassB", 3, 1.0, [1, 2, 3])]


def flattened(t):
    first, _, last = t["model"]["modules"].items()
    found = {"w1": first["weight"], "b1": first["bias"], "w2": last["weight"], "b2": last["bias"]}
    for name, one in found.items():
        check(EXPECTED["mlp_flat_params.t7"][name], one)
    return all(one.storage is t["params"].storage for one in found.values())


def old_norm(m):
    want = EXPECTED["bn_v1_running_std.t7"]["running_var"]["values"]
    return np.allclose(m["running_std"].array() ** -2.0 - 1e-5, want, rtol=1e-5)


def copies(t):
    return (
        t["t1"] is not t["t2"]
        and t["a"] is not t["b"]
        and t["a"]["v"] == t["b"]["v"] == 1
        and t["t1"].array().tolist() == t["t2"].array().tolist() == [1, 2, 3, 4]
    )


MEANINGS = {
    "cycle_self.t7": lambda t: t["self"] is t and t["list"].items()[0] is t and t["list"].items()[1].items()[0] is t,
    "cycle_mutual.t7": lambda t: t.items()[0]["other"] is t.items()[1] and t.items()[1]["other"] is t.items()[0],
    "shared_table.t7": lambda t: t["a"] is t["b"] is t["c"]["inner"] and t["a"] is not None,
    "shared_tensor.t7": lambda t: t["a"] is t["b"] and t["a"].array().tolist() == [1, 2, 3, 4],
    "shared_storage.t7": one_storage,
    "table_nested.t7": nested,
    "table_deep150.t7": lambda t: depth(t, "child") >= 150,
    "table_deep3000.t7": lambda t: depth(t, "c") >= 3000,
    "table_5000.t7": lambda t: t["key_77"] == 77 and t["key_5000"] == 5000,
    "table_key_table.t7": key_table,
    "table_mixed_keys.t7": mixed,
    "table_with_function.t7": lambda t: isinstance(t["f"], Function) and t["name"] and t["after"] is not None,
    "function_closure.t7": closure,
    "function_recursive.t7": lambda f: f.upvalues.items()[0]["value"] is f,
    "functions_shared_upvalue.t7": shared_upvalue,
    "legacy_function6.t7": lambda f: f.kind == 6 and f.code.startswith(b"\x1bLJ"),
    "legacy_function7.t7": lambda f: f.kind == 7 and f.code.startswith(b"\x1bLJ"),
    "legacy_noversion.t7": lambda t: t.version == t.storage.version == UNVERSIONED,
    "class_user.t7": user,
    "variant_unreferenced.t7": copies,
    "mlp_flat_params.t7": flattened,
    "torch_generator.t7": lambda g: len(g.value) == 5048,
    # What nn's own reader makes of it is in expected.json: eps is nn's default.
    "bn_v1_running_std.t7": old_norm,
    "conv_old_2d_padding.t7": lambda m: m["weight"].size == (4, 27) and m["padding"] == 1 and m["padW"] is None,
}
MEANINGS |= {name.replace(".t7", ".ascii.t7"): MEANINGS[name] for name in MEANINGS if name[0] in "cst"}
