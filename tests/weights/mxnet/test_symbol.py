import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.network import Step, steps
from resnets.weights import files, params
from resnets.weights.model import Model, digest
from resnets.weights.mxnet import symbol
from resnets.weights.mxnet.arrays import array, stored
from resnets.weights.mxnet.lists import write_arrays
from resnets.weights.source import Source


def inserted(folder: Path, operator: str, before: str, **attributes: str) -> None:
    """The symbol with one node more: on the way to a node, or, where `before` is empty, behind the answer."""
    path = folder / "exported-symbol.json"
    value = json.loads(path.read_text())
    nodes = value["nodes"]
    at = next((i for i, one in enumerate(nodes) if one["name"].endswith(before)), -1) if before else len(nodes)
    (reads,) = value["heads"] if not before else [nodes[at]["inputs"][0]]
    for one in nodes[at:]:
        one["inputs"] = [[number + (number >= at), *rest] for number, *rest in one["inputs"]]
    value["heads"] = [[number + (number >= at), *rest] for number, *rest in value["heads"]]
    nodes.insert(at, {"op": operator, "name": "odd", "attrs": attributes, "inputs": [reads]})
    if before:
        nodes[at + 1]["inputs"][0] = [at, 0, 0]
    else:
        value["heads"] = [[at, 0, 0]]
    path.write_text(json.dumps(value))


def read(folder: Path) -> Model:
    return files.load(folder / "exported-0000.params")


def check(folder: Path) -> str | None:
    with files.opened(folder / "exported-0000.params") as source:
        return symbol.check(source, params.read(source))


def changed(folder: Path, node: str, **attributes: str) -> None:
    """The symbol with other attributes in one node, or in all of an operator."""
    path = folder / "exported-symbol.json"
    value = json.loads(path.read_text())
    found = [one for one in value["nodes"] if node in (one["name"].partition("_")[2], one["op"])]
    assert found
    for one in found:
        one["attrs"].update(attributes)
    path.write_text(json.dumps(value))


def problem(folder: Path) -> str:
    with pytest.raises(ResNetsError) as error:
        read(folder)
    return error.value.problem


def test_the_symbol_that_mxnet_exported_is_of_the_network(exported):
    found = read(exported)
    assert check(exported) == (
        "checked against exported-symbol.json: strides, pads, groups, epsilons and connections of its 173 steps are"
        " those of the network"
    )
    (exported / "exported-symbol.json").unlink()
    assert check(exported) is None
    assert digest(read(exported).weights) == digest(found.weights)


@pytest.mark.parametrize("name", ["thin-resnet18-v1", "thin-resnet18-v2", "thin-resnet50-v1"])
def test_other_symbols_of_mxnet_are_of_their_networks(shared, name):
    assert check(shared / "oracles" / "gluon" / name)


@pytest.mark.parametrize(
    ("node", "attributes", "how"),
    [
        ("stage2_conv1_fwd", {"stride": "(1, 1)"}, "stage2_conv1_fwd has stride 1 instead of 2"),
        ("stage3_conv2_fwd", {"pad": "(1, 1)"}, "stage3_conv2_fwd has padding 1 instead of 0"),
        ("conv0_fwd", {"kernel": "(7, 5)"}, "conv0_fwd has kernel -1 instead of 7"),
        ("stage1_conv1_fwd", {"num_group": "2"}, "stage1_conv1_fwd has groups 2 instead of 1"),
        ("stage1_conv1_fwd", {"dilate": "(2, 2)"}, "stage1_conv1_fwd is Convolution, dilated or not NCHW"),
        ("stage4_batchnorm2_fwd", {"eps": "2e-05"}, "stage4_batchnorm2_fwd has eps 2e-05 instead of 1e-05"),
        ("stage1_batchnorm0_fwd", {"axis": "3"}, "stage1_batchnorm0_fwd is BatchNorm over another axis"),
        ("pool0_fwd", {"pooling_convention": "full"}, "pool0_fwd is Pooling, max, full instead of max_pool"),
        ("pool1_fwd", {"pool_type": "max"}, "pool1_fwd is Pooling, global max instead of global_pool"),
        ("relu0_fwd", {"act_type": "tanh"}, "relu0_fwd is Activation, tanh instead of relu"),
        ("dense0_fwd", {"no_bias": "True"}, "dense0_fwd has arrays [(10, 64)] instead of [(10, 64), (10,)]"),
        ("dense0_fwd", {"num_hidden": "11"}, "dense0_fwd has channels 11 instead of 10"),
        ("dense0_fwd", {"flatten": "False"}, "dense0_fwd is FullyConnected of the last axis alone instead of linear"),
        ("conv0_fwd", {"layout": "NHWC"}, "conv0_fwd is Convolution, dilated or not NCHW instead of conv"),
        ("pool0_fwd", {"layout": "NHWC"}, "pool0_fwd is Pooling, not NCHW instead of max_pool"),
        ("pool1_fwd", {"layout": "NHWC"}, "pool1_fwd is Pooling, not NCHW instead of global_pool"),
        ("batchnorm1_fwd", {"min_calib_range": "0"}, "batchnorm1_fwd is BatchNorm, min_calib_range 0 instead of"),
        ("relu0_fwd", {"slope": "2"}, "relu0_fwd is Activation, slope 2 instead of relu"),
    ],
)
def test_a_step_that_differs_is_named(exported, node, attributes, how):
    changed(exported, node, **attributes)
    assert how in problem(exported)


@pytest.mark.parametrize(
    ("operator", "before", "attributes", "how"),
    [
        ("softmax", "dense0_fwd", {}, "odd is softmax instead of linear"),
        ("log_softmax", "stage1_conv2_fwd", {}, "odd is softmax instead of conv"),
        ("softmax", "", {"axis": "0"}, "odd (softmax, axis 0) is one too many"),
        ("softmax", "", {"temperature": "9"}, "odd (softmax, temperature 9) is one too many"),
        ("SoftmaxActivation", "", {"mode": "channel"}, "odd (SoftmaxActivation, mode channel) is one too many"),
        ("Dropout", "dense0_fwd", {"mode": "always"}, "odd is Dropout, mode always instead of linear"),
        ("Flatten", "stage1_conv2_fwd", {}, "odd is Flatten instead of conv"),
    ],
)
def test_what_changes_nothing_in_its_place_is_refused_elsewhere(exported, operator, before, attributes, how):
    inserted(exported, operator, before, **attributes)
    assert how in problem(exported)


def test_a_softmax_behind_the_classifier_is_left_out_and_that_is_said(exported):
    before = digest(read(exported).weights)
    for operator, attributes in (("softmax", {"axis": "1"}), ("log_softmax", {}), ("SoftmaxOutput", {"out_grad": "1"})):
        path = exported / "exported-symbol.json"
        whole = path.read_text()
        inserted(exported, operator, "", **attributes)
        inserted(exported, "Dropout", "dense0_fwd", p="0.5", mode="training")
        found = read(exported)
        assert digest(found.weights) == before
        assert found.notes[-1] == found.card.source["notes"][-1]
        assert found.notes[-1].startswith("odd, the softmax at the end of exported-symbol.json, is left out")
        inserted(exported, "softmax", "")
        assert "is one too many" in problem(exported) or "one name" in problem(exported)
        path.write_text(whole)


def test_a_node_has_one_output(exported):
    path = exported / "exported-symbol.json"
    value = json.loads(path.read_text())
    value["heads"][0][1] = 1
    path.write_text(json.dumps(value))
    assert "its answer is the output 1 of node" in problem(exported)
    value["heads"][0][1] = 0
    value["nodes"][-1]["inputs"][0][1] = 2
    path.write_text(json.dumps(value))
    assert "reads the output 2 of node" in problem(exported)


def test_every_difference_is_listed_at_once(exported):
    changed(exported, "stage2_conv1_fwd", stride="(1, 1)")
    changed(exported, "batchnorm2_fwd", eps="0.001")
    changed(exported, "conv0_fwd", pad="()")
    found = problem(exported)
    assert all(
        text in found for text in ("conv0_fwd has padding 0", "conv1_fwd has stride 1", "norm2_fwd has eps 0.001")
    )


def test_a_scale_is_one_where_the_symbol_fixes_it(exported):
    changed(exported, "stage3_batchnorm1_fwd", fix_gamma="True")
    found = read(exported)
    assert (found.weights["layer3.0.bn2.weight"] == 1).all()
    assert "resnetv21_stage3_batchnorm1_gamma" in found.card.source["notes"][0]
    changed(exported, "BatchNorm", fix_gamma="False")
    assert not (read(exported).weights["layer3.0.bn2.weight"] == 1).all()


def test_arrays_that_are_exchanged_are_named(exported):
    path = exported / "exported-symbol.json"
    text = path.read_text()
    one, other = "resnetv21_stage1_batchnorm1_gamma", "resnetv21_stage1_batchnorm2_gamma"
    path.write_text(text.replace(one, "?").replace(other, one).replace("?", other))
    assert f"arg:{other} instead of arg:{one}" in problem(exported)


def test_a_network_whose_names_say_nothing_is_known_by_its_symbol(exported):
    before = read(exported)
    whole = stored(Source.of((exported / "exported-0000.params").read_bytes(), "x"))
    arrays = {name: array(one) for name, one in whole.items()}
    plain = {name: f"{name[:4]}a{number}" for number, name in enumerate(arrays)}
    (exported / "exported-0000.params").write_bytes(write_arrays({plain[name]: a for name, a in arrays.items()}))
    path = exported / "exported-symbol.json"
    value = json.loads(path.read_text())
    for node in value["nodes"]:
        key = next((plain[k] for k in (f"arg:{node['name']}", f"aux:{node['name']}") if k in plain), None)
        node["name"] = key[4:] if key else node["name"]
    path.write_text(json.dumps(value))
    found = read(exported)
    assert (found.architecture, digest(found.weights)) == (before.architecture, digest(before.weights))
    assert found.card.source["names"] == "symbol"
    changed(exported, "stage2_conv1_fwd", stride="(1, 1)")
    assert "holds no residual network" in problem(exported)


OPERATORS = {
    "conv": ("Convolution", {}),
    "batch_norm": ("BatchNorm", {"fix_gamma": "False"}),
    "relu": ("Activation", {"act_type": "relu"}),
    "max_pool": ("Pooling", {"pool_type": "max"}),
    "average_pool": ("Pooling", {"pool_type": "avg", "pooling_convention": "full", "count_include_pad": "False"}),
    "add": ("elemwise_add", {}),
    "global_pool": ("Pooling", {"pool_type": "avg", "global_pool": "True", "kernel": "(1, 1)"}),
    "linear": ("FullyConnected", {}),
}


def symbol_of(plan: list[Step]) -> dict[str, Any]:
    """The symbol of these steps, its arrays under their canonical names with underscores."""
    nodes: list[dict[str, Any]] = [{"op": "null", "name": "data", "inputs": []}]
    at = {"data": 0}
    for step in plan:
        op, attributes = OPERATORS[step.op]
        sizes = {"kernel": step.kernel, "stride": step.stride, "pad": step.padding}
        pairs = {name: f"({size}, {size})" for name, size in sizes.items()} if op in ("Convolution", "Pooling") else {}
        numbers = {"num_filter": step.channels, "num_group": step.groups, "no_bias": len(step.arrays) == 1}
        numbers = {"conv": numbers, "linear": {"num_hidden": step.channels}, "batch_norm": {"eps": step.eps}}.get(
            step.op, {}
        )
        inputs = [at[name] for name in step.inputs]
        for name, _ in step.arrays:
            inputs.append(len(nodes))
            nodes.append({"op": "null", "name": name.replace(".", "_"), "inputs": []})
        at[step.name] = len(nodes)
        attributes = {**pairs, **{name: str(value) for name, value in numbers.items()}, **attributes}
        read = [[number, 0, 0] for number in inputs]
        nodes.append({"op": op, "name": f"{step.name}_fwd", "attrs": attributes, "inputs": read})
    return {"nodes": nodes, "heads": [[len(nodes) - 1, 0, 0]]}


@pytest.mark.parametrize(
    "architecture",
    [
        replace(find("resnet50d"), blocks=(1, 2), widths=(4, 8), stem_widths=(4, 4, 8)),
        replace(find("resnet50-v2"), blocks=(2, 1), widths=(4, 8), preact_first=("both",) * 2, eps=2e-5),
        replace(find("resnext50-32x4d"), blocks=(1, 1), widths=(64, 64), groups=2),
        replace(find("resnet18"), blocks=(1, 2), widths=(8, 8), stem_widths=(8,), shortcut="C", conv_bias="all"),
    ],
    ids=["pooled shortcuts", "another eps", "groups", "shortcut C and biases"],
)
def test_networks_that_gluon_names_cannot_say_are_read_by_their_symbols(tmp_path, random_model, architecture):
    made = random_model(architecture)
    kinds = {name: "aux" if ".running_" in name else "arg" for name in made.weights}
    arrays = {f"{kinds[name]}:{name.replace('.', '_')}": array for name, array in made.weights.items()}
    (tmp_path / "exported-0000.params").write_bytes(write_arrays(arrays))
    (tmp_path / "exported-symbol.json").write_text(json.dumps(symbol_of(steps(architecture))))
    found = read(tmp_path)
    assert (found.architecture, digest(found.weights)) == (architecture, digest(made.weights))
    assert check(tmp_path)


def test_what_is_no_symbol_is_said(exported):
    path = exported / "exported-symbol.json"
    texts = ("", "<html>", "[]", "{}", "[" * 10**6, '{"nodes": [], "heads": [[0, 0]]}', '{"nodes": 3, "heads": [[0]]}')
    loop = '{"nodes": [{"op": "a", "name": "b", "inputs": [[0, 0]]}], "heads": [[0, 0]]}'
    strange = '{"nodes": [{"op": [], "name": {}, "inputs": []}], "heads": [[0, 0]]}'
    number = '{"nodes": [{"op": "null", "name": "x", "inputs": []}], "heads": [[1e999, 0]]}'
    for text in (*texts, loop, strange, number):
        path.write_text(text)
        with pytest.raises(ResNetsError, match=r"is damaged, or no symbol|is not of the network"):
            read(exported)
    path.unlink()
    os.mkfifo(path)
    assert "no regular file" in problem(exported)


def test_damaged_symbols_are_refused_or_are_the_same(exported):
    path = exported / "exported-symbol.json"
    whole = json.dumps(json.loads(path.read_text()), separators=(",", ":")).encode()
    before = read(exported)
    for seed in range(60):
        order, bad = random.Random(seed), bytearray(whole)
        if seed % 3:
            bad[order.randrange(len(bad))] ^= 1 << order.randrange(7)
        else:
            del bad[order.randrange(len(bad)) :]
        path.write_bytes(bad)
        try:
            found = read(exported)
        except ResNetsError:
            continue
        assert digest(found.weights) == digest(before.weights) or "notes" in found.card.source
