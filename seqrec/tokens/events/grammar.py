"""The event grammar: what a history says beside its titles, as tokens around each title.

An event is a block of tokens of one size: its title, what is told after it, and what is told
before the next title::

    <item:318> <rating=5> <gap=86400..604800> <wanted=?>

The next title is predicted from the last token of a block. Nothing between a title and the next
one comes from the next event, but for features that are placed before their title.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
from jaxtyping import Bool, Float, Int

from seqrec.data.histories import MISSING_TIME
from seqrec.errors import SeqRecError

UNKNOWN = 0
"""Code of a feature of which nothing is said."""
UNKNOWN_WORD = "?"
SESSION_VALUES = ("no", "yes")
NO, YES = 1, 2
"""What a session's feature may be, and the codes of that."""
TIME_COLUMN = "time"
NO_TIME = MISSING_TIME
NO_TIME_INPUT = "no time input"
PAST_TIMES = "times of past events read"
TARGET_TIME = "target time given"
"""What a model may be told of times, as protocols say it."""
MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Feature:
    """One thing that is told of every event."""

    name: str
    source: Literal["column", "item", "time", "session"]
    key: str
    """The column, or what is made of times; empty for a session's."""
    edges: tuple[float, ...] | None
    """Of buckets; None where every value stands for itself."""
    values: tuple[str, ...]
    """What it was in training, as tokens spell it; code ``1 + place``."""
    place: Literal["after", "before"]
    dropout: float
    """How often it is left open in training."""
    is_learned: bool
    dropped: tuple[str, ...] = ()
    """Values whose events are left out of histories."""

    @property
    def words(self) -> list[str]:
        """Its tokens, the open one first, which no value's is equal to."""
        values = [quote(value, safe=".-") for value in self.values]
        return [f"<{self.name}={text}>" for text in (UNKNOWN_WORD, *values)]

    @property
    def num_codes(self) -> int:
        """Its values, and the open one."""
        return 1 + len(self.values)

    @property
    def column(self) -> str | None:
        """The column of the log that it is read from, if it is."""
        if self.source in ("item", "session"):
            return None
        return TIME_COLUMN if self.source == "time" else self.key

    @property
    def dropped_codes(self) -> list[int]:
        """The codes of ``dropped``."""
        return [1 + self.values.index(value) for value in self.dropped]

    def codes(self, values: np.ndarray) -> Int[np.ndarray, " N"]:
        """The codes of numbers or words; open where they are missing or unknown."""
        if self.edges is not None:
            return bucket_codes(self.numbers(values), self.edges, self.values)
        return value_codes(values, self.values)

    def numbers(self, values: np.ndarray) -> Float[np.ndarray, " N"]:
        """Values that are to be parted into buckets.

        Raises:
            SeqRecError: they are words.
        """
        if values.dtype.kind != "f":
            raise SeqRecError(
                f"feature {self.name}: buckets are of numbers, and column {self.key!r} holds words"
            )
        return values

    def code_of(self, value: Any) -> int | None:
        """The code of a value as somebody says it, ``5``, ``"5"`` or a bucket's name.

        None if training never met it.
        """
        number = parse_number(value)
        if value_text(value) in self.values:
            return 1 + self.values.index(value_text(value))
        if number is None:
            return None
        code = self.codes(np.array([number]))[0]
        return None if code == UNKNOWN else int(code)


@dataclass(frozen=True)
class Sessions:
    """Which events are merged: those of one series that follow each other at once."""

    source: Literal["column", "item"]
    key: str
    """The column that names the series."""
    gap_seconds: float
    """How far apart two events of a session may be."""


@dataclass(frozen=True)
class Grammar:
    """All features, in the order of their tokens: those after their title come first.

    Without any, a model reads titles, and of each event at most when it was.
    """

    features: tuple[Feature, ...]
    sessions: Sessions | None = None
    times: Literal["past_times", "target_time"] | None = None
    """What the model's attention is told of times beside the tokens: those of events read, or also
    that of the title that it is asked for."""

    @property
    def is_before(self) -> Bool[np.ndarray, " C"]:
        """Of every feature, whether it stands before its title."""
        return np.array([one.place == "before" for one in self.features], dtype=bool)

    @property
    def is_target_time(self) -> Bool[np.ndarray, " C"]:
        """Of every feature, whether the model is told it of the title that it is asked for."""
        given = [one.place == "before" and one.source == "time" for one in self.features]
        return np.array(given, dtype=bool)

    @property
    def is_learned(self) -> Bool[np.ndarray, " C"]:
        """Of every feature, whether the model learns to say it."""
        return np.array([one.is_learned for one in self.features], dtype=bool)

    @property
    def plan_indices(self) -> list[int]:
        """The features that the model can plan with: it says them before the title."""
        return np.flatnonzero(self.is_before & self.is_learned).tolist()

    @property
    def words(self) -> list[str]:
        """The tokens of all features."""
        return [word for feature in self.features for word in feature.words]

    @property
    def first_code(self) -> Int[np.ndarray, " C"]:
        """Of every feature, the place of its open token among all words."""
        sizes = [feature.num_codes for feature in self.features]
        return np.cumsum([0, *sizes[:-1]])

    @property
    def columns(self) -> list[str]:
        """Columns of the log that are read."""
        names = [one.column for one in self.features if one.column is not None]
        names += [TIME_COLUMN] * (self.times is not None)
        if self.sessions is not None:
            names += [TIME_COLUMN] + [self.sessions.key] * (self.sessions.source == "column")
        return list(dict.fromkeys(names))

    @property
    def gaps(self) -> list[Feature]:
        """The features that count the time since the event before."""
        return [one for one in self.features if one.source == "time" and one.key == "gap"]

    @property
    def session_index(self) -> int | None:
        """The feature that says whether an event goes on with a session, if there is one."""
        sources = [one.source for one in self.features]
        return sources.index("session") if "session" in sources else None

    @property
    def shortens_histories(self) -> bool:
        """Whether histories get shorter by it."""
        return self.sessions is not None or any(one.dropped for one in self.features)

    @property
    def time_input(self) -> str:
        """What the model is told of times, for the protocol of its results."""
        if self.is_target_time.any() or self.times == "target_time":
            return TARGET_TIME
        return PAST_TIMES if TIME_COLUMN in self.columns else NO_TIME_INPUT

    def find_feature(self, name: str, place: Literal["after", "before"], asked: str) -> int:
        """The place of a feature that is called so, or read from a column of that name.

        Args:
            name: either.
            place: where it stands.
            asked: what asks for it, for the error.

        Raises:
            SeqRecError: there is none.
        """
        here = [n for n, one in enumerate(self.features) if one.place == place]
        for is_meant in (lambda one: one.name == name, lambda one: one.key == name):
            for number in here:
                if is_meant(self.features[number]):
                    return number
        names = ", ".join(self.features[number].name for number in here) or "none"
        raise SeqRecError(f"{asked}: features {place} a title that the model knows: {names}")

    def get_code(self, number: int, value: Any, asked: str) -> int:
        """The code of a feature's value.

        Raises:
            SeqRecError: training never met it. ``asked`` is what asks.
        """
        feature = self.features[number]
        found = feature.code_of(value)
        if found is None:
            raise SeqRecError(
                f"{asked}: the model never saw it; {feature.name} was {', '.join(feature.values)}"
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """For ``config.json``."""
        return {
            "features": [
                {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(one).items()}
                for one in self.features
            ],
            "sessions": None if self.sessions is None else asdict(self.sessions),
        }

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Grammar":
        """What ``to_dict`` wrote."""
        features = []
        for one in fields["features"]:
            known: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in one.items()
            }
            features.append(Feature(**known))
        sessions = fields["sessions"]
        return cls(tuple(features), None if sessions is None else Sessions(**sessions))


def parse_number(value: Any) -> float | None:
    """A value as a number, if it is one; ``true`` is 1."""
    text = str(value).lower()
    try:
        return float({"true": "1", "false": "0"}.get(text, text))
    except ValueError:
        return None


def value_text(value: Any) -> str:
    """A value as tokens spell it: whole numbers without a fraction."""
    number = parse_number(value) if isinstance(value, int | float | np.number) else None
    return str(value) if number is None else f"{number:.15g}"


def bucket_names(edges: Sequence[float]) -> list[str]:
    """``..e0``, ``e0..e1``, ..., ``eN..``."""
    texts = [value_text(edge) for edge in edges]
    return [f"{a}..{b}" for a, b in zip(["", *texts], [*texts, ""], strict=True)]


def bucket_codes(
    values: Float[np.ndarray, " N"], edges: Sequence[float], known: Sequence[str]
) -> Int[np.ndarray, " N"]:
    """The code of each number's bucket; open where it is missing or its bucket unknown."""
    place = {name: 1 + number for number, name in enumerate(known)}
    code = np.array([place.get(name, UNKNOWN) for name in bucket_names(edges)], dtype=np.int64)
    found = code[np.searchsorted(edges, values, side="right")]
    return np.where(np.isnan(values), UNKNOWN, found)


def value_codes(values: np.ndarray, known: Sequence[str]) -> Int[np.ndarray, " N"]:
    """The code of each number or word; open where it is missing or unknown."""
    unique, inverse = np.unique(values, return_inverse=True)
    place = {text: 1 + number for number, text in enumerate(known)}
    codes = [
        UNKNOWN if is_missing(value) else place.get(value_text(value), UNKNOWN)
        for value in unique.tolist()
    ]
    return np.array(codes, dtype=np.int64)[inverse.reshape(-1)]


def is_missing(value: float | str) -> bool:
    """Whether a column says nothing: no number, or an empty word."""
    return value == "" or value != value


def time_values(
    times: Int[np.ndarray, " N"], is_first: Bool[np.ndarray, " N"], kind: str
) -> Float[np.ndarray, " N"]:
    """Numbers made of times; NaN where they are missing, and of a user's first event's gap.

    Args:
        times: microseconds since 1970.
        is_first: whether an event is its user's first.
        kind: ``gap``: seconds since the event before; ``hour``; ``weekday``, Monday 0; UTC.
    """
    is_known = times != NO_TIME
    seconds = np.where(is_known, times, 0) / MICROSECONDS
    if kind == "hour":
        found = seconds // 3600 % 24
    elif kind == "weekday":
        found = (seconds // 86400 + 3) % 7
    else:
        found = np.diff(seconds, prepend=0.0)
        is_known = is_known & ~is_first & np.roll(is_known, 1)
    return np.where(is_known, found, np.nan)
