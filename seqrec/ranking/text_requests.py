"""Answers to requests in words: what was understood, a list under it, and how it was widened."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from seqrec.data.id_lists import read_id_lists
from seqrec.errors import SeqRecError
from seqrec.ranking.answer import answer_history
from seqrec.ranking.list_options import DEFAULT_K, ListOptions
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.request_batches import ListRequest
from seqrec.ranking.served import Reading, Served, check_guidance
from seqrec.ranking.text_fusion import TAG_SHARE, WEIGHT, Encode, TextFusion, average_vectors
from seqrec.search.compile import compile_request
from seqrec.search.doubt import CatalogWords
from seqrec.search.language_reading import LanguageReader
from seqrec.search.lexicon import drop_parentheses
from seqrec.search.reading import Condition, RequestReading, join_conditions

NOTHING = ListRequest([])


class ReadRequest(NamedTuple):
    """A request and the system that answers it."""

    request: RequestReading
    served: Served
    """Its scores count the words that are no condition; in doubt they do not."""
    doubt: str | None
    """Why no item is a good answer; None: one may be."""


@dataclass
class TextSearch:
    """Answers requests in words over the catalog of a model or baseline."""

    served: Served
    encode: Encode
    item_texts: Sequence[str]
    """Texts of the items, which the soft words of a request are compared with."""
    item_tags: Sequence[Sequence[str]] = ()
    """Tags of the items, which they are compared with, too; a query token knows them itself."""
    weight: float = WEIGHT
    has_query_token: bool = False
    """The ranker is a model that reads soft words itself; else they add the similarity of the texts
    to its scores."""
    text_vectors: Float[np.ndarray, "I C"] | None = None
    """The vectors of the items' texts; None: encoded at the first request with soft words. Without
    columns no request is compared with texts."""
    language: LanguageReader | None = None
    """Adds the conditions that a language model reads; None: the words of the catalog alone."""

    def __post_init__(self) -> None:
        self.words = CatalogWords(self.item_texts)

    def compile(
        self, text: str, previous: RequestReading | None = None, shown: Sequence[str] = ()
    ) -> RequestReading:
        """Return the reading of a request; arguments as those of ``answer``."""
        rows, _ = self.served.table.find(shown)
        return compile_request(text, self.served.lexicon, previous, rows.tolist(), self.language)

    def answer(
        self,
        text: str,
        asked: ListRequest = NOTHING,
        previous: RequestReading | None = None,
        shown: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Return the list of ``answer_history`` with the reading of the request.

        Items that the request names follow the history. Conditions filter the catalog; soft words
        add to the scores. Where fewer than ``k`` items fulfil all conditions, those that do come
        first, and the list is filled without one condition after the other, the last one first;
        what is excluded stays excluded. A request that has no good answer (``search/doubt.py``) is
        answered by the history alone, and says so.

        Args:
            text: the request.
            asked: the history and the options of the list.
            previous: the reading of the turn before.
            shown: ids of the items that were answered to it.
        """
        request = self.compile(text, previous, shown)
        return self.answer_read(self.read(request, asked.reading), asked)

    def answer_read(self, read: ReadRequest, asked: ListRequest) -> dict[str, Any]:
        """Return ``answer`` for a request that is read already."""
        request, served = read.request, read.served
        wanted, reading = asked.k or DEFAULT_K, asked.reading.without_words()
        whole = [*asked.history, *request.items]
        found: dict[str, Any] = {}
        listed: list[dict[str, Any]] = []
        for conditions in list_levels(request.conditions):
            before = [row["item_id"] for row in listed]
            narrowed = narrow_options(asked.options, request, conditions, before)
            part = ListRequest(whole, wanted - len(listed), asked.exclude_seen, narrowed, reading)
            answer = answer_history(served, part, None)
            for row in answer["recommendations"]:
                without = describe_dropped(request.conditions, conditions)
                more = {"without": without} if without else {}
                listed.append({**row, "rank": len(listed) + 1, **more})
            found = found or answer
            if len(listed) >= wanted:
                break
        fitting = sum("without" not in row for row in listed)
        notes = [*found["notes"], *request.notes, *([read.doubt] if read.doubt else [])]
        if not listed:
            notes.append("no item is left: the request and the options exclude all of them")
        elif fitting < min(wanted, len(listed)):
            number = f"only {fitting}" if fitting else "none"
            notes.append(f"{number} of the items fulfil {request.where}; others fulfil a part")
        return {
            **found,
            "k": wanted,
            "notes": [note for note in notes if not note.startswith("no item of the catalog")],
            "request": request.to_dict(),
            "understood": request.describe(),
            "doubt": read.doubt,
            "recommendations": listed,
        }

    def read(self, request: RequestReading, reading: Reading = NOTHING.reading) -> ReadRequest:
        """Return a request with the system that answers it; its soft words are encoded once.

        Args:
            request: the reading of its words.
            reading: the options, whose weight is that of the soft words, too.

        Raises:
            SeqRecError: a weight of nothing.
        """
        check_guidance(reading, has_words=bool(request.text))
        if not request.text:
            return ReadRequest(request, self.served, None)
        vector = self.encode_requests([request])[0]
        doubt = self.find_doubt(request, vector)
        served = self.served if doubt else self.ask(vector, reading.guidance)
        return ReadRequest(request, served, doubt)

    def encode_requests(self, requests: Sequence[RequestReading]) -> Float[np.ndarray, "N F"]:
        """Return the vectors of the soft words of requests, with what else they ask for.

        The encoder reads the soft words, the values and the titles that a request names; the mean
        vector of the texts of these titles is added.
        """
        table = self.served.table
        named = [table.find(one.items)[0] for one in requests]
        words = [
            " ".join(
                [
                    one.text,
                    *_list_values(one),
                    *(drop_parentheses(table.titles[row]) for row in rows),
                ]
            )
            for one, rows in zip(requests, named, strict=True)
        ]
        vectors = self.encode(words)
        for number, rows in enumerate(named):
            texts = self.get_text_vectors() if len(rows) else vectors[:, :0]
            if texts.shape[1]:
                vector = vectors[number] + texts[rows].mean(axis=0)
                vectors[number] = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return vectors

    def ask(self, vector: Float[np.ndarray, " F"], guidance: float = 1.0) -> Served:
        """Return the system with scores for the vector of some words; zeros say nothing.

        Args:
            vector: of the words.
            guidance: their weight ``w``; words ``q`` rank by
                ``log p(i | h) + w * (log p(i | h, q) - log p(i | h))``.
        """
        if self.has_query_token and isinstance(self.served.ranker, ModelRanker):
            return self.served.with_ranker(self.served.ranker.with_request(vector, guidance))
        weight = guidance * self.weight
        fusion = TextFusion(self.served.ranker, self._fused_vectors, vector, weight)
        return replace(self.served, ranker=fusion, search=fusion.rank)

    @cached_property
    def _fused_vectors(self) -> Float[np.ndarray, "I F"]:
        """The vectors whose products with a request's count in late fusion."""
        texts = self.get_text_vectors()
        if not any(self.item_tags):
            return texts
        return texts + TAG_SHARE * average_vectors(self.item_tags, self.encode)

    def find_doubt(self, request: RequestReading, vector: Float[np.ndarray, " F"]) -> str | None:
        """Return why a request has no good answer; None if it may have one.

        Args:
            request: the reading.
            vector: of its soft words.
        """
        texts = self.get_text_vectors()
        if not texts.shape[1]:
            return None
        return self.words.find_doubt(request, float((texts @ vector).max(initial=-1.0)))

    def get_text_vectors(self) -> Float[np.ndarray, "I C"]:
        """Return the vectors of the items' texts; no columns if requests are not compared."""
        if self.text_vectors is None:
            self.text_vectors = self.encode(self.item_texts)
        return self.text_vectors


def narrow_options(
    options: ListOptions,
    request: RequestReading,
    conditions: Sequence[Condition],
    listed: Sequence[str] = (),
) -> ListOptions:
    """Return options that also fulfil conditions of a request, without the items that it names.

    Args:
        options: of the list.
        request: the reading.
        conditions: those of the request that hold.
        listed: ids of items that are listed already.

    Raises:
        SeqRecError: excluded items for each user.
    """
    parts = [part for part in (options.where, join_conditions(conditions)) if part]
    where = " AND ".join(f"({part})" for part in parts) if len(parts) > 1 else "".join(parts)
    without = [*request.excluded_items, *request.items, *listed]
    if options.exclude is not None:
        ids = read_id_lists(options.exclude, "--exclude").shared
        if ids is None:
            raise SeqRecError("--exclude: lists per user go without --text; give items alone")
        without += ids
    return replace(options, where=where or None, exclude=without or None)


def list_levels(conditions: Sequence[Condition]) -> list[list[Condition]]:
    """Return the conditions that a list is filled under: all, then one after the other dropped."""
    levels = [list(conditions)]
    while any(not one.is_excluded for one in levels[-1]):
        levels.append(_drop_last(levels[-1]))
    return levels


def describe_dropped(conditions: Sequence[Condition], level: Sequence[Condition]) -> str | None:
    """Return the conditions that a level lacks, as SQL; None if it has all."""
    return join_conditions([one for one in conditions if one not in level])


def _list_values(request: RequestReading) -> list[str]:
    """Return the values of columns that a request asks for."""
    return [
        str(one.value)
        for one in request.conditions
        if one.operator == "contains" and not one.is_excluded
    ]


def _drop_last(conditions: Sequence[Condition]) -> list[Condition]:
    """Return the conditions without the last one that is no exclusion."""
    last = max(number for number, one in enumerate(conditions) if not one.is_excluded)
    return [one for number, one in enumerate(conditions) if number != last]
