"""Tokens whose vectors come from what a title is about, and from its id."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class ContentEmbedding(nn.Module):
    """A token's vector is its own row, to which a known item's content adds; a new one has no row.

    ``proj`` learns with the model what content adds to rows. An item that training never met is
    its content alone, by ``proj_of_new``, which is zero until ``learn_cold_items`` has fitted it.
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
    ) -> None:
        """Without content, which ``load_content`` takes in.

        Args:
            weight: the tokens' own rows.
            num_items: the catalog's size.
            first_item_token: token of item 0; those of the others follow.
            content_width: width of the contents' vectors.
        """
        super().__init__()
        self.items = slice(first_item_token, first_item_token + num_items)
        self.weight = weight
        self.proj = nn.Linear(content_width, weight.shape[1], bias=False)
        self.proj_of_new = nn.Linear(content_width, weight.shape[1])
        for part in self.proj_of_new.parameters():
            nn.init.zeros_(part)
        self.register_buffer("content", torch.zeros(num_items, content_width))
        self.register_buffer("has_row", torch.ones(num_items, dtype=torch.bool))

    def load_content(self, content: Float[Tensor, "I F"], item_counts: Int[Tensor, " I"]) -> None:
        """Take in the items' contents, and which items training meets."""
        self.content.copy_(content)
        self.has_row.copy_(item_counts > 0)

    @property
    def num_met(self) -> int:
        """One past the last item that training meets."""
        return num_rows(self.has_row)

    def forward(self, tokens: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape D"]:
        """The vectors of tokens; content is read of those alone that are there."""
        there, place = tokens.unique(return_inverse=True)
        vectors = F.embedding(there, self.weight)
        is_item = (there >= self.items.start) & (there < self.items.stop)
        at = is_item.nonzero().squeeze(1)
        items = there[at] - self.items.start
        told = self._with_content(vectors[at], self.content[items], self.has_row[items])
        return F.embedding(place, vectors.index_copy(0, at, told))

    def table(self) -> Float[Tensor, "V D"]:
        """The vectors of all tokens."""
        items = self._with_content(self.weight[self.items], self.content, self.has_row)
        return torch.cat([self.weight[: self.items.start], items, self.weight[self.items.stop :]])

    def _with_content(
        self, rows: Float[Tensor, "S D"], content: Float[Tensor, "S F"], has_row: Bool[Tensor, " S"]
    ) -> Float[Tensor, "S D"]:
        """The vectors of some items, from their own rows and what they are about."""
        known = (rows + self.proj(content)).to(rows.dtype)
        new = (~has_row).nonzero().squeeze(1)
        return known.index_copy(0, new, self.proj_of_new(content[new]).to(rows.dtype))


def num_rows(has_row: Bool[Tensor, " I"]) -> int:
    """One past the last item that has a row."""
    items = has_row.nonzero()
    return int(items[-1]) + 1 if len(items) else 0
