"""Token embeddings that combine an item's own row with a projection of its content."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seqrec.losses import host


class ContentEmbedding(nn.Module):
    """Embedding whose item vectors are row plus projected content, or content only.

    ``proj`` is trained with the model and projects the content that is added to a row. A
    cold-start item has no row: its vector is ``proj_of_new`` of its content, which is zero from
    ``load_content`` until ``learn_cold_items`` has fitted it.
    """

    content: Float[Tensor, "I F"]
    has_row: Bool[Tensor, " I"]

    def __init__(
        self,
        weight: Tensor,
        *,
        num_items: int,
        first_item_token: int,
        content_width: int,
    ) -> None:
        """Initialise with zero content; ``load_content`` sets it.

        Args:
            weight: the rows of the tokens.
            num_items: catalog size.
            first_item_token: token of item 0; the other items follow.
            content_width: width of the content vectors.
        """
        super().__init__()
        self.items = slice(first_item_token, first_item_token + num_items)
        self.weight = nn.Parameter(weight.detach())
        self.proj = nn.Linear(content_width, weight.shape[1], bias=False)
        self.proj_of_new = nn.Linear(content_width, weight.shape[1])
        self.register_buffer("content", torch.zeros(num_items, content_width))
        self.register_buffer("has_row", torch.ones(num_items, dtype=torch.bool))

    def load_content(self, content: Float[Tensor, "I F"], item_counts: Int[Tensor, " I"]) -> None:
        """Set the content of a new model's items, and which of them occur in training."""
        self.content.copy_(content)
        self.has_row.copy_(item_counts > 0)
        for part in self.proj_of_new.parameters():
            nn.init.zeros_(part)

    @property
    def num_met(self) -> int:
        """One past the last item that occurs in training."""
        return num_rows(self.has_row)

    def forward(self, tokens: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape D"]:
        """Return the vectors of tokens.

        Content is projected once for each different token on a CPU, and for every position on a
        GPU, whose host would wait for the number of different ones.
        """
        if not host.is_on_host(tokens):
            return self._vectors(tokens)
        distinct, inverse = tokens.unique(return_inverse=True)
        return F.embedding(inverse, self._vectors(distinct))

    def _vectors(self, tokens: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape D"]:
        """Return the vector of every token."""
        rows = F.embedding(tokens, self.weight)
        is_item = (tokens >= self.items.start) & (tokens < self.items.stop)
        items = (tokens - self.items.start).clamp(0, len(self.content) - 1)
        combined = self._with_content(rows, self.content[items], self.has_row[items])
        return torch.where(is_item[..., None], combined, rows)

    def table(self) -> Float[Tensor, "V D"]:
        """Return the vectors of all tokens."""
        items = self._with_content(self.weight[self.items], self.content, self.has_row)
        return torch.cat([self.weight[: self.items.start], items, self.weight[self.items.stop :]])

    def _with_content(
        self,
        rows: Float[Tensor, "*shape D"],
        content: Float[Tensor, "*shape F"],
        has_row: Bool[Tensor, "*shape"],
    ) -> Float[Tensor, "*shape D"]:
        """Return the vectors of some items, from their rows and content."""
        known = (rows + self.proj(content)).to(rows.dtype)
        if not host.is_on_host(rows):
            new_vectors = self.proj_of_new(content).to(rows.dtype)
            return torch.where(has_row[..., None], known, new_vectors)
        new = (~has_row).nonzero().squeeze(1)
        return known.index_copy(0, new, self.proj_of_new(content[new]).to(rows.dtype))


def num_rows(has_row: Bool[Tensor, " I"]) -> int:
    """Return one past the last item that has a row."""
    items = has_row.nonzero()
    return int(items[-1]) + 1 if len(items) else 0
