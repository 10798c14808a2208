"""The query token: a request in words as one input of a decoder, placed after the history."""

from jaxtyping import Float
from torch import Tensor, nn


class QueryToken(nn.Module):
    """Linear map from the vector of a request's words to an input vector of the decoder."""

    def __init__(self, width: int, hidden_size: int) -> None:
        """Initialise.

        Args:
            width: of the vectors of requests.
            hidden_size: of the decoder.
        """
        super().__init__()
        self.map = nn.Linear(width, hidden_size)

    def forward(self, vectors: Float[Tensor, "M F"]) -> Float[Tensor, "M D"]:
        return self.map(vectors)
