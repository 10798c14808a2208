"""The event grammar: features of events as tokens around each item.

An event is a block of tokens of one size: its item, the features that follow it, and the
features that stand before the next item::

    <item:318> <rating=5> <gap=86400..604800> <wanted=?>

The next item is predicted from the last token of a block. Between two items, only the features
that are placed before their item come from the next event.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_type_hints

import numpy as np
from jaxtyping import Bool, Int

from seqrec.errors import SeqRecError
from seqrec.files import check_types
from seqrec.tokens.events.features import Feature
from seqrec.tokens.events.times import NO_TIME_INPUT, PAST_TIMES, TARGET_TIME, TIME_COLUMN


@dataclass(frozen=True)
class Sessions:
    """Rule of sessions: consecutive events of one series are merged."""

    source: Literal["column", "item"]
    key: str
    """The column with the name of the series."""
    gap_seconds: float
    """Largest gap between two events of a session."""


@dataclass(frozen=True)
class Grammar:
    """All features, in the order of their tokens: those after their item come first.

    Without features a model reads items, and at most the times of events.
    """

    features: tuple[Feature, ...]
    sessions: Sessions | None = None
    times: Literal["past_times", "target_time"] | None = None
    """Times that the model's attention reads beside the tokens: those of past events, or also the
    time of the target."""

    @property
    def is_before(self) -> Bool[np.ndarray, " C"]:
        """True for every feature that stands before its item."""
        return np.array([one.place == "before" for one in self.features], dtype=bool)

    @property
    def is_target_time(self) -> Bool[np.ndarray, " C"]:
        """True for every feature that gives the model the time of the target."""
        given = [one.place == "before" and one.source == "time" for one in self.features]
        return np.array(given, dtype=bool)

    @property
    def is_learned(self) -> Bool[np.ndarray, " C"]:
        """True for every feature that the model learns to predict."""
        return np.array([one.is_learned for one in self.features], dtype=bool)

    @property
    def plan_indices(self) -> list[int]:
        """The indices of the features that a model can plan with: learned, and before the item."""
        return np.flatnonzero(self.is_before & self.is_learned).tolist()

    @property
    def words(self) -> list[str]:
        """The tokens of all features."""
        return [word for feature in self.features for word in feature.words]

    @property
    def first_code(self) -> Int[np.ndarray, " C"]:
        """The index of every feature's unknown token among all words."""
        sizes = [feature.num_codes for feature in self.features]
        return np.cumsum([0, *sizes[:-1]])

    @property
    def columns(self) -> list[str]:
        """The columns of the log that the features are read from."""
        names = [one.column for one in self.features if one.column is not None]
        names += [TIME_COLUMN] * (self.times is not None)
        if self.sessions is not None:
            names += [TIME_COLUMN] + [self.sessions.key] * (self.sessions.source == "column")
        return list(dict.fromkeys(names))

    @property
    def gaps(self) -> list[Feature]:
        """The features with the time since the previous event."""
        return [one for one in self.features if one.source == "time" and one.key == "gap"]

    @property
    def session_index(self) -> int | None:
        """The index of the session feature; None if there is none."""
        sources = [one.source for one in self.features]
        return sources.index("session") if "session" in sources else None

    @property
    def shortens_histories(self) -> bool:
        """True if it merges or drops events."""
        return self.sessions is not None or any(one.dropped for one in self.features)

    @property
    def time_input(self) -> str:
        """The time input of the model, for the protocol of its results."""
        if self.is_target_time.any() or self.times == "target_time":
            return TARGET_TIME
        return PAST_TIMES if TIME_COLUMN in self.columns else NO_TIME_INPUT

    def find_feature(self, name: str, place: Literal["after", "before"], source: str) -> int:
        """Return the index of the feature with a name, or else of the one read from that column.

        Args:
            name: name of the feature or of its column.
            place: its place relative to its item.
            source: the setting that names it, for the error.

        Raises:
            SeqRecError: there is no such feature.
        """
        here = [n for n, one in enumerate(self.features) if one.place == place]
        for has_name in (lambda one: one.name == name, lambda one: one.key == name):
            for number in here:
                if has_name(self.features[number]):
                    return number
        names = ", ".join(self.features[number].name for number in here) or "none"
        raise SeqRecError(
            f"{source}: no such feature; features {place} an item that the model knows: {names}"
        )

    def get_code(self, number: int, value: Any, source: str) -> int:
        """Return the code of a feature's value.

        Args:
            number: index of the feature.
            value: its value, in any spelling.
            source: the setting that names it, for the error.

        Raises:
            SeqRecError: the value did not occur in training.
        """
        feature = self.features[number]
        code = feature.code_of(value)
        if code is None:
            raise SeqRecError(
                f"{source}: not in the training data; {feature.name} is one of "
                f"{', '.join(feature.values)}"
            )
        return code

    def to_dict(self) -> dict[str, Any]:
        """Return the features and sessions for ``config.json``."""
        return {
            "features": [
                {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(one).items()}
                for one in self.features
            ],
            "sessions": None if self.sessions is None else asdict(self.sessions),
        }

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Grammar":
        """Return the grammar that ``to_dict`` wrote."""
        where = "config.json: events"
        check_types(fields, {"features": list[dict], "sessions": dict | None}, where)
        features = []
        for one in fields["features"]:
            check_types({"dropped": [], **one}, get_type_hints(Feature), where)
            known: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in one.items()
            }
            features.append(Feature(**known))
        sessions = fields["sessions"]
        if sessions is not None:
            check_types(sessions, get_type_hints(Sessions), f"{where}: sessions")
        return cls(tuple(features), None if sessions is None else Sessions(**sessions))
