"""States of a model's query token after histories of items."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.request_states import PlacedRequests, states_with_requests
from seqrec.tokens.streams.packing import pack_inputs
from seqrec.tokens.streams.placement import place_windows
from seqrec.tokens.streams.windows import Windows
from seqrec.tokens.tokenizer import ItemTokens


@torch.inference_mode()
def encode_with_requests(
    model: SeqRecForNextItem,
    tokens: ItemTokens,
    histories: Sequence[Int[np.ndarray, " T"]],
    vectors: Float[Tensor, "B F"],
    num_positions: int,
    guidance: float = 1.0,
) -> Float[Tensor, "B E"]:
    """Return the state of each request after its history.

    Products with ``request_item_weight()`` are scores.

    Args:
        model: a model with a query token, which reads items only.
        tokens: of its items.
        histories: items, oldest first, cut to the model's maximum length; each may be empty.
        vectors: of the words of the requests.
        num_positions: positions that are encoded at once.
        guidance: weight of the requests; see ``QueryToken``.
    """
    recent = [history[-model.config.max_length :] for history in histories]
    lengths = np.array([len(history) for history in recent])
    row_length = max(int(lengths.max()), 1)
    flat = np.concatenate([*recent, np.empty(0, dtype=np.int64)]).astype(np.int64)
    windows = Windows(np.cumsum(lengths) - lengths, lengths, np.zeros_like(lengths))
    step, states = max(num_positions // row_length, 1), []
    for start in range(0, len(recent), step):
        chosen = slice(start, min(start + step, len(recent)))
        rows = [[number] for number in range(chosen.start, chosen.stop)]
        inputs = pack_inputs(
            flat, place_windows(windows, rows, row_length), tokens, (len(rows), row_length)
        )
        last = torch.from_numpy(lengths[chosen] - 1).to(model.device)
        placed = PlacedRequests(
            vectors[chosen].to(model.device), torch.arange(len(rows), device=model.device), last
        )
        input_ids, documents = (torch.from_numpy(part).to(model.device) for part in inputs)
        hidden = model.hidden_states(input_ids, documents)
        states.append(states_with_requests(model, hidden, documents, placed, guidance))
    return torch.cat(states)
