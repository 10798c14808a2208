"""Explained lists: evidence, the titles that cause an item, and a sentence."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from seqrec.data.counted_transitions import CountedTransitions
from seqrec.data.item_columns import find_about
from seqrec.data.tables import is_frame
from seqrec.errors import SeqRecError
from seqrec.explanations.attributes import Attributes
from seqrec.explanations.checker import Checker
from seqrec.explanations.facts import Cause, Counted, SentenceFacts
from seqrec.explanations.template import write_sentence
from seqrec.explanations.wording import Explanation, Wording
from seqrec.ranking.causes import Choice, choose_causes
from seqrec.ranking.evidence import Evidence, TitleEvidence, find_evidence
from seqrec.ranking.given_histories import list_histories
from seqrec.ranking.served import Reading, Served
from seqrec.tokens.events.requests import Event

Fulfils = Callable[[int], Sequence[str]]
"""Returns the parts of a request that an item fulfils, in words."""


class Explained(NamedTuple):
    """An item of a list with its explanation."""

    item_id: str
    score: float
    explanation: Explanation


class Explainer:
    """Explains items after histories, over the catalog of one model or baseline."""

    def __init__(
        self,
        served: Served,
        counted: CountedTransitions | None = None,
        wording: Wording | None = None,
        attributes: Attributes | None = None,
    ) -> None:
        """Set the parts.

        Args:
            served: the ranker and its catalog.
            counted: unweighted counts of transitions in training; None: no sentence has any.
            wording: words the facts; None: by template.
            attributes: of the catalog's items; None: they are read at the first use.
        """
        self.served = served
        self.counted = None if counted is None or counted.is_weighted else counted
        self.wording = wording
        if attributes is not None:
            self.attributes = attributes

    def with_counts(self, counted: CountedTransitions | None) -> "Explainer":
        """Return the same with counts of transitions."""
        return Explainer(self.served, counted, self.wording, self.attributes)

    def over(self, served: Served) -> "Explainer":
        """Return the same for other scores of the catalog, such as those under a request."""
        return Explainer(served, self.counted, self.wording, self.attributes)

    @cached_property
    def attributes(self) -> Attributes:
        """The attributes of the catalog's items."""
        return Attributes(self.served.lexicon)

    @cached_property
    def checker(self) -> Checker:
        """The check of sentences about this catalog."""
        return Checker(self.attributes)

    def explain(
        self,
        history: Sequence[Event],
        items: Int[np.ndarray, " K"],
        reading: Reading,
        *,
        asked: Sequence[str] = (),
        fulfils: Fulfils = lambda item: (),
    ) -> list[Explanation]:
        """Return the explanation of every item.

        Args:
            history: ids or events, oldest first.
            items: rows of the catalog.
            reading: conditions and plans.
            asked: ids of the history that a request names.
            fulfils: the parts of a request that an item fulfils.
        """
        found = find_evidence(self.served, history, items, reading, self.counted)
        return self.explain_evidence(found, history, reading, asked=asked, fulfils=fulfils)

    def explain_evidence(
        self,
        evidence: Sequence[Evidence],
        history: Sequence[Event],
        reading: Reading,
        *,
        asked: Sequence[str] = (),
        fulfils: Fulfils = lambda item: (),
    ) -> list[Explanation]:
        """Return ``explain`` from the evidence of the items."""
        choices = choose_causes(self.served, history, evidence, reading)
        explained = []
        for one, choice in zip(evidence, choices, strict=True):
            facts = self._gather(one, choice, set(asked), fulfils(one.item))
            if self.wording is None:
                explained.append(Explanation(facts, write_sentence(facts)))
            else:
                explained.append(self.wording.explain(facts))
        return explained

    def _gather(
        self, evidence: Evidence, choice: Choice, asked: set[str], wishes: Sequence[str]
    ) -> SentenceFacts:
        chosen = [one for one in evidence.titles if one.title in choice.titles]
        chosen.sort(key=lambda one: -(one.without.factor or one.without.rank))
        item, table = evidence.item, self.served.table
        about = find_about(table.items)
        return SentenceFacts(
            item=item,
            title=table.titles[item],
            rank=evidence.rank,
            causes=tuple(self._describe(item, one, asked) for one in chosen),
            rank_without=choice.rank_without,
            rank_alone=choice.rank_alone,
            num_watched=len(evidence.titles),
            num_interactions=self._count(item),
            wishes=tuple(wishes),
            about="" if about is None else str(table.items[about][item] or ""),
            attributes=self.attributes.get(item),
            year=self.attributes.get_year(item),
        )

    def _describe(self, item: int, one: TitleEvidence, asked: set[str]) -> Cause:
        table, watched = self.served.table, self._count(one.title)
        counted = None
        if self.counted is not None and one.followed is not None:
            times = round(one.followed.weight)
            counted = Counted(times, watched) if times <= watched else None
        return Cause(
            item=one.title,
            item_id=table.item_ids[one.title],
            title=table.titles[one.title],
            rank_without=one.without.rank,
            factor=one.without.factor,
            counted=counted,
            shared=self.attributes.share(item, one.title),
            is_asked=table.item_ids[one.title] in asked,
        )

    def _count(self, item: int) -> int:
        return self.attributes.lexicon.popularity_of(item)


def explain_rows(
    explainer: Explainer,
    answer: Mapping[str, Any],
    history: Sequence[Event],
    reading: Reading,
    *,
    asked: Sequence[str] = (),
    fulfils: Fulfils = lambda item: (),
) -> dict[str, Any]:
    """Return an answer with an ``explanation`` in every row, and counts of a model's drafts."""
    rows = answer["recommendations"]
    items, _ = explainer.served.table.find([row["item_id"] for row in rows])
    found = explainer.explain(history, items, reading, asked=asked, fulfils=fulfils)
    explained = [
        {**row, "explanation": one.to_dict()} for row, one in zip(rows, found, strict=True)
    ]
    counts = {}
    if explainer.wording is not None:
        own = sum(one.source == explainer.wording.name for one in found)
        counts["wording"] = {
            "model": explainer.wording.name,
            "by_model": own,
            "by_template": len(found) - own,
            "drafts": sum(one.num_drafts for one in found),
            "refused": dict(explainer.wording.refused),
        }
    return {**answer, **counts, "recommendations": explained}


def list_explained(histories: Any) -> list[list[Event]]:
    """Return histories as lists, for lists that are explained.

    Raises:
        SeqRecError: a frame or a mapping, whose results have no place for explanations.
    """
    if is_frame(histories) or isinstance(histories, Mapping):
        raise SeqRecError("explain: goes with a list of histories; give one, or leave it out")
    return list_histories(histories)


def explain_lists(
    served: Served,
    histories: Sequence[Sequence[Event]],
    lists: Sequence[Sequence[tuple[str, float]]],
    reading: Reading,
) -> list[list[Explained]]:
    """Return lists of items and scores with the explanation of every item, by template."""
    explainer, explained = Explainer(served), []
    for history, listed in zip(histories, lists, strict=True):
        items, _ = served.table.find([item_id for item_id, _ in listed])
        found = explainer.explain(history, items, reading)
        pairs = zip(listed, found, strict=True)
        explained.append([Explained(*pair, explanation) for pair, explanation in pairs])
    return explained
