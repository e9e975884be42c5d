"""A stored Torch7 module goes in; what one of its fields makes of it, other than its class says, comes out as a phrase.

`tree` refuses a module with such a field, and `run` does not run it. The fields are those that nn's and cudnn's own
`updateOutput` reads (nn/*.lua, cudnn.torch/*.lua), beside those whose meaning `layers` and `forward` know; and a pair
of fields that contradict each other, of which different versions of these libraries read one or the other.
"""

from collections.abc import Callable
from math import prod

from resnets.weights.torch7 import modules
from resnets.weights.torch7.modules import OddModuleError
from resnets.weights.torch7.objects import Function, Object, Table, Tensor

MAX_FIELDS = 200  # of one module; cudnn's convolutions have thirty
METHODS = ("forward", "updateOutput")
RELU = (None, "CUDNN_ACTIVATION_RELU")
MAXIMUM = (None, "CUDNN_POOLING_MAX", "CUDNN_POOLING_MAX_DETERMINISTIC")
COUNTING, NOT_COUNTING = "CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING", "CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING"
AVERAGE = (None, COUNTING, NOT_COUNTING, "CUDNN_POOLING_AVERAGE")
SPATIAL = (None, "CUDNN_BATCHNORM_SPATIAL", "CUDNN_BATCHNORM_SPATIAL_PERSISTENT")


def odd(module: Object) -> str | None:
    """`with mode 'CUDNN_POOLING_MAX'`, to follow the module's class; None where nothing is odd.

    Raises OddModuleError for more fields than may be looked at.
    """
    if isinstance(module.value, Table) and len(module.value.pairs) > MAX_FIELDS:
        raise OddModuleError(f"it has {len(module.value.pairs):,} fields")
    name = modules.kind(module)
    for method in METHODS:
        # nn.Copy gets a function that returns its input where both types are the same (nn/Copy.lua).
        if module[method] is not None and not (name == "Copy" and isinstance(module[method], Function)):
            return f"with a function of its own in place of {method}"
    return CHECKS[name](module) if name in CHECKS else None


def _mode(module: Object, known: tuple[str | None, ...]) -> str | None:
    mode = module["mode"]
    return None if mode is None or mode in known else f"with mode {modules.shown(mode)}"


def _conv(module: Object) -> str | None:
    cudnn = modules.library(module) == "cudnn"
    if not cudnn and module["groups"] not in (None, 1.0):
        return f"with groups {modules.shown(module['groups'])}, which only cudnn has"
    return "with a field padding, which cudnn does not read" if cudnn and module["padding"] is not None else None


def _batch_norm(module: Object) -> str | None:
    affine, weight = module["affine"], modules.tensor(module, "weight")
    if affine is not None and affine is not (weight is not None):
        return f"whose field affine is {modules.shown(affine)}, {'with' if weight else 'without'} a weight"
    if modules.tensor(module, "running_std") is not None:
        if modules.tensor(module, "running_var") is not None:
            return "with both running_var and running_std"
        if module.version >= 2:
            return f"with running_std in class version {module.version}, which does not read it"
    return _mode(module, SPATIAL)


def _relu(module: Object) -> str | None:
    return _mode(module, RELU)


def _threshold(module: Object) -> str | None:
    missing = [name for name in ("threshold", "val") if module[name] is None]
    return f"without {' and '.join(missing)}" if missing else _mode(module, RELU)


def _padded(module: Object) -> str | None:
    window = modules.window(module)
    if any(2 * pad > side for pad, side in zip(window.padding, window.kernel, strict=True)):
        return f"{window}, of which Torch takes half a window at most"
    if module["padding"] is not None:
        return "with a field padding, which poolings do not read"
    if modules.library(module) == "inn" and window.padding != (0, 0):
        return f"{window}, which inn does not read"
    return None


def _max_pool(module: Object) -> str | None:
    return _padded(module) or _mode(module, MAXIMUM)


def _average_pool(module: Object) -> str | None:
    mode, counted = module["mode"], module["count_include_pad"]
    found = _padded(module) or _mode(module, AVERAGE)
    if found or modules.library(module) == "inn":
        return found
    if module["ceil_mode"] is None and modules.window(module).padding != (0, 0):
        return "with padding but without ceil_mode, for which Torch takes no padding"
    if modules.library(module) == "cudnn":
        if module["divide"] is False:
            return "that is not to divide, which cudnn refuses"
        if (
            counted is not None
            and mode is not None
            and modules.flag(module, "count_include_pad") != (mode != NOT_COUNTING)
        ):
            return f"{modules.window(module)}, whose mode {mode} contradicts its count_include_pad"
    return None


def _view(module: Object) -> str | None:
    count, size = module["numElements"], modules.sizes(module, "size")
    if count is not None and count != prod(n for n in size if n != -1):
        return f"whose numElements {modules.shown(count)} contradicts its size {size}"
    return None


def _reshape(module: Object) -> str | None:
    count, size = module["nelement"], modules.sizes(module, "size")
    if count is not None and count != prod(size):
        return f"whose nelement {modules.shown(count)} contradicts its size {size}"
    return None


def _dropout(module: Object) -> str | None:
    if modules.flag(module, "stochastic_inference") and modules.number(module, "p") > 0:
        return "with stochastic_inference, which drops numbers at random"
    return None


def _copy(module: Object) -> str | None:
    made = module["output"]
    if made is None or (isinstance(made, Tensor) and modules.floating(made)):
        return None
    return f"that makes {modules.shown(made)} of what it reads"


def _data_parallel(module: Object) -> str | None:
    dimension = module["dimension"]
    return None if dimension in (None, 1.0) else f"along dimension {modules.shown(dimension)} instead of 1"


CHECKS: dict[str, Callable[[Object], str | None]] = {
    "SpatialConvolution": _conv,
    "SpatialConvolutionMM": _conv,
    "SpatialBatchNormalization": _batch_norm,
    "ReLU": _relu,
    "Threshold": _threshold,
    "SpatialMaxPooling": _max_pool,
    "SpatialAveragePooling": _average_pool,
    "View": _view,
    "Reshape": _reshape,
    "Dropout": _dropout,
    "Copy": _copy,
    "DataParallelTable": _data_parallel,
}
