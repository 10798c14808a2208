"""Ids as text, the form in which logs are read."""

from numbers import Integral, Real
from typing import Any

from seqrec.errors import SeqRecError


def get_id_text(value: Any) -> str:
    """Return an id as text: a whole number without its fraction, other objects by ``str``.

    Raises:
        SeqRecError: the id is missing (None, NaN).
    """
    if isinstance(value, str):
        return value
    if value is None or value != value:
        raise SeqRecError("history: an item id is missing; drop it")
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real) and float(value).is_integer():
        return str(int(float(value)))
    return str(value)
