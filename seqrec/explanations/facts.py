"""The facts that explain why an item is listed: nothing else may be said of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from seqrec.explanations.mentions import say_title


class Counted(NamedTuple):
    """Interactions of training that went on from one title to another."""

    times: int
    """Times that the other title was among the next few after the first."""
    watched: int
    """Interactions with the first title."""


@dataclass(frozen=True)
class Cause:
    """A title of the history without which the item would stand lower."""

    item: int
    """Its row of the catalog."""
    item_id: str
    title: str
    rank_without: int
    """The rank of the explained item if this title alone is left out."""
    factor: float | None
    """Probability of the item with this title, over that without it; None if it is unknown."""
    counted: Counted | None
    """None: unknown, or never."""
    shared: Mapping[str, tuple[str, ...]]
    """Values of columns that it has in common with the item."""
    is_asked: bool = False
    """The request names it; else it was watched."""

    @property
    def name(self) -> str:
        """The title as a sentence has it."""
        return say_title(self.title)


@dataclass(frozen=True)
class SentenceFacts:
    """Why an item is listed."""

    item: int
    """Its row of the catalog."""
    title: str
    rank: int
    """Among the items that are not in the history."""
    causes: tuple[Cause, ...]
    """Titles chosen by what leaving them out does; empty without a history."""
    rank_without: int
    """The rank if all causes are left out."""
    rank_alone: int
    """The rank if the causes are the whole history."""
    num_watched: int
    """Titles of the history."""
    num_interactions: int
    """Interactions with the item in training."""
    wishes: tuple[str, ...] = ()
    """Parts of the request that the item fulfils, in words."""
    about: str = ""
    """Text of the item's own, such as its plot."""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    year: int | None = None

    @property
    def name(self) -> str:
        """The title as a sentence has it."""
        return say_title(self.title)

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON holds them."""
        return {
            "rank": self.rank,
            "rank_without": self.rank_without,
            "rank_alone": self.rank_alone,
            "wishes": list(self.wishes),
            "because": [
                {
                    "item_id": one.item_id,
                    "title": one.title,
                    "rank_without": one.rank_without,
                    "factor": one.factor,
                    "followed": None if one.counted is None else one.counted._asdict(),
                    "shared": {column: list(values) for column, values in one.shared.items()},
                    "is_asked": one.is_asked,
                }
                for one in self.causes
            ],
        }
