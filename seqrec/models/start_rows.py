"""Rows that new words of a vocabulary start from: at random, from their text."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

StartRows = Callable[[Float[Tensor, "V D"]], Float[Tensor, "W D"]]
"""From the rows of the old words in a table to a row for each new word. Tables are the input
embedding, and an untied head."""


def random_rows(num_words: int) -> StartRows:
    """Return rows that are drawn at the scale of the old ones, from torch's generator.

    Every unit is normal, with the mean and the standard deviation that it has over the old rows.
    """

    def draw(table: Float[Tensor, "V D"]) -> Float[Tensor, "W D"]:
        old = table.float()
        spread = old.std(dim=0, correction=0)
        return old.mean(dim=0) + spread * torch.randn(num_words, table.shape[1])

    return draw


def mean_rows(texts: Sequence[Sequence[int]]) -> StartRows:
    """Return rows that are the means of the rows of a text's tokens.

    Args:
        texts: tokens of the text of each new word. A word without any starts from the mean of
            all old rows.
    """

    def average(table: Float[Tensor, "V D"]) -> Float[Tensor, "W D"]:
        mean = table.float().mean(dim=0)
        rows = [table[list(text)].float().mean(dim=0) if len(text) else mean for text in texts]
        return torch.stack(rows) if rows else table.new_empty(0, table.shape[1])

    return average
