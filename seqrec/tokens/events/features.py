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
"""What a session's feature may be, and the codes of that."""


@dataclass(frozen=True)
class Feature:
    """One thing that is told of every event."""

    name: str
    source: Literal["column", "item", "time", "session"]
    key: str
    """The column, or what is made of times; empty for a session's."""
    edges: tuple[float, ...] | None
    """Of buckets; None where every value stands for itself."""
    values: tuple[str, ...]
    """What it was in training, as tokens spell it; code ``1 + place``."""
    place: Literal["after", "before"]
    dropout: float
    """How often it is left open in training."""
    is_learned: bool
    dropped: tuple[str, ...] = ()
    """Values whose events are left out of histories."""

    @property
    def words(self) -> list[str]:
        """Its tokens, the open one first, which no value's is equal to."""
        values = [quote(value, safe=".-") for value in self.values]
        return [f"<{self.name}={text}>" for text in (UNKNOWN_WORD, *values)]

    @property
    def num_codes(self) -> int:
        """Its values, and the open one."""
        return 1 + len(self.values)

    @property
    def column(self) -> str | None:
        """The column of the log that it is read from, if it is."""
        if self.source in ("item", "session"):
            return None
        return TIME_COLUMN if self.source == "time" else self.key

    @property
    def dropped_codes(self) -> list[int]:
        """The codes of ``dropped``."""
        return [1 + self.values.index(value) for value in self.dropped]

    def codes(self, values: np.ndarray) -> Int[np.ndarray, " N"]:
        """The codes of numbers or words; open where they are missing or unknown."""
        if self.edges is not None:
            return bucket_codes(self.numbers(values), self.edges, self.values)
        return value_codes(values, self.values)

    def numbers(self, values: np.ndarray) -> Float[np.ndarray, " N"]:
        """Values that are to be parted into buckets.

        Raises:
            SeqRecError: they are words.
        """
        if values.dtype.kind != "f":
            raise SeqRecError(
                f"feature {self.name}: buckets are of numbers, and column {self.key!r} holds words"
            )
        return values

    def code_of(self, value: Any) -> int | None:
        """The code of a value as somebody says it, ``5``, ``"5"`` or a bucket's name.

        None if training never met it.
        """
        number = parse_number(value)
        if value_text(value) in self.values:
            return 1 + self.values.index(value_text(value))
        if number is None:
            return None
        code = self.codes(np.array([number]))[0]
        return None if code == UNKNOWN else int(code)
