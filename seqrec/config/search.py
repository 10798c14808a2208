"""Search spaces: the settings that ``tune`` tries for a recipe or a baseline."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from seqrec.config.block import Block
from seqrec.errors import SeqRecError


class Range(Block):
    low: int | float
    """Smallest value; only whole numbers are tried if low and high are whole."""
    high: int | float
    """Largest value."""
    log: bool = False
    """Draw on a logarithmic scale: as often between 1 and 10 as between 10 and 100."""

    @model_validator(mode="after")
    def _check_bounds(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low} must be above 0 if log is true")
        return self

    @property
    def is_whole(self) -> bool:
        """Only whole numbers are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def examples(self) -> list[int | float]:
        """Values by which to check that the setting accepts the range."""
        fraction = [] if self.is_whole else [self.low + (self.high - self.low) / 2**0.5]
        return [self.low, self.high, *fraction]

    def contains(self, value: Any) -> bool:
        """Test whether the value is in the range."""
        is_number = isinstance(value, int if self.is_whole else int | float)
        return is_number and not isinstance(value, bool) and self.low <= value <= self.high


Choice = Annotated[list[Any], Field(min_length=1)]
SearchSpace = dict[str, Range | Choice]
"""A range or a list of choices for each dotted key."""


def parse_space(settings: Any, where: str) -> SearchSpace:
    """Parse a ``search`` block.

    Args:
        settings: the YAML mapping ``{key.path: {low: .., high: ..}, key.path: [..]}``.
        where: name of the block in messages.

    Raises:
        SeqRecError: the block has another shape.
    """
    if not isinstance(settings, dict) or not settings:
        raise SeqRecError(f"{where}: write key.path: {{low: .., high: ..}} or key.path: [..]")
    space: SearchSpace = {}
    for key, value in settings.items():
        kind: Any = Choice if isinstance(value, list) else Range
        try:
            space[str(key)] = TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            path = ".".join(map(str, (key, *first["loc"])))
            reason = first["msg"].removeprefix("Value error, ")
            raise SeqRecError(f"{where}: {path}: {reason}") from error
    return space


def space_settings(space: SearchSpace) -> dict[str, Any]:
    """The ``search`` block of a space; ``parse_space`` inverts it."""
    return {
        key: values.model_dump() if isinstance(values, Range) else values
        for key, values in space.items()
    }


RECIPE_SPACE = parse_space(
    {
        "trainer.learning_rate": {"low": 3e-4, "high": 1e-2, "log": True},
        "trainer.weight_decay": [0.0, 0.01, 0.1],
        "model.dropout": {"low": 0.0, "high": 0.5},
        "model.hidden_size": [64, 128],
        "model.num_hidden_layers": [1, 2, 3],
    },
    "default search",
)
"""The search space of ``tune`` for a recipe without a ``search`` block."""

_DECAY = {"low": 0.3, "high": 1.0}

BASELINE_SPACES = {
    name: parse_space(settings, name)
    for name, settings in {
        "recent-popularity": {"recent_share": {"low": 0.001, "high": 1.0, "log": True}},
        "transition-graph": {
            "max_steps": {"low": 1, "high": 20},
            "edge_decay": {"low": 0.3, "high": 1.0},
            "history_decay": {"low": 0.3, "high": 1.0},
        },
        "seq-rules": {
            "max_steps": [5, 10, 20, 30],
            "distances": ["inverse", "logarithmic"],
            "num_rules": {"low": 20, "high": 2000, "log": True},
            "rarity_power": {"low": 0.0, "high": 1.0},
            "history_items": {"low": 1, "high": 30},
            "history_exponent": {"low": 0.5, "high": 3.0},
        },
        "pctm": {
            "max_steps": [10, 20],
            "distance_exponent": [0.5, 1.0],
            "smoothing": {"low": 50.0, "high": 20000.0, "log": True},
            "recent_share": [0.8, 1.0],
            "history_decay": {"low": 0.5, "high": 0.8},
            "popularity_penalty": {"low": 0.0, "high": 0.5},
        },
        "item-knn": {
            "num_neighbours": {"low": 20, "high": 2000, "log": True},
            "shrinkage": {"low": 0.1, "high": 100.0, "log": True},
            "target_power": {"low": 0.2, "high": 0.8},
            "history_decay": _DECAY,
        },
        "ease": {"l2": {"low": 10.0, "high": 3000.0, "log": True}, "history_decay": _DECAY},
        "als": {
            "factors": [64, 128, 256],
            "regularization": {"low": 0.001, "high": 100.0, "log": True},
            "alpha": {"low": 0.5, "high": 50.0, "log": True},
            "history_decay": _DECAY,
        },
        "bpr": {
            "factors": [32, 64, 128],
            "learning_rate": {"low": 0.01, "high": 0.2, "log": True},
            "regularization": {"low": 0.0003, "high": 0.1, "log": True},
            "iterations": [50, 100, 200],
            "history_decay": _DECAY,
        },
    }.items()
}
"""The search spaces of ``evaluate --tune-baselines``; other baselines have no settings."""
