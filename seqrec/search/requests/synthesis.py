"""Requests for every item of a catalog, by templates over its columns; a seed decides all of them.

A tenth of the tags and some wordings of every kind are held out of training. No request names the
title of its item.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Int

from seqrec.errors import SeqRecError
from seqrec.search.requests.facts import ItemFacts, read_facts
from seqrec.search.requests.templates import CONVERSATIONS, KINDS, Kind

HELD_OUT_TENTHS = 1
"""Tenths of the tags, by a hash of their letters, that only validation asks for."""
TAG_FACTS = ("tag", "other_tag")


class RequestTable(NamedTuple):
    """Synthesised requests for the items of a catalog."""

    texts: list[str]
    """All different requests."""
    of_item: Int[np.ndarray, "I R"]
    """Indices in ``texts`` of every item's requests; -1 where it has fewer."""

    def choose(self, items: Int[np.ndarray, " N"], seed: int) -> Int[np.ndarray, " N"]:
        """Return the index of one request of each item, -1 for items without any."""
        rows = self.of_item[items]
        counts = (rows >= 0).sum(axis=1)
        drawn = np.random.default_rng(seed).random(len(items)) * np.maximum(counts, 1)
        return rows[np.arange(len(items)), drawn.astype(np.int64)]


class Requests(NamedTuple):
    """The requests of training, and those that only validation asks."""

    training: RequestTable
    new_wordings: RequestTable
    """Known facts in held-out wordings."""
    new_tags: RequestTable
    """Held-out tags alone."""

    def examples(self, number: int) -> list[str]:
        """Return some requests of training."""
        texts = self.training.texts
        steps = np.linspace(0, max(len(texts) - 1, 0), min(number, len(texts))).astype(int)
        return [texts[step] for step in steps.tolist()]


def synthesise_requests(
    items: pl.DataFrame, *, per_item: int, seed: int, has_conversations: bool = False
) -> Requests:
    """Return requests for the items of a catalog.

    Args:
        items: a row an item.
        per_item: most requests of an item in training.
        seed: of every choice.
        has_conversations: some requests are turns of two people.

    Raises:
        SeqRecError: no column that a request could name.
    """
    facts = read_facts(items)
    rng = np.random.default_rng(seed)
    known, unknown = _split_tags(facts)
    kinds = KINDS + CONVERSATIONS if has_conversations else KINDS
    training = [list(_draw(one, kinds, per_item, rng, is_held_out=False)) for one in known]
    worded = [list(_draw(one, kinds, 2, rng, is_held_out=True)) for one in known]
    if not any(training):
        raise SeqRecError(
            "requests: the items have no tags, genres, people or plots that a request could name; "
            "prepare with --items"
        )
    return Requests(_build_table(training), _build_table(worded), _build_table(unknown))


def is_held_out(tag: str) -> bool:
    """Return whether a tag is asked for in validation alone."""
    digest = hashlib.sha256(tag.casefold().encode()).digest()
    return int.from_bytes(digest[:4], "big") % 10 < HELD_OUT_TENTHS


def _split_tags(facts: Sequence[ItemFacts]) -> tuple[list[ItemFacts], list[list[str]]]:
    """Return the facts without held-out tags, and the held-out tags of every item."""
    known, unknown = [], []
    for one in facts:
        kept = [tag for tag in one.values["tag"] if not is_held_out(tag)]
        values = {**one.values, **dict.fromkeys(TAG_FACTS, kept)}
        known.append(ItemFacts(values, one.names))
        unknown.append([tag for tag in one.values["tag"] if is_held_out(tag)])
    return known, unknown


def _draw(
    facts: ItemFacts,
    every: Sequence[Kind],
    number: int,
    rng: np.random.Generator,
    *,
    is_held_out: bool,
) -> Iterator[str]:
    """Yield up to ``number`` different requests for an item, none of which has its title."""
    kinds = [kind for kind in every if _is_possible(kind, facts)]
    if not kinds:
        return
    weights = np.array([kind.weight for kind in kinds])
    drawn: set[str] = set()
    for choice in rng.choice(len(kinds), 2 * number, p=weights / weights.sum()).tolist():
        kind = kinds[choice]
        wordings = kind.held_out if is_held_out else kind.templates
        values: list[str] = []
        for name in kind.facts:
            left = [text for text in facts.values[name] if text not in values]
            values.append(left[int(rng.integers(len(left)))])
        text = wordings[int(rng.integers(len(wordings)))].format(*values)
        if text in drawn or facts.has_name_of(text):
            continue
        drawn.add(text)
        yield text
        if len(drawn) == number:
            return


def _is_possible(kind: Kind, facts: ItemFacts) -> bool:
    """Return whether an item has the facts of a kind, the same one not twice."""
    needed = {name: 2 if name.startswith("other_") else 1 for name in kind.facts}
    return all(len(facts.values[name]) >= number for name, number in needed.items())


def _build_table(requests: Sequence[Sequence[str]]) -> RequestTable:
    """Return the requests of all items with every text once."""
    index: dict[str, int] = {}
    width = max(map(len, requests), default=0)
    of_item = np.full((len(requests), max(width, 1)), -1, dtype=np.int64)
    for row, texts in enumerate(requests):
        for column, text in enumerate(texts):
            of_item[row, column] = index.setdefault(text, len(index))
    return RequestTable(list(index), of_item)
