"""Judge summaries: accepted by the simulated reviewer, new words, and told apart by an encoder."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from benchmarks.drafts.reviewer import is_accepted, split_plain
from seqrec.data.item_table import ItemTable
from seqrec.drafts.summaries import Subject
from seqrec.evaluation.significance import bootstrap_interval
from seqrec.explanations.checker import Checker
from seqrec.models.text_cache import encode_cached
from seqrec.models.text_encoder import TextEncoder
from seqrec.search.lexicon import list_names

GRAM = 4
HIDDEN = "this title"
SENTENCE_END = re.compile(r"(?<=[.!?])\s")
IDENTIFIED = 10
"""A title counts as found among so many."""


class Finder:
    """Finds the title that a text is about among all titles of a catalog, by their plots."""

    def __init__(self, table: ItemTable, plots: Sequence[str], encoder: str) -> None:
        self.encoder = TextEncoder.from_pretrained(encoder)
        genres = table.items["genres"].to_list() if "genres" in table.items.columns else None
        texts = [
            hide_title(f"{', '.join((genres[row] if genres else None) or [])}. {plot}", title)
            for row, (plot, title) in enumerate(zip(plots, table.titles, strict=True))
        ]
        self.vectors = encode_cached(self.encoder, texts)

    def find_ranks(self, texts: Sequence[str], subjects: Sequence[Subject]) -> np.ndarray:
        """Return the rank of each text's own title, from 1, with the title's name hidden."""
        hidden = [
            hide_title(text, subject.facts.title)
            for text, subject in zip(texts, subjects, strict=True)
        ]
        rows = [subject.facts.item for subject in subjects]
        return self.rank(self.encoder.encode(hidden), rows)

    def rank(self, asked: Float[np.ndarray, "Q F"], rows: Sequence[int]) -> np.ndarray:
        """Return the rank of a row of the catalog for every vector."""
        scores = asked @ self.vectors.T
        own = scores[np.arange(len(rows)), rows]
        return 1 + (scores > own[:, None]).sum(axis=1)


class Judged(NamedTuple):
    """Values of the summaries of one source, one a title."""

    accepted: np.ndarray
    new: np.ndarray
    """Share of the words in fours that the plot has not."""
    found: np.ndarray
    """1 where the title is among the ten that are nearest to the text."""
    words: np.ndarray
    distinct: float
    """Share of the words in fours that no other text of the source has."""


def judge_texts(
    texts: Sequence[str], subjects: Sequence[Subject], checker: Checker, finder: Finder
) -> Judged:
    """Return the judgement of one text for each title."""
    pairs = list(zip(texts, subjects, strict=True))
    grams = [list_grams(text) for text in texts]
    every = [gram for own in grams for gram in set(own)]
    counts = {gram: every.count(gram) for gram in set(every)}
    return Judged(
        np.array([is_accepted(text, subject, checker) for text, subject in pairs], dtype=float),
        np.array([measure_novelty(text, subject.facts.about) for text, subject in pairs]),
        (finder.find_ranks(texts, subjects) <= IDENTIFIED).astype(float),
        np.array([len(split_plain(text)) for text in texts], dtype=float),
        float(np.mean([counts[gram] == 1 for gram in every])) if every else 0.0,
    )


def describe(name: str, judged: Judged) -> dict[str, object]:
    """Return a row of the table; accepted with its interval."""
    low, high = bootstrap_interval(judged.accepted, seed=0)
    return {
        "summaries": name,
        "n": len(judged.accepted),
        "accepted": float(judged.accepted.mean()),
        "95 %": f"{low:.2f} to {high:.2f}",
        "new 4-grams": float(judged.new.mean()),
        "own 4-grams": judged.distinct,
        "found@10": float(judged.found.mean()),
        "words": float(judged.words.mean()),
    }


def compare(name: str, judged: Judged, other: Judged) -> str:
    """Return a line with the difference of identification to another source, and its interval."""
    difference = judged.found - other.found
    low, high = bootstrap_interval(difference, seed=0)
    return f"found@10 against {name}: {difference.mean():+.3f} ({low:+.3f} to {high:+.3f})"


def measure_novelty(text: str, plot: str) -> float:
    """Return the share of a text's words in fours that a plot has not; 0 for shorter texts."""
    grams, known = list_grams(text), set(list_grams(plot))
    return sum(gram not in known for gram in grams) / len(grams) if grams else 0.0


def list_grams(text: str) -> list[tuple[str, ...]]:
    """Return all four words in a row of a text."""
    words = split_plain(text)
    return [tuple(words[at : at + GRAM]) for at in range(len(words) - GRAM + 1)]


def take_first_sentence(plot: str) -> str:
    """Return the first sentence of a plot."""
    return SENTENCE_END.split(plot.strip())[0]


def hide_title(text: str, title: str) -> str:
    """Return a text without the names of a title."""
    for name in sorted({title, *list_names(title)}, key=len, reverse=True):
        if len(name) > 1:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", HIDDEN, text, flags=re.IGNORECASE)
    return text
