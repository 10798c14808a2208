"""Catalog heads: the item vectors whose products with a state are the items' scores."""

from jaxtyping import Float, Int
from torch import Tensor, nn


class TiedCatalogHead(nn.Module):
    """Head whose item vectors are the items' token embeddings."""

    def __init__(self, num_items: int, first_item_token: int) -> None:
        super().__init__()
        self.num_items = num_items
        self.first_item_token = first_item_token

    def forward(self, token_weight: Float[Tensor, "V D"]) -> Float[Tensor, "I D"]:
        """Return the item rows of the token embedding, a view without padding or special tokens."""
        return token_weight[self.first_item_token : self.first_item_token + self.num_items]

    def rows(self, embedding: nn.Module, items: Int[Tensor, " S"]) -> Float[Tensor, "S D"]:
        """Return the vectors of some items; the gradient is sparse if the embedding's is."""
        return embedding(items + self.first_item_token)


class UntiedCatalogHead(nn.Module):
    """Head with item vectors of its own."""

    def __init__(self, num_items: int, padded_num_items: int, hidden_size: int) -> None:
        super().__init__()
        self.num_items = num_items
        self.table = nn.Embedding(padded_num_items, hidden_size)

    def forward(self, token_weight: Float[Tensor, "V D"]) -> Float[Tensor, "I D"]:
        """Return the head's rows without padding; the token embedding is not read."""
        return self.table.weight[: self.num_items]

    def rows(self, embedding: nn.Module, items: Int[Tensor, " S"]) -> Float[Tensor, "S D"]:
        """Return the vectors of some items."""
        return self.table(items)
