"""Search of items by title: by the beginnings of words, then by similar spelling."""

import sqlite3
import threading
import time
import unicodedata
from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np
from jaxtyping import Int

FUZZY_CANDIDATES = 100
"""Titles with trigrams of the query whose spelling is compared."""
MAX_SECONDS = 0.25
"""Time of a search, after which it finds nothing: words that nearly all titles share."""
STEPS_BETWEEN_LOOKS = 10_000
LEAST_SIMILARITY = 0.7
"""Least ``rate_spelling`` of a title that is found."""


class TitleSearch:
    """A full-text index of titles in memory (SQLite's FTS5).

    Titles with words that begin as the query's words come first, the whole title's beginning
    before others. Titles of similar spelling follow. Equally good titles are ordered by popularity.
    """

    def __init__(self, titles: Sequence[str], counts: Int[np.ndarray, " I"]) -> None:
        """Index the titles.

        Args:
            titles: the display name of every item.
            counts: interactions of every item in training.
        """
        self._lock = threading.Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._folded = [fold(title) for title in titles]
        self._counts = counts
        order = np.argsort(-counts, kind="stable").tolist()
        with self._database:
            for kind, tokenizer in (("words", "unicode61"), ("trigrams", "trigram")):
                self._database.execute(
                    f"CREATE VIRTUAL TABLE {kind} USING fts5(title, content='', "
                    f"tokenize='{tokenizer}')"
                )
            self._database.executemany(
                "INSERT INTO words(rowid, title) VALUES (?, ?)",
                ((rank + 1, self._folded[item]) for rank, item in enumerate(order)),
            )
            self._database.executemany(
                "INSERT INTO trigrams(rowid, title) VALUES (?, ?)",
                ((rank + 1, self._folded[item]) for rank, item in enumerate(order)),
            )
        self._items = order

    def find(self, query: str, limit: int) -> list[int]:
        """Return the best items for a query; the most popular ones for an empty query."""
        folded = fold(query)
        words = split_words(folded)
        if not words:
            return self._items[:limit]
        phrases = [f'"{word}"*' for word in words]
        found = self._select("words", " AND ".join(phrases), limit * 4, "rowid")
        start = " ".join(words)
        found.sort(key=lambda item: not " ".join(split_words(self._folded[item])).startswith(start))
        found = found[:limit]
        if len(found) < limit:
            taken = set(found)
            found += [item for item in self._find_similar(folded) if item not in taken]
        return found[:limit]

    def _find_similar(self, folded: str) -> list[int]:
        """Return the items of similar spelling, the most similar first."""
        trigrams = sorted(one for one in get_trigrams(folded) if '"' not in one)
        if not trigrams:
            return []
        phrases = " OR ".join(f'"{one}"' for one in trigrams)
        candidates = self._select("trigrams", phrases, FUZZY_CANDIDATES, "rank")
        scored = [
            (rate_spelling(split_words(folded), split_words(self._folded[item])), item)
            for item in candidates
        ]
        similar = [pair for pair in scored if pair[0] >= LEAST_SIMILARITY]
        similar.sort(key=lambda pair: (-pair[0], -int(self._counts[pair[1]])))
        return [item for _, item in similar]

    def _select(self, table: str, match: str, limit: int, order: str) -> list[int]:
        """Return the items that match; none if the search takes too long."""
        query = f"SELECT rowid FROM {table} WHERE {table} MATCH ? ORDER BY {order} LIMIT ?"
        with self._lock:
            deadline = time.monotonic() + MAX_SECONDS
            self._database.set_progress_handler(
                lambda: time.monotonic() > deadline, STEPS_BETWEEN_LOOKS
            )
            try:
                rows = self._database.execute(query, (match, limit)).fetchall()
            except sqlite3.OperationalError:  # interrupted, or no word that the index knows
                return []
        return [self._items[rowid - 1] for (rowid,) in rows]


def fold(text: str) -> str:
    """Return a text without upper case, accents and control characters."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    kept = (letter for letter in plain if not unicodedata.combining(letter))
    return " ".join("".join(kept).replace("\0", " ").split())


def split_words(folded: str) -> list[str]:
    """Return the runs of letters and digits of a text."""
    return "".join(letter if letter.isalnum() else " " for letter in folded).split()


def get_trigrams(folded: str) -> set[str]:
    """Return the runs of three letters of a text."""
    return {folded[start : start + 3] for start in range(len(folded) - 2)}


def rate_spelling(words: Sequence[str], others: Sequence[str]) -> float:
    """Return how similar each word is to the nearest of the others, 0 to 1, on average."""
    best = []
    for word in words:
        matcher = SequenceMatcher(None, b=word, autojunk=False)
        ratios = [0.0]
        for other in others:
            matcher.set_seq1(other)
            if matcher.real_quick_ratio() > max(ratios):
                ratios.append(matcher.ratio())
        best.append(max(ratios))
    return sum(best) / max(len(best), 1)
