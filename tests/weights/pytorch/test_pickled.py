import pytest

from resnets.errors import ResNetsError
from resnets.weights.pytorch import pickled
from resnets.weights.pytorch.pickled import Storage, Tensor
from resnets.weights.source import DamagedError, Source

# On torch's own list, and no plain array: refused by name.
NO_ARRAYS = ("_qtensor", "_sparse_tensor", "_meta_tensor", "_nested", "_device_tensor", "_wrapper_subclass")
RARE = ("torch.Q", "torch.q", "torch.bits", "torch.int", "torch.uint", "torch.float", "torch.cuda.", "torch.sparse.")


def named(name):
    module, _, last = name.rpartition(".")
    return pickled.load(Source.of(f"c{module}\n{last}\n.".encode(), "m.pth"), 0, "m.pth")[0]


def test_what_torch_itself_allows_is_read_or_refused_by_name():
    unpickler = pytest.importorskip("torch._weights_only_unpickler")
    for name in unpickler._get_allowed_globals():
        if any(part in name for part in NO_ARRAYS):
            with pytest.raises(ResNetsError, match=f"no plain arrays .*calls {name}"):
                named(name)
        elif not name.startswith(RARE) and not name.endswith("Tensor"):
            assert named(name).name == name


def test_a_module_is_told_from_a_call():
    with pytest.raises(ResNetsError, match=r"whole pickled module.*save `model.state_dict\(\)` alone"):
        named("torchvision.models.resnet.ResNet")
    with pytest.raises(ResNetsError, match=r"m\.pth is not read, because its pickle calls os\.system"):
        named("os.system")
    with pytest.raises(ResNetsError, match=r"calls a\\x1b\[2J\.b"):
        named("a\x1b[2J.b")


STORAGE = b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX%sX\x03\x00\x00\x00cpuK\x01tQ"
CALLS = {  # each repeats one call that looks through what was kept
    "a dictionary of pairs": b"](" + b"K\x01K\x01\x86" * 9000 + b"eq\x000ccollections\nOrderedDict\nq\x010"
    + b"h\x01h\x00\x85R0" * 300 + b"N.",
    "the same behind another maker": b"](" + b"K\x01K\x01\x86" * 9000 + b"e\x85q\x000ccollections\nOrderedDict\nq\x010"
    b"ctorch._tensor\n_rebuild_from_type_v2\nq\x020" + b"h\x02(h\x01Nh\x00NtR0" * 300 + b"N.",
    "a shape": b"(" + b"K\x01" * 9000 + b"tq\x00" + b"0ctorch._utils\n_rebuild_tensor_v2\n"
    + STORAGE % b"\x01\x00\x00\x000" + b"K\x00h\x00h\x00\x89}tR.",
    "a storage's key": STORAGE % (b"\x88\x13\x00\x00" + b"0" * 5000) + b".",
}  # fmt: skip


@pytest.mark.parametrize("kind", CALLS)
def test_a_call_looks_through_no_more_than_the_bytes_before_it(kind):
    with pytest.raises(DamagedError, match=r"copies far more|none can"):
        pickled.load(Source.of(b"\x80\x02" + CALLS[kind], "m"), 0, "m")


@pytest.mark.parametrize(
    ("shape", "stride", "span", "contiguous"),
    [
        ((), (), 1, True),
        ((0,), (1,), 0, True),
        ((3, 0), (5, 7), 0, True),
        ((2, 3), (3, 1), 6, True),
        ((1, 3), (99, 1), 101, True),
        ((2, 3), (1, 2), 6, False),
        ((2, 3), (4, 1), 7, False),
        ((4,), (0,), 1, False),
    ],
)
def test_what_a_tensor_spans(shape, stride, span, contiguous):
    tensor = Tensor(Storage("0", "float32", 200), "float32", shape, stride, 0)
    assert tensor.contiguous == contiguous
    if shape != (1, 3):
        assert tensor.span == span


def test_a_dictionary_of_python_2_is_one():
    data = b"\x80\x02ccollections\nOrderedDict\n](](Va\nK\x01e](Vb\nK\x02ee\x85R."
    assert pickled.load(Source.of(data, "m"), 0, "m")[0] == {"a": 1, "b": 2}
    with pytest.raises(DamagedError, match="no pairs"):
        pickled.load(Source.of(data.replace(b"K\x02e", b"e"), "m"), 0, "m")
