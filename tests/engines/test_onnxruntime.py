import numpy as np
import pytest

from resnets.engines.onnxruntime import open_session
from resnets.errors import ResNetsError


def fixed_batch(batch):
    """A graph that only takes batches of one size: y = sum of x over channels."""
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("GlobalAveragePool", ["x"], ["y"])],
        "g",
        [value("x", 1, [batch, 3, 4, 4])],
        [value("y", 1, [batch, 3, 1, 1])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=7)
    return model.SerializeToString()


def test_what_is_no_model_is_refused(capfd):
    with pytest.raises(ResNetsError, match="cannot open the model"):
        open_session(b"no model at all", 1)
    assert capfd.readouterr().err == ""


def test_an_input_that_the_graph_refuses(tiny_model, capfd):
    session = open_session(tiny_model.read_bytes(), 1)
    assert session.run(np.zeros((2, 3, 32, 32), np.float32), ("logits",))["logits"].shape == (2, 3)
    with pytest.raises(ResNetsError, match="cannot take an input of 2 x 4 x 32 x 32"):
        session.run(np.zeros((2, 4, 32, 32), np.float32), ("logits",))


@pytest.mark.parametrize("batch", [1, 4])
def test_a_graph_of_one_batch_size_takes_any(batch):
    session = open_session(fixed_batch(batch), 1)
    x = np.random.default_rng(0).standard_normal((6, 3, 4, 4)).astype(np.float32)
    found = session.run(x, ("y",))["y"]
    assert np.allclose(found[..., 0, 0], x.mean((2, 3)), atol=1e-6)


def test_a_graph_with_one_answer_is_given_one_image_at_a_time():
    """As Caffe2's exports are: the input takes any number of images, and a Reshape those of one."""
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info
    nodes = [onnx.helper.make_node("GlobalAveragePool", ["x"], ["p"]), onnx.helper.make_node("Reshape", "ps", "y")]
    shape = onnx.numpy_helper.from_array(np.array([1, 3]), "s")
    graph = onnx.helper.make_graph(nodes, "g", [value("x", 1, ["N", 3, 4, 4])], [value("y", 1, [1, 3])], [shape])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=7)
    x = np.random.default_rng(0).standard_normal((5, 3, 4, 4)).astype(np.float32)
    found = open_session(model.SerializeToString(), 1).run(x, ("y",))["y"]
    assert np.allclose(found, x.mean((2, 3)), atol=1e-6)
