"""Parts of the queries that are told apart: by how popular targets are, how long histories."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from seqrec.evaluation.protocol import Queries
from seqrec.tokens.events.features import YES
from seqrec.tokens.events.histories import EventHistories

POPULARITY = ("head", "middle", "tail", "cold")
LENGTHS = (1, 10, 20, 50, 100)
"""Where a stratum of histories begins."""


def popularity_strata(item_counts: Int[np.ndarray, " I"]) -> Int[np.ndarray, " I"]:
    """Of every item, its place in ``POPULARITY``.

    Items are taken from the most popular on, of equals the first; head, middle and tail hold a
    third of the training interactions each, an item that begins in one third belonging to it.
    What training never met is cold.
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
    """Of every stratum: its name, the places of the queries with a target in it, and these
    queries with such targets alone."""
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
    """The same by the number of items that stand before the target."""
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


def shuffled(queries: Queries, seed: int, session: int | None = None) -> Queries:
    """The same queries, each history in an order drawn at random; its times stay in order.

    Args:
        queries: in the order of the log.
        seed: of the order.
        session: place of the feature that says whether an event goes on with a session, if there
            is one: the events of a session stay together, in their order.
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
