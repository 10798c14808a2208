"""The reading of a request: items, conditions on columns, and the rest of its words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Operator = Literal["contains", "=", "<", "<=", ">", ">="]


class Condition(NamedTuple):
    """A condition on a column of the items."""

    column: str
    operator: Operator
    value: str | int | float
    is_excluded: bool = False
    """The condition may not hold."""
    words: str = ""
    """The words of the request that it stands for."""

    @property
    def where(self) -> str:
        """The condition as SQL, as ``--where`` takes it."""
        name = self.column
        if not name.isidentifier():
            name = '"{}"'.format(name.replace('"', '""'))
        value = self.value
        if isinstance(value, str):
            value = "'{}'".format(value.replace("'", "''"))
        test = f"{name} {self.operator} {value}"
        return f"NOT ({test})" if self.is_excluded else test


@dataclass(frozen=True)
class RequestReading:
    """A compiled request, which can be shown, edited and sent again."""

    items: tuple[str, ...] = ()
    """Ids of the items that it names as liked or similar; they are read as a history."""
    excluded_items: tuple[str, ...] = ()
    """Ids of the items that it rejects."""
    conditions: tuple[Condition, ...] = ()
    text: str = ""
    """The words that are no condition, for a text encoder; empty if none is left."""
    notes: tuple[str, ...] = ()
    """Words that were not understood, or could not be applied."""
    titles: tuple[str, ...] = field(default=(), compare=False)
    """Display names of ``items``."""

    @property
    def where(self) -> str | None:
        """All conditions as SQL; None without any."""
        return join_conditions(self.conditions)

    def to_dict(self) -> dict[str, Any]:
        """Return the reading as JSON holds it."""
        return {
            "items": list(self.items),
            "excluded_items": list(self.excluded_items),
            "where": self.where,
            "conditions": [
                {
                    "column": one.column,
                    "operator": one.operator,
                    "value": one.value,
                    "is_excluded": one.is_excluded,
                    "words": one.words,
                }
                for one in self.conditions
            ],
            "text": self.text,
            "notes": list(self.notes),
        }

    def describe(self) -> str:
        """Return the reading as one line."""
        parts = []
        if self.items:
            parts.append("like " + ", ".join(self.titles or self.items))
        if self.excluded_items:
            parts.append(f"without {len(self.excluded_items)} rejected")
        if self.conditions:
            parts.append(f"where {self.where}")
        if self.text:
            parts.append(f'about "{self.text}"')
        return "; ".join([*(parts or ["no wish"]), *self.notes])


def join_conditions(conditions: Sequence[Condition]) -> str | None:
    """Return conditions as one SQL expression, all of which hold; None for no condition."""
    return " AND ".join(condition.where for condition in conditions) or None
