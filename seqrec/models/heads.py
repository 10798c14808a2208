"""Catalog heads: the vector of every item, by which the decoder's output is scored."""

from jaxtyping import Float, Int
from torch import Tensor, nn


class TiedCatalogHead(nn.Module):
    """Items are scored by their own token embeddings."""

    def __init__(self, num_items: int, first_item_token: int) -> None:
        super().__init__()
        self.num_items = num_items
        self.first_item_token = first_item_token

    def forward(self, token_weight: Float[Tensor, "V D"]) -> Float[Tensor, "I D"]:
        """The item rows of the token embedding: a view, no padding and no special token in it."""
        return token_weight[self.first_item_token : self.first_item_token + self.num_items]

    def rows(self, embedding: nn.Module, items: Int[Tensor, " S"]) -> Float[Tensor, "S D"]:
        """The vectors of some items; their gradient is sparse if the embedding's is."""
        return embedding(items + self.first_item_token)


class UntiedCatalogHead(nn.Module):
    """Items are scored by rows of the head's own."""

    def __init__(self, num_items: int, padded_num_items: int, hidden_size: int) -> None:
        super().__init__()
        self.num_items = num_items
        self.table = nn.Embedding(padded_num_items, hidden_size)

    def forward(self, token_weight: Float[Tensor, "V D"]) -> Float[Tensor, "I D"]:
        """The head's rows without the padding; the token embedding is not read."""
        return self.table.weight[: self.num_items]

    def rows(self, embedding: nn.Module, items: Int[Tensor, " S"]) -> Float[Tensor, "S D"]:
        """The vectors of some items."""
        return self.table(items)
