"""The steps of a network go in; the same as a trunk of chains and residual blocks comes out, or where it is none."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from resnets.errors import some
from resnets.network import INPUT, Step

Chain = tuple[Step, ...]


@dataclass(frozen=True)
class Block:
    """Two ways from one value to one addition. The shortcut is the shorter one, and empty where it is the identity."""

    branch: Chain
    shortcut: Chain
    add: Step

    @property
    def convolutions(self) -> Chain:
        return tuple(step for step in self.branch if step.op == "conv")

    @property
    def stride(self) -> int:
        """Of the convolutions together."""
        return max(step.stride for step in self.convolutions)


@dataclass(frozen=True)
class Trunk:
    """`chains[i]` stands before block i, and the last one behind all blocks."""

    chains: tuple[Chain, ...]
    blocks: tuple[Block, ...]

    @property
    def steps(self) -> Iterator[Step]:
        for chain, block in zip_longest(self.chains, self.blocks):
            yield from chain
            if block is not None:
                yield from (*block.branch, *block.shortcut, block.add)


class OddError(Exception):
    """The step at which the graph stops being a residual network, and why."""

    def __init__(self, step: str, why: str) -> None:
        super().__init__(f"{step}: {why}")


def trunk_of(found: Sequence[Step]) -> Trunk:
    """The graph as chains and blocks by turns. Raises OddError where it branches in another way."""
    readers: dict[str, list[Step]] = defaultdict(list)
    for step in found:
        for name in step.inputs:
            readers[name].append(step)
    chains: list[list[Step]] = [[]]
    blocks: list[Block] = []
    at = INPUT
    for _ in found:  # each turn goes on by at least one step: a cycle cannot keep us
        match readers[at]:
            case []:
                break
            case [Step(op="add") as step]:
                raise OddError(step.name, "an addition in a place where nothing has branched off")
            case [step]:
                chains[-1].append(step)
                at = step.name
            case [_, _]:
                blocks.append(_block(readers, at, len(found)))
                chains.append([])
                at = blocks[-1].add.name
            case many:
                raise OddError(at, f"{len(many)} steps read it ({', '.join(s.name for s in many)})")
    whole = Trunk(tuple(map(tuple, chains)), tuple(blocks))
    left = Counter(step.name for step in found) - Counter(step.name for step in whole.steps)
    if left:
        raise OddError(some(list(left)), "not on the way from the image to the answer")
    return whole


def _block(readers: dict[str, list[Step]], source: str, limit: int) -> Block:
    ways = [_way(readers, step, limit) for step in readers[source]]
    (one, end), (other, last) = ways
    if end is not last:
        raise OddError(source, f"what branches off there does not come together in one addition ({end.name})")
    branch, shortcut = (one, other) if len(one) > len(other) else (other, one)
    if not any(step.op == "conv" for step in branch):
        raise OddError(end.name, "an addition without a convolution before it")
    return Block(branch, shortcut, end)


def _way(readers: dict[str, list[Step]], step: Step, limit: int) -> tuple[Chain, Step]:
    way: list[Step] = []
    while step.op != "add" and len(way) <= limit:
        way.append(step)
        following = readers[step.name]
        if len(following) != 1:
            raise OddError(step.name, f"{len(following)} steps read it inside a block")
        step = following[0]
    return tuple(way), step
