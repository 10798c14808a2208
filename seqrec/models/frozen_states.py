"""States of a frozen decoder, computed once for each history however often it is read."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.models.document_attention import flatten_documents

MAX_BYTES = 2**32
"""Most memory of the states; histories beyond it are computed whenever they are read."""


class FrozenStates:
    """The states of histories that a decoder has read, by their tokens.

    Nothing of the decoder and its inputs may change: every weight below the states is frozen, and
    it has no dropout.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._states: dict[bytes, Float[Tensor, "T D"]] = {}
        self._free = max_bytes

    @torch.no_grad()
    def read(
        self,
        decoder: Any,
        tokens: Int[Tensor, " N"],
        bounds: Int[Tensor, " S+1"],
    ) -> Float[Tensor, "N D"]:
        """Return the states of histories that lie side by side.

        Args:
            decoder: computes those that were not read before.
            tokens: of all histories.
            bounds: first position of every history, and the end.
        """
        histories = tokens.split(bounds.diff().tolist())
        keys = [history.cpu().numpy().tobytes() for history in histories]
        fresh = {
            key: one for key, one in zip(keys, histories, strict=True) if key not in self._states
        }
        found = dict(zip(fresh, _compute(decoder, list(fresh.values())), strict=True))
        for key, states in found.items():
            size = states.numel() * states.element_size()
            if size <= self._free:
                self._free -= size
                self._states[key] = states.clone()
        return torch.cat([found[key] if key in found else self._states[key] for key in keys])


def _compute(
    decoder: Any, histories: Sequence[Int[Tensor, " T"]]
) -> Sequence[Float[Tensor, "T D"]]:
    """Return the states of histories, in one row."""
    if not histories:
        return ()
    row = torch.cat(list(histories))
    lengths = [len(history) for history in histories]
    sizes = torch.tensor(lengths, device=row.device)
    documents = torch.repeat_interleave(torch.arange(1, len(lengths) + 1, device=row.device), sizes)
    flat = flatten_documents(documents[None], decoder)
    states = decoder(input_ids=row[None], **flat.arguments).last_hidden_state[0]
    return states.split(lengths)
