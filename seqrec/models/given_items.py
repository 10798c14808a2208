"""Scores of given items, without those of the rest of the catalog."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.models.next_item import SeqRecForNextItem


def score_given_items(
    model: SeqRecForNextItem,
    hidden: Float[Tensor, "B D"],
    recent_items: Int[Tensor, "B S"] | None,
    items: Int[Tensor, "B C"],
    item_weight: Float[Tensor, "I D"],
) -> Float[Tensor, "B C"]:
    """Return the scores of some items after each state.

    Equal, up to the rounding of sums in another order, to the columns ``items`` of the model's
    ``catalog_scores``: products with the item vectors, and the transition prior.

    Args:
        model: the model.
        hidden: states.
        recent_items: last items of each row, from ``recent_items_after``.
        items: items of the catalog, other ones for every row.
        item_weight: ``item_weight()`` of the model.
    """
    products = torch.bmm(item_weight[items], hidden[:, :, None]).squeeze(2)
    prior = model.active_prior
    if prior is None or recent_items is None:
        return products
    scores = products.to(torch.promote_types(products.dtype, torch.float32))
    return scores + prior.logits_at(recent_items, items)
