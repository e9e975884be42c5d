"""A pattern goes in; the names of architectures, or of published weights, that match it come out."""

from resnets import catalog
from resnets.published.table import matching


def list_models(pattern: str = "*", pretrained: bool = False) -> list[str]:
    """Names for `create_model`, in natural order: of architectures, or with `pretrained` of published weights."""
    return [row.name for row in matching(pattern)] if pretrained else catalog.list_models(pattern)
