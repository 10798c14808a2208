"""Decoder states after histories and after the items of slates that follow them.

A history is encoded once for all of its slates: they follow it in its row and do not attend to
one another.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.transition_prior.recent_items import with_next_item
from seqrec.rl.prompt_batch import PromptBatch
from seqrec.rl.shared_prefix import Layout


class States(NamedTuple):
    """The decoder's outputs that items of slates are drawn from."""

    after_history: Float[Tensor, "B D"]
    after_item: Float[Tensor, "B G J D"]
    recent_items: Int[Tensor, "B S"] | None
    """The last items at these positions, for the transition prior."""
    recent_items_later: Int[Tensor, "B G J S"] | None


def encode(model: SeqRecForNextItem, batch: PromptBatch, items: Int[Tensor, "B G J"]) -> States:
    """Return the states after every history and after each item that follows it, in one pass."""
    tokens = model.config.item_blocks.encode(items).flatten(2)
    after_history, after_token = branch_states(model, batch, tokens)
    length = model.config.item_blocks.length
    return States(
        after_history, after_token[:, :, length - 1 :: length], *recent_items(model, batch, items)
    )


def branch_states(
    model: SeqRecForNextItem, batch: PromptBatch, tokens: Int[Tensor, "B G J"]
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B G J D"]]:
    """Return the states after every history and after each token of its branches, in one pass.

    A token attends to the history and to the earlier tokens of its own branch.
    """
    layout = batch.layout(*tokens.shape[1:])
    input_ids = history_rows(model, batch, layout)
    input_ids.view(-1)[layout.branches] = tokens.flatten(1)
    hidden = states_at(model, layout, input_ids, layout.query_positions)
    return hidden[:, 0], hidden[:, 1:].unflatten(1, tokens.shape[1:])


def history_rows(
    model: SeqRecForNextItem, batch: PromptBatch, layout: Layout
) -> Int[Tensor, "R L"]:
    """Return rows with the histories' tokens at their positions, and padding elsewhere."""
    input_ids = torch.full_like(layout.positions, model.pad_token_id)
    input_ids.view(-1)[layout.history] = batch.tokens
    return input_ids


def states_at(
    model: SeqRecForNextItem,
    layout: Layout,
    input_ids: Int[Tensor, "R L"],
    columns: Int[Tensor, "R H M"],
    cache: list[Any] | None = None,
) -> Float[Tensor, "B M D"]:
    """Return the states at some columns of every history; ``cache`` as in ``states_under``."""
    query_positions = columns.flatten(1)
    states = model.states_under(input_ids, layout.allowed, layout.positions, query_positions, cache)
    return states.unflatten(1, columns.shape[1:]).flatten(0, 1)[layout.slots]


def recent_items(
    model: SeqRecForNextItem, batch: PromptBatch, items: Int[Tensor, "B G J"]
) -> tuple[Int[Tensor, "B S"], Int[Tensor, "B G J S"]] | tuple[None, None]:
    """Return the last items after the history and after each item, for a transition prior.

    The most recent item comes first; None without a prior.
    """
    columns = torch.arange(batch.input_ids.shape[1], device=items.device)
    documents = (columns < batch.lengths[:, None]).long()
    all_recent = model.recent_items(batch.input_ids, documents)
    if all_recent is None:
        return None, None
    first = all_recent[torch.arange(len(items), device=items.device), batch.lengths - 1]
    later = first[:, None, None].expand(*items.shape, -1).clone()
    before = first[:, None].expand(-1, items.shape[1], -1)
    for column in range(items.shape[2]):
        before = with_next_item(before, items[:, :, column])
        later[:, :, column] = before
    return first, later
