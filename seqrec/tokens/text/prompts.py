"""Requests in words as tokens, with the items that they name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from jaxtyping import Int


@dataclass(eq=False)
class Prompts(Sequence):
    """Requests as a model with two heads reads them.

    It equals the list of its arrays of items, read as a sequence.
    """

    items: Sequence[Int[np.ndarray, " T"]]
    """The items that every request names, those of its history first."""
    tokens: Sequence[list[int]]
    """The tokens of every request, up to the place where the answer begins."""

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, place: int) -> Int[np.ndarray, " T"]: ...

    @overload
    def __getitem__(self, place: slice) -> "Prompts": ...

    def __getitem__(self, place: int | slice) -> "Int[np.ndarray, ' T'] | Prompts":
        if isinstance(place, slice):
            return Prompts(self.items[place], self.tokens[place])
        return self.items[place]

    def __iter__(self) -> Iterator[Int[np.ndarray, " T"]]:
        return iter(self.items)

    def at(self, places: Int[np.ndarray, " P"]) -> "Prompts":
        """Return the requests at some indices."""
        return Prompts(*([of[place] for place in places] for of in (self.items, self.tokens)))
