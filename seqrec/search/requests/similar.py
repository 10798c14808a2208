"""Titles that a request can name to ask for an item like them: those that share rare facts."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import log

import polars as pl

from seqrec.search.lexicon import ARTICLE_LAST, drop_parentheses

MAX_SHARED = 40
"""Most items of a tag or a person by which items count as similar."""
NUM_SIMILAR = 10


def list_similar_titles(
    items: pl.DataFrame, kinds: Sequence[Sequence[Sequence[str]]]
) -> list[list[str]]:
    """Return for every item the titles of those that share most facts with it, the most first.

    A fact counts the logarithm of the share of the items that have it, negative.

    Args:
        items: a row an item.
        kinds: facts such as tags and people, by item.
    """
    names = _list_short_titles(items)
    holders: dict[tuple[int, str], list[int]] = defaultdict(list)
    for kind, facts in enumerate(kinds):
        for row, own in enumerate(facts):
            for fact in own:
                holders[kind, fact.casefold()].append(row)
    found = []
    for row, name in enumerate(names):
        shared: Counter[int] = Counter()
        for kind, facts in enumerate(kinds):
            for fact in facts[row]:
                rows = holders[kind, fact.casefold()]
                if len(rows) <= MAX_SHARED:
                    shared.update(dict.fromkeys(rows, log(len(names) / len(rows))))
        near = [other for other, _ in shared.most_common(NUM_SIMILAR + 1) if other != row]
        titles = dict.fromkeys(names[other] for other in near[:NUM_SIMILAR])
        found.append([title for title in titles if title and title != name])
    return found


def _list_short_titles(items: pl.DataFrame) -> list[str]:
    """Return the titles as people say them: without the year, the article first."""
    if "title" not in items.columns:
        return [""] * len(items)
    return [_shorten(title or "") for title in items["title"].to_list()]


def _shorten(title: str) -> str:
    name = drop_parentheses(title)
    moved = ARTICLE_LAST.match(name)
    return f"{moved['article']} {moved['name']}" if moved else name
