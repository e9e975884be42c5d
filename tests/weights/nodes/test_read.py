import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from resnets.weights.nodes.read import Node, needed, nodes
from resnets.weights.protobuf.scan import Tensor, scan
from resnets.weights.protobuf.tensors import array
from resnets.weights.protobuf.wire import put
from resnets.weights.source import DamagedError


def read(*protos: onnx.NodeProto) -> list[Node]:
    graph = helper.make_graph(protos, "g", [], [])
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7).SerializeToString()
    return nodes(data, scan(data, "m"))


def test_attributes_of_every_kind():
    tensor = numpy_helper.from_array(np.arange(3, dtype=np.float32))
    values = {"f": 1e-5, "i": -3, "s": "naïve", "floats": [0.1, -2.0], "ints": [1, -1, 2**40], "strings": ["a", "b"]}
    (node,) = read(helper.make_node("Op", ["x", "", "y"], ["z"], "n", domain="dom", t=tensor, **values))
    assert (node.operator, node.name, node.reads, node.writes) == ("dom.Op", "n", ("x", "", "y"), ("z",))
    expected = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    assert {k: v for k, v in node.attributes.items() if k != "t"} == expected
    assert isinstance(node.attributes["t"], Tensor)


def test_what_no_network_needs_is_none():
    inner = helper.make_graph([], "inner", [], [])
    (node,) = read(helper.make_node("If", ["x"], ["y"], then_branch=inner))
    assert node.attributes == {"then_branch": None}


def test_empty_lists_and_defaults():
    empty = onnx.AttributeProto(name="ints", type=onnx.AttributeProto.INTS)
    zero = onnx.AttributeProto(name="i", type=onnx.AttributeProto.INT)
    proto = helper.make_node("Op", [], ["y"])
    proto.attribute.extend([empty, zero])
    assert read(proto)[0].attributes == {"ints": (), "i": 0}


@pytest.mark.parametrize(
    "attribute",
    [
        onnx.AttributeProto(name="a", type=onnx.AttributeProto.INT, f=1.0),
        onnx.AttributeProto(name="a", type=onnx.AttributeProto.INT, i=1, ints=[2]),
        onnx.AttributeProto(name="a", i=1, f=1.0),
    ],
)
def test_a_value_of_another_type_is_damage(attribute):
    proto = helper.make_node("Op", [], ["y"])
    proto.attribute.append(attribute)
    with pytest.raises(DamagedError, match="not of its type"):
        read(proto)


def test_what_stands_twice_is_damage():
    proto = helper.make_node("Op", [], ["y"], a=1)
    proto.attribute.append(proto.attribute[0])
    with pytest.raises(DamagedError, match="two attributes 'a'"):
        read(proto)
    with pytest.raises(DamagedError, match="two of its nodes write one value"):
        read(helper.make_node("A", [], ["y"]), helper.make_node("B", [], ["y"]))


def chain(*pairs: tuple[str, str]) -> list[Node]:
    return [Node("Op", "", tuple(reads.split()), (writes,)) for reads, writes in pairs]


def test_nodes_are_sorted_and_those_that_nobody_needs_are_left_out():
    read = chain(("b", "c"), ("x", "a"), ("a x", "b"), ("a", "unused"))
    assert [node.writes[0] for node in needed(read, "c")] == ["a", "b", "c"]
    in_order = chain(("x", "b"), ("x", "a"), ("a b", "c"))
    assert [node.writes[0] for node in needed(in_order, "c")] == ["b", "a", "c"]
    assert needed(read, "nowhere") == []


def test_a_circle_is_damage():
    with pytest.raises(DamagedError, match="in a circle"):
        needed(chain(("c x", "a"), ("a", "b"), ("b", "c")), "c")


def test_depth_costs_no_stack():
    read = chain(*((f"v{i}", f"v{i + 1}") for i in range(50_000)))
    assert len(needed(read[::-1], "v50000")) == 50_000


def test_tensors_of_every_kind():
    for kind in (np.float32, np.float64, np.float16, np.int32, np.int64, np.bool_):
        values = np.array([[1, 0, 3]]).astype(kind)
        for tensor in (
            numpy_helper.from_array(values, "w"),
            helper.make_tensor("w", helper.np_dtype_to_tensor_dtype(values.dtype), (1, 3), values),
        ):
            data = put(1, 7) + put(8, put(2, 13)) + put(7, put(5, tensor.SerializeToString()))
            found = array(data, scan(data, "m").tensors["w"])
            if kind is np.float16 and not tensor.raw_data:
                assert found is None  # bits in 32-bit numbers: no exporter writes them so
            else:
                assert found is not None
                assert found.dtype == kind
                np.testing.assert_array_equal(found, values)


def test_negative_numbers_one_by_one():
    tensor = helper.make_tensor("w", onnx.TensorProto.INT64, (3,), [-1, 2**62, -(2**63)])
    data = put(1, 7) + put(8, put(2, 13)) + put(7, put(5, tensor.SerializeToString()))
    assert array(data, scan(data, "m").tensors["w"]).tolist() == [-1, 2**62, -(2**63)]


def test_fewer_numbers_than_the_shape_says_are_damage():
    for values in (b"\1\2", b"\1\2\3\4"):
        tensor = put(8, "w") + put(2, 7) + put(1, 3) + put(7, values)
        data = put(1, 7) + put(8, put(2, 13)) + put(7, put(5, tensor))
        with pytest.raises(DamagedError, match=r"for the shape \(3,\)"):
            array(data, scan(data, "m").tensors["w"])
