"""Lists of different lengths, stored end to end."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int


class Ragged(NamedTuple):
    """Lists end to end: list ``i`` is ``values[starts[i] : starts[i] + lengths[i]]``."""

    values: Int[np.ndarray, " N"]
    lengths: Int[np.ndarray, " P"]

    @property
    def starts(self) -> Int[np.ndarray, " P"]:
        """Start of each list, computed anew at each call."""
        return np.cumsum(self.lengths) - self.lengths

    def get(self, row: int, start: int) -> Int[np.ndarray, " T"]:
        """Return one list, given its start."""
        return self.values[start : start + self.lengths[row]]

    def select(self, rows: Int[np.ndarray, " R"]) -> "Ragged":
        """Return the lists of some rows."""
        lengths, starts = self.lengths[rows], self.starts[rows]
        steps = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return Ragged(self.values[np.repeat(starts, lengths) + steps], lengths)
