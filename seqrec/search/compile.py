"""Compile a request in words into a reading, by the words of the catalog."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from seqrec.search.conversation import refine
from seqrec.search.language_reading import LanguageReader
from seqrec.search.lexicon import MOODS, Lexicon, Value
from seqrec.search.numbers import NumberMatch, match_length, match_years, read_year
from seqrec.search.reading import Condition, Operator, RequestReading
from seqrec.search.words import (
    CLAUSE_ENDS,
    COMPARISONS,
    LIKED,
    NEGATIONS,
    STOPPED,
    Word,
    find_singular,
    normalise,
    split_words,
)

MAX_LETTERS = 2_000
"""Letters of a request that are read."""
DEGREES = frozenset({"too", "so", "overly", "particularly", "especially"})
"""Words of degree, which a negation may have before what it excludes."""
RELATIVE: dict[str, tuple[str, Operator]] = {
    "older": ("year", "<"),
    "earlier": ("year", "<"),
    "newer": ("year", ">"),
    "later": ("year", ">"),
    "shorter": ("length", "<"),
    "longer": ("length", ">"),
}
ORDINALS = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "last": -1}
ROLES = {
    "with": ("actors", "cast", "stars"),
    "starring": ("actors", "cast", "stars"),
    "by": ("director", "directors", "author", "authors", "artist", "artists"),
    "directed": ("director", "directors"),
}
"""Columns of people that a word before a name says."""
FILMS = frozenset("film films movie movies flick flicks book books novel novels".split())
MAX_NAMESAKES = 20
REPLACING = frozenset(("instead", "rather"))
SHOWN = frozenset("that this those these them it".split())
QUOTES = "\"“”'‘’«»"


def compile_request(
    text: str,
    lexicon: Lexicon,
    previous: RequestReading | None = None,
    shown: Sequence[int] = (),
    language: LanguageReader | None = None,
) -> RequestReading:
    """Return what a request says, in the catalog's own words.

    Titles that it names are read as a history, or excluded after a negation. Values of columns
    (genres, people), years and lengths become conditions. All other words are soft text.

    Nothing of the request is executed: a condition consists of a column of the catalog, an operator
    and a value that the catalog or a number holds.

    Args:
        text: the request.
        lexicon: of the catalog.
        previous: the reading of the turn before in a conversation; this turn refines it.
        shown: rows of the items that were answered to it, best first.
        language: adds the conditions that a language model reads.
    """
    state = _State(text[:MAX_LETTERS], lexicon, list(shown))
    while state.place < len(state.words):
        state.read_next()
    reading = state.get_reading()
    if language is not None:
        reading = language.add(text, reading)
    if previous is None:
        return reading
    return refine(previous, reading, replaces_values=bool(REPLACING & set(state.keys)))


@dataclass
class _State:
    """A request while it is read from left to right."""

    text: str
    lexicon: Lexicon
    shown: list[int]
    place: int = 0
    is_negated: bool = False
    liked: list[int] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    soft: list[Word] = field(default_factory=list)
    relative: list[tuple[str, Word]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.words = split_words(self.text)
        self.keys = [normalise(word.text) for word in self.words]

    def read_next(self) -> None:
        """Read the next word or name, and move behind it."""
        word, key = self.words[self.place], self.keys[self.place]
        if self.is_negated and self._ends_negation():
            self.is_negated = False
        if key in NEGATIONS or key.endswith(("nt",)) and word.text.casefold() in NEGATIONS:
            self.is_negated = True
            self.place += 1
            return
        for read in (self._read_shown, self._read_title, self._read_number, self._read_value):
            num_words = read()
            if num_words:
                self.place += num_words
                return
        if key in RELATIVE:
            self.relative.append((key, word))
        elif self.is_negated and key not in STOPPED and key not in DEGREES:
            self.notes.append(f"not understood: not {word.text}")
        elif not self.is_negated:
            self.soft.append(word)
        self.place += 1

    def get_reading(self) -> RequestReading:
        """Return the reading of all words."""
        self._resolve_relative()
        ids, titles = self.lexicon.items["item_id"].to_list(), self.lexicon.titles_of_rows
        rejected = list(dict.fromkeys(self.rejected))
        liked = [row for row in dict.fromkeys(self.liked) if row not in rejected]
        return RequestReading(
            tuple(ids[row] for row in liked),
            tuple(ids[row] for row in rejected),
            tuple(dict.fromkeys(self.conditions)),
            self._get_soft_text(),
            tuple(dict.fromkeys(self.notes)),
            tuple(titles[row] for row in liked),
        )

    def _get_soft_text(self) -> str:
        """Return the words that are left, without words of no wish at both ends."""
        wishes = [n for n, word in enumerate(self.soft) if normalise(word.text) not in STOPPED]
        if not wishes:
            return ""
        return " ".join(word.text for word in self.soft[wishes[0] : wishes[-1] + 1])

    def _ends_negation(self) -> bool:
        """Return whether the negation before the next word does not reach it."""
        if self.keys[self.place] in CLAUSE_ENDS:
            return self.keys[self.place] not in ("like", "by", "with", "from")
        gap = self.text[self.words[self.place - 1].end : self.words[self.place].start]
        if any(mark in gap for mark in ".;!?"):
            return True
        return "," in gap and not self._find_value(self.place)

    def _read_shown(self) -> int:
        """Read a reference to the items that were answered: the second, that one, those."""
        if not self.shown:
            return 0
        key = self.keys[self.place]
        if key in ORDINALS and ORDINALS[key] < len(self.shown):
            (self.rejected if self.is_negated else self.liked).append(self.shown[ORDINALS[key]])
            return 1
        if self.is_negated and key in SHOWN:
            rows = self.shown[:1] if key in ("that", "this", "it") else self.shown
            self.rejected.extend(rows)
            return 1
        return 0

    def _read_title(self) -> int:
        """Read the longest title at the place, if the words around it say that it is one."""
        for num_words in range(min(self.lexicon.max_words, len(self.words) - self.place), 0, -1):
            rows = self.lexicon.titles.get(tuple(self.keys[self.place : self.place + num_words]))
            if rows is None:
                continue
            year = self._find_year_behind(num_words)
            if not self._is_named(num_words, year):
                continue
            rows = self._choose(rows, year)
            (self.rejected if self.is_negated else self.liked).extend(rows)
            return num_words + (year is not None)
        return 0

    def _find_year_behind(self, num_words: int) -> int | None:
        """Return the year in parentheses behind the words."""
        last = self.place + num_words
        if last >= len(self.words):
            return None
        gap = self.text[self.words[last - 1].end : self.words[last].start]
        return read_year(self.keys[last]) if gap.strip() == "(" else None

    def _is_named(self, num_words: int, year: int | None) -> bool:
        """Return whether words that spell a title stand for it: they may be ordinary words."""
        words = self.words[self.place : self.place + num_words]
        before = self.text[: words[0].start].rstrip(" ")
        after = self.text[words[-1].end :]
        if year is not None or (before[-1:] in QUOTES and before and after[:1] in QUOTES and after):
            return True
        keys = self.keys[self.place : self.place + num_words]
        if self._find_value(self.place) == num_words or all(key in STOPPED for key in keys):
            return False
        cues = self.keys[max(self.place - 2, 0) : self.place]
        if cues and (cues[-1] in LIKED | COMPARISONS):
            return True
        is_name = all(word.is_capitalised or word.text in STOPPED for word in words)
        is_start = self.place == 0 or before[-1:] in ".!?"
        return is_name and not self.text.isupper() and (num_words > 1 or not is_start)

    def _choose(self, rows: list[int], year: int | None) -> list[int]:
        """Return the item that a title means: that of its year, or the most watched one."""
        if year is not None and self.lexicon.year_column is not None:
            column = self.lexicon.year_column
            same = [row for row in rows if self.lexicon.number_of(row, column) == year]
            rows = same or rows
        return [max(rows, key=self.lexicon.popularity_of)]

    def _read_number(self) -> int:
        """Read a year, a decade or a length; a negated one may not hold."""
        found: NumberMatch | None = None
        if self.lexicon.year_column is not None:
            found = match_years(self.words, self.place, self.lexicon.year_column)
        if found is None and self.lexicon.length_column is not None:
            found = match_length(self.words, self.place, self.lexicon.length_column)
        if found is None:
            return 0
        conditions = found.conditions
        if self.is_negated and len(conditions) == 1:
            conditions = tuple(one._replace(is_excluded=True) for one in conditions)
        elif self.is_negated:
            low, high = conditions
            self.notes.append(f"not understood: not {low.value} to {high.value}")
            return found.num_words
        self.conditions.extend(conditions)
        return found.num_words

    def _read_value(self) -> int:
        """Read the longest value of a column, or a person."""
        num_words = self._find_value(self.place)
        if not num_words:
            return 0
        values = self._get_values(self.place, num_words)
        words = self.text[self.words[self.place].start : self.words[self.place + num_words - 1].end]
        for value in values[: None if self.is_negated else 1]:
            condition = Condition(value.column, "contains", value.text, self.is_negated, words)
            self.conditions.append(condition)
        if num_words == 1 and not self.is_negated and self.keys[self.place] in MOODS:
            self.soft.append(self.words[self.place])
        return num_words

    def _find_value(self, place: int) -> int:
        """Return the number of words of the longest value or person at a place; 0 for none."""
        for num_words in range(min(self.lexicon.max_words, len(self.words) - place), 0, -1):
            if self._get_values(place, num_words):
                return num_words
        return 0

    def _get_values(self, place: int, num_words: int) -> list[Value]:
        """Return what some words name: a value, in the plural too, or a person in some columns.

        The word before a person may say in which: with an actor, by a director. A family name alone
        means who has most items.
        """
        *first, last = self.keys[place : place + num_words]
        for key in ((*first, last), (*first, find_singular(last))):
            if key in self.lexicon.values:
                return [self.lexicon.values[key]]
        people = self.lexicon.people.get((*first, last), [])
        cue = self.keys[place - 1] if place else ""
        if not first and self._is_family(place, cue):
            people = self.lexicon.families.get((last,), [])[:MAX_NAMESAKES]
        named = [one for one in people if one.column.casefold() in ROLES.get(cue, ())]
        return named or people

    def _is_family(self, place: int, cue: str) -> bool:
        """Return whether a word stands where a family name does: by Hitchcock, a Hitchcock film."""
        if place and not self.words[place].is_capitalised:
            return cue in ("by", "starring", "directed")
        after = self.keys[place + 1 : place + 2]
        return cue in ROLES or (place > 0 and bool(FILMS & set(after)))

    def _resolve_relative(self) -> None:
        """Compare with the titles that are named, or else with those that were answered."""
        rows = self.liked or self.shown
        for key, word in self.relative:
            kind, operator = RELATIVE[key]
            column = self.lexicon.year_column
            if kind == "length":
                column = self.lexicon.length_column
            numbers = (
                [] if column is None else [self.lexicon.number_of(row, column) for row in rows]
            )
            known = [number for number in numbers if number is not None]
            if column is None or not known:
                self.notes.append(f"not understood: {word.text} than what")
                continue
            value = min(known) if operator == "<" else max(known)
            self.conditions.append(Condition(column, operator, int(value), words=word.text))
