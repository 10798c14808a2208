"""Events as arrays: codes of behaviours beside items, and blocks of tokens made of both."""

from collections.abc import Iterator, Mapping, Sequence
from typing import overload

import numpy as np
from jaxtyping import Int

from seqrec.data.histories import Histories
from seqrec.tokens.grammar import (
    NO_TIME,
    OPEN,
    Behaviour,
    Grammar,
    bucket_codes,
    time_values,
    value_codes,
)
from seqrec.tokens.tokenizer import ItemTokens

TIME_COLUMN = "time"


class EventCoder:
    """From interactions of a log to codes, a column a behaviour."""

    def __init__(self, grammar: Grammar, item_codes: Mapping[int, Int[np.ndarray, " I"]]) -> None:
        """Hold what the items say.

        Args:
            grammar: the behaviours.
            item_codes: of every behaviour that is the title's, by its place, each item's code.
        """
        self.grammar = grammar
        self.item_codes = dict(item_codes)

    @property
    def columns(self) -> list[str]:
        """Columns of the log that it needs."""
        names = [
            TIME_COLUMN if one.source == "time" else one.key
            for one in self.grammar.behaviours
            if one.source != "item"
        ]
        return list(dict.fromkeys(names))

    def codes(self, histories: Histories) -> Int[np.ndarray, "N C"]:
        """The code of every behaviour of every interaction."""
        is_first = np.zeros(len(histories.items), dtype=bool)
        starts = histories.offsets[:-1]
        is_first[starts[starts < len(is_first)]] = True
        found = np.empty((len(histories.items), len(self.grammar.behaviours)), dtype=np.int32)
        for place, behaviour in enumerate(self.grammar.behaviours):
            if behaviour.source == "item":
                found[:, place] = self.item_codes[place][histories.items]
                continue
            if behaviour.source == "time":
                times = histories.columns[TIME_COLUMN]
                values = time_values(times, is_first, behaviour.key)
            else:
                values = histories.columns[behaviour.key]
            found[:, place] = codes_of(behaviour, values)
        return found


def codes_of(behaviour: Behaviour, values: np.ndarray) -> Int[np.ndarray, " N"]:
    """The codes of some values of a behaviour."""
    if behaviour.edges is not None:
        return bucket_codes(values.astype(np.float64), behaviour.edges)
    return value_codes(values, behaviour.values)


class EventHistories(Sequence):
    """Histories of items that also know what is told of each event.

    To whoever asks only for items, it is a list of arrays of them.
    """

    def __init__(
        self,
        items: Sequence[Int[np.ndarray, " T"]],
        codes: Sequence[Int[np.ndarray, "T C"]],
    ) -> None:
        self.items = items
        self.codes = codes

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, place: int) -> Int[np.ndarray, " T"]: ...

    @overload
    def __getitem__(self, place: slice) -> "EventHistories": ...

    def __getitem__(self, place: int | slice) -> "Int[np.ndarray, ' T'] | EventHistories":
        if isinstance(place, slice):
            return EventHistories(self.items[place], self.codes[place])
        return self.items[place]

    def __iter__(self) -> Iterator[Int[np.ndarray, " T"]]:
        return iter(self.items)

    def at(self, places: Sequence[int] | Int[np.ndarray, " P"]) -> "EventHistories":
        """Some of them."""
        return EventHistories([self.items[p] for p in places], [self.codes[p] for p in places])

    def map_items(self, places: Sequence[Int[np.ndarray, " T"]]) -> "EventHistories":
        """The same events, of each history those at some places, in that order."""
        triples = list(zip(self.items, self.codes, places, strict=True))
        return EventHistories([i[p] for i, _, p in triples], [c[p] for _, c, p in triples])


class EventTokens:
    """From items and codes to blocks of tokens."""

    def __init__(self, tokens: ItemTokens, grammar: Grammar, first_token: int) -> None:
        """Hold where tokens stand.

        Args:
            tokens: of the items.
            grammar: the behaviours.
            first_token: the token of the first behaviour's open word; the others follow.
        """
        self.tokens = tokens
        self.grammar = grammar
        self.first_of = first_token + grammar.first_code
        self.block_size = grammar.block_size

    def blocks(
        self,
        items: Int[np.ndarray, " N"],
        codes: Int[np.ndarray, "N C"],
        next_codes: Int[np.ndarray, "N C"],
    ) -> Int[np.ndarray, "N E"]:
        """The tokens of events.

        Args:
            items: titles.
            codes: what is told after each.
            next_codes: what is told before the title that comes next.
        """
        found = np.empty((len(items), self.block_size), dtype=np.int64)
        found[:, 0] = self.tokens.encode(items)
        after, before = self.grammar.after, self.grammar.before
        found[:, 1 : 1 + len(after)] = codes[:, after] + self.first_of[after]
        found[:, 1 + len(after) :] = next_codes[:, before] + self.first_of[before]
        return found

    def opened(
        self, codes: Int[np.ndarray, "N C"], generator: np.random.Generator
    ) -> Int[np.ndarray, "N C"]:
        """The codes before titles, some of them left open, as often as the grammar says."""
        shares = np.array([one.dropout for one in self.grammar.behaviours])
        is_open = generator.random(codes.shape) < shares
        return np.where(is_open, OPEN, codes)


__all__ = ["NO_TIME", "OPEN", "EventCoder", "EventHistories", "EventTokens", "codes_of"]
