"""A ranker with its catalog: lists for histories of ids, in the form in which they were given."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Int

from seqrec.data.history_frames import read_histories
from seqrec.data.ids import get_id_text
from seqrec.data.item_table import ItemTable
from seqrec.data.tables import is_frame
from seqrec.errors import SeqRecError
from seqrec.ranking.given_histories import list_histories, list_keys, refuse_conditions
from seqrec.ranking.list_options import Asked, ListOptions, build_rules
from seqrec.ranking.list_rules import ListRules, Search, rank_by_rules
from seqrec.ranking.ranker import Ranker
from seqrec.retrieval.exact import TopK
from seqrec.search.lexicon import Lexicon
from seqrec.tokens.events.requests import Event, get_item_id

logger = logging.getLogger(__name__)

MAX_GUIDANCE = 100
"""Largest weight of conditions."""


class Given(NamedTuple):
    """Histories of ids or events as a ranker reads them."""

    items: Sequence[Int[np.ndarray, " T"]]
    """Their known items."""
    histories: Sequence[Int[np.ndarray, " T"]]
    """The same with event features, if the ranker reads any."""
    unknown_items: list[str]
    unknown_features: list[str]
    plans: list[dict[str, str]] | None = None
    """The predicted features of the next item, of every history, if a plan was asked for."""


class Reading(NamedTuple):
    """Options of reading histories, besides their items."""

    conditions: Mapping[str, Any]
    """Features of the recommended items."""
    plan: bool
    """Predict features of the next item first, as conditions."""
    guidance: float = 1.0
    """Weight of conditions, plans and soft words: 0 leaves them out, more than 1 follows them
    further."""

    def without_words(self) -> "Reading":
        """Return the options of reading the history of a request in words."""
        return self if self.conditions or self.plan else self._replace(guidance=1.0)


def check_guidance(reading: Reading, *, has_words: bool = False) -> None:
    """Check that a weight has something to weigh.

    Args:
        reading: the options.
        has_words: soft words of a request follow the history.

    Raises:
        SeqRecError: it has nothing, or is no number from 0 to ``MAX_GUIDANCE``.
    """
    if not 0 <= reading.guidance <= MAX_GUIDANCE:
        raise SeqRecError(f"guidance is {reading.guidance:g}: from 0 to {MAX_GUIDANCE}")
    if reading.guidance != 1 and not (reading.conditions or reading.plan or has_words):
        raise SeqRecError(
            "guidance: weighs a condition, a plan, or words that a text encoder reads; add one"
        )


@dataclass(frozen=True)
class Served:
    """A ranker, its catalog and its reader of histories."""

    ranker: Ranker
    table: ItemTable
    columns: Sequence[str]
    """Columns of a log that events of histories may hold."""
    read: Callable[[list[list[Event]], Reading], Given]
    search: Search
    search_by: Callable[[Any], Search] | None = None
    """Returns the search of a copy of the ranker; None: exact."""

    @cached_property
    def lexicon(self) -> Lexicon:
        """The names and values of the catalog that words may refer to; built at the first use."""
        return Lexicon.build(self.table.items)

    def with_ranker(self, ranker: Ranker) -> Self:
        """Return the same catalog with a copy of the ranker, searched as it is."""
        search = ranker.rank if self.search_by is None else self.search_by(ranker)
        return replace(self, ranker=ranker, search=search)

    def rank(self, histories: Sequence[Int[np.ndarray, " T"]], rules: ListRules) -> TopK:
        """Return the lists that the rules give."""
        vectors = self.ranker.item_vectors() if rules.trade_off is not None else None
        return rank_by_rules(self.search, histories, rules, vectors, self.ranker.num_items)

    def recommend(
        self,
        histories: Any,
        k: int | None,
        exclude_seen: bool,
        options: ListOptions,
        reading: Reading,
    ) -> Any:
        """Return lists for histories of ids: lists for lists, a mapping for a mapping, or a frame.

        Args:
            histories: a listing of histories, a mapping from users to theirs, or a log: a frame,
                or the path of a file.
            k: length of the lists; None: the default.
            exclude_seen: exclude the items of the history.
            options: which items are listed, and in which order.
            reading: conditions and plans.
        """
        if is_frame(histories) or isinstance(histories, Path):
            log = read_histories(histories, self.columns)
            ranked, _ = self._rank_given(
                log.histories, log.user_ids, k, exclude_seen, options, reading
            )
            return log.build_table(self.table.item_ids, ranked.items.numpy(), ranked.scores.numpy())
        users = None
        if isinstance(histories, Mapping):
            users, histories = list(histories), list(histories.values())
        user_ids = None if users is None else [get_id_text(user) for user in users]
        ranked, k = self._rank_given(
            list_histories(histories), user_ids, k, exclude_seen, options, reading
        )
        item_ids, lists = self.table.item_ids, []
        for items, scores in zip(ranked.items.tolist(), ranked.scores.tolist(), strict=True):
            pairs = zip(items, scores, strict=True)
            lists.append([(item_ids[item], score) for item, score in pairs if item >= 0])
        if options.candidates is None and any(len(pairs) < k for pairs in lists):
            logger.warning("fewer than %d items can be listed for some histories", k)
        return lists if users is None else dict(zip(users, lists, strict=True))

    def _rank_given(
        self,
        histories: list[list[Event]],
        users: list[str] | None,
        k: int | None,
        exclude_seen: bool,
        options: ListOptions,
        reading: Reading,
    ) -> tuple[TopK, int]:
        """Return the lists for histories of ids, and their length; log what has no effect."""
        given = self.read(histories, reading)
        asked = Asked(len(histories), users)
        rules, notes = build_rules(options, k, exclude_seen, self.table, asked)
        for note in [*describe_unknown(given), *notes]:
            logger.warning(note)
        return self.rank(given.histories, rules), rules.k


def describe_unknown(given: Given) -> list[str]:
    """Return notes on ids and features of histories that the ranker does not know."""
    notes = []
    if given.unknown_items:
        notes.append(
            f"{len(given.unknown_items)} item ids are not in the catalog and were skipped, "
            f"{given.unknown_items[0]!r} first"
        )
    if given.unknown_features:
        notes.append(f"the model does not know {', '.join(given.unknown_features)}, masked")
    return notes


def serve_baseline(ranker: Ranker, items: Any) -> Served:
    """Return a baseline with the catalog that it was fitted to.

    Args:
        ranker: the baseline.
        items: the items table of the data.
    """
    table = ItemTable.build(items)

    def read(histories: list[list[Event]], reading: Reading) -> Given:
        refuse_conditions(ranker.name, reading.conditions)
        check_guidance(reading)
        if reading.plan:
            raise SeqRecError(f"--plan: {ranker.name} has learned no features; name a model")
        found = [table.find(map(get_item_id, history)) for history in histories]
        known = [rows for rows, _ in found]
        unknown = [item_id for _, ids in found for item_id in ids]
        return Given(known, known, unknown, list_keys(histories))

    return Served(ranker, table, [], read, ranker.rank)
