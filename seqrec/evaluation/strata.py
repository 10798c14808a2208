"""Strata of queries: by popularity of the targets, and by length of the histories."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from seqrec.evaluation.protocol import Queries
from seqrec.tokens.events.features import YES
from seqrec.tokens.events.histories import EventHistories

POPULARITY = ("head", "middle", "tail", "cold")
LENGTHS = (1, 10, 20, 50, 100)
"""The shortest history of each stratum."""


def popularity_strata(item_counts: Int[np.ndarray, " I"]) -> Int[np.ndarray, " I"]:
    """Return the index in ``POPULARITY`` of every item.

    Items are ordered by popularity, ties by their number; head, middle and tail hold a third of
    the training interactions each, and an item belongs to the third in which it begins. Items
    without training interactions are cold.
    """
    order = np.argsort(-item_counts, kind="stable")
    counts = item_counts[order]
    before = np.cumsum(counts) - counts
    strata = np.empty(len(item_counts), dtype=np.int64)
    strata[order] = np.minimum(3 * before // max(int(counts.sum()), 1), 2)
    strata[item_counts == 0] = POPULARITY.index("cold")
    return strata


def by_popularity(
    queries: Queries, item_counts: Int[np.ndarray, " I"]
) -> list[tuple[str, Int[np.ndarray, " P"], Queries]]:
    """Return every stratum: its name, the indices of the queries with a target in it, and these
    queries with those targets alone."""
    strata = popularity_strata(item_counts)
    found = []
    for number, name in enumerate(POPULARITY):
        targets = [of_query[strata[of_query] == number] for of_query in queries.targets]
        places = np.flatnonzero([len(of_query) > 0 for of_query in targets])
        if len(places):
            part = queries.at(places)
            kept = [targets[place] for place in places]
            found.append((name, places, Queries(part.users, part.histories, kept, 0)))
    return found


def by_length(queries: Queries) -> list[tuple[str, Int[np.ndarray, " P"], Queries]]:
    """Return the same strata by the number of items before the target."""
    lengths = np.array([len(history) for history in queries.histories])
    stratum = np.searchsorted(LENGTHS, lengths, side="right") - 1
    found = []
    for number, name in enumerate(_names(LENGTHS)):
        places = np.flatnonzero(stratum == number)
        if len(places):
            found.append((name, places, queries.at(places)))
    return found


def _names(starts: Sequence[int]) -> list[str]:
    ends = [f"-{after - 1}" for after in starts[1:]] + ["+"]
    return [f"{start}{end}" for start, end in zip(starts, ends, strict=True)]


def shuffle_histories(queries: Queries, seed: int, session: int | None = None) -> Queries:
    """Return the queries with every history in random order; its times stay in order.

    Args:
        queries: in the order of the log.
        seed: of the order.
        session: index of the session feature; None if there is none. The events of a session
            stay together, in their order.
    """
    rng = np.random.default_rng(seed)
    asked = queries.histories
    places = [rng.permutation(len(history)) for history in asked]
    if isinstance(asked, EventHistories) and session is not None:
        numbers = [np.cumsum(told[:, session] != YES) - 1 for told in asked.codes]
        pairs = zip(places, numbers, strict=True)
        places = [np.argsort(order[of], kind="stable") for order, of in pairs]
    items = [history[at] for history, at in zip(asked, places, strict=True)]
    if not isinstance(asked, EventHistories):
        return replace(queries, histories=items, ends=None)
    codes = [told[at] for told, at in zip(asked.codes, places, strict=True)]
    return replace(queries, histories=replace(asked, items=items, codes=codes))
