"""Values of event features: how tokens spell them, buckets of numbers, and codes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

UNKNOWN = 0
"""Code of a feature whose value is unknown or masked."""


def parse_number(value: Any) -> float | None:
    """Return a value as a number, None if it is none; ``true`` is 1."""
    text = str(value).lower()
    try:
        return float({"true": "1", "false": "0"}.get(text, text))
    except ValueError:
        return None


def value_text(value: Any) -> str:
    """Return a value as tokens spell it: whole numbers without a fraction."""
    number = parse_number(value) if isinstance(value, int | float | np.number) else None
    return str(value) if number is None else f"{number:.15g}"


def bucket_names(edges: Sequence[float]) -> list[str]:
    """Return the names of buckets: ``..e0``, ``e0..e1``, ..., ``eN..``."""
    texts = [value_text(edge) for edge in edges]
    return [f"{a}..{b}" for a, b in zip(["", *texts], [*texts, ""], strict=True)]


def bucket_codes(
    values: Float[np.ndarray, " N"], edges: Sequence[float], known: Sequence[str]
) -> Int[np.ndarray, " N"]:
    """Return the code of each number's bucket; ``UNKNOWN`` for missing numbers, unseen buckets."""
    place = {name: 1 + number for number, name in enumerate(known)}
    code = np.array([place.get(name, UNKNOWN) for name in bucket_names(edges)], dtype=np.int64)
    found = code[np.searchsorted(edges, values, side="right")]
    return np.where(np.isnan(values), UNKNOWN, found)


def value_codes(values: np.ndarray, known: Sequence[str]) -> Int[np.ndarray, " N"]:
    """Return the code of each number or word; ``UNKNOWN`` where it is missing or unseen."""
    unique, inverse = np.unique(values, return_inverse=True)
    place = {text: 1 + number for number, text in enumerate(known)}
    codes = [
        UNKNOWN if is_missing(value) else place.get(value_text(value), UNKNOWN)
        for value in unique.tolist()
    ]
    return np.array(codes, dtype=np.int64)[inverse.reshape(-1)]


def is_missing(value: float | str) -> bool:
    """Return whether a value is missing: NaN, or an empty word."""
    return value == "" or value != value
