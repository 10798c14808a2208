"""Slates by enumeration, and as often as they should be drawn."""

import math
from itertools import permutations

import pytest
import torch

from seqrec.losses.catalog import ExcludedItems, catalog_log_prob
from seqrec.losses.slate import draw_titles, entropy, entropy_deficit, slate_log_prob
from seqrec.losses.softmax import CatalogScores


@pytest.mark.parametrize("num_titles", [1, 3])
def test_all_slates_of_a_small_catalog_sum_to_one(num_titles):
    """Six titles, two of them masked: every ordered slate of the others, enumerated."""
    logits = torch.randn(6, dtype=torch.float64)
    logits[[1, 4]] = -1e9
    log_prob = logits.log_softmax(0)
    slates = torch.tensor(list(permutations([0, 2, 3, 5], num_titles)))
    found = slate_log_prob(log_prob[slates]).sum(dim=1)
    torch.testing.assert_close(found.exp().sum(), torch.ones((), dtype=torch.float64))


@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_slates_are_drawn_as_often_as_their_probability(scale):
    """With a scale of 6 one title has nearly all the mass, and most slates are filled up later."""
    logits = torch.randn(6) * scale
    logits[2] = -1e9
    log_prob = logits.log_softmax(0)
    generator = torch.Generator().manual_seed(0)
    drawn = draw_titles(log_prob.expand(4, -1), 20_000, 2, generator).flatten(0, 1)
    slates, counts = drawn.unique(dim=0, return_counts=True)
    wanted = slate_log_prob(log_prob[slates]).sum(dim=1).exp()
    error = (wanted * (1 - wanted) / len(drawn)).sqrt()
    assert ((counts / len(drawn) - wanted).abs() < 4.5 * error + 5 / len(drawn)).all()
    assert wanted.sum() > 0.999 and not (drawn == 2).any()
    assert (drawn[:, 0] != drawn[:, 1]).all()


def test_single_titles_are_drawn_as_often_as_their_probability():
    log_prob = torch.randn(3, 5).log_softmax(1)
    drawn = draw_titles(log_prob, 30_000, 1, torch.Generator().manual_seed(0))
    shares = torch.nn.functional.one_hot(drawn[..., 0], 5).double().mean(dim=1)
    torch.testing.assert_close(shares, log_prob.exp().double(), rtol=0, atol=0.012)


def test_a_slate_holds_every_title_that_is_left_however_unlikely():
    logits = torch.tensor([[0.0, -200.0, -1e9, -300.0]])
    drawn = draw_titles(logits.log_softmax(1), 50, 3, torch.Generator().manual_seed(0))
    assert (drawn == torch.tensor([0, 1, 3])).all()


def test_without_a_generator_the_most_probable_titles_come_in_their_order():
    log_prob = torch.tensor([[0.1, 3.0, -1.0, 2.0]]).log_softmax(1)
    assert draw_titles(log_prob, 2, 3, None).tolist() == [[[1, 3, 0], [1, 3, 0]]]


def test_items_left_out_have_no_probability_and_the_others_share_it():
    hidden, item_weight = torch.randn(3, 4), torch.randn(6, 4)
    items = torch.tensor([[0, 5], [-1, 2], [-1, -1]])
    every = torch.arange(6).expand(3, -1)
    extra = torch.randn(3, 6)
    for more, added in ((None, 0), (lambda rows, tile: extra[rows, tile], extra)):
        bias = ExcludedItems(items, more)
        found = catalog_log_prob(hidden, item_weight, every, logit_bias=bias, chunk_size=2).exp()
        logits = hidden @ item_weight.T + added
        logits[0, [0, 5]] = logits[1, 2] = -torch.inf
        torch.testing.assert_close(found, logits.softmax(1), rtol=1e-5, atol=1e-7)


def test_entropy_deficit_is_the_log_of_how_many_are_left_minus_their_entropy():
    """Four titles, one excluded: 1/2, 1/4 and 1/4 are left, and of a row of equals nothing is
    lacking; the gradient pushes the likeliest down."""
    hidden = torch.tensor([[1.0], [0.0]], requires_grad=True)
    weight = torch.tensor([[2.0], [1.0], [0.5], [0.5]]).log()
    excluded_items = torch.tensor([[0], [-1]])
    found = entropy_deficit(
        CatalogScores(hidden, weight, ExcludedItems(excluded_items)), excluded_items
    )
    lacking = math.log(3) - (math.log(2) / 2 + 2 * math.log(4) / 4)
    torch.testing.assert_close(found, torch.tensor(lacking / 2))
    whole = (math.log(3) + math.log(4)) / 2  # 3 titles to choose from in one row, 4 in the other
    torch.testing.assert_close(
        entropy(CatalogScores(hidden, weight, ExcludedItems(excluded_items))),
        torch.tensor(whole - lacking / 2),
    )
    found.backward()
    assert hidden.grad[0] > 0 and abs(hidden.grad[1]) < 1e-7
