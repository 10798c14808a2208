"""Catalog heads: the item vectors whose products with a state are the items' scores.

A new kind of head is one class here, a line in ``build_head``, and a member of ``model.head``.
"""

from abc import ABC, abstractmethod

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class CatalogHead(nn.Module, ABC):
    """The vectors of a catalog's items, and the states that are multiplied with them."""

    project: nn.Module
    """Maps a decoder's states to the width of item vectors."""

    @abstractmethod
    def forward(self, token_weight: Float[Tensor, "V D"]) -> Float[Tensor, "I W"]:
        """Return the vector of every item, without padding and special tokens."""

    @abstractmethod
    def rows(self, embedding: nn.Module, items: Int[Tensor, " S"]) -> Float[Tensor, "S W"]:
        """Return the vectors of some items; the gradient is sparse if the table's is."""

    @property
    def tables(self) -> list[nn.Embedding]:
        """Item vectors of the head itself, beside those of the decoder."""
        return [part for part in self.children() if isinstance(part, nn.Embedding)]

    def init_weights(self, std: float) -> None:
        """Draw the head's own weights; states keep their length through a projection."""
        for table in self.tables:
            nn.init.normal_(table.weight, std=std)
        for part in self.project.parameters():
            nn.init.normal_(part, std=part.shape[0] ** -0.5)


class TiedCatalogHead(CatalogHead):
    """Head whose item vectors are the items' token embeddings."""

    def __init__(self, num_items: int, first_item_token: int) -> None:
        super().__init__()
        self.project = nn.Identity()
        self.num_items = num_items
        self.first_item_token = first_item_token

    def forward(self, token_weight: Float[Tensor, "V D"]) -> Float[Tensor, "I D"]:
        """Return the item rows of the token embedding, a view without padding or special tokens."""
        return token_weight[self.first_item_token : self.first_item_token + self.num_items]

    def rows(self, embedding: nn.Module, items: Int[Tensor, " S"]) -> Float[Tensor, "S D"]:
        return read_rows(embedding, items + self.first_item_token)


class UntiedCatalogHead(CatalogHead):
    """Head with item vectors of its own."""

    def __init__(self, num_items: int, padded_num_items: int, width: int) -> None:
        super().__init__()
        self.project: nn.Module = nn.Identity()
        self.num_items = num_items
        self.table = nn.Embedding(padded_num_items, width)

    def forward(self, token_weight: Float[Tensor, "V D"]) -> Float[Tensor, "I W"]:
        """Return the head's rows without padding; the token embedding is not read."""
        return self.table.weight[: self.num_items]

    def rows(self, embedding: nn.Module, items: Int[Tensor, " S"]) -> Float[Tensor, "S W"]:
        return self.table(items)


class ProjectedCatalogHead(UntiedCatalogHead):
    """Head with item vectors that are narrower than the decoder, whose states it projects."""

    def __init__(
        self, num_items: int, padded_num_items: int, hidden_size: int, head_size: int
    ) -> None:
        super().__init__(num_items, padded_num_items, head_size)
        self.project = nn.Linear(hidden_size, head_size, bias=False)


def build_head(
    kind: str,
    *,
    num_items: int,
    padded_num_items: int,
    first_item_token: int,
    hidden_size: int,
    head_size: int | None = None,
) -> CatalogHead:
    """Return a head of a kind that ``SeqRecConfig.head`` names."""
    match kind:
        case "tied":
            return TiedCatalogHead(num_items, first_item_token)
        case "untied":
            return UntiedCatalogHead(num_items, padded_num_items, hidden_size)
        case "projected" if head_size is not None:
            return ProjectedCatalogHead(num_items, padded_num_items, hidden_size, head_size)
    raise ValueError(f"head {kind} of head_size {head_size}: no such catalog head")


def read_rows(embedding: nn.Module, tokens: Int[Tensor, " S"]) -> Float[Tensor, "S D"]:
    """Return the rows of tokens as the output side reads them.

    Some decoders scale an embedding's output (Gemma); their word heads read the plain rows.
    """
    if isinstance(embedding, nn.Embedding):
        return F.embedding(tokens, embedding.weight, sparse=embedding.sparse)
    return embedding(tokens)
