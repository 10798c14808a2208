"""All conditions that the reading of a request may hold, each as a line of text."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from seqrec.search.lexicon import Lexicon
from seqrec.search.reading import Condition, Operator
from seqrec.search.words import normalise, split_words

END = "end"
"""The line that ends a reading."""
BOUNDS: dict[Operator, str] = {">=": "from", "<=": "until"}
MIN_NAME_LETTERS = 4
"""Letters of a family name that a request must spell to speak of somebody."""
MAX_PEOPLE = 40
"""Most people of whom one request can speak."""
EXAMPLES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("robots in the year 3000", ("sci-fi",)),
    ("something calm about growing old", ()),
    ("a pirate ship on the high seas", ("adventure",)),
    ("I don't want blood and monsters", ("not horror",)),
    ("what is good?", ()),
    ("a wedding, but nobody sings", ("romance", "not musical")),
)
"""Made-up requests and the values that they ask for, which show a model the form."""
LENGTH_STEP = 10
"""Lengths are bounded by multiples of so many minutes."""


class Line(NamedTuple):
    """A condition and the text that stands for it."""

    text: str
    condition: Condition | None
    """None: the reading ends."""


class ReadingSchema:
    """The lines of which readings of requests consist: columns and values of one catalog.

    A line is ``COLUMN: VALUE``, ``not COLUMN: VALUE``, ``COLUMN from: NUMBER``, ``COLUMN until:
    NUMBER``, or ``end``.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        """Set the names and values of the catalog."""
        self.lexicon = lexicon

    @cached_property
    def examples(self) -> list[tuple[str, list[Condition]]]:
        """Requests with their conditions, as far as the catalog has the values."""
        known = {one.text.casefold(): one for one in self.lexicon.values.values()}
        found = []
        for request, texts in EXAMPLES:
            names = [text.removeprefix("not ") for text in texts]
            if all(name in known for name in names):
                conditions = [
                    Condition(known[name].column, "contains", known[name].text, name != text)
                    for name, text in zip(names, texts, strict=True)
                ]
                found.append((request, conditions))
        return found

    def list_lines(self, request: str) -> list[Line]:
        """Return the lines that the reading of a request may hold, each once.

        Values of categories, years and lengths are those of the catalog. People are those whose
        family name the request spells.
        """
        values = [*self._categories, *self._list_people(request)]
        signed = [one._replace(is_excluded=sign) for sign in (False, True) for one in values]
        lines = {write_line(one): one for one in [*signed, *self._bounds]}
        return [Line(END, None), *(Line(text, one) for text, one in lines.items())]

    @cached_property
    def _categories(self) -> list[Condition]:
        values = dict.fromkeys(self.lexicon.values.values())
        return [Condition(one.column, "contains", one.text) for one in values]

    @cached_property
    def _bounds(self) -> list[Condition]:
        """Bounds of years and lengths within the catalog."""
        year, length = self.lexicon.year_column, self.lexicon.length_column
        lengths = [one for one in self._find_range(length) if one % LENGTH_STEP == 0]
        return [
            Condition(column, operator, number)
            for column, numbers in ((year, self._find_range(year)), (length, lengths))
            if column is not None
            for operator in BOUNDS
            for number in numbers
        ]

    def _find_range(self, column: str | None) -> Sequence[int]:
        if column is None:
            return ()
        numbers = [self.lexicon.number_of(row, column) for row in range(len(self.lexicon.items))]
        known = [int(number) for number in numbers if number is not None]
        return range(min(known), max(known) + 1) if known else ()

    def _list_people(self, request: str) -> list[Condition]:
        words = dict.fromkeys(normalise(word.text) for word in split_words(request))
        long = [word for word in words if len(word) >= MIN_NAME_LETTERS]
        values = [one for word in long for one in self.lexicon.families.get((word,), ())]
        return [Condition(one.column, "contains", one.text) for one in values[:MAX_PEOPLE]]


def write_line(condition: Condition) -> str:
    """Return the text of a condition on one line."""
    if condition.operator in BOUNDS:
        return f"{condition.column} {BOUNDS[condition.operator]}: {condition.value}"
    sign = "not " if condition.is_excluded else ""
    return " ".join(f"{sign}{condition.column}: {condition.value}".split())


def is_contradiction(one: Condition, other: Condition) -> bool:
    """Return whether two conditions speak of the same: one value, one bound, or a crossed range."""
    if one.column != other.column:
        return False
    if isinstance(one.value, str) or isinstance(other.value, str):
        return one.value == other.value
    if one.operator == other.operator:
        return True
    low, high = (one, other) if one.operator.startswith(">") else (other, one)
    return low.value > high.value or "=" in (one.operator, other.operator)  # type: ignore[operator]
