"""The block ``model.transition_prior``: how transition counts become scores of next items."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from seqrec.config.block import Block
from seqrec.config.limits import MAX_FACTOR, MAX_ITEMS, MAX_LIST


class PriorConfig(Block):
    strength: float | None = Field(default=None, gt=0, le=MAX_FACTOR)
    """Factor on the prior's log-probabilities; the decoder is trained with them added to its
    logits. null: the decoder is trained without the prior, and validation chooses the factor
    afterwards; with a teacher that has a prior: the teacher's factor."""
    max_edges: int | None = Field(default=None, gt=0, le=MAX_ITEMS)
    """Largest number of following items stored for each item, the most frequent ones; null: all."""


class MeanPriorConfig(PriorConfig):
    name: Literal["mean"] = "mean"
    """The mean of the transition probabilities of the last items."""
    max_steps: int = Field(default=10, gt=0, le=MAX_LIST)
    """Largest distance, in items, between two items of a history that count as a transition; also
    the number of recent items that predict the next one."""
    step_decay: float = Field(default=0.5, gt=0, le=1)
    """Weight of a transition over n + 1 steps, relative to one over n steps."""
    query_decay: float = Field(default=0.7, gt=0, le=1)
    """Weight of a recent item's transitions, relative to those of the item after it."""
    smoothing: float = Field(default=30.0, gt=0, le=MAX_FACTOR)
    """Pseudo-count of transitions that popularity contributes to every item."""


class ProductPriorConfig(PriorConfig):
    name: Literal["product"]
    """The product of the transition probabilities of all items of the history (PCTM)."""
    max_steps: int = Field(default=20, gt=0, le=MAX_LIST)
    """Largest distance, in items, between two items of a history that count as a transition."""
    distance_exponent: float = Field(default=1.0, ge=0, le=10)
    """A transition over n steps counts n to the power of minus this number."""
    smoothing: float = Field(default=150.0, gt=0, le=MAX_FACTOR)
    """Pseudo-count of transitions from every item, even over the catalog."""
    max_items: int = Field(default=200, gt=0, le=MAX_LIST)
    """Number of last items of a history that predict the next one."""
    recent_items: int = Field(default=7, gt=0, le=MAX_LIST)
    """Number of last items that have recent_share of the weight."""
    recent_share: float = Field(default=0.8, gt=0, le=1)
    """Their share of the weight; earlier items share the rest evenly."""
    history_decay: float = Field(default=0.6, gt=0, le=1)
    """Weight of one of the last items, relative to the item after it."""
    popularity_penalty: float = Field(default=0.4, ge=-10, le=10)
    """Exponent by which popularity divides the product."""


def _get_prior_name(value: Any) -> str:
    """Return the name of a prior's settings; a block without a name is the mean."""
    return value.get("name", "mean") if isinstance(value, dict) else getattr(value, "name", "mean")


TransitionPriorConfig = Annotated[
    Annotated[MeanPriorConfig, Tag("mean")] | Annotated[ProductPriorConfig, Tag("product")],
    Discriminator(_get_prior_name),
]
