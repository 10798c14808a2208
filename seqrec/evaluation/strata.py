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


def stratify_by_popularity(
    queries: Queries, item_counts: Int[np.ndarray, " I"]
) -> list[tuple[str, Int[np.ndarray, " P"], Queries]]:
    """Return every stratum: its name, the indices of the queries with a target in it, and these
    queries with only those targets."""
    strata = popularity_strata(item_counts)
    strata_queries = []
    for number, name in enumerate(POPULARITY):
        targets = [items[strata[items] == number] for items in queries.targets]
        indices = np.flatnonzero([len(items) > 0 for items in targets])
        if len(indices):
            part = queries.at(indices)
            kept = [targets[index] for index in indices]
            strata_queries.append((name, indices, Queries(part.users, part.histories, kept, 0)))
    return strata_queries


def stratify_by_length(queries: Queries) -> list[tuple[str, Int[np.ndarray, " P"], Queries]]:
    """Return every stratum of the number of items before the target, in the same form."""
    lengths = np.array([len(history) for history in queries.histories])
    stratum = np.searchsorted(LENGTHS, lengths, side="right") - 1
    strata_queries = []
    for number, name in enumerate(_names(LENGTHS)):
        indices = np.flatnonzero(stratum == number)
        if len(indices):
            strata_queries.append((name, indices, queries.at(indices)))
    return strata_queries


def _names(starts: Sequence[int]) -> list[str]:
    ends = [f"-{after - 1}" for after in starts[1:]] + ["+"]
    return [f"{start}{end}" for start, end in zip(starts, ends, strict=True)]


def shuffle_histories(queries: Queries, seed: int, session: int | None = None) -> Queries:
    """Return the queries with every history in random order; its times stay in order.

    Args:
        queries: in the order of the log.
        seed: seed of the order.
        session: index of the session feature; None if there is none. The events of a session
            stay together, in their order.
    """
    rng = np.random.default_rng(seed)
    histories = queries.histories
    orders = [rng.permutation(len(history)) for history in histories]
    if isinstance(histories, EventHistories) and session is not None:
        numbers = [np.cumsum(codes[:, session] != YES) - 1 for codes in histories.codes]
        pairs = zip(orders, numbers, strict=True)
        orders = [np.argsort(order[number], kind="stable") for order, number in pairs]
    items = [history[order] for history, order in zip(histories, orders, strict=True)]
    if not isinstance(histories, EventHistories):
        return replace(queries, histories=items, ends=None)
    codes = [one[order] for one, order in zip(histories.codes, orders, strict=True)]
    return replace(queries, histories=replace(histories, items=items, codes=codes))
