"""The graph of an ONNX file goes in, the steps of a network come out, whatever its nodes and arrays are called.

What no step says stays as one whose `op` tells what stands there, so that all of it is named at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from resnets.errors import ResNetsError, some
from resnets.network import INPUT, Step
from resnets.weights.nodes import ending, operators, shortcuts
from resnets.weights.nodes.constants import Folder
from resnets.weights.nodes.read import Node, needed, nodes
from resnets.weights.nodes.walk import LOGITS, PROBABILITIES, OddNodeError, Value, Walk
from resnets.weights.protobuf import tensors
from resnets.weights.protobuf.outputs import answer
from resnets.weights.protobuf.scan import Scan
from resnets.weights.protobuf.wire import Buffer
from resnets.weights.recognise import OPERATIONS

OPERATORS: dict[str, Callable[[Walk, Node], None]] = {
    "Conv": operators.conv,
    "BatchNormalization": operators.batch_norm,
    "Relu": operators.relu,
    "Add": operators.add,
    "Sum": operators.add,
    "MaxPool": operators.max_pool,
    "AveragePool": operators.average_pool,
    "Slice": shortcuts.slice,
    "Pad": shortcuts.pad,
    "Concat": shortcuts.concat,
    "Mul": shortcuts.multiply,
    "Identity": operators.pass_on,
    "Dropout": operators.pass_on,
    "Cast": operators.pass_on,
    "GlobalAveragePool": ending.global_pool,
    "ReduceMean": ending.reduce_mean,
    "Flatten": ending.flatten,
    "Reshape": ending.flatten,
    "Squeeze": ending.flatten,
    "Gemm": ending.gemm,
    "MatMul": ending.matmul,
    "Softmax": ending.softmax,
}


@dataclass(frozen=True)
class Topology:
    """`arrays` are float32, by the keys that the steps have for them. `notes`: what was left out.

    `side`: height and width of the one image that the pooling at the end fits, where the graph itself fixes no size.
    """

    steps: tuple[Step, ...]
    arrays: dict[str, NDArray[np.float32]]
    notes: tuple[str, ...]
    side: tuple[int, int] | None = None

    def with_zero_biases(self) -> "Topology | None":
        """The same with a bias of zeros for each convolution that has none; None where all have one."""
        steps, arrays = [], dict(self.arrays)
        for step in self.steps:
            if step.op == "conv" and len(step.arrays) == 1:
                key = f"{step.name}: zeros"
                arrays[key] = np.zeros(step.channels, np.float32)
                step = replace(step, arrays=(*step.arrays, (key, (step.channels,))))
            steps.append(step)
        return replace(self, steps=tuple(steps), arrays=arrays) if tuple(steps) != self.steps else None


def topology(buffer: Buffer, found: Scan, placed: dict[str, tensors.Placed], source: str) -> Topology:
    """The steps that lead from the image to the answer, in the order in which they are computed.

    A batch or an image size that the graph fixes is left out, and so is a softmax at the end. Raises DamagedError for
    a graph that contradicts itself, ResNetsError for one with several images or answers.
    """
    name = answer(found)
    if name is None:
        raise ResNetsError(
            f"None of the outputs of {source} ({some([*found.outputs])}) is called logits, and nothing says which one"
            " holds the scores of the classes.",
            "Call that one logits, or keep it alone.",
        )
    every = nodes(buffer, found)
    order = needed(every, name)
    image = _image(found, order, source)
    walk = Walk(order)
    walk.values[image] = _entrance(found, image)
    for key in {name for node in order for name in node.reads} & placed.keys():
        array = tensors.array(*placed[key])
        if array is not None:
            walk.constants[key] = array
    folder = Folder(buffer)
    for node in order:
        _take(walk, folder, node)
    ending.without_bias(walk)
    _check_answer(walk, name)
    return Topology(tuple(walk.steps), walk.arrays, (*walk.notes, *_left_out(every, order, found)), walk.side)


def _image(found: Scan, order: list[Node], source: str) -> str:
    """The one input of the graph that the answer depends on and that is no initializer."""
    read = {name for node in order for name in node.reads}
    images = [name for name in found.inputs if name in read and name not in found.tensors]
    if len(images) != 1:
        raise ResNetsError(
            f"The answer of {source} depends on {len(images)} inputs ({some(images) or 'none'}), and a network for"
            " images has one.",
            "Give a model that classifies images.",
        )
    return images[0]


def _entrance(found: Scan, image: str) -> Value:
    shape = found.inputs[image]
    channels, height, width = (n if isinstance(n, int) else None for n in (*shape, "", "", "", "")[1:4])
    size = (height, width) if height and width else None
    return Value(INPUT, channels or None, size)


def _take(walk: Walk, folder: Folder, node: Node) -> None:
    """One node: a constant, a number taken from a shape, a step, or what no step says."""
    reads = [name for name in node.reads if name]
    constant = [walk.constants[name] for name in reads if name in walk.constants]
    if len(constant) == len(reads):
        array = folder.fold(node, constant)
        if array is not None:
            walk.constants[node.writes[0]] = array
            return
    elif node.operator == "Shape" or all(name in walk.numbers or name in walk.constants for name in reads):
        walk.numbers.update(node.writes)
        return
    try:
        if node.operator not in OPERATORS or not node.writes[0]:
            raise OddNodeError(node.operator if node.operator not in OPERATIONS else f"operator {node.operator}")
        OPERATORS[node.operator](walk, node)
    except OddNodeError as odd:
        walk.odd(node, str(odd))


def _check_answer(walk: Walk, name: str) -> None:
    """One more odd step where the answer is nothing that the last step gives, but what was made of it."""
    if any(step.op not in OPERATIONS for step in walk.steps):
        return
    value = walk.values.get(name)
    last = walk.steps[-1].name if walk.steps else INPUT
    if value is None or value.step != last or (value.kind, value.rank) not in ((LOGITS, 2), (PROBABILITIES, 2)):
        node = next((node for node in walk.order if name in node.writes), Node("nothing", "", (), (name,)))
        what = value.kind if value else "something else than the logits"
        walk.odd(node, f"{node.operator} as the answer, which is {what}")


def _left_out(every: list[Node], order: list[Node], found: Scan) -> list[str]:
    read = {name for node in every for name in node.reads}
    counts = (len(every) - len(order), "nodes"), (sum(name not in read for name in found.tensors), "initializers")
    return [f"{count} {what} are left out that the answer does not depend on." for count, what in counts if count]
