"""The ``data.events`` block: what a history says beside its titles."""

from typing import Literal

from pydantic import Field, model_validator

from seqrec.config.block import Block

OFTEN, SELDOM = 0.5, 0.1
"""How often a feature is left open in training before its title, and after it."""


class FeatureConfig(Block):
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """What its tokens are called: <rating=5>."""
    column: str | None = None
    """Column of the log: numbers or words."""
    item: str | None = None
    """Column of the items: numbers, words, or lists, of which the first entry counts."""
    time: Literal["gap", "hour", "weekday"] | None = None
    """Of the log's times: seconds since the user's last event, hour of the day, day of the week."""
    buckets: list[float] | None = Field(default=None, min_length=1)
    """Edges that part numbers, smallest first: a number belongs to the bucket that starts at the
    last edge not above it. null: every value is one of its own."""
    place: Literal["after", "before"] = "after"
    """Where its token stands: after its title, or before it."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """How often it is left open in training, so that the model can be asked without; null: often
    before its title, seldom after it, and never where the title itself says it."""
    is_learned: bool = False
    """Learn to say it, too."""
    max_values: int = Field(default=100, gt=0)
    """Values that it may have."""
    drop: list[str | float] = []
    """Values whose events are left out of histories, so that older ones find room."""

    @property
    def open_share(self) -> float:
        """``dropout``, or what stands for null."""
        if self.dropout is not None:
            return self.dropout
        if self.place == "before":
            return OFTEN
        return 0.0 if self.item is not None else SELDOM

    @model_validator(mode="after")
    def _it_comes_from_somewhere(self) -> "FeatureConfig":
        given = [key for key in ("column", "item", "time") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"feature {self.name}: name one of column, item, time")
        if self.column == "time":
            raise ValueError(f"feature {self.name}: of times, take time: gap, hour or weekday")
        return self

    @model_validator(mode="after")
    def _buckets_neither_overlap_nor_lack(self) -> "FeatureConfig":
        edges = self.buckets or []
        if any(a >= b for a, b in zip(edges[:-1], edges[1:], strict=True)):
            raise ValueError(
                f"feature {self.name}: buckets {edges} must grow from edge to edge, or they overlap"
            )
        if self.time == "gap" and self.buckets is None:
            raise ValueError(f"feature {self.name}: a gap needs buckets, in seconds")
        return self

    @model_validator(mode="after")
    def _the_model_can_be_asked_without(self) -> "FeatureConfig":
        if self.place == "before" and self.time is None and self.dropout == 0:
            raise ValueError(
                f"feature {self.name}: before its title it is left open unless somebody asks "
                "for it; dropout must be above 0"
            )
        return self


class SessionsConfig(Block):
    series: str
    """Column of the items, or else of the log, that names the series of a title."""
    gap_seconds: float = Field(ge=0)
    """How far apart two events of a session may be."""


BINGED = "binged"
"""The feature of a session: yes or no."""


class EventsConfig(Block):
    features: list[FeatureConfig] = []
    """What is told of each event, in the order of its tokens; those before the next title stand
    last."""
    target_time: bool = False
    """Allow times of an event before its title: the model then knows when the target will be, and
    its results say so."""
    sessions: SessionsConfig | None = None
    """Merge events of one series that follow each other at once into one, which <binged=yes>
    says; null: each stands for itself."""
    max_tokens: int | None = Field(default=None, gt=0)
    """Tokens of a history that the model reads at once: data.max_length becomes the events that
    fit, if that is fewer. null: it stands."""

    @property
    def num_features(self) -> int:
        """Features of an event, that of sessions included."""
        return len(self.features) + (self.sessions is not None)

    @property
    def shortens_histories(self) -> bool:
        """Whether histories get shorter by it."""
        return self.sessions is not None or any(one.drop for one in self.features)

    @model_validator(mode="after")
    def _something_is_told(self) -> "EventsConfig":
        if not self.features and self.sessions is None:
            raise ValueError("name features or sessions")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> "EventsConfig":
        names = [feature.name for feature in self.features]
        names += [BINGED] * (self.sessions is not None)
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"feature {name} stands there twice")
        return self

    @model_validator(mode="after")
    def _nothing_is_given_away(self) -> "EventsConfig":
        early = [one for one in self.features if one.time and one.place == "before"]
        if early and not self.target_time:
            raise ValueError(
                f"feature {early[0].name}: before its title a time tells when the target "
                "will be; place it after, or set target_time: true, which results will say"
            )
        if self.target_time and not early:
            raise ValueError("target_time: no feature is a time before its title")
        return self

    @model_validator(mode="after")
    def _what_is_learned_follows_from_the_title(self) -> "EventsConfig":
        """So that its likelihood can be told of a title that was not watched yet."""
        after = [one for one in self.features if one.place == "after"]
        for number, one in enumerate(after):
            unknown = [b.name for b in after[:number] if not b.is_learned and b.item is None]
            if one.is_learned and unknown:
                raise ValueError(
                    f"feature {one.name}: is learned, so put it ahead of {unknown[0]}, which "
                    "nobody knows when its likelihood is asked for"
                )
        return self
