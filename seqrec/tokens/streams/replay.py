"""Training that goes on with new days: windows that reach into them, and a share of the others."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Int64

from seqrec.tokens.streams.windows import Windows

_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


@dataclass(frozen=True)
class Replay:
    """The windows of a log that are trained on."""

    since: int
    """The first time of the new days, in microseconds since 1970."""
    share: float
    """Share of the older windows."""
    seed: int

    def choose(
        self, windows: Windows, items: Int[np.ndarray, " N"], times: Int64[np.ndarray, " N"]
    ) -> Windows:
        """Return the windows whose last target is of the new days, and a share of the others.

        The draw depends on the seed and on what a window holds, not on the windows beside it: the
        same are chosen in every epoch, however the log is read.

        Args:
            windows: windows of the flat arrays.
            items: interactions, histories one after the other.
            times: their times; unknown ones are old.
        """
        ends = windows.starts + windows.lengths
        numbers = (items[windows.starts], items[ends], times[windows.starts], windows.lengths)
        is_chosen = (times[ends] >= self.since) | (_draw(self.seed, *numbers) < self.share)
        return Windows(*(part[is_chosen] for part in windows))


def _draw(seed: int, *numbers: Int[np.ndarray, " W"]) -> Float[np.ndarray, " W"]:
    """Return a number from 0 to 1 for each combination of whole numbers.

    Source: Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators", the finalizer of
        SplitMix64.
    """
    state = np.full(len(numbers[0]), seed, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for values in numbers:
            state = (state ^ values.astype(np.int64).view(np.uint64)) + np.uint64(_MULTIPLIERS[0])
            for shift, multiplier in zip((30, 27), _MULTIPLIERS[1:], strict=True):
                state = (state ^ (state >> np.uint64(shift))) * np.uint64(multiplier)
            state ^= state >> np.uint64(31)
    return (state >> np.uint64(11)) / 2.0**53
