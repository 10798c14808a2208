"""Columns of a log: the names of the user, item, time, rating and order columns."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from seqrec.errors import SeqRecError

COMMON_NAMES = {
    "user": """user userid uid customer customerid client clientid member memberid account accountid
        profile profileid viewer viewerid visitor visitorid reviewer reviewerid person personid
        """.split(),
    "item": """item itemid iid movie movieid film filmid show showid video videoid titleid product
        productid asin parentasin sku article articleid track trackid song songid book bookid isbn
        content contentid business businessid title""".split(),
    "time": """timestamp time ts unixreviewtime unixtime datetime date eventtime eventdate watchedat
        viewedat ratedat createdat reviewtime when""".split(),
    "rating": "rating ratings score stars star overall grade".split(),
}
"""Common names of each column, the most specific first; letters and digits only, lower case."""

LEAST_EPOCH_TIME = 1e8


@dataclass(frozen=True)
class Columns:
    """The log's names of the columns that seqrec reads; None for a column that is missing."""

    user: str | None = None
    item: str | None = None
    time: str | None = None
    rating: str | None = None
    order: str | None = None
    """A column that already holds each user's order."""

    def by_role(self) -> dict[str, str]:
        """Return the named columns by role."""
        names = {field.name: getattr(self, field.name) for field in fields(self)}
        return {role: name for role, name in names.items() if name is not None}


def simplify_name(name: str) -> str:
    """Return a column's name in lower case, without spaces, dashes and underscores."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def is_common_name(name: str) -> bool:
    """Return True if the name is a common one."""
    return any(simplify_name(name) in names for names in COMMON_NAMES.values())


def guess_columns(log: str, names: Sequence[str], requested: Columns) -> Columns:
    """Return the requested columns, completed by columns with common names.

    Raises:
        SeqRecError: a requested column is missing, or no column looks like the user's or the
            item's.
    """
    check_columns(log, names, requested)
    taken = set(requested.by_role().values())
    guessed = {}
    for role, common in COMMON_NAMES.items():
        if getattr(requested, role) is None:
            free = {simplify_name(name): name for name in reversed(names) if name not in taken}
            name = next((free[name] for name in common if name in free), None)
            if name is None and role in ("user", "item"):
                raise SeqRecError(
                    f"{log}: no column looks like the {role}'s; name one of {list(names)} "
                    f"with --{role}"
                )
            guessed[role] = name
            taken.add(name or "")
    return replace(requested, **guessed)


def assign_columns(
    log: str, names: Sequence[str], requested: Columns, first_row: Sequence[str]
) -> Columns:
    """Return the columns of a log without a header, by their position.

    Two columns are user and item; a third is the time if it looks like one, else the rating;
    four are user, item, rating and time.
    """
    check_columns(log, names, requested)
    roles = {2: ["user", "item"], 4: ["user", "item", "rating", "time"]}.get(len(names))
    if len(names) == 3:
        roles = ["user", "item", "time" if looks_like_time(first_row[2]) else "rating"]
    taken = set(requested.by_role().values())
    by_position = dict(zip(roles or (), names, strict=False))
    assigned = {
        role: name
        for role, name in by_position.items()
        if getattr(requested, role) is None and name not in taken
    }
    columns = replace(requested, **assigned)
    for role in ("user", "item"):
        if getattr(columns, role) is None:
            raise SeqRecError(
                f"{log}: has no header, so its columns are named {list(names)}; "
                f"name the {role}'s with --{role}"
            )
    return columns


def check_columns(log: str, names: Sequence[str], requested: Columns) -> None:
    """Refuse names that the log does not have, and one name for both ids."""
    for role, name in requested.by_role().items():
        if name not in names:
            raise SeqRecError(f"{log}: --{role} {name}: no such column; it has {list(names)}")
    if requested.user is not None and requested.user == requested.item:
        raise SeqRecError(f"{log}: --user and --item both name column {requested.user!r}")


def looks_like_time(value: str) -> bool:
    """Return True if a value may be a time: not a number, or as large as epoch times."""
    try:
        return float(value) >= LEAST_EPOCH_TIME
    except ValueError:
        return True
