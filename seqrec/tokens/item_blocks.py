"""Items as blocks of tokens: the one place that knows how many tokens an item takes."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, TypeVar

Array = TypeVar("Array")
"""A NumPy array or a torch tensor of integers."""


class ItemBlocks(ABC):
    """The tokens of every item of a catalog, ``length`` of them an item.

    All code that turns items into tokens, or tokens into items, does it here, and lays rows out
    in blocks: item ``s`` of a row takes the positions ``s * length : (s + 1) * length``, and the
    next item is predicted at ``last_position(s)``. The methods use plain arithmetic, so that they
    take NumPy arrays and torch tensors alike::

        blocks = model.config.item_blocks
        input_ids = blocks.encode(items).flatten(-2)  # [B, T] items as [B, T * length] tokens
        items = blocks.decode(input_ids.unflatten(-1, (-1, blocks.length)))

    Semantic IDs are one more implementation: ``length`` code words an item, ``encode`` a lookup
    in the table of codes, ``decode`` a search in it.
    """

    first_token: int
    """The first of the consecutive tokens that items are written with."""
    num_items: int
    length: int
    """Tokens of an item."""

    @abstractmethod
    def encode(self, items: Array) -> Array:
        """Return the tokens ``[..., length]`` of items ``[...]``, all of the catalog."""

    @abstractmethod
    def decode(self, tokens: Array) -> Array:
        """Return the items ``[...]`` of blocks ``[..., length]``; -1 where a block is no item."""

    def last_position(self, slot: Array) -> Array:
        """Return the position of the last token of the ``slot``-th item of a row."""
        number: Any = slot
        return number * self.length + (self.length - 1)


@dataclass(frozen=True)
class OneTokenItems(ItemBlocks):
    """One token an item: item ``i`` has token ``first_token + i``."""

    first_token: int
    num_items: int
    length = 1

    def encode(self, items: Array) -> Array:
        numbers: Any = items
        return (numbers + self.first_token)[..., None]

    def decode(self, tokens: Array) -> Array:
        words: Any = tokens
        items = words[..., 0] - self.first_token
        return (items + 1) * ((items >= 0) & (items < self.num_items)) - 1


def event_block_size(item_length: int, num_features: int) -> int:
    """Return the tokens of an event: those of its item, and one for every feature."""
    return item_length + num_features
