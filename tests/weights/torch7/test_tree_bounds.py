"""Trees that are deep, wide or full of themselves, from files of any size."""

from dataclasses import replace

import pytest

from resnets.catalog import find
from resnets.errors import ResNetsError
from resnets.weights.torch7.export import export
from resnets.weights.torch7.objects import Object, Table
from resnets.weights.torch7.tree import walk

TINY = replace(find("resnet20-cifar"), blocks=(1, 1), widths=(4, 8), stem_widths=(4,), classes=3)


def nested(module: Object, times: int) -> Object:
    for _ in range(times):
        module = Object("nn.Sequential", 1, Table([("modules", Table([(1.0, module)]))]))
    return module


def test_trees_without_end_are_refused(tree, monkeypatch, at, change, recognised):
    with pytest.raises(ResNetsError, match="more than 64 deep"):
        walk(nested(tree, 100_000), "the file")
    assert recognised(nested(tree, 50))[0] == TINY
    both = Object("nn.Identity", 1, Table())
    for _ in range(40):
        both = Object("nn.Sequential", 1, Table([("modules", Table([(1.0, both), (2.0, both)]))]))
    monkeypatch.setattr("resnets.weights.torch7.modules.MAX_MODULES", 1000)
    with pytest.raises(ResNetsError, match="more than 1,000 at"):
        walk(both, "the file")
    change(at(tree, "5"), modules=Table([(1.0, tree)]))
    with pytest.raises(ResNetsError, match=r"modules\[5\].modules\[1\] \(nn.Sequential\) contains itself"):
        walk(tree, "the file")


def test_broken_modules_are_looked_for_until_it_is_clear():
    """A file of a few bytes a module may let all of them share one long table, which each would have us read."""
    long = Table([("modules", Table([(float(i), "no module") for i in range(1, 1000)]))])
    wide = Table([(str(i), 1.0) for i in range(10_000)])
    for fields, text in ((long, "numbered from 1"), (wide, "10,000 fields")):
        broken = [(float(i), Object("nn.Sequential", 1, fields)) for i in range(1, 10_000)]
        with pytest.raises(ResNetsError, match=f"{text}.* and 40 more"):
            walk(Object("nn.Sequential", 1, Table([("modules", Table(broken))])), "the file")


def test_one_array_in_many_places_does_not_multiply(random_model, at, change, recognised):
    """Two modules may share one; a thousand views of one storage would claim memory that the file does not have."""
    architecture = replace(TINY, blocks=(20, 1))
    tree = export(random_model(architecture))
    shared = at(tree, "4.1.1.1.1")["weight"]
    for block in range(1, 21):
        for place in ("1", "4"):
            change(at(tree, f"4.{block}.1.1.{place}"), weight=shared)
    with pytest.raises(ResNetsError, match="its arrays show"):
        recognised(tree)
