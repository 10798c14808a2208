"""The ``data.events`` block: features of the events of a history."""

from typing import Literal

from pydantic import Field, model_validator

from seqrec.config.block import Block
from seqrec.config.limits import MAX_ITEMS, MAX_NORM

DROPOUT_BEFORE, DROPOUT_AFTER = 0.5, 0.1
"""Default dropout of a feature before its item, and after it."""


class FeatureConfig(Block):
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the feature, used in its tokens: <rating=5>."""
    column: str | None = None
    """Column of the log, with numbers or words."""
    item: str | None = None
    """Column of the items, with numbers, words or lists; only the first entry of a list is used."""
    time: Literal["gap", "hour", "weekday"] | None = None
    """Value computed from the log's times: gap (seconds since the user's previous event), hour (of
    the day) or weekday."""
    buckets: list[float] | None = Field(default=None, min_length=1)
    """Lower edges of the buckets of a numeric feature, in increasing order; a number belongs to the
    last bucket whose edge is not above it. null: each value is its own bucket."""
    place: Literal["after", "before"] = "after"
    """Position of its token: after its item, or before it."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Share of the events in which the feature is masked as unknown in training, so that the model
    also works without it; null: a high share before the item, a low one after it, and 0 after it
    if the item determines the value."""
    is_learned: bool = False
    """Also train the model to predict this feature."""
    max_values: int = Field(default=100, gt=0, le=MAX_ITEMS)
    """Largest number of distinct values; others are an error."""
    drop: list[str | float] = []
    """Values whose events are removed from histories, so that older events fit in a window."""

    @property
    def dropout_rate(self) -> float:
        """``dropout``, or the share that null stands for."""
        if self.dropout is not None:
            return self.dropout
        if self.place == "before":
            return DROPOUT_BEFORE
        return 0.0 if self.item is not None else DROPOUT_AFTER

    @model_validator(mode="after")
    def _check_source(self) -> "FeatureConfig":
        given = [key for key in ("column", "item", "time") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"feature {self.name}: name one of column, item, time")
        if self.column == "time":
            raise ValueError(
                f"feature {self.name}: column time is not a feature; set time: gap, hour or weekday"
            )
        return self

    @model_validator(mode="after")
    def _check_buckets(self) -> "FeatureConfig":
        edges = self.buckets or []
        if any(a >= b for a, b in zip(edges[:-1], edges[1:], strict=True)):
            raise ValueError(
                f"feature {self.name}: buckets {edges} overlap; write the edges in increasing order"
            )
        if self.time == "gap" and self.buckets is None:
            raise ValueError(f"feature {self.name}: a gap needs buckets, in seconds")
        return self

    @model_validator(mode="after")
    def _check_dropout(self) -> "FeatureConfig":
        if self.place == "before" and self.time is None and self.dropout == 0:
            raise ValueError(
                f"feature {self.name}: dropout must be above 0 before the item, because a "
                "request without this condition masks it"
            )
        return self


class SessionsConfig(Block):
    series: str
    """Column of the items, or else of the log, with the series that an item belongs to."""
    gap_seconds: float = Field(ge=0, le=MAX_NORM)
    """Largest time between two consecutive events of a session, in seconds."""


BINGED = "binged"
"""The feature that marks merged sessions: yes or no."""


class EventsConfig(Block):
    features: list[FeatureConfig] = []
    """Features of an event, in the order of its tokens; those before the next item come last."""
    target_time: bool = False
    """Allow time features before the item. The model then knows the target's time, and its results
    state it."""
    sessions: SessionsConfig | None = None
    """Merge consecutive events of one series into one event, marked <binged=yes>; null: do not
    merge."""
    max_tokens: int | None = Field(default=None, gt=0, le=MAX_ITEMS)
    """Largest number of tokens that the model reads at once; data.max_length is reduced to the
    events that fit. null: no limit beside data.max_length."""

    @property
    def num_features(self) -> int:
        """Number of features of an event, including that of sessions."""
        return len(self.features) + (self.sessions is not None)

    @property
    def shortens_histories(self) -> bool:
        """Histories become shorter, because events are merged or removed."""
        return self.sessions is not None or any(one.drop for one in self.features)

    @model_validator(mode="after")
    def _check_not_empty(self) -> "EventsConfig":
        if not self.features and self.sessions is None:
            raise ValueError("name features or sessions")
        return self

    @model_validator(mode="after")
    def _check_names(self) -> "EventsConfig":
        names = [feature.name for feature in self.features]
        names += [BINGED] * (self.sessions is not None)
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"feature {name} is named twice; choose another name")
        return self

    @model_validator(mode="after")
    def _check_target_time(self) -> "EventsConfig":
        early = [one for one in self.features if one.time and one.place == "before"]
        if early and not self.target_time:
            raise ValueError(
                f"feature {early[0].name}: a time before the item reveals the target's time; "
                "set place: after, or target_time: true, which results will state"
            )
        if self.target_time and not early:
            raise ValueError("target_time: no time feature is before its item; set it to false")
        return self

    @model_validator(mode="after")
    def _check_learned_features(self) -> "EventsConfig":
        """Only known or learned features may precede a learned one, so that its probability is
        computable for an item without an event."""
        after = [one for one in self.features if one.place == "after"]
        for number, one in enumerate(after):
            unknown = [b.name for b in after[:number] if not b.is_learned and b.item is None]
            if one.is_learned and unknown:
                raise ValueError(
                    f"feature {one.name}: is learned, but follows {unknown[0]}, which is unknown "
                    "when its probability is computed; put it first"
                )
        return self
