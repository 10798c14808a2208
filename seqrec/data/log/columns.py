"""Columns of a log: which one is the user, the item, the time, the rating, the order."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from seqrec.errors import SeqRecError

USUAL_NAMES = {
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
"""What logs call a column, most telling first; letters and digits only, in lower case."""

LEAST_EPOCH_TIME = 1e8


@dataclass(frozen=True)
class Columns:
    """The log's own names of the columns that seqrec reads; None where there is none."""

    user: str | None = None
    item: str | None = None
    time: str | None = None
    rating: str | None = None
    order: str | None = None
    """A column that already is each user's order."""

    def given(self) -> dict[str, str]:
        """Role to name, of the roles that have one."""
        names = {field.name: getattr(self, field.name) for field in fields(self)}
        return {role: name for role, name in names.items() if name is not None}


def plain(name: str) -> str:
    """A column's name in lower case, without spaces, dashes and underscores."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def is_usual(name: str) -> bool:
    """Whether logs often have a column of this name."""
    return any(plain(name) in names for names in USUAL_NAMES.values())


def guess_columns(log: str, names: Sequence[str], asked: Columns) -> Columns:
    """The asked-for columns, and for the roles left open the usual ones.

    Raises:
        SeqRecError: a column that was asked for is not there, or no column looks like the
            user's or the item's.
    """
    check_given(log, names, asked)
    taken = set(asked.given().values())
    found = {}
    for role, usual in USUAL_NAMES.items():
        if getattr(asked, role) is None:
            free = {plain(name): name for name in reversed(names) if name not in taken}
            name = next((free[name] for name in usual if name in free), None)
            if name is None and role in ("user", "item"):
                raise SeqRecError(
                    f"{log}: no column looks like the {role}'s; name one of {list(names)} "
                    f"with --{role}"
                )
            found[role] = name
            taken.add(name or "")
    return replace(asked, **found)


def place_columns(
    log: str, names: Sequence[str], asked: Columns, first_row: Sequence[str]
) -> Columns:
    """The columns of a log without a header, by their place.

    Two are user and item; a third is the time if it looks like one, else the rating; four are
    user, item, rating and time.
    """
    check_given(log, names, asked)
    roles = {2: ["user", "item"], 4: ["user", "item", "rating", "time"]}.get(len(names))
    if len(names) == 3:
        roles = ["user", "item", "time" if looks_like_time(first_row[2]) else "rating"]
    taken = set(asked.given().values())
    by_place = dict(zip(roles or (), names, strict=False))
    found = {
        role: name
        for role, name in by_place.items()
        if getattr(asked, role) is None and name not in taken
    }
    columns = replace(asked, **found)
    for role in ("user", "item"):
        if getattr(columns, role) is None:
            raise SeqRecError(
                f"{log}: has no header, so its columns are named {list(names)}; "
                f"say which is the {role}'s with --{role}"
            )
    return columns


def check_given(log: str, names: Sequence[str], asked: Columns) -> None:
    """Refuse names that the log does not have, and one name for two ids."""
    for role, name in asked.given().items():
        if name not in names:
            raise SeqRecError(f"{log}: --{role} {name}: no such column; it has {list(names)}")
    if asked.user is not None and asked.user == asked.item:
        raise SeqRecError(f"{log}: --user and --item both name column {asked.user!r}")


def looks_like_time(value: str) -> bool:
    """Whether a value may be a time: not a number at all, or as large as epoch times are."""
    try:
        return float(value) >= LEAST_EPOCH_TIME
    except ValueError:
        return True
