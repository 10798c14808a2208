"""Overrides of recipe settings in Python: texts, or mappings of blocks or dotted keys."""

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import yaml

from seqrec.config.recipe import Recipe
from seqrec.errors import SeqRecError

Overrides = Sequence[str] | Mapping[str, Any]


def format_overrides(overrides: Overrides) -> list[str]:
    """Return overrides as ``key.path=value`` texts.

    ``{"trainer": {"max_epochs": 1}}`` and ``{"trainer.max_epochs": 1}`` are the same: a mapping of
    a block changes the named settings of it. A mapping as a setting's value replaces the value.

    Raises:
        SeqRecError: a value that YAML cannot express.
    """
    if not isinstance(overrides, Mapping):
        return list(overrides)
    texts = []
    for key, value in overrides.items():
        is_block = key in Recipe.model_fields and isinstance(value, Mapping)
        settings = (
            {f"{key}.{name}": one for name, one in value.items()} if is_block else {key: value}
        )
        texts += [f"{name}={_format_value(name, one)}" for name, one in settings.items()]
    return texts


def _format_value(key: str, value: Any) -> str:
    try:
        text = yaml.safe_dump(_simplify(value), default_flow_style=True, width=float("inf"))
    except yaml.YAMLError as error:
        raise SeqRecError(
            f"overrides: {key}: a {type(value).__name__} is no setting; give text, numbers, "
            "lists and mappings"
        ) from error
    return text.removesuffix("...\n").strip()


def _simplify(value: Any) -> Any:
    """Return the value of plain types: numbers of NumPy, paths and tuples are converted."""
    if isinstance(value, Mapping):
        return {str(key): _simplify(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_simplify(one) for one in value]
    if isinstance(value, Path | str):
        return str(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value
