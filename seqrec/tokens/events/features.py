"""One feature of events: where it comes from, its values, and its codes and tokens."""

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
from jaxtyping import Float, Int

from seqrec.errors import SeqRecError
from seqrec.tokens.events.times import TIME_COLUMN
from seqrec.tokens.events.values import UNKNOWN, bucket_codes, parse_number, value_codes, value_text

UNKNOWN_WORD = "?"
SESSION_VALUES = ("no", "yes")
NO, YES = 1, 2
"""Codes of ``SESSION_VALUES``."""


@dataclass(frozen=True)
class Feature:
    """A feature that every event has."""

    name: str
    source: Literal["column", "item", "time", "session"]
    key: str
    """The column, or ``gap``, ``hour`` or ``weekday`` for times; empty for the session feature."""
    edges: tuple[float, ...] | None
    """Edges of the buckets; None where every value stands for itself."""
    values: tuple[str, ...]
    """Its values in training, as tokens spell them; value ``i`` has code ``1 + i``."""
    place: Literal["after", "before"]
    """Position of its token relative to the event's item."""
    dropout: float
    """Probability that training masks it as unknown."""
    is_learned: bool
    """True if the model learns to predict it."""
    dropped: tuple[str, ...] = ()
    """Values whose events are dropped from histories."""

    @property
    def words(self) -> list[str]:
        """Return its tokens: the unknown one, which equals no value's token, then the values'."""
        values = [quote(value, safe=".-") for value in self.values]
        return [f"<{self.name}={text}>" for text in (UNKNOWN_WORD, *values)]

    @property
    def num_codes(self) -> int:
        """The number of its values, plus one for unknown."""
        return 1 + len(self.values)

    @property
    def column(self) -> str | None:
        """The column of the log that it is read from; None if it is not read from the log."""
        if self.source in ("item", "session"):
            return None
        return TIME_COLUMN if self.source == "time" else self.key

    @property
    def dropped_codes(self) -> list[int]:
        """The codes of ``dropped``."""
        return [1 + self.values.index(value) for value in self.dropped]

    def codes(self, values: np.ndarray) -> Int[np.ndarray, " N"]:
        """Return the codes of numbers or words; ``UNKNOWN`` where they are missing or unseen."""
        if self.edges is not None:
            return bucket_codes(self.numbers(values), self.edges, self.values)
        return value_codes(values, self.values)

    def numbers(self, values: np.ndarray) -> Float[np.ndarray, " N"]:
        """Return values for buckets, checked to be numbers.

        Raises:
            SeqRecError: the values are words.
        """
        if values.dtype.kind != "f":
            raise SeqRecError(
                f"feature {self.name}: buckets are of numbers, but column {self.key!r} holds "
                "words; remove the buckets"
            )
        return values

    def code_of(self, value: Any) -> int | None:
        """Return the code of a value in any spelling: ``5``, ``"5"`` or a bucket's name.

        None if the value did not occur in training.
        """
        number = parse_number(value)
        if value_text(value) in self.values:
            return 1 + self.values.index(value_text(value))
        if number is None:
            return None
        code = self.codes(np.array([number]))[0]
        return None if code == UNKNOWN else int(code)
