"""Titles of a history that cause an item: without them it falls, and they alone keep it."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from seqrec.ranking.evidence import Evidence, Placed, place_items
from seqrec.ranking.served import Reading, Served
from seqrec.tokens.events.requests import Event, get_item_id

MAX_CAUSES = 3
"""Titles of the sets that are tried whole."""
MAX_GROWN = 5
"""Titles that a set grows to where no smaller one keeps the item."""
GROWING_POOL = 10
"""Titles that a set may grow by."""
KEPT_RANK = 10
"""Causes alone should keep the item among so many."""
POOL = 8
"""Titles that sets are drawn from, by each of both measures."""
MAX_SETS = 8
"""Sets of each size that are tried."""

TitleSet = frozenset[int]


class Choice(NamedTuple):
    """The titles that explain an item."""

    titles: TitleSet
    """Rows of the catalog; empty for a history without known titles."""
    rank_without: int
    """Rank of the item without all of them."""
    rank_alone: int
    """Rank of the item after them alone."""


def choose_causes(
    served: Served,
    history: Sequence[Event],
    evidence: Sequence[Evidence],
    reading: Reading,
) -> list[Choice]:
    """Return the titles of a history to name as causes, for every explained item.

    Sets of up to ``MAX_CAUSES`` titles are tried: the history without them, and they alone, all in
    one batch. The smallest set is chosen of which both hold: without it the item stands lower;
    alone it keeps the item among ``KEPT_RANK``. Among equally small ones the one counts without
    which the item becomes least likely; where no set passes, the set that passes more. Where none
    keeps the item, the set that keeps it best grows, each time by the title that helps most, up to
    ``MAX_GROWN`` titles; one that still does not keep it is not taken.

    Args:
        served: the ranker and its catalog.
        history: ids or events, oldest first.
        evidence: of ``find_evidence`` after the history.
        reading: conditions and plans.
    """
    if not evidence or not evidence[0].titles:
        return [Choice(frozenset(), one.rank, one.rank) for one in evidence]
    titles = [one.title for one in evidence[0].titles]
    trial = _Trial(served, history, np.array([one.item for one in evidence]), reading)
    alone = trial.place([(frozenset([title]), True) for title in titles])
    sets = [_draw_sets(one, alone, column) for column, one in enumerate(evidence)]
    every = list(dict.fromkeys(one for drawn in sets for one in drawn))
    placed = trial.place([(one, kept) for one in every for kept in (False, True)])
    rows = {one: 2 * row for row, one in enumerate(every)}
    choices = [
        _choose(one.rank, drawn, placed, rows, column)
        for column, (one, drawn) in enumerate(zip(evidence, sets, strict=True))
    ]
    grown = {}
    for column, (one, choice) in enumerate(zip(evidence, choices, strict=True)):
        if not _is_kept(choice.rank_alone, one.rank):
            start = min(sets[column], key=lambda some: _rate(placed, rows[some] + 1, column))
            order = sorted(titles, key=lambda title: _rate(alone, titles.index(title), column))
            grown[column] = _Growing(start, order[:GROWING_POOL], one.rank)
    for column, chosen in _grow(trial, grown).items():
        after = trial.place([(chosen, False), (chosen, True)])
        without, kept = (int(after.ranks[row, column]) for row in (0, 1))
        choices[column] = Choice(chosen, without, kept)
    return choices


class _Growing(NamedTuple):
    """A set of titles that does not yet keep an item."""

    titles: TitleSet
    pool: Sequence[int]
    """Titles that it may grow by."""
    rank: int
    """The item's, after the whole history."""


def _grow(trial: "_Trial", growing: dict[int, _Growing]) -> dict[int, TitleSet]:
    """Return the grown sets that keep their items, by column."""
    found: dict[int, TitleSet] = {}
    while growing:
        drawn = {
            column: [one.titles | {title} for title in one.pool if title not in one.titles]
            for column, one in growing.items()
            if len(one.titles) < MAX_GROWN
        }
        every = list(dict.fromkeys(one for sets in drawn.values() for one in sets))
        if not every:
            break
        placed = trial.place([(one, True) for one in every])
        rows = {one: row for row, one in enumerate(every)}
        left = {}
        for column, sets in drawn.items():
            if not sets:
                continue
            best = min(sets, key=lambda some: _rate(placed, rows[some], column))
            if _is_kept(int(placed.ranks[rows[best], column]), growing[column].rank):
                found[column] = best
            else:
                left[column] = growing[column]._replace(titles=best)
        growing = left
    return found


def _is_kept(rank_alone: int, rank: int) -> bool:
    return rank_alone <= max(KEPT_RANK, rank)


def _rate(placed: Placed, row: int, column: int) -> tuple[int, float]:
    """Return the rank of an item, and what orders equal ranks: the less likely, the larger."""
    likelihood = float(placed.scores[row, column] - placed.log_totals[row])
    return int(placed.ranks[row, column]), -likelihood


class _Trial(NamedTuple):
    """A history whose titles are left out or kept."""

    served: Served
    history: Sequence[Event]
    items: Int[np.ndarray, " K"]
    reading: Reading

    def place(self, sets: Iterable[tuple[TitleSet, bool]]) -> Placed:
        """Return ranks of the items after the history without each set, or after it alone.

        Ranks are among the items outside the whole history.
        """
        rows, _ = self.served.table.find(dict.fromkeys(map(get_item_id, self.history)))
        is_seen = np.zeros(self.served.ranker.num_items, dtype=bool)
        is_seen[rows] = True
        ids = self.served.table.item_ids
        histories = []
        for titles, is_kept in sets:
            named = {ids[title] for title in titles}
            part = [one for one in self.history if (get_item_id(one) in named) == is_kept]
            histories.append(part)
        given = self.served.read(histories, self.reading)
        return place_items(self.served.ranker, given.histories, self.items, is_seen)


def _draw_sets(evidence: Evidence, alone: Placed, column: int) -> list[TitleSet]:
    """Return sets of titles that one at a time matter most, by both measures."""
    effects, kept = {}, {}
    for row, one in enumerate(evidence.titles):
        factor = one.without.factor
        effects[one.title] = (
            float(np.log(max(factor, 1e-30)))
            if factor is not None
            else float(np.log(one.without.rank / evidence.rank))
        )
        kept[one.title] = -float(np.log(int(alone.ranks[row, column])))
    scores = {title: _scale(effects)[title] + _scale(kept)[title] for title in effects}
    pool = {*_best(effects, POOL), *_best(kept, POOL)}
    sets: list[TitleSet] = []
    for size in range(1, min(MAX_CAUSES, len(pool)) + 1):
        drawn = list(combinations(sorted(pool), size))
        for values in (scores, kept):
            ranked = sorted(drawn, key=lambda chosen: -sum(map(values.__getitem__, chosen)))
            sets += map(frozenset, ranked[:MAX_SETS])
    return list(dict.fromkeys(sets))


def _choose(
    rank: int, sets: Sequence[TitleSet], placed: Placed, rows: dict[TitleSet, int], column: int
) -> Choice:
    choices = []
    for one in sets:
        row = rows[one]
        without, alone = (int(placed.ranks[row + step, column]) for step in (0, 1))
        passed = (without > rank) + _is_kept(alone, rank)
        key = (-passed, len(one), float(placed.scores[row, column] - placed.log_totals[row]))
        choices.append((key, Choice(one, without, alone)))
    return min(choices, key=lambda pair: pair[0])[1]


def _best(values: dict[int, float], number: int) -> list[int]:
    return sorted(values, key=lambda title: -values[title])[:number]


def _scale(values: dict[int, float]) -> dict[int, float]:
    """Return values from 0 to 1."""
    low, high = min(values.values()), max(values.values())
    return {one: (value - low) / max(high - low, 1e-9) for one, value in values.items()}
