"""Slates: titles drawn from the catalog without replacement, and how probable they are."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.catalog import ExcludedItems
from seqrec.losses.divergence import catalog_divergence
from seqrec.losses.softmax import CatalogScores, Logits


def slate_log_prob(log_prob: Float[Tensor, "*shape K"]) -> Float[Tensor, "*shape K"]:
    """The log-probability of every title of a slate that is drawn without replacement.

    Given the titles before it, a title's probability is its own over what they left:
    ``log p_k - log(1 - sum of p_j, j < k)``.

    Args:
        log_prob: of the titles, in their order, under one distribution.

    Source: Plackett 1975, "The Analysis of Permutations"; Luce 1959.
    """
    taken = log_prob.exp().cumsum(dim=-1) - log_prob.exp()
    left = (1 - taken).clamp_min(torch.finfo(log_prob.dtype).eps)
    return log_prob - left.log()


def draw_titles(
    log_prob: Float[Tensor, "R I"],
    num_slates: int,
    num_titles: int,
    generator: torch.Generator | None,
) -> Int[Tensor, "R G K"]:
    """Slates drawn without replacement from each row's distribution.

    Titles drawn with replacement, of which those that a slate already holds are passed over, come
    in the order of Plackett and Luce. Each is found in the cumulative probabilities, in float64.
    A slate that is not full after twice as many draws as it needs goes on by the order of
    Gumbel-perturbed logits, of what it does not hold yet.

    Args:
        log_prob: of every title.
        num_slates: of each row.
        num_titles: of a slate.
        generator: of the draws; None: the most probable titles, in their order, in every slate.

    Source: Kool et al. 2019, arXiv:1903.06059, section 2.3, for the perturbed order.
    """
    if generator is None:
        best = log_prob.topk(num_titles, dim=1).indices
        return best[:, None].expand(-1, num_slates, -1)
    num_rows, num_items = log_prob.shape
    num_draws = 1 if num_titles == 1 else 2 * num_titles
    cumulative = log_prob.exp().cumsum(dim=1, dtype=torch.float64)
    shape = (num_rows, num_slates * num_draws)
    points = torch.rand(shape, dtype=torch.float64, generator=generator, device=log_prob.device)
    found = torch.searchsorted(cumulative, points * cumulative[:, -1:], right=True)
    found = found.clamp_max(num_items - 1).view(num_rows, num_slates, num_draws)
    if num_titles == 1:
        return found
    is_equal = found[..., :, None] == found[..., None, :]
    is_new = ~is_equal.tril(-1).any(dim=-1)
    order = (~is_new).to(torch.int8).argsort(dim=-1, stable=True)[..., :num_titles]
    slates = found.gather(-1, order)
    num_found = is_new.sum(dim=-1)
    rows, places = (num_found < num_titles).nonzero(as_tuple=True)
    if len(rows):
        rest = _perturbed_order(
            log_prob[rows], slates[rows, places], num_found[rows, places], generator
        )
        slates[rows, places] = rest
    return slates


def _perturbed_order(
    log_prob: Float[Tensor, "N I"],
    slates: Int[Tensor, "N K"],
    num_found: Int[Tensor, " N"],
    generator: torch.Generator,
) -> Int[Tensor, "N K"]:
    """Slates whose first titles are found, filled up by what Gumbel-perturbed logits rank first."""
    place = torch.arange(slates.shape[1], device=slates.device)
    is_found = place < num_found[:, None]
    exponential = torch.empty_like(log_prob).exponential_(generator=generator)
    perturbed = log_prob - exponential.log()
    held = slates.where(is_found, slates[:, :1])
    perturbed.scatter_(1, held, -torch.inf)
    further = perturbed.topk(slates.shape[1], dim=1).indices
    order = (place - num_found[:, None]).clamp_min(0)
    return slates.where(is_found, further.gather(1, order))


@torch.no_grad()
def entropy(scores: CatalogScores) -> Float[Tensor, ""]:
    """Of a choice by scores, a mean over rows, in nats; without gradients."""
    logits, values = Logits(scores), []
    for rows in logits.chunks(None):
        log_prob = torch.cat(logits.fill(rows), dim=1).to(logits.sum_dtype).log_softmax(dim=1)
        values.append(-(log_prob.exp() * log_prob).sum(dim=1))
    return torch.cat(values).mean()


def entropy_deficit(scores: CatalogScores, excluded_items: Int[Tensor, "N S"]) -> Float[Tensor, ""]:
    """How far below its maximum the entropy of a choice is, a mean over rows, in nats.

    ``KL(policy | uniform)`` over the other items: the log of their number minus the entropy.

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
