import numpy as np
import pytest
from onnx import helper

from resnets.errors import ResNetsError
from resnets.weights.model import digest


def slices(graph, pool, number, halves):
    """x[:, :, ::2, ::2] in one Slice, or in one for rows and one for columns."""
    read, nodes = pool.input[0], []
    groups = [[2, 3]] if halves == 1 else [[2], [3]]
    for part, axes in enumerate(groups):
        count = len(axes)
        rows = ([0] * count, [2**63 - 1] * count, axes, [2] * count)
        names = [graph.constant(f"{number}{part}{i}", np.array(row, np.int64)) for i, row in enumerate(rows)]
        write = pool.output[0] if part + 1 == len(groups) else f"half {number}"
        nodes.append(helper.make_node("Slice", [read, *names], [write]))
        read = write
    return nodes


def concatenated(graph, pad, number, factor):
    """Zeros as a constant on both sides, or as what was multiplied by zero behind: Torch7's way."""
    channels, read = 4 * 2**number, pad.input[0]
    if factor:
        zero = graph.constant(f"zero {number}", np.float32(0))
        yield helper.make_node("Mul", [read, zero], [f"z{number}"])
        yield helper.make_node("Concat", [read, f"z{number}"], pad.output, axis=1)
    else:
        shape = (2, channels // 2, 20 // 2**number, 28 // 2**number)
        z = graph.constant(f"z{number}", np.zeros(shape, np.float32))
        yield helper.make_node("Concat", [z, read, z], pad.output, axis=-3)


@pytest.mark.parametrize("halves", [0, 1, 2])
@pytest.mark.parametrize("zeros", ["pad", "both sides", "multiplied"])
def test_shortcut_a_is_known_however_it_is_written(zeros, halves, padded):
    for number, pool in enumerate(padded.nodes("AveragePool")):
        if halves:
            padded.swap(pool, *slices(padded, pool, number, halves))
    for number, pad in enumerate(padded.nodes("Pad")):
        if zeros != "pad":
            padded.swap(pad, *concatenated(padded, pad, number, zeros == "multiplied"))
    back = padded.recovered()
    assert back.architecture.shortcut_zeros == ("both" if zeros == "both sides" else "after")
    assert digest(back.weights) == digest(padded.model.weights)
    if zeros != "both sides":
        assert padded.difference() < 1e-5


@pytest.mark.parametrize(
    ("opset", "changes"),
    [
        (13, {"count_include_pad": 1}),
        (13, {"ceil_mode": 0}),
        (9, {"count_include_pad": 1}),
        (9, {"pads": [1, 1, 0, 0]}),
    ],
)
def test_a_pooling_in_a_shortcut_keeps_the_last_row_and_counts_no_padding(opset, changes, pooled):
    graph = pooled(opset)
    assert graph.recovered().architecture.shortcut_pool
    graph.set(graph.node("AveragePool"), **changes)
    with pytest.raises(ResNetsError, match="AveragePool with a 2x2 kernel, stride 2"):
        graph.recovered()


def test_pads_may_be_an_attribute(padded_by_attributes):
    assert padded_by_attributes.node("Pad").attribute
    assert padded_by_attributes.recovered().architecture.shortcut == "A"


def concat(graph, what):
    pad = graph.node("Pad")
    graph.swap(pad, helper.make_node("Concat", [pad.input[0], what], pad.output, axis=1))


def ones(graph):
    concat(graph, graph.constant("ones", np.ones((1, 4, 20, 28), np.float32)))


def doubled(graph):
    graph.put("Mul", [graph.node("Pad").input[0], graph.constant("two", np.float32(2))], ["twice"])
    concat(graph, "twice")


def filled(graph):
    graph.node("Pad").input.append(graph.constant("one", np.float32(1)))


ODD_SHORTCUTS = {
    "Concat of 'ones', which is not known to be zeros": ones,
    r"\(Mul\)": doubled,
    "with something else than zeros": filled,
    "Slice from 0 to 20 by 2 of axis 2": lambda g: sliced(g, [0, 0], end=20),
    "Slice from 0 to .* by 2 of axis 1": lambda g: sliced(g, [0, 0], (1, 2)),
    "Pad with something else than zeros": lambda g: g.set(g.node("Pad"), mode="reflect"),
    r"Pad with the pads \(0, 0, 1": lambda g: pads(g, [0, 0, 1, 0, 0, 4, 1, 0]),
    "Pad without pads": lambda g: pads(g, [0, 0, 4]),
    "Slice from 1 to": lambda g: sliced(g, [1, 0]),
    "Slice of every 131,072th row": lambda g: sliced(g, [0, 0], step=2**17),
    "Slice of rows or columns alone": lambda g: sliced(g, [0], [2]),
    "Concat of 2 values": lambda g: g.swap(
        g.node("Pad"), helper.make_node("Concat", [g.node("Pad").input[0]] * 2, g.node("Pad").output, axis=1)
    ),
}


def pads(graph, numbers):
    graph.node("Pad").input[1] = graph.constant("pads", np.array(numbers, np.int64))


def sliced(graph, starts, axes=(2, 3), step=2, end=2**31 - 1):
    pool = graph.node("AveragePool")
    rows = (starts, [end] * len(axes), axes, [step] * len(axes))
    names = [graph.constant(str(i), np.array(row, np.int64)) for i, row in enumerate(rows)]
    graph.swap(pool, helper.make_node("Slice", [pool.input[0], *names], pool.output))
    if len(axes) == 1:
        graph.put("Relu", pool.output, ["read twice"])
        graph.put("Sub", ["logits", "read twice"], ["end"])
        graph.proto.graph.output[0].name = "end"


@pytest.mark.parametrize("reason", ODD_SHORTCUTS)
def test_an_odd_shortcut_is_named(reason, padded):
    ODD_SHORTCUTS[reason](padded)
    with pytest.raises(ResNetsError, match=reason):
        padded.recovered()
