"""The ``data.events`` block: what a history says beside its titles."""

from typing import Literal

from pydantic import Field, model_validator

from seqrec.config.block import Block


class BehaviourConfig(Block):
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
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Of a behaviour before its title: how often it is left open in training, so that the model
    can be asked without."""
    is_learned: bool = False
    """Learn to say it, too."""
    max_values: int = Field(default=100, gt=0)
    """Values that it may have."""

    @model_validator(mode="after")
    def _it_comes_from_somewhere(self) -> "BehaviourConfig":
        given = [key for key in ("column", "item", "time") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"behaviour {self.name}: name one of column, item, time")
        edges = self.buckets or []
        if any(a >= b for a, b in zip(edges[:-1], edges[1:], strict=True)):
            raise ValueError(
                f"behaviour {self.name}: buckets {edges} must grow from edge to edge, or they "
                "overlap"
            )
        if self.time == "gap" and self.buckets is None:
            raise ValueError(f"behaviour {self.name}: a gap needs buckets, in seconds")
        return self


class EventsConfig(Block):
    behaviours: list[BehaviourConfig] = Field(min_length=1)
    """What is told of each event, in the order of its tokens."""
    target_time: bool = False
    """Allow times of an event before its title: the model then knows when the target will be, and
    its results say so."""

    @model_validator(mode="after")
    def _names_differ_and_nothing_is_given_away(self) -> "EventsConfig":
        names = [behaviour.name for behaviour in self.behaviours]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"behaviour {name} stands there twice")
        for behaviour in self.behaviours:
            if behaviour.time and behaviour.place == "before" and not self.target_time:
                raise ValueError(
                    f"behaviour {behaviour.name}: before its title a time tells when the target "
                    "will be; place it after, or set target_time: true, which results will say"
                )
        return self
