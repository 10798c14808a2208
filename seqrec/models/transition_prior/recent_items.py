"""The last items of histories, which a transition prior is conditioned on."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


def last_items(
    items: Int[Tensor, "B T"], documents: Int[Tensor, "B T"], num_steps: int
) -> Int[Tensor, "B T S"]:
    """Return the last items up to and with every position, latest first, padded with -1.

    Args:
        items: item at every position, -1 at positions without one.
        documents: document id of every position.
        num_steps: number of items to return.
    """
    rows = torch.arange(len(documents), device=documents.device)[:, None]
    history = (documents + rows * (documents.max() + 1)).flatten()
    is_item = (items >= 0).flatten()
    rank = is_item.cumsum(0) - 1
    # the place after all others takes what is no item: nothing is selected, which a GPU's host
    # would wait for
    place = rank.where(is_item, len(rank))
    flat, owner = (
        part.new_full((len(rank) + 1,), -1).scatter_(0, place, part)
        for part in (items.flatten(), history)
    )
    index = rank[:, None] - torch.arange(num_steps, device=items.device)
    at = index.clamp_min(0)
    is_own = (index >= 0) & (owner[at] == history[:, None])
    return torch.where(is_own, flat[at], -1).view(*items.shape, num_steps)


def last_items_after(
    histories: Sequence[Int[np.ndarray, " T"]], num_steps: int
) -> Int[Tensor, "B S"]:
    """Return ``last_items`` at the ends of histories of items, each of which may be empty."""
    if not len(histories):
        return torch.full((0, num_steps), -1)
    ends = [history[-num_steps:] for history in histories]
    lengths = torch.tensor([1 + len(end) for end in ends], dtype=torch.long)
    start = np.array([-1])  # a position without an item, so that an empty history has an end
    flat = np.concatenate([part for end in ends for part in (start, end)])
    items = torch.from_numpy(flat.astype(np.int64))[None]
    documents = torch.arange(len(ends)).repeat_interleave(lengths)[None]
    return last_items(items, documents, num_steps)[0, lengths.cumsum(0) - 1]


def with_next_item(
    last_items: Int[Tensor, "*shape S"], items: Int[Tensor, "*shape"]
) -> Int[Tensor, "*shape S"]:
    """Return the last items of histories that are each extended by one item."""
    return torch.cat([items[..., None], last_items[..., :-1]], dim=-1)
