"""Tokens whose vectors come from what a title is about, and from its id."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class ContentEmbedding(nn.Module):
    """A token's vector is its own row; an item's is its row, if it has one, plus its content's.

    An item that training never met has no row of its own: its content alone speaks for it. In
    training a share of the rows is left out at random, so that content learns to.

    Source: Volkovs et al. 2017, "DropoutNet: Addressing Cold Start in Recommender Systems".
    """

    content: Float[Tensor, "I F"]
    has_row: Bool[Tensor, " I"]

    def __init__(
        self,
        weight: nn.Parameter,
        *,
        num_items: int,
        first_item_token: int,
        content_width: int,
        row_dropout: float,
    ) -> None:
        """Without content, which ``hold`` takes in.

        Args:
            weight: the tokens' own rows.
            num_items: the catalog's size.
            first_item_token: token of item 0; those of the others follow.
            content_width: width of the contents' vectors.
            row_dropout: share of the items whose rows are left out, at every use in training.
        """
        super().__init__()
        self.items = slice(first_item_token, first_item_token + num_items)
        self.row_dropout = row_dropout
        self.weight = weight
        self.proj = nn.Linear(content_width, weight.shape[1], bias=False)
        self.register_buffer("content", torch.zeros(num_items, content_width))
        self.register_buffer("has_row", torch.ones(num_items, dtype=torch.bool))

    def hold(self, content: Float[Tensor, "I F"], item_counts: Int[Tensor, " I"]) -> None:
        """Take in the items' contents, and which items training meets."""
        self.content.copy_(content)
        self.has_row.copy_(item_counts > 0)

    @property
    def num_met(self) -> int:
        """One past the last item that training meets."""
        met = self.has_row.nonzero()
        return int(met[-1]) + 1 if len(met) else 0

    def forward(self, tokens: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape D"]:
        return F.embedding(tokens, self.table())

    def table(self) -> Float[Tensor, "V D"]:
        """The vectors of all tokens."""
        is_kept = self.has_row
        if self.training and self.row_dropout:
            is_kept = is_kept & (
                torch.rand(len(is_kept), device=is_kept.device) >= self.row_dropout
            )
        before, rows = self.weight[: self.items.start], self.weight[self.items]
        items = rows * is_kept[:, None] + self.proj(self.content)
        return torch.cat([before, items.to(rows.dtype), self.weight[self.items.stop :]])
