"""Histories of items with the codes of their event features."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
from jaxtyping import Float64, Int, Int64

from seqrec.tokens.events.times import NO_TIME


@dataclass(eq=False)
class EventHistories(Sequence):
    """Histories of items with the feature codes and times of their events.

    It equals the list of its arrays of items, read as a sequence.
    """

    items: Sequence[Int[np.ndarray, " T"]]
    """The items of every history."""
    codes: Sequence[Int[np.ndarray, "T C"]]
    """The feature codes of their events."""
    conditions: Int[np.ndarray, "H C"]
    """The feature codes that the next item is conditioned on, of every history."""
    times: Sequence[Int64[np.ndarray, " T"]] | None = None
    """Times of the events, in microseconds since 1970; None if none is known."""
    target_times: Int64[np.ndarray, " H"] | None = None
    """Times of the next items; None if they are not given."""
    guidance: Float64[np.ndarray, " H"] | None = None
    """Weight of every history's conditions; None: all 1, which reads them as they were trained."""

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
            weight = None if self.guidance is None else self.guidance[place]
            return EventHistories(
                self.items[place], self.codes[place], self.conditions[place], times, when, weight
            )
        return self.items[place]

    def __iter__(self) -> Iterator[Int[np.ndarray, " T"]]:
        return iter(self.items)

    def at(self, places: Int[np.ndarray, " P"]) -> "EventHistories":
        """Return the histories at some indices."""
        items, codes = ([of[place] for place in places] for of in (self.items, self.codes))
        times = None if self.times is None else [self.times[place] for place in places]
        when = None if self.target_times is None else self.target_times[places]
        weight = None if self.guidance is None else self.guidance[places]
        return EventHistories(items, codes, self.conditions[places], times, when, weight)

    def with_guidance(self, weight: float) -> "EventHistories":
        """Return the histories with one weight of all conditions."""
        return self if weight == 1 else replace(self, guidance=np.full(len(self), weight))


def map_items(
    histories: Sequence[Int[np.ndarray, " T"]], new_items: Int[np.ndarray, " I"]
) -> Sequence[Int[np.ndarray, " T"]]:
    """Return histories in the items of another catalog; items that it lacks are skipped.

    Args:
        histories: items, oldest first, with or without event features.
        new_items: the item of the other catalog for every item, -1 for none.
    """
    mapped = [new_items[history] for history in histories]
    is_kept = [items >= 0 for items in mapped]
    items = [part[kept] for part, kept in zip(mapped, is_kept, strict=True)]
    if not isinstance(histories, EventHistories):
        return items
    codes = [part[kept] for part, kept in zip(histories.codes, is_kept, strict=True)]
    times = histories.times
    if times is not None:
        times = [part[kept] for part, kept in zip(times, is_kept, strict=True)]
    return replace(histories, items=items, codes=codes, times=times)


def join_histories(
    parts: Sequence[Sequence[Int[np.ndarray, " T"]]],
) -> Sequence[Int[np.ndarray, " T"]]:
    """Return the histories of several requests as one sequence, with the events of all.

    Args:
        parts: histories of one model: all with event features, or all without.
    """
    if len(parts) == 1:
        return parts[0]
    events = [part for part in parts if isinstance(part, EventHistories)]
    items = [history for part in parts for history in part]
    if not events:
        return items
    times = [one for part in events for one in part.times or _repeat_unknown(part)]
    targets = [
        np.full(len(part), NO_TIME) if part.target_times is None else part.target_times
        for part in events
    ]
    weights = [np.ones(len(one)) if one.guidance is None else one.guidance for one in events]
    return EventHistories(
        items,
        [codes for part in events for codes in part.codes],
        np.concatenate([part.conditions for part in events]),
        times,
        np.concatenate(targets),
        None if all(part.guidance is None for part in events) else np.concatenate(weights),
    )


def _repeat_unknown(part: EventHistories) -> list[Int64[np.ndarray, " T"]]:
    """Return unknown times for every event."""
    return [np.full(len(history), NO_TIME) for history in part.items]
