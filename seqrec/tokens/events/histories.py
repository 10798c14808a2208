"""Histories of items with the codes of their event features."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from jaxtyping import Int, Int64


@dataclass(eq=False)
class EventHistories(Sequence):
    """Histories of items that also know what is told of each event.

    To whoever asks only for items, it is a list of arrays of them.
    """

    items: Sequence[Int[np.ndarray, " T"]]
    """Titles."""
    codes: Sequence[Int[np.ndarray, "T C"]]
    """What is told of each."""
    conditions: Int[np.ndarray, "H C"]
    """What is told before the title that is asked for, of every history."""
    times: Sequence[Int64[np.ndarray, " T"]] | None = None
    """When each event was, in microseconds since 1970; None if that is not known of any."""
    target_times: Int64[np.ndarray, " H"] | None = None
    """When the title that is asked for will be watched; None where nobody is told."""

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, place: int) -> Int[np.ndarray, " T"]: ...

    @overload
    def __getitem__(self, place: slice) -> "EventHistories": ...

    def __getitem__(self, place: int | slice) -> "Int[np.ndarray, ' T'] | EventHistories":
        if isinstance(place, slice):
            times = None if self.times is None else self.times[place]
            when = None if self.target_times is None else self.target_times[place]
            return EventHistories(
                self.items[place], self.codes[place], self.conditions[place], times, when
            )
        return self.items[place]

    def __iter__(self) -> Iterator[Int[np.ndarray, " T"]]:
        return iter(self.items)

    def at(self, places: Int[np.ndarray, " P"]) -> "EventHistories":
        """Some of them."""
        items, codes = ([of[place] for place in places] for of in (self.items, self.codes))
        times = None if self.times is None else [self.times[place] for place in places]
        when = None if self.target_times is None else self.target_times[places]
        return EventHistories(items, codes, self.conditions[places], times, when)
