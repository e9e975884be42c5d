import random
import re
from contextlib import suppress

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from resnets.errors import ResNetsError
from resnets.weights.protobuf.outputs import answer, is_softmax
from resnets.weights.protobuf.rewrite import property
from resnets.weights.protobuf.scan import Outside, scan
from resnets.weights.protobuf.tensors import array
from resnets.weights.protobuf.wire import put


@pytest.fixture
def data(tiny_model) -> bytes:
    return bytes(tiny_model.read_bytes())


def external(name: str, location: str) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name=name, data_type=1, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    tensor.doc_string = "roomroom"
    return tensor


def hidden(data: bytes) -> bytes:
    """The same length, but both marks of external data stand under tags of 33 bits: ONNX Runtime drops the highest."""
    locations = re.findall(rb"\x62\x08roomroom\x6a(.\x0a\x08location\x12\x05w.bin)\x70\x01", data, re.DOTALL)
    assert locations
    for location in locations:
        long = b"\x62\x00" + b"\xea\x80\x80\x80\x10" + location + b"\xf0\x80\x80\x80\x10\x01"
        data = data.replace(b"\x62\x08roomroom\x6a" + location + b"\x70\x01", long)
    return data


def test_it_sees_what_onnx_sees(data):
    found, proto = scan(data, "tiny"), onnx.load_from_string(data)
    assert (found.ir_version, found.opset) == (proto.ir_version, proto.opset_import[0].version)
    assert found.metadata == {entry.key: entry.value for entry in proto.metadata_props}
    assert found.inputs == {"data": ("batch", 3, "height", "width")}
    assert found.outputs == {"logits": ("batch", 3)}
    assert found.nodes == len(proto.graph.node)
    assert found.values == {name: (n.op_type, tuple(n.input)) for n in proto.graph.node for name in n.output}
    assert (answer(found), is_softmax(found, "logits")) == ("logits", False)
    assert list(found.tensors) == [tensor.name for tensor in proto.graph.initializer]
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            np.testing.assert_array_equal(array(data, found.tensors[tensor.name]), numpy_helper.to_array(tensor))


def test_floats_stored_one_by_one_are_seen_too(data):
    proto = onnx.load_from_string(data)
    tensor = next(t for t in proto.graph.initializer if t.name == "fc.bias")
    tensor.CopyFrom(helper.make_tensor("fc.bias", 1, [3], [1.0, 2.0, 3.0]))
    again = proto.SerializeToString()
    assert array(again, scan(again, "x").tensors["fc.bias"]).tolist() == [1, 2, 3]


def test_every_truncation_is_noticed(data):
    for length in {*range(0, len(data), len(data) // 211), *range(40), *range(len(data) - 40, len(data))}:
        with pytest.raises(ResNetsError, match="truncated"):
            scan(data[:length], "tiny")


def test_damage_never_raises_anything_else(data):
    # The structure is in the first bytes and between the tensors; 800 files with a few bytes changed there.
    dice = random.Random(0)
    begin = scan(data, "tiny").graph[0]
    for _ in range(800):
        damaged = bytearray(data)
        for _ in range(dice.randint(1, 3)):
            damaged[dice.choice((dice.randrange(60), begin - 60 + dice.randrange(3000), dice.randrange(len(data))))] = (
                dice.randrange(256)
            )
        with suppress(ResNetsError):
            scan(bytes(damaged), "tiny")


def places() -> dict[str, onnx.ModelProto]:
    """A model for each place where a tensor can hide."""
    tensor = external("w", "w.bin")
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    inner = helper.make_graph([constant], "inner", [], [helper.make_tensor_value_info("c", 1, [2])])
    sparse = onnx.SparseTensorProto(values=tensor, dims=[4])
    function = helper.make_function("own", "F", [], ["c"], [constant], [helper.make_opsetid("", 13)])
    wrap = lambda nodes, **rest: helper.make_model(helper.make_graph(nodes, "g", [], [], **rest))  # noqa: E731
    found = {
        "initializer": wrap([], initializer=[tensor]),
        "constant": wrap([constant]),
        "branch": wrap([helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)]),
        "list of tensors": wrap([helper.make_node("X", [], ["y"], values=[tensor])]),
        "sparse": wrap([], sparse_initializer=[sparse]),
        "sparse constant": wrap([helper.make_node("Constant", [], ["c"], sparse_value=sparse)]),
        "function": helper.make_model(helper.make_graph([], "g", [], []), functions=[function]),
    }
    training = wrap([])
    training.training_info.add().initialization.CopyFrom(inner)
    return {**found, "training": training}


@pytest.mark.parametrize("place", places())
def test_external_data_is_found_wherever_it_hides(place):
    data = places()[place].SerializeToString()
    if place == "initializer":  # which alone may lie outside
        assert scan(data, "x").tensors["w"].outside == Outside("w.bin")
    else:
        with pytest.raises(ResNetsError, match=r"keeps \d of its tensors in other files"):
            scan(data, "x")
    with pytest.raises(ResNetsError, match="not the beginning of a field"):
        scan(hidden(data), "x")


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {"offset": "1"},
        {"location": "w", "offset": "-1"},
        {"location": "w", "offset": "1_0"},
        {"location": "w", "offsed": "1"},
    ]
    + [{"location": "w", "length": text} for text in ("", "8.0", "\u0668", "9" * 19)],
)
def test_external_data_that_says_no_place_is_refused(entries):
    tensor = external("w", "w.bin")
    del tensor.external_data[:]
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    model = helper.make_model(helper.make_graph([], "g", [], [], initializer=[tensor]))
    with pytest.raises(ResNetsError, match="other files"):
        scan(model.SerializeToString(), "x")


def test_two_locations_are_no_place():
    tensor = external("w", "w.bin")
    tensor.external_data.add(key="location", value="other.bin")
    model = helper.make_model(helper.make_graph([], "g", [], [], initializer=[tensor]))
    with pytest.raises(ResNetsError, match="other files"):
        scan(model.SerializeToString(), "x")


def test_numbers_that_stand_there_twice_are_refused():
    tensor = numpy_helper.from_array(np.ones(2, np.float32), "w")
    tensor.float_data.extend([2, 2])
    model = helper.make_model(helper.make_graph([], "g", [], [], initializer=[tensor]))
    with pytest.raises(ResNetsError, match="'w' has its numbers twice"):
        scan(model.SerializeToString(), "x")


def test_external_data_is_refused_by_either_of_its_two_marks():
    for clear in ("data_location", "external_data"):
        tensor = external("w", "../../etc/passwd")
        tensor.ClearField(clear)
        model = helper.make_model(helper.make_graph([], "g", [], [], initializer=[tensor]))
        with pytest.raises(ResNetsError, match="other files"):
            scan(model.SerializeToString(), "x")


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (put(7, b""), "it has two graphs"),
        (property("resnets.card", "{}"), "it has two properties"),
        (put(7, 3), "a number stands in place of a text"),
        (put(20, b"\x0a\x80" * 9), "claims"),
    ],
)
def test_what_protobuf_would_merge_in_silence_is_refused(data, tail, reason):
    with pytest.raises(ResNetsError, match=reason):
        scan(data + tail, "x")


@pytest.mark.parametrize(
    ("values", "dims", "reason"),
    [
        (put(9, b"1234"), put(1, 2**64 - 1) * 15, "'w' has 4 bytes for the shape"),
        (put(9, b"1234"), put(1, 1) * 100_000, "more than 16 dimensions"),
        (put(9, b"1234"), put(1, b"\1" * 100_000), "more than 16 dimensions"),
        (b"", put(1, 3), "'w' has 0 bytes for the shape"),
        (b"", put(1, 0) + put(1, 2**62), "'w' has 0 bytes for the shape"),
    ],
    ids=["huge", "many", "many in a row", "no bytes", "huge and empty"],
)
def test_absurd_shapes_cost_nothing(values, dims, reason):
    tensor = put(8, "w") + put(2, 1) + values + dims
    with pytest.raises(ResNetsError, match=reason):
        scan(put(1, 7) + put(8, put(2, 13)) + put(7, put(5, tensor)), "x")


def test_nesting_is_bounded():
    graph = b""
    for _ in range(50):
        graph = put(1, put(5, put(6, graph)))
    with pytest.raises(ResNetsError, match="nested"):
        scan(put(1, 7) + put(8, put(2, 13)) + put(7, graph), "x")
