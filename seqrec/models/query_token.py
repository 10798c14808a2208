"""The query token: a request in words that reads a history, and the vectors it is scored with."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

HIDDEN_SIZE = 128
NUM_HEADS = 4
DROPOUT = 0.1
ROW_SIZE = 64
WEIGHTS = (10.0, 7.0)
"""Nats of a cosine of 1 between a request and every part of the content before training."""


class QueryToken(nn.Module):
    """Reads a request after a history, whose states it leaves as they are.

    The request is a token that attends to the states of its history by a block of its own. Its
    state has three parts: the state of the last item, changed by the request, whose product with an
    item's vector is a score; a vector for the product with the item's content, which is what texts
    say of it by the encoder of the requests; and one for a row of the item that only requests read.

    Before training the scores are those of late fusion: of the history alone, plus the cosines of
    the request and the parts of the content, times ``WEIGHTS``.
    """

    content: Float[Tensor, "I C"]

    def __init__(self, width: int, state_width: int, num_items: int, num_parts: int) -> None:
        """Initialise with zero content.

        Args:
            width: of the vectors of requests.
            state_width: of the states of histories.
            num_items: catalog size.
            num_parts: vectors of the encoder that make an item's content.
        """
        super().__init__()
        self.register_buffer("content", torch.zeros(num_items, num_parts * width))
        self.nothing = nn.Parameter(torch.zeros(state_width))
        """State of an empty history."""
        self.words = nn.Linear(width, HIDDEN_SIZE)
        self.attention_norm = nn.LayerNorm(HIDDEN_SIZE)
        self.attention = nn.MultiheadAttention(
            HIDDEN_SIZE, NUM_HEADS, kdim=state_width, vdim=state_width, batch_first=True
        )
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(HIDDEN_SIZE),
            nn.Linear(HIDDEN_SIZE, 4 * HIDDEN_SIZE),
            nn.GELU(),
            nn.Linear(4 * HIDDEN_SIZE, HIDDEN_SIZE),
        )
        self.norm = nn.LayerNorm(HIDDEN_SIZE)
        self.dropout = nn.Dropout(DROPOUT)
        self.scale = nn.Linear(HIDDEN_SIZE, 1)
        self.change = nn.Linear(HIDDEN_SIZE, state_width)
        self.match = nn.Parameter(torch.zeros(num_parts * width, width))
        self.match_read = nn.Parameter(torch.zeros(num_parts * width, HIDDEN_SIZE))
        self.weight = nn.Parameter(torch.zeros(num_parts))
        """Nats of a cosine of 1 with every part of the content."""
        self.rows = nn.Parameter(torch.zeros(num_items, ROW_SIZE))
        """Rows of the items that only requests read, for what their content lacks."""
        self.rows_read = nn.Linear(HIDDEN_SIZE, ROW_SIZE)
        with torch.no_grad():
            self.weight.copy_(torch.tensor(WEIGHTS[:num_parts]))
        for layer in (self.scale, self.change):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(
        self,
        vectors: Float[Tensor, "B S F"],
        states: Float[Tensor, "B T D"],
        last: Float[Tensor, "B S D"],
        allowed: Bool[Tensor, "B S T"],
        guidance: float = 1.0,
    ) -> Float[Tensor, "B S E"]:
        """Return the states of requests; products with ``item_vectors`` are scores.

        Args:
            vectors: of the words of the requests.
            states: of histories.
            last: the state that each request follows.
            allowed: True for the states that each request reads.
            guidance: the factor of the difference to the state without a request.
        """
        nothing = self.nothing.to(states.dtype).expand(len(states), 1, -1)
        is_hidden = ~torch.cat([allowed, allowed.new_ones(*allowed.shape[:2], 1)], dim=2)
        keys = torch.cat([states, nothing], dim=1)
        read = self.words(vectors)
        read = read + self.dropout(
            self.attention(
                self.attention_norm(read),
                keys,
                keys,
                attn_mask=is_hidden.repeat_interleave(NUM_HEADS, dim=0),
                need_weights=False,
            )[0]
        )
        read = self.norm(read + self.dropout(self.feed_forward(read)))
        own = last * (1 + self.scale(read)) + self.change(read)
        parts = vectors[:, :, None] * self.weight[:, None]
        beside = parts.flatten(2) + F.linear(vectors, self.match) + F.linear(read, self.match_read)
        asked = torch.cat([own, beside, self.rows_read(read)], dim=2)
        if guidance == 1:
            return asked
        plain = F.pad(last, (0, asked.shape[2] - last.shape[2]))
        return plain + guidance * (asked - plain)

    def item_vectors(self, vectors: Float[Tensor, "I D"]) -> Float[Tensor, "I E"]:
        """Return the items' vectors with their content and rows beside them."""
        return torch.cat([vectors, self.content.to(vectors.dtype), self.rows], dim=1)

    @property
    def width_beside(self) -> int:
        """Numbers that stand beside the items' vectors."""
        return self.content.shape[1] + ROW_SIZE
