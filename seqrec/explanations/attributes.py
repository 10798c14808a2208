"""Attributes of an item beside its title: values of categories, people and the year."""

import re
from functools import cached_property

from seqrec.search.lexicon import Lexicon, drop_parentheses
from seqrec.search.words import normalise_phrase

SEPARATORS = re.compile(r"\s*\|\s*|,\s+")
ROLES = {"director": "director", "actor": "actors", "cast": "actors", "star": "actors"}
"""Roles of people by how the names of their columns begin, without the plural."""


class Attributes:
    """The attributes of the items of one catalog, by column."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon

    @cached_property
    def value_columns(self) -> list[str]:
        """Columns of categories, such as genres and tags."""
        return sorted({value.column for value in self.lexicon.values.values()})

    @cached_property
    def people_columns(self) -> list[str]:
        """Columns of people, directors first."""
        columns = {one.column for found in self.lexicon.people.values() for one in found}
        return sorted(columns, key=lambda name: (not name.casefold().startswith("direct"), name))

    def get(self, row: int) -> dict[str, tuple[str, ...]]:
        """Return the values of an item by column; columns without one are left out."""
        found = {}
        for column in (*self.people_columns, *self.value_columns):
            values = split_cell(self.lexicon.items[column][row])
            if values:
                found[column] = values
        return found

    def get_year(self, row: int) -> int | None:
        """Return the year of an item; None if it is unknown."""
        column = self.lexicon.year_column
        number = None if column is None else self.lexicon.number_of(row, column)
        return None if number is None else int(number)

    def share(self, row: int, other: int) -> dict[str, tuple[str, ...]]:
        """Return the values that two items have in common, by column."""
        own, others = self.get(row), self.get(other)
        shared = {}
        for column, values in own.items():
            keys = {normalise_phrase(value) for value in others.get(column, ())}
            both = tuple(value for value in values if normalise_phrase(value) in keys)
            if both:
                shared[column] = both
        return shared


def split_cell(cell: object) -> tuple[str, ...]:
    """Return the values of a cell: the entries of a list, or the parts of a text."""
    if cell is None:
        return ()
    texts = SEPARATORS.split(cell) if isinstance(cell, str) else list(cell)  # type: ignore[call-overload]
    plain = (drop_parentheses(str(text)) for text in texts if text is not None)
    return tuple(dict.fromkeys(text for text in plain if text))


def get_role(column: str) -> str | None:
    """Return the role of a column of people, ``director`` or ``actors``; None for others."""
    name = column.casefold()
    return next((role for start, role in ROLES.items() if name.startswith(start)), None)
