"""The event grammar: what a history says beside its titles, as tokens around each title.

An event is a block of tokens of one size: its title, what is told after it, and what is told
before the next title::

    <item:318> <rating=5> <gap=86400..604800> <wanted=?>

The next title is predicted from the last token of a block. Nothing between a title and the next
one comes from the next event, but for features that are placed before their title.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int

from seqrec.errors import SeqRecError
from seqrec.tokens.events.features import Feature
from seqrec.tokens.events.times import NO_TIME_INPUT, PAST_TIMES, TARGET_TIME, TIME_COLUMN


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
