"""The facts of a catalog's columns that a synthesised request can name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import polars as pl

from seqrec.search.lexicon import PEOPLE_NAMES, YEAR_NAMES, list_names
from seqrec.search.requests.similar import list_similar_titles
from seqrec.search.words import normalise_phrase

TAG_COLUMNS = ("tags", "keywords")
GENRE_COLUMNS = ("genres", "genre", "categories", "category")
PLOT_COLUMNS = ("plot", "description", "summary", "overview")
MIN_SENTENCE_WORDS = 5
MAX_SENTENCE_WORDS = 30
PUNCTUATION = re.compile(r"[^\w\s]")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")

Name = tuple[str, ...]


@dataclass(frozen=True)
class ItemFacts:
    """Facts that the columns of one item hold, by kind."""

    values: dict[str, list[str]]
    names: list[Name]
    """The normalised spellings of its title."""

    def has_name_of(self, text: str) -> bool:
        """Return whether a text holds the item's title, as words in a row."""
        letters = PUNCTUATION.sub("", text.casefold())
        possible = [name for name in self.names if all(word in letters for word in name)]
        words = normalise_phrase(text) if possible else ()  # which takes far longer
        return any(
            words[start : start + len(name)] == name
            for name in possible
            for start in range(len(words) - len(name) + 1)
        )


def read_facts(items: pl.DataFrame) -> list[ItemFacts]:
    """Return the facts of every item, in the order of the rows."""
    columns = {
        "tag": _read_columns(items, TAG_COLUMNS),
        "genre": _read_columns(items, GENRE_COLUMNS),
        "person": _read_columns(items, [c for c in items.columns if c.casefold() in PEOPLE_NAMES]),
        "sentence": [_split_sentences(texts) for texts in _read_columns(items, PLOT_COLUMNS, None)],
        "decade": _read_decades(items),
    }
    columns["like"] = list_similar_titles(items, [columns["tag"], columns["person"]])
    titles = items["title"].to_list() if "title" in items.columns else [None] * len(items)
    found = []
    for row, title in enumerate(titles):
        names = [name for one in list_names(title or "") if (name := normalise_phrase(one))]
        facts = ItemFacts({kind: rows[row] for kind, rows in columns.items()}, names)
        values = {
            kind: [text for text in texts if not facts.has_name_of(text)]
            for kind, texts in facts.values.items()
        }
        values["other_tag"], values["other_genre"] = values["tag"], values["genre"]
        values["other_like"] = values["like"]
        found.append(ItemFacts(values, names))
    return found


def list_tags(items: pl.DataFrame) -> list[list[str]]:
    """Return the tags and keywords of every item."""
    return _read_columns(items, TAG_COLUMNS)


def _read_columns(
    items: pl.DataFrame, names: Sequence[str], separator: str | None = "|"
) -> list[list[str]]:
    """Return the entries of some columns for every item, each once."""
    found: list[dict[str, None]] = [{} for _ in range(len(items))]
    for name in names:
        if name not in items.columns:
            continue
        cells = items[name]
        if isinstance(cells.dtype, pl.List):
            texts = cells.cast(pl.List(pl.String)).to_list()
        elif cells.dtype != pl.String:
            continue
        elif separator is None:
            texts = [[text] for text in cells.to_list()]
        else:
            mark = separator if cells.str.contains(separator, literal=True).any() else ", "
            texts = cells.str.split(mark).to_list()
        for row, entries in enumerate(texts):
            clean = ((text or "").strip() for text in entries or ())
            found[row].update(dict.fromkeys(filter(None, clean)))
    return [list(entries) for entries in found]


def _split_sentences(texts: Sequence[str]) -> list[str]:
    """Return the sentences of an item's texts that are neither very short nor cut off."""
    sentences = [one.strip() for text in texts for one in SENTENCE_END.split(text)]
    kept = []
    for sentence in sentences:
        words = sentence.split()
        if len(words) >= MIN_SENTENCE_WORDS:
            kept.append(" ".join(words[:MAX_SENTENCE_WORDS]))
    return kept


def _read_decades(items: pl.DataFrame) -> list[list[str]]:
    """Return the decade of every item in words, such as ``1990s``."""
    for column in items.columns:
        if column.casefold() in YEAR_NAMES:
            years = items[column].cast(pl.Float64, strict=False).to_list()
            return [
                [] if year is None or not isfinite(year) else [f"{int(year) // 10 * 10}s"]
                for year in years
            ]
    return [[] for _ in range(len(items))]
