"""Slates: titles drawn from the catalog without replacement, and how probable they are."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.catalog import LogitBias

LEFT_OUT = -1e9
"""Added to the logits of items that may not be drawn: finite, so that 0 times it is 0."""


def slate_log_prob(log_prob: Float[Tensor, "*shape K"]) -> Float[Tensor, "*shape K"]:
    """The log-probability of every title of a slate that is drawn without replacement.

    Given the titles before it, a title's probability is its own over what they left:
    ``log p_k - log(1 - sum of p_j, j < k)``.

    Args:
        log_prob: of the titles, in their order, under one distribution.

    Source: Plackett 1975, "The Analysis of Permutations".
    """
    taken = log_prob.exp().cumsum(dim=-1) - log_prob.exp()
    left = (1 - taken).clamp_min(torch.finfo(log_prob.dtype).eps)
    return log_prob - left.log()


def top_titles(
    logits: Float[Tensor, "R I"], num_titles: int, generator: torch.Generator | None
) -> Int[Tensor, "R K"]:
    """A slate a row, drawn without replacement from the softmax of the row's logits.

    The order in which Gumbel-perturbed logits come is a Plackett-Luce draw; without a generator
    the most probable titles, in their order.

    Source: Kool et al. 2019, arXiv:1903.06059, section 2.3.
    """
    if generator is not None:
        exponential = torch.empty_like(logits).exponential_(generator=generator)
        logits = logits - exponential.log()
    return logits.topk(num_titles, dim=1).indices


def left_out(items: Int[Tensor, "N S"], logit_bias: LogitBias | None = None) -> LogitBias:
    """A bias under which some items of every row have no probability.

    Args:
        items: of every row; -1 is none.
        logit_bias: what is added to the logits besides.
    """

    def bias(rows: slice, tile: slice) -> Float[Tensor, "C tile"]:
        here = items[rows]
        is_here = (here >= tile.start) & (here < tile.stop)
        row, place = is_here.nonzero(as_tuple=True)
        size = (len(here), tile.stop - tile.start)
        if logit_bias is None:
            found = torch.zeros(size, device=items.device)
        else:
            found = logit_bias(rows, tile).clone()
        found[row, here[row, place] - tile.start] = LEFT_OUT
        return found

    return bias
