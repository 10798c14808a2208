"""Years, decades and lengths in requests."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from seqrec.search.reading import Condition, Operator
from seqrec.search.words import Word, normalise

DECADES = {
    "twenties": 1920,
    "thirties": 1930,
    "forties": 1940,
    "fifties": 1950,
    "sixties": 1960,
    "seventies": 1970,
    "eighties": 1980,
    "nineties": 1990,
}
CENTURY_TURN = 20
"""Two-digit decades up to this number are of the 2000s."""
BEFORE = {"before": "<", "until": "<=", "till": "<=", "pre": "<", "after": ">", "since": ">="}
AT_MOST = frozenset("under below within maximum max shorter less".split())
AT_LEAST = frozenset("over above minimum min longer more".split())
MINUTES = frozenset("minutes minute mins min m".split())
HOURS = frozenset("hours hour hrs hr h".split())
NUMBER_WORDS = {"one": 1, "two": 2, "three": 3, "four": 4, "an": 1, "half": 0.5}
YEAR = re.compile(r"(1[89]\d\d|20\d\d)$")
DECADE = re.compile(r"(?:(1[89]\d|20\d)|(\d))0s$")


class NumberMatch(NamedTuple):
    """Conditions that some words stand for."""

    conditions: tuple[Condition, ...]
    num_words: int


def read_year(word: str) -> int | None:
    """Return the year that a word is."""
    found = YEAR.match(word)
    return int(found[1]) if found else None


def read_decade(word: str) -> int | None:
    """Return the first year of the decade that a word is, such as ``90s`` or ``nineties``."""
    found = DECADE.match(word)
    if found is None:
        return DECADES.get(word)
    if found[1]:
        return int(found[1]) * 10
    short = int(found[2]) * 10
    return short + (2000 if short <= CENTURY_TURN else 1900)


def match_years(words: Sequence[Word], place: int, column: str) -> NumberMatch | None:
    """Return the years that stand at a place: one, a decade, a range, or an open end."""
    keys = [normalise(word.text) for word in words[place : place + 4]]
    first = keys[0]
    if first == "between" and len(keys) == 4 and keys[2] in ("and", "to"):
        low, high = read_year(keys[1]), read_year(keys[3])
        if low is not None and high is not None:
            return NumberMatch(_build_range(column, min(low, high), max(low, high)), 4)
    if first in BEFORE and len(keys) > 1:
        skipped = 2 if keys[1] == "the" and len(keys) > 2 else 1
        year, decade = read_year(keys[skipped]), read_decade(keys[skipped])
        operator: Operator = BEFORE[first]  # type: ignore[assignment]
        if year is not None:
            return NumberMatch((Condition(column, operator, year),), skipped + 1)
        if decade is not None:
            start = decade + 9 if operator in ("<=", ">") else decade
            return NumberMatch((Condition(column, operator, start),), skipped + 1)
    year, decade = read_year(first), read_decade(first)
    if year is not None:
        if len(keys) > 2 and keys[1] in ("to", "until") and read_year(keys[2]):
            return NumberMatch(_build_range(column, year, int(keys[2])), 3)
        return NumberMatch((Condition(column, "=", year),), 1)
    if decade is not None:
        return NumberMatch(_build_range(column, decade, decade + 9), 1)
    return None


def _build_range(column: str, low: int, high: int) -> tuple[Condition, ...]:
    return Condition(column, ">=", low), Condition(column, "<=", high)


def match_length(words: Sequence[Word], place: int, column: str) -> NumberMatch | None:
    """Return the limit of a length in minutes that stands at a place."""
    keys = [normalise(word.text) for word in words[place : place + 5]]
    if not keys or keys[0] not in AT_MOST | AT_LEAST:
        return None
    at = 2 if len(keys) > 1 and keys[1] == "than" else 1
    rest = keys[at:]
    if len(rest) < 2:
        return None
    number = NUMBER_WORDS.get(rest[0])
    if number is None and re.fullmatch(r"\d{1,4}", rest[0]):
        number = int(rest[0])
    if number is None or rest[1] not in MINUTES | HOURS:
        return None
    minutes = number * (60 if rest[1] in HOURS else 1)
    operator: Operator = "<=" if keys[0] in AT_MOST else ">="
    value = int(minutes) if minutes == int(minutes) else minutes
    return NumberMatch((Condition(column, operator, value),), at + 2)
