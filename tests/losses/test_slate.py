"""Slates by enumeration, and as often as they should be drawn."""

import math
from itertools import permutations

import pytest
import torch

from seqrec.losses.bias import ExcludedItems
from seqrec.losses.chunks import maximum_over_items
from seqrec.losses.log_prob import catalog_log_prob
from seqrec.losses.sampling import draw_slates
from seqrec.losses.slate import catalog_slate_log_prob, entropy, entropy_deficit, slate_log_prob
from seqrec.losses.softmax import CatalogScores, CatalogSoftmax


def scores_of(log_prob):
    """Scores of which these are the logits: each item is a direction of its own."""
    return CatalogScores(log_prob, torch.eye(log_prob.shape[1], dtype=log_prob.dtype))


def draw_titles(log_prob, num_slates, slate_size, generator):
    return draw_slates(scores_of(log_prob), num_slates, slate_size, generator).items


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


def plackett_luce(logits, slates):
    """The definition in float64: each item under the softmax over the items not drawn before."""
    logits, parts = logits.double(), []
    for slate in slates.tolist():
        left = logits.clone()
        of_slate = []
        for item in slate:
            of_slate.append(left.log_softmax(0)[item])
            left = left.masked_fill(torch.arange(len(left)) == item, -torch.inf)
        parts.append(torch.stack(of_slate))
    return torch.stack(parts)


@pytest.mark.parametrize("tile_items", [2**17, 7])
@pytest.mark.parametrize("temperature", [1.0, 0.3, 0.1, 0.03])
def test_slates_of_a_sharp_policy_equal_the_float64_twin(temperature, tile_items, monkeypatch):
    """Float32 at low temperatures, where first items have all but nothing of the probability."""
    monkeypatch.setattr("seqrec.losses.softmax.TILE_ITEMS", tile_items)
    hidden, weight = torch.randn(3, 6) / temperature, torch.randn(30, 6)
    slates = torch.stack([torch.stack([torch.randperm(30)[:4] for _ in range(5)]) for _ in "abc"])
    best = (hidden @ weight.T).topk(4, dim=1).indices
    slates[:, 0] = best
    excluded = torch.tensor([[-1], [0], [1]])
    slates = slates.where(~(slates == excluded[:, None]), 29 - slates)
    inputs = [part.clone().requires_grad_() for part in (hidden, weight)]
    scores = CatalogScores(*inputs, ExcludedItems(excluded))
    found = catalog_slate_log_prob(scores, slates, chunk_size=2)
    upstream = torch.randn(found.shape)
    gradients = torch.autograd.grad(found, inputs, upstream)
    twins = [part.double().requires_grad_() for part in (hidden, weight)]
    logits = twins[0] @ twins[1].T
    logits = logits.masked_fill(torch.arange(30) == excluded, -torch.inf)
    wanted = torch.stack([plackett_luce(*pair) for pair in zip(logits, slates, strict=True)])
    assert (found <= 0).all()
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=2e-6 / temperature)
    for one, other in zip(
        gradients, torch.autograd.grad(wanted, twins, upstream.double()), strict=True
    ):
        torch.testing.assert_close(one.double(), other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("rest", [1e-2, 1e-5, 1e-7, 1e-9, 1e-12])
def test_items_after_a_nearly_certain_one_share_what_it_leaves(rest):
    """Five items; the first has all but ``rest``, and the others are alike: 1/4, 1/3, 1/2."""
    logits = torch.tensor([[0.0] + 4 * [math.log(rest / (1 - rest) / 4)]])
    drawn = torch.tensor([[[0, 1, 2, 3]]])
    hidden = logits.clone().requires_grad_()
    found = catalog_slate_log_prob(CatalogScores(hidden, torch.eye(5)), drawn)
    wanted = torch.tensor([math.log1p(-rest), -math.log(4), -math.log(3), -math.log(2)])
    torch.testing.assert_close(found[0, 0], wanted, rtol=1e-6, atol=1e-6)
    assert (found <= 0).all()
    found[0, 0, 1].backward()
    torch.testing.assert_close(hidden.grad, torch.tensor([[0, 0.75, -0.25, -0.25, -0.25]]))
    sampled = draw_slates(scores_of(logits), 50, 4, torch.Generator().manual_seed(0))
    twin = plackett_luce(logits[0], sampled.items[0])
    torch.testing.assert_close(sampled.log_prob[0].double(), twin, rtol=1e-6, atol=1e-6)


def test_slates_of_the_whole_catalog_leave_nothing():
    hidden = torch.tensor([[60.0, 0.0, -60.0]], requires_grad=True)
    found = catalog_slate_log_prob(
        CatalogScores(hidden, torch.eye(3)), torch.tensor([[[2, 1, 0], [0, 1, 2]]])
    )
    torch.testing.assert_close(found[0], torch.tensor([[-120.0, -60.0, 0.0], [0.0, 0.0, 0.0]]))
    found.sum().backward()
    assert hidden.grad.isfinite().all()


@pytest.mark.parametrize("scale", [0.1, 6.0])
def test_draws_are_the_same_in_tiles_and_in_chunks_of_rows(scale, monkeypatch):
    """The same points are found in cumulative sums that are taken tile by tile."""
    scores = CatalogScores(
        torch.randn(9, 5) * scale, torch.randn(40, 5), ExcludedItems(torch.arange(9)[:, None])
    )

    def draw(slate_size):
        return draw_slates(scores, 6, slate_size, torch.Generator().manual_seed(3))

    whole = {slate_size: draw(slate_size) for slate_size in (1, 2)}
    best = draw_slates(scores, 2, 3, None)
    monkeypatch.setattr("seqrec.losses.softmax.TILE_ITEMS", 7)
    monkeypatch.setattr("seqrec.losses.softmax.HELD_BYTES", 4 * 4 * 40 * 4)
    for slate_size, wanted in whole.items():
        found = draw(slate_size)
        if slate_size == 1 or scale < 1:  # else slates are filled up by noise drawn per tile
            assert (found.items == wanted.items).all()
            torch.testing.assert_close(found.log_prob, wanted.log_prob)
        assert not (found.items == torch.arange(9)[:, None, None]).any()
    assert (draw_slates(scores, 2, 3, None).items == best.items).all()


def test_the_reductions_over_tiles_are_those_over_the_catalog(monkeypatch):
    """Maxima, sums and label logits of tiles, put together, give the whole catalog's softmax."""
    monkeypatch.setattr("seqrec.losses.softmax.TILE_ITEMS", 7)
    scores = CatalogScores(torch.randn(4, 5) * 20, torch.randn(40, 5))
    softmax = CatalogSoftmax(scores)
    logits = scores.hidden @ scores.item_weight.T
    tiles = softmax.raw_logits(slice(0, 4))
    assert len(tiles) == 6
    torch.testing.assert_close(maximum_over_items(tiles), logits.amax(1, keepdim=True))
    torch.testing.assert_close(softmax.sums(tiles), logits.sum(1, keepdim=True))
    items = torch.tensor([[0, 39], [6, 7], [8, 8], [20, 30]])
    torch.testing.assert_close(softmax.at_items(tiles, items), logits.gather(1, items))
