"""Slates by enumeration, and as often as they should be drawn."""

from itertools import permutations

import pytest
import torch

from seqrec.losses.catalog import catalog_log_prob
from seqrec.losses.slate import left_out, slate_log_prob, top_titles


@pytest.mark.parametrize("num_titles", [1, 3])
def test_all_slates_of_a_small_catalog_sum_to_one(num_titles):
    """Six titles, two of them masked: every ordered slate of the others, enumerated."""
    logits = torch.randn(6, dtype=torch.float64)
    logits[[1, 4]] = -1e9
    log_prob = logits.log_softmax(0)
    slates = torch.tensor(list(permutations([0, 2, 3, 5], num_titles)))
    found = slate_log_prob(log_prob[slates]).sum(dim=1)
    torch.testing.assert_close(found.exp().sum(), torch.ones((), dtype=torch.float64))


def test_slates_are_drawn_as_often_as_their_probability():
    logits = torch.randn(6)
    logits[2] = -1e9
    generator = torch.Generator().manual_seed(0)
    drawn = top_titles(logits.expand(40_000, -1), 2, generator)
    slates, counts = drawn.unique(dim=0, return_counts=True)
    wanted = slate_log_prob(logits.log_softmax(0)[slates]).sum(dim=1).exp()
    error = (wanted * (1 - wanted) / 40_000).sqrt()
    assert ((counts / 40_000 - wanted).abs() < 4.5 * error).all()
    assert len(slates) == 5 * 4 and not (drawn == 2).any()


def test_without_a_generator_the_most_probable_titles_come_in_their_order():
    logits = torch.tensor([[0.1, 3.0, -1.0, 2.0]])
    assert top_titles(logits, 3, None).tolist() == [[1, 3, 0]]


def test_items_left_out_have_no_probability_and_the_others_share_it():
    hidden, item_weight = torch.randn(3, 4), torch.randn(6, 4)
    items = torch.tensor([[0, 5], [-1, 2], [-1, -1]])
    every = torch.arange(6).expand(3, -1)
    extra = torch.randn(3, 6)
    for more, added in ((None, 0), (lambda rows, tile: extra[rows, tile], extra)):
        bias = left_out(items, more)
        found = catalog_log_prob(hidden, item_weight, every, logit_bias=bias, chunk_size=2).exp()
        logits = hidden @ item_weight.T + added
        logits[0, [0, 5]] = logits[1, 2] = -torch.inf
        torch.testing.assert_close(found, logits.softmax(1), rtol=1e-5, atol=1e-7)
