"""Slates: log-probabilities of items drawn from the catalog without replacement, and entropy."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.bias import ExcludedItems
from seqrec.losses.divergence import catalog_divergence
from seqrec.losses.host import read_on_host
from seqrec.losses.log_prob import separated_logits
from seqrec.losses.softmax import CatalogScores, CatalogSoftmax


def slate_log_prob(
    log_prob: Float[Tensor, "*shape K"], log_others: Float[Tensor, "*shape"] | None = None
) -> Float[Tensor, "*shape K"]:
    """The log-probability of every item of a slate that is drawn without replacement.

    Given the items before it, an item's probability is divided by the remaining mass:
    ``log p_k - log(p_k + ... + p_K + others)``. The mass is the sum over the remaining items: 1
    minus the drawn mass would be rounding error if one item is nearly certain.

    Args:
        log_prob: log-probabilities, or logits, of the items in their order, under one distribution.
        log_others: log of the mass of all items outside the slate, on the same scale. If absent,
            1 minus the items' mass, with the precision of the log-probabilities.

    Source: Plackett 1975, "The Analysis of Permutations"; Luce 1959.
    """
    if log_others is None:
        left = 1 - log_prob.double().exp().sum(dim=-1)
        log_others = left.clamp_min(torch.finfo(log_prob.dtype).eps).log().to(log_prob.dtype)
    size = log_prob.shape[-1]
    is_drawn = torch.ones(size, size, dtype=torch.bool, device=log_prob.device).tril(-1)
    left = log_prob[..., None, :].masked_fill(is_drawn, -torch.inf)
    others = log_others[..., None, None].expand(*left.shape[:-1], 1)
    return log_prob - torch.cat([left, others], dim=-1).logsumexp(dim=-1)


def slates_within_rows(
    logits: Float[Tensor, "N L"],
    log_mass: Float[Tensor, " N"],
    items: Int[Tensor, "N L"],
    at: Int[Tensor, "*shape K"],
) -> Float[Tensor, "*shape K"]:
    """Return ``slate_log_prob`` of slates whose items are among those of one row each.

    Args:
        logits: logits of some items of every row.
        log_mass: log of the mass of all other items (``separated_logits``).
        items: the items, of which several may be equal.
        at: flat indices of the slates' items; -1 for padding, after the items.
    """
    if not at.shape[-1]:
        return logits.new_empty(at.shape)
    is_item = at >= 0
    index = at.clamp_min(0)
    row = index[..., 0] // items.shape[1]
    first, number = _different(items)
    width = first.shape[1]
    unlike = torch.cat([logits, logits.new_full((len(logits), 1), -torch.inf)], dim=1)
    left = unlike.gather(1, first)[row]
    is_own = torch.zeros(*row.shape, width + 1, dtype=torch.bool, device=items.device)
    is_own.scatter_(-1, number.flatten()[index].where(is_item, width), True)
    left = left.masked_fill(is_own[..., :width], -torch.inf)
    log_others = torch.cat([left, log_mass[row][..., None]], dim=-1).logsumexp(dim=-1)
    return slate_log_prob(logits.flatten()[index].where(is_item, -torch.inf), log_others)


def _different(items: Int[Tensor, "N L"]) -> tuple[Int[Tensor, "N U"], Int[Tensor, "N L"]]:
    """Return the first column of each different item of a row, and the number of every item.

    Rows with fewer different items than others are padded with ``L``; on a GPU ``U`` is ``L``.
    """
    ordered, order = items.sort(dim=1, stable=True)
    is_new = torch.ones_like(items)
    is_new[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).long()
    numbers = is_new.cumsum(dim=1) - 1
    width = items.shape[1]
    if items.numel() and (largest := read_on_host(numbers.amax())) is not None:
        width = int(largest) + 1
    first = torch.full((len(items), width), items.shape[1], device=items.device)
    first = first.scatter_reduce(1, numbers, order, "amin")
    return first, torch.empty_like(items).scatter_(1, order, numbers)


def catalog_slate_log_prob(
    scores: CatalogScores, slates: Int[Tensor, "N G K"], *, chunk_size: int | None = None
) -> Float[Tensor, "N G K"]:
    """The log-probability of every item of slates drawn without replacement from each row.

    Equal, up to float error, to the logit of the item minus ``logsumexp`` over the catalog without
    the items before it, for any temperature; with gradients.
    """
    items = slates.flatten(1)
    if slates.shape[2] == 0:
        return scores.hidden.new_empty(slates.shape)
    logits, log_mass = separated_logits(scores, items, chunk_size=chunk_size)
    at = torch.arange(items.numel(), device=items.device).view(slates.shape)
    return slates_within_rows(logits, log_mass, items, at)


@torch.no_grad()
def entropy(scores: CatalogScores) -> Float[Tensor, ""]:
    """The entropy of the rows' distributions, a mean over rows, in nats; without gradients."""
    softmax, values = CatalogSoftmax(scores), []
    for rows in softmax.chunks(None, num_models=2, num_arrays=2):
        logits = [tile.to(softmax.sum_dtype) for tile in softmax.logits(rows)]
        normalizer = softmax.exponential_sums(logits)
        mean = softmax.sums([tile.exp().mul_(tile) for tile in logits]) / normalizer
        values.append((normalizer.log() - mean).squeeze(1))
    return torch.cat(values).mean()


def entropy_deficit(scores: CatalogScores, excluded_items: Int[Tensor, "N S"]) -> Float[Tensor, ""]:
    """The maximal entropy minus the entropy, a mean over rows, in nats; with gradients.

    ``KL(policy | uniform)`` over the items that are not excluded: the log of their number minus
    the entropy.

    Args:
        scores: of the catalog, with a bias under which excluded items have no probability.
        excluded_items: items that cannot be chosen in each row; -1 is none.
    """
    uniform = CatalogScores(
        scores.hidden.new_zeros(len(scores.hidden), 1),
        scores.item_weight.new_zeros(len(scores.item_weight), 1),
        ExcludedItems(excluded_items),
    )
    return catalog_divergence(scores, [uniform], kind="reverse_kl")
