"""The words of a catalog: titles, values of its columns, people, years and lengths."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl

from seqrec.search.words import find_singular, normalise_phrase

MAX_CATEGORIES = 200
"""Largest number of values of a column that is a category, such as genres."""
MIN_SHARED = 1.5
"""Mean number of items of a category's value; columns of rarer values are names or texts."""
MIN_SEPARATED = 0.1
"""Share of the cells with a separator that makes a column one of several values a cell."""
MAX_VALUE_WORDS = 4
MIN_KNOWN_FOR = 4
"""Items of a person whose family name alone means them."""
MOSTLY = 0.9
"""Share of numbers in a text column that is read as numbers."""
YEAR_NAMES = ("year", "release_year", "released", "published", "publication_year")
LENGTH_NAMES = ("runtime", "duration", "minutes", "length_minutes", "runtime_minutes")
PEOPLE_NAMES = frozenset(
    "actors cast stars director directors writer writers author authors artist artists creator "
    "creators brand".split()
)
NOT_VALUES = ("item", "item_id", "title", "plot", "description", "summary", "poster", "url")
ALIASES = {
    "science fiction": "sci-fi",
    "scifi": "sci-fi",
    "sf": "sci-fi",
    "children": "children's",
    "kids": "children's",
    "animated": "animation",
    "cartoon": "animation",
    "noir": "film-noir",
    "romcom": "romance",
    "romantic": "romance",
    "docu": "documentary",
    "biopic": "biography",
    "whodunit": "mystery",
    "scary movie": "horror",
}
"""Other names of common genres; one counts where the catalog has the genre."""
MOODS = {"funny": "comedy", "hilarious": "comedy", "scary": "horror"}
"""Words that name a genre by its mood: they ask for the genre, and stay soft words beside it."""
ARTICLE_LAST = re.compile(r"^(?P<name>.*), (?P<article>The|A|An|Le|La|Les|Il|El|Der|Die|Das|L')$")
IN_PARENTHESES = re.compile(r"\s*\(([^()]*)\)\s*")


class Value(NamedTuple):
    """A value of a column, as the column spells it."""

    column: str
    text: str


@dataclass(frozen=True)
class Lexicon:
    """Names and values of one catalog that words of requests may refer to."""

    titles: dict[tuple[str, ...], list[int]]
    """Rows of the items of every title, by its normalised words."""
    values: dict[tuple[str, ...], Value]
    """Values of columns that many items share."""
    people: dict[tuple[str, ...], list[Value]]
    """People of columns such as ``actors``; the column in which they stand most often first."""
    families: dict[tuple[str, ...], list[Value]]
    """People of several items by family name; those with most first."""
    year_column: str | None
    length_column: str | None
    items: pl.DataFrame
    max_words: int
    """Words of the longest name."""

    @classmethod
    def build(cls, items: pl.DataFrame) -> "Lexicon":
        """Return the lexicon of an items table."""
        titles = _list_titles(items)
        values: dict[tuple[str, ...], Value] = {}
        people: dict[tuple[str, ...], list[tuple[int, Value]]] = defaultdict(list)
        for column in items.columns:
            if column in NOT_VALUES or not _holds_words(items[column]):
                continue
            entries = _split_values(items[column])
            if column.casefold() in PEOPLE_NAMES:
                for text, count in entries.value_counts().iter_rows():
                    key = normalise_phrase(drop_parentheses(text))
                    if len(key) > 1:
                        people[key].append((count, Value(column, text)))
            elif _is_category(entries):
                values |= _list_categories(column, entries.unique().to_list())
        names = [*titles, *values, *people]
        families: dict[tuple[str, ...], list[tuple[int, Value]]] = defaultdict(list)
        for key, persons in people.items():
            families[key[-1:]] += [one for one in persons if one[0] >= MIN_KNOWN_FOR]
        return cls(
            titles,
            values,
            _order(people),
            _order(families),
            _find_number(items, YEAR_NAMES),
            _find_number(items, LENGTH_NAMES),
            items,
            max(map(len, names), default=0),
        )

    @property
    def titles_of_rows(self) -> list[str]:
        """The display name of every item."""
        ids = self.items["item_id"]
        has_titles = "title" in self.items.columns
        return (self.items["title"].fill_null(ids) if has_titles else ids).to_list()

    def popularity_of(self, row: int) -> int:
        """Return the number of an item's interactions; 0 where it is unknown."""
        column = "num_interactions"
        return int(self.items[column][row]) if column in self.items.columns else 0

    def number_of(self, row: int, column: str) -> float | None:
        """Return the number of an item in a column; None where it has none."""
        value = self.items[column][row]
        try:
            number = None if value is None else float(value)
        except (TypeError, ValueError):
            return None
        return number if number is not None and math.isfinite(number) else None


def _order(
    counted: Mapping[tuple[str, ...], list[tuple[int, Value]]],
) -> dict[tuple[str, ...], list[Value]]:
    """Return the people of every name, those with most items first."""
    return {key: [value for _, value in sorted(found)[::-1]] for key, found in counted.items()}


def _list_titles(items: pl.DataFrame) -> dict[tuple[str, ...], list[int]]:
    titles: dict[tuple[str, ...], list[int]] = defaultdict(list)
    if "title" not in items.columns:
        return {}
    for row, title in enumerate(items["title"].to_list()):
        for name in list_names(title or ""):
            key = normalise_phrase(name)
            if key and row not in titles[key]:
                titles[key].append(row)
    return {key: rows for key, rows in titles.items() if rows}


def drop_parentheses(text: str) -> str:
    """Return a text without what stands in parentheses, such as the year of a title."""
    return IN_PARENTHESES.sub(" ", text).strip()


def list_names(title: str) -> list[str]:
    """Return the spellings of a title: without its year, article first, and in parentheses."""
    inner = [text for text in IN_PARENTHESES.findall(title) if not text.isdigit()]
    names = [drop_parentheses(title), *inner]
    for name in list(names):
        moved = ARTICLE_LAST.match(name)
        if moved:
            names += [f"{moved['article']} {moved['name']}", moved["name"]]
        elif name.casefold().startswith("the "):
            names.append(name[4:])
    return [name for name in names if name]


def _holds_words(cells: pl.Series) -> bool:
    inner = cells.dtype.inner if isinstance(cells.dtype, pl.List) else cells.dtype
    return inner == pl.String


def _split_values(cells: pl.Series) -> pl.Series:
    """Return all values of all items; entries of lists, or parts between ``|`` or commas."""
    if isinstance(cells.dtype, pl.List):
        return cells.explode().drop_nulls()
    text = cells.drop_nulls()
    for separator in ("|", ", "):
        share: Any = text.str.contains(separator, literal=True).mean()
        if share is not None and share > MIN_SEPARATED:
            return text.str.split(separator).explode().str.strip_chars()
    return text


def _is_category(entries: pl.Series) -> bool:
    number = entries.n_unique()
    words: Any = entries.str.count_matches(r"\S+").max() or 0
    is_shared = number <= MAX_CATEGORIES and len(entries) >= MIN_SHARED * number
    return is_shared and words <= MAX_VALUE_WORDS


def _list_categories(column: str, texts: list[str]) -> dict[tuple[str, ...], Value]:
    """Return the values of a category by their words, singular and plural, and by other names."""
    found = {}
    for text in texts:
        key = normalise_phrase(text)
        if not key or all(len(word) < 3 for word in key):
            continue
        for spelling in (key, (*key[:-1], find_singular(key[-1]))):
            found[spelling] = Value(column, text)
    for alias, name in (ALIASES | MOODS).items():
        meant = found.get(normalise_phrase(name))
        if meant is not None:
            found.setdefault(normalise_phrase(alias), meant)
    return found


def _find_number(items: pl.DataFrame, names: tuple[str, ...]) -> str | None:
    """Return the column of such a name that holds numbers, or text that is mostly numbers."""
    for column in items.columns:
        if column.casefold() not in names:
            continue
        cells = items[column]
        if cells.dtype == pl.String:
            cells = cells.cast(pl.Float64, strict=False)
        if cells.dtype.is_numeric() and cells.count() >= MOSTLY * items[column].count() > 0:
            return column
    return None
