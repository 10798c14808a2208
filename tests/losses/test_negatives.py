"""Drawn negatives against the distributions that they are said to come from."""

import pytest
import torch

from seqrec.losses.catalog import IGNORE_INDEX
from seqrec.losses.negatives import NegativeSampler
from seqrec.losses.sampled import sampled_softmax

DISTRIBUTIONS = ["uniform", "popularity", "in_batch", "mixed"]
COUNTS = torch.tensor([1, 2, 3, 5, 8, 13, 21, 34])


def sampler_of(**settings):
    return NegativeSampler(**({"power": 1.0, "in_batch_share": 0.5} | settings))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_corrected_sum_is_unbiased(distribution):
    """Batches come from the training data; their labels are not those of the rows scored."""
    sampler = sampler_of(num_negatives=6, distribution=distribution, item_counts=COUNTS, power=0.5)
    item_weight = torch.randn(len(COUNTS), 4, dtype=torch.float64) / 2
    hidden, labels = torch.randn(8, 4, dtype=torch.float64), torch.arange(8)
    exponentials = (hidden @ item_weight.T).exp()
    of_label = exponentials.diagonal()
    data = torch.repeat_interleave(labels, COUNTS)

    def estimate(row, negatives):
        one = slice(row, row + 1)
        vectors = hidden[one], item_weight[one], item_weight[negatives.items]
        loss = sampled_softmax(*vectors, labels[one], negatives, log_q=True)
        return (loss.exp() - 1) * of_label[row]

    rows = (0, 7)
    draws = torch.empty(600, len(rows), dtype=torch.float64)
    for draw in draws:
        negatives = sampler.draw(data[torch.randint(len(data), (5,))])
        draw[:] = torch.stack([estimate(row, negatives) for row in rows])
    truth = (exponentials.sum(dim=1) - of_label)[list(rows)]
    standard_error = draws.std(dim=0) / len(draws) ** 0.5
    assert (standard_error < truth / 10).all()
    assert ((draws.mean(dim=0) - truth).abs() < 4 * standard_error).all()


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_items_are_drawn_as_often_as_expected(distribution):
    """Of a batch that is the training data itself; chi-square within 5 standard deviations."""
    num_negatives = 50_000
    sampler = sampler_of(
        num_negatives=num_negatives,
        distribution=distribution,
        item_counts=COUNTS,
        power=0.75,
        in_batch_share=0.3,
    )
    padding = torch.full((7,), IGNORE_INDEX)
    labels = torch.cat([padding, torch.repeat_interleave(torch.arange(len(COUNTS)), COUNTS)])
    items, log_count = sampler.draw(labels)
    assert items.shape == log_count.shape == (num_negatives,)
    expected = torch.zeros(len(COUNTS)).index_put_((items,), log_count.exp())
    wanted = {
        "uniform": torch.ones(len(COUNTS)),
        "popularity": COUNTS**0.75,
        "in_batch": COUNTS,
        "mixed": 0.3 * COUNTS / COUNTS.sum() + 0.7 / len(COUNTS),
    }[distribution]
    torch.testing.assert_close(expected, num_negatives * wanted / wanted.sum())
    found = items.bincount(minlength=len(COUNTS))
    chi_square = ((found - expected) ** 2 / expected).sum()
    freedom = len(COUNTS) - 1
    assert chi_square < freedom + 5 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_popularity_never_draws_an_item_without_a_count(power):
    counts = torch.tensor([0, 0, 3, 0, 1, 2, 0, 0])
    sampler = sampler_of(
        num_negatives=10_000, distribution="popularity", item_counts=counts, power=power
    )
    items, log_count = sampler.draw(torch.tensor([0]))
    assert set(items.tolist()) == {2, 4, 5}
    assert log_count.isfinite().all()


@pytest.mark.parametrize(("point", "item"), [(0.0, 2), (0.5, 4), (1 - 2**-53, 5)])
def test_popularity_at_the_ends_of_its_intervals(point, item, monkeypatch):
    counts = torch.tensor([0, 0, 3, 0, 1, 2, 0, 0])
    sampler = sampler_of(num_negatives=1, distribution="popularity", item_counts=counts)
    monkeypatch.setattr(torch, "rand", lambda *size, **more: torch.full(size, point, **more))
    items, log_count = sampler.draw(torch.tensor([0]))
    assert items.item() == item
    assert log_count.exp().item() == pytest.approx(counts[item].item() / 6)


def test_in_batch_draws_labels_that_count_and_counts_each_once_at_least():
    counts = torch.tensor([0, 3, 1, 6])
    sampler = sampler_of(num_negatives=400, distribution="in_batch", item_counts=counts)
    items, log_count = sampler.draw(torch.tensor([IGNORE_INDEX, 0, 3, IGNORE_INDEX, 3, 3]))
    assert set(items.tolist()) == {0, 3}
    found = log_count.exp()
    torch.testing.assert_close(found[items == 0], torch.full_like(found[items == 0], 400 / 10))
    torch.testing.assert_close(found[items == 3], torch.full_like(found[items == 3], 2400 / 10))


def test_mixed_draws_its_share_from_the_batch():
    num_items = 1_000_000
    sampler = sampler_of(
        num_negatives=100,
        distribution="mixed",
        item_counts=torch.ones(num_items, dtype=torch.int64),
        in_batch_share=0.3,
    )
    items, log_count = sampler.draw(torch.tensor([5, IGNORE_INDEX, 5]))
    assert (items == 5).sum() == 30
    assert len(set(items.tolist())) == 1 + 70
    torch.testing.assert_close(log_count.exp(), torch.full((100,), 100 / num_items))


@pytest.mark.parametrize("distribution", ["in_batch", "mixed"])
def test_a_batch_without_a_label_is_answered_uniformly(distribution):
    sampler = sampler_of(
        num_negatives=1000, distribution=distribution, item_counts=COUNTS, in_batch_share=0.9
    )
    items, log_count = sampler.draw(torch.full((9,), IGNORE_INDEX))
    assert set(items.tolist()) == set(range(len(COUNTS)))
    torch.testing.assert_close(log_count.exp(), torch.full((1000,), 1000 / len(COUNTS)))


def test_uniform_draws_may_be_of_the_first_items_alone():
    sampler = sampler_of(num_negatives=1000, distribution="uniform", item_counts=COUNTS)
    items, log_count = sampler.draw(torch.tensor([0]), num_items=3)
    assert set(items.tolist()) == {0, 1, 2}
    torch.testing.assert_close(log_count.exp(), torch.full((1000,), 1000 / 3))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_seed_determines_the_draw_and_the_random_state_resumes_it(distribution):
    sampler = sampler_of(num_negatives=64, distribution=distribution, item_counts=COUNTS)
    labels = torch.arange(len(COUNTS))
    sampler.draw(labels)
    state = torch.get_rng_state()
    first, second = sampler.draw(labels), sampler.draw(labels)
    torch.set_rng_state(state)
    again = sampler_of(num_negatives=64, distribution=distribution, item_counts=COUNTS)
    for one, other in zip(first, again.draw(labels), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(first.items, second.items)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_ten_million_items_can_be_drawn_from(distribution):
    num_items = 10_000_000
    counts = torch.arange(num_items) % 2
    sampler = sampler_of(
        num_negatives=4096, distribution=distribution, item_counts=counts, power=0.75
    )
    for _ in range(10):
        items, log_count = sampler.draw(torch.randint(num_items, (3000,)))
    assert items.min() >= 0
    assert items.max() < num_items
    assert log_count.isfinite().all()
    if distribution == "popularity":
        assert (items % 2 == 1).all()
        # Draws reach all of the catalog: half of them its upper half.
        assert abs((items > num_items / 2).float().mean() - 0.5) < 5 * 0.5 / 4096**0.5
