"""Columns of a log: the names of the user, item, time, rating and order columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

from seqrec.errors import SeqRecError

NO_TIME = "none"
"""The value of ``--time`` for a log whose columns hold no times of interactions."""


@dataclass(frozen=True)
class Columns:
    """The log's names of the columns that seqrec reads; None for a column that is missing."""

    user: str | None = None
    item: str | None = None
    time: str | None = None
    rating: str | None = None
    order: str | None = None
    """A column that holds each user's order within equal times."""

    def by_role(self) -> dict[str, str]:
        """Return the named columns by role."""
        names = {one.name: getattr(self, one.name) for one in fields(self)}
        return {role: name for role, name in names.items() if name is not None}


@dataclass(frozen=True)
class FoundColumns:
    """The columns of a log, how each was found, and what else may have been meant."""

    columns: Columns
    found_by: dict[str, str] = field(default_factory=dict)
    """``flag``, ``name``, ``values``, ``name and values`` or ``position`` of each role."""
    notes: tuple[str, ...] = ()

    def add(self, role: str, name: str, found_by: str, *notes: str) -> "FoundColumns":
        """Return the columns with one more."""
        columns = replace(self.columns, **{role: name})
        return FoundColumns(columns, self.found_by | {role: found_by}, (*self.notes, *notes))

    @property
    def taken(self) -> set[str]:
        """Names that have a role."""
        return set(self.columns.by_role().values())


def check_columns(log: str, names: Sequence[str], requested: Columns) -> Columns:
    """Return the requested columns, the time None if there is to be none.

    Raises:
        SeqRecError: a name that the log does not have, one name for both ids.
    """
    if requested.time == NO_TIME and NO_TIME not in names:
        requested = replace(requested, time=None)
    for role, name in requested.by_role().items():
        if name not in names:
            raise SeqRecError(f"{log}: --{role} {name}: no such column; it has {list(names)}")
    if requested.user is not None and requested.user == requested.item:
        raise SeqRecError(f"{log}: --user and --item both name column {requested.user!r}")
    return requested
