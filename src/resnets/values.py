"""Frozen dataclasses go in, plain JSON values come out, and back: the one place that turns tuples into lists."""

from dataclasses import fields
from typing import Any


def plain(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, tuples as lists. Not recursive: nested dataclasses are the caller's."""
    found = {f.name: getattr(value, f.name) for f in fields(value)}
    return {name: _lists(v) for name, v in found.items()}


def frozen(value: dict[str, Any]) -> dict[str, Any]:
    """The reverse, for a dataclass's constructor: lists as tuples."""
    return {name: _tuples(v) for name, v in value.items()}


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
