"""Arrays under the names of some framework go in; the network that those names imply and its arrays come out, and back.

A dialect is a name table: what each canonical array is called there. Its names imply a network (torchvision's: stride in the
3x3 convolution); what they do not say at all has to be given.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from resnets.catalog import Architecture
from resnets.network import Shape


@dataclass(frozen=True)
class Dialect:
    """One framework's names.

    `names`: Architecture → canonical name: their name, for every array of the network. Raises ResNetsError where the
    dialect has no name for a part of that network.
    `implied`: their names and shapes → the network they imply, or None where these are not this dialect's names.
    `extras`: their names that are none of the network's arrays and may be ignored, such as `num_batches_tracked`.
    `says`: what the names imply beyond the shapes, for the card and the report.
    """

    name: str
    names: Callable[[Architecture], dict[str, str]]
    implied: Callable[[Mapping[str, Shape]], Architecture | None]
    says: str
    extras: Callable[[str], bool] = lambda name: False
