import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from resnets.errors import ResNetsError
from resnets.weights import files
from resnets.weights.protobuf import rewrite
from resnets.weights.protobuf.external import placed
from resnets.weights.protobuf.rewrite import identity, output, ready, without_property
from resnets.weights.protobuf.scan import is_ready, scan
from resnets.weights.source import Source


@pytest.fixture
def data(tiny_model) -> bytes:
    return bytes(tiny_model.read_bytes())


def rewritten(data: bytes) -> onnx.ModelProto:
    found = scan(data, "m")
    assert not is_ready(found)
    return onnx.load_from_string(ready(data, found, placed(found, data, Source.of(data, "m")), "m"))


def test_an_output_is_added_by_appending(data):
    more = data + output("features", ("batch", 64)) + identity("features", "again") + output("again", None)
    onnx.checker.check_model(onnx.load_from_string(data + output("features", ("batch", 64))))
    session = onnxruntime.InferenceSession(more, providers=["CPUExecutionProvider"])
    assert [(o.name, o.shape) for o in session.get_outputs()] == [
        ("logits", ["batch", 3]),
        ("features", ["batch", 64]),
        ("again", ["batch", 64]),
    ]


def test_a_property_is_taken_out_and_nothing_else(data):
    proto = onnx.load_from_string(data)
    del proto.metadata_props[0]
    assert onnx.load_from_string(without_property(data, "resnets.card")) == proto
    assert without_property(data, "no such key") == data


def test_a_file_of_ours_is_ready(data):
    assert is_ready(scan(data, "m"))


def listed(data: bytes) -> onnx.ModelProto:
    proto = onnx.load_from_string(data)
    proto.graph.input.extend(
        helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in proto.graph.initializer
    )
    return proto


def test_initializers_are_taken_off_the_inputs_and_nothing_else(data):
    proto = listed(data)
    assert rewritten(proto.SerializeToString()) == onnx.load_from_string(data)
    proto.ir_version = 3  # whose initializers are always inputs, and constants to ONNX Runtime
    assert is_ready(scan(proto.SerializeToString(), "m"))


def test_batch_norms_are_fused_afterwards(data, tmp_path):
    counts = []
    for model in (
        data,
        listed(data).SerializeToString(),
        rewritten(listed(data).SerializeToString()).SerializeToString(),
    ):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "fused.onnx")
        options.log_severity_level = 3
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        counts.append(sum(n.op_type == "BatchNormalization" for n in onnx.load(tmp_path / "fused.onnx").graph.node))
    assert counts[0] == counts[2] == 0 < counts[1]


def test_spatial_is_taken_from_batch_norms_alone(data):
    proto = onnx.load_from_string(data)
    for node in proto.graph.node:
        if node.op_type in ("BatchNormalization", "Relu"):
            node.attribute.append(helper.make_attribute("spatial", 0))
    expected = onnx.load_from_string(data)
    for node in expected.graph.node:
        if node.op_type == "Relu":
            node.attribute.append(helper.make_attribute("spatial", 0))
    assert rewritten(proto.SerializeToString()) == expected


def test_arrays_in_another_file_are_put_in(data, tmp_path):
    proto = onnx.load_from_string(data)
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    with files.opened(tmp_path / "m.onnx") as source:
        buffer = source.whole()
        found = scan(buffer, "m")
        whole = onnx.load_from_string(ready(buffer, found, placed(found, buffer, source), "m"))
    assert whole == onnx.load_from_string(data)


def test_what_one_message_cannot_hold_is_refused(data, monkeypatch):
    monkeypatch.setattr(rewrite, "MAX_BYTES", 1000)
    with pytest.raises(ResNetsError, match="ONNX Runtime takes 1,000 from memory"):
        rewritten(listed(data).SerializeToString())


def test_unknown_fields_of_every_kind_are_kept(data):
    fields = bytes([99 << 3 & 0x7F | 0x80 | 1, 99 >> 4, *range(8)]) + bytes(
        [99 << 3 & 0x7F | 0x80 | 5, 99 >> 4, *range(4)]
    )
    more = listed(data).SerializeToString() + fields
    found = scan(more, "m")
    assert ready(more, found, placed(found, more, Source.of(more, "m")), "m").endswith(fields)


def test_equal_logits(data):
    x = np.zeros((1, 3, 32, 32), np.float32)
    answers = [
        onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(["logits"], {"data": x})[0]
        for model in (data, rewritten(listed(data).SerializeToString()).SerializeToString())
    ]
    np.testing.assert_array_equal(*answers)
