"""The steps of a stored Torch7 tree go in, the side of the images that its last pooling fits comes out.

Torch's pooling before the classifier has a window of fixed size, which is the whole last map of one size of image
(7x7 of 224 pixels, 8x8 of 32). Of a larger map nn.View makes several rows of answers, and a smaller one is refused.
"""

from resnets.errors import ResNetsError
from resnets.network import INPUT, Step
from resnets.weights.torch7.steps import Tree

MAX_SIDE = 1024  # pixels: memory for the network's maps grows with their square


def side(tree: Tree) -> int | None:
    """The largest square images, in pixels, of which the last window is the whole map; None where any size will do.

    Raises ResNetsError where there is none up to MAX_SIDE, with the sizes.
    """
    cover = tree.cover
    if cover is None:
        return None
    names = [step.name for step in tree.steps]
    before = tree.steps[len(tree.odd) : names.index(cover.step) + 1] if cover.step != INPUT else []
    low, high = 0, MAX_SIDE  # the map of `low` fits into the window
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _map(before, middle) <= cover.side else (low, middle - 1)
    if low and _map(before, low) == cover.side:
        return low
    sizes = [n for n in (low, low + 1) if 0 < n <= MAX_SIDE]
    seen = " and ".join(f"{_map(before, n)}x{_map(before, n)} of images of {n:,}x{n:,}" for n in sizes)
    raise ResNetsError(
        f"The last pooling of {tree.source}, {cover.path}, takes a map of {cover.side}x{cover.side}, and the map before"
        f" it is never that: it is {seen}.",
        f"Give a network of images of at most {MAX_SIDE:,} pixels a side, as Torch itself can run it.",
    )


def _map(steps: list[Step], pixels: int) -> int:
    """Side of the last of those steps' maps; 0 where a window is larger than its map. It grows with `pixels`."""
    sizes = {INPUT: pixels}
    size = pixels
    for step in steps:
        size = sizes[step.inputs[0]]
        if step.op in ("conv", "max_pool"):
            size = max(0, (size + 2 * step.padding - step.kernel) // step.stride + 1) if size else 0
        elif step.op == "average_pool":  # layers.py puts only those that round up
            size = -(-size // step.stride)
        sizes[step.name] = size
    return size
