"""The pickle inside a file of torch.save goes in; its plain values, with tensors as places in storages, come out.

What such a pickle may speak of is a list of names, after the one of torch's own `weights_only` unpickler
(torch/_weights_only_unpickler.py) and what training scripts keep beside their weights. None is imported or called.
"""

import re
from dataclasses import dataclass
from math import prod
from typing import Any

from resnets.errors import ResNetsError, plain
from resnets.weights.model import MAX_NAME, MAX_RANK, absurd
from resnets.weights.pytorch.unpickle import Charge, Global, Record, paired, unpickle
from resnets.weights.source import DamagedError, Source

# torch's name of an element type: (its class of storage, bytes, NumPy's name where it is a floating-point number)
ELEMENTS = {
    "float32": ("Float", 4, "f4"), "float64": ("Double", 8, "f8"), "float16": ("Half", 2, "f2"),
    "bfloat16": ("BFloat16", 2, "bf16"), "int64": ("Long", 8, ""), "int32": ("Int", 4, ""), "int16": ("Short", 2, ""),
    "int8": ("Char", 1, ""), "uint8": ("Byte", 1, ""), "bool": ("Bool", 1, ""), "uint16": ("", 2, ""),
    "uint32": ("", 4, ""), "uint64": ("", 8, ""), "complex32": ("ComplexHalf", 4, ""),
    "complex64": ("ComplexFloat", 8, ""), "complex128": ("ComplexDouble", 16, ""), "quint8": ("QUInt8", 1, ""),
    "qint8": ("QInt8", 1, ""), "qint32": ("QInt32", 4, ""), "float8_e4m3fn": ("", 1, ""), "float8_e5m2": ("", 1, ""),
    "float8_e4m3fnuz": ("", 1, ""), "float8_e5m2fnuz": ("", 1, ""), "float8_e8m0fnu": ("", 1, ""),
}  # fmt: skip
_STORAGES = {
    f"{prefix}.{kind}Storage": name
    for name, (kind, _, _) in ELEMENTS.items()
    for prefix in ("torch", "torch.cuda")
    if kind
}
_UNTYPED = ("torch.storage.UntypedStorage", "torch.UntypedStorage")
_DTYPES = {f"torch.{name}": name for name in ELEMENTS}
_TENSORS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3")
_DICTIONARIES = ("collections.OrderedDict", "collections.defaultdict", "builtins.dict", "__builtin__.dict")
_BUILTINS = "bool bytearray bytes complex dict float frozenset int list long object range set slice str tuple unicode"
# What may be spoken of and stays a record: settings, counters, optimisers' and schedules' notes.
_INERT = {
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _BUILTINS.split()),
    *_DICTIONARIES, *_STORAGES, *_UNTYPED, *_DTYPES, "torch.storage.TypedStorage", "torch.Size", "collections.Counter",
    *(f"torch._utils.{name}" for name in (*_TENSORS, "_rebuild_parameter", "_rebuild_parameter_with_state")),
    "torch._tensor._rebuild_from_type_v2", "torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer",
    "torch.device", "torch.torch_version.TorchVersion", "torch.serialization._get_layout", "torch.memory_format",
    "torch.per_tensor_affine", "torch.per_channel_affine", "torch.per_tensor_symmetric",
    "torch.per_channel_symmetric", "torch.per_channel_affine_float_qparams", "torch.Generator", "torch.strided",
    *(f"torch.jit._pickle.build_{kind}list" for kind in ("int", "double", "bool", "tensor")),
    *(f"{numpy}.multiarray.{name}" for numpy in ("numpy.core", "numpy._core") for name in ("scalar", "_reconstruct")),
    *(f"{numpy}.numeric._frombuffer" for numpy in ("numpy.core", "numpy._core")),
    "numpy.dtype", "numpy.ndarray", "numpy.random._pickle.__randomstate_ctor", "numpy.random._pickle.__generator_ctor",
    "numpy.random._pickle.__bit_generator_ctor", "numpy.random._mt19937.MT19937", "numpy.random._pcg64.PCG64",
    "_codecs.encode", "copyreg._reconstructor", "copy_reg._reconstructor", "argparse.Namespace",
    "types.SimpleNamespace",
    "collections.deque", "datetime.datetime", "datetime.date", "datetime.timedelta", "decimal.Decimal", "uuid.UUID",
    "fractions.Fraction", "pathlib._local.PosixPath", "pathlib._local.WindowsPath",
    *(f"pathlib.{kind}" for kind in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    "pytorch_lightning.utilities.parsing.AttributeDict", "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict", "lightning.fabric.utilities.data.AttributeDict",
    "mmengine.logging.history_buffer.HistoryBuffer", "easydict.EasyDict", "yacs.config.CfgNode",
    "omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata", "omegaconf.base.Metadata", "omegaconf.nodes.AnyNode", "typing.Any",
}  # fmt: skip
_NUMPY_NUMBER = re.compile(r"numpy\.dtypes\.\w+DType|numpy\.(bool|u?int|float|complex)\d*_?")


@dataclass(eq=False, frozen=True)
class Storage:
    """A run of elements: `key` names it in the file, `kind` is torch's name of its element type (`uint8` where it has
    none), `first` and `count` are in elements.
    """

    key: str
    kind: str
    count: int
    first: int = 0


@dataclass(eq=False, frozen=True)
class Tensor:
    """A view of a storage: `stride` and `offset` in elements of its own `kind`."""

    storage: Storage
    kind: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def contiguous(self) -> bool:
        step = 1
        for n, stride in zip(reversed(self.shape), reversed(self.stride), strict=True):
            if n != 1 and stride != step:
                return not self.elements
            step *= n
        return True

    @property
    def span(self) -> int:
        """Elements from its first one to its last one in the storage, both counted."""
        if not self.elements:
            return 0
        return sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True)) + 1


class _Torch:
    """What a pickle of torch speaks of."""

    def __init__(self, name: str, scripted: bool) -> None:
        self.name, self.scripted = name, scripted
        self.globals: dict[str, Global] = {}
        self.storages: dict[str, tuple[str, int]] = {}  # key: element type and number of elements

    def named(self, name: str) -> Global:
        """A name on the list, or of TorchScript's own classes. Raises ResNetsError with any other."""
        if name not in self.globals:
            known = name in _INERT or _NUMPY_NUMBER.fullmatch(name) or (self.scripted and name.startswith("__torch__."))
            if not known:
                raise refused(self.name, name)
            self.globals[name] = Global(name)
        return self.globals[name]

    def made(self, callee: Global, arguments: tuple[Any, ...], charge: Charge) -> Any:
        """A tensor, or a dictionary, or for all else a record of the call."""
        name = callee.name
        if name == "torch._tensor._rebuild_from_type_v2" and len(arguments) == 4:
            inner, _, arguments, _ = arguments  # a tensor with attributes
            if isinstance(inner, Global) and inner.name != name and type(arguments) is tuple:
                return self.made(inner, arguments, charge)
            raise DamagedError("a tensor of its pickle is made of another one's maker")
        last = name.removeprefix("torch._utils.")
        if last in _TENSORS:
            return _tensor(last, arguments)
        if last in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
            return _first(arguments, Tensor)
        if name in _DICTIONARIES:
            return _dictionary(arguments, charge)
        return _first(arguments, tuple) if name == "torch.Size" else Record(callee, arguments)

    def outside(self, key: Any) -> Any:
        """The storage of a persistent id: torch/serialization.py, `persistent_id` in `_legacy_save` and `_save`."""
        if type(key) is tuple and key[:1] == ("module",):
            raise refused(self.name, key[1].name if len(key) > 1 and isinstance(key[1], Global) else "a module")
        if type(key) is not tuple or len(key) not in (5, 6) or key[0] != "storage":
            raise DamagedError("its pickle refers to something that is no storage")
        _, kind, name, _, count, *view = key
        if not isinstance(kind, Global) or type(name) is not str or len(name) > MAX_NAME or not _natural(count):
            raise DamagedError("its pickle describes a storage that none can be")
        element = "uint8" if kind.name in _UNTYPED else _STORAGES.get(kind.name)
        if element is None:
            raise DamagedError(f"its pickle has a storage of the class {plain(kind.name)}")
        if self.storages.setdefault(name, (element, count)) != (element, count):
            raise DamagedError("its pickle describes one storage in two ways")
        if view and view[0] is not None:  # (key, first element, elements): a part of that storage, before torch 0.4
            if type(view[0]) is not tuple or len(view[0]) != 3 or not all(map(_natural, view[0][1:])):
                raise DamagedError("its pickle describes a part of a storage that none can be")
            _, first, part = view[0]
            if first + part > count:
                raise DamagedError("a part of a storage reaches beyond it")
            return Storage(name, element, part, first)
        return Storage(name, element, count)


def load(source: Source, at: int, name: str, *, scripted: bool = False) -> tuple[Any, int, dict[str, tuple[str, int]]]:
    """The value of the pickle that begins at a byte, its tensors as `Tensor`; the byte behind it; and of each storage
    that it speaks of, by its key, the element type and the number of elements.

    `name` is what errors call the file; `scripted`: it is TorchScript's, which has classes of its own. Raises
    ResNetsError for whatever the pickle wants called that no checkpoint of arrays needs.
    """
    meaning = _Torch(name, scripted)
    value, end = unpickle(source, at, meaning)
    return value, end, meaning.storages


def refused(source: str, name: str) -> ResNetsError:
    """The error for a pickle that speaks of that name."""
    if name.startswith("torch._utils._rebuild_"):
        kind = name.removeprefix("torch._utils._rebuild_").replace("qtensor", "quantised tensor").replace("_", " ")
        return ResNetsError(
            f"{source} holds tensors that are no plain arrays ({kind}): its pickle calls {plain(name)}.",
            "Give a file of float tensors.",
        )
    if name.startswith(("torch.nn.", "torchvision.models.", "timm.models.")):
        what = f"{source} is a whole pickled module, not its arrays: its pickle calls {plain(name)}."
    else:
        what = f"{source} is not read, because its pickle calls {plain(name)}."
    return ResNetsError(
        what,
        "Nothing of it was run. If you trust it, open it where its code is, and save `model.state_dict()` alone with"
        " torch.save.",
    )


def _tensor(maker: str, arguments: tuple[Any, ...]) -> Tensor:
    if len(arguments) < (7 if maker.endswith("_v3") else 4):
        raise DamagedError("its pickle makes a tensor of too little")
    storage, offset, shape, stride = arguments[:4]
    if not isinstance(storage, Storage) or type(shape) is not tuple or type(stride) is not tuple:
        raise DamagedError("its pickle makes a tensor of what is no storage")
    odd = len(shape) != len(stride) or len(shape) > MAX_RANK
    if odd or not all(map(_natural, (offset, *shape, *stride))) or absurd(shape):
        raise DamagedError("its pickle gives a tensor a shape or a place that none can have")
    kind = storage.kind
    if maker.endswith("_v3"):
        kind = _DTYPES.get(arguments[6].name, "") if isinstance(arguments[6], Global) else ""
    if not kind:
        raise DamagedError("its pickle makes a tensor of an unknown element type")
    tensor = Tensor(storage, kind, shape, stride, offset)
    here, there = (ELEMENTS[one][1] for one in (kind, storage.kind))
    if (offset + tensor.span) * here > storage.count * there:
        raise DamagedError("a tensor reaches beyond its storage")
    return tensor


def _dictionary(arguments: tuple[Any, ...], charge: Charge) -> dict[Any, Any]:
    """Python 3 puts the items in afterwards; Python 2 gave an OrderedDict a list of them."""
    pairs = arguments[0] if arguments and type(arguments[0]) is list else []
    charge(len(pairs))
    if any(type(pair) not in (list, tuple) or len(pair) != 2 for pair in pairs):
        raise DamagedError("its pickle makes a dictionary of what are no pairs")
    return paired([value for pair in pairs for value in pair], charge)


def _first(arguments: tuple[Any, ...], kind: type) -> Any:
    if not arguments or not isinstance(arguments[0], kind):
        raise DamagedError(f"its pickle makes something of what is no {kind.__name__.lower()}")
    return arguments[0]


def _natural(number: Any) -> bool:
    return type(number) is int and 0 <= number < 1 << 48
