"""The product prior: equal to the baseline of its formula, leave-one-out for targets."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from seqrec.baselines.transition_product import transition_product
from seqrec.data.histories import Histories
from seqrec.data.splits import TRAIN
from seqrec.data.transitions import count_transitions
from seqrec.models.transition_prior.kinds import build_transition_prior
from seqrec.models.transition_prior.recent_items import last_items_after

NUM_ITEMS = 60
SETTINGS = {
    "max_steps": 4,
    "distance_exponent": 0.8,
    "smoothing": 9.0,
    "max_items": 12,
    "recent_items": 3,
    "recent_share": 0.7,
    "history_decay": 0.5,
    "popularity_penalty": 0.3,
}


def as_histories(lists):
    return Histories(
        np.concatenate([[0], np.cumsum([len(items) for items in lists])]).astype(np.int64),
        np.concatenate(lists).astype(np.int32),
        np.full(sum(map(len, lists)), TRAIN, dtype=np.uint8),
    )


def build_prior(lists, strength=1.0, counted=None):
    histories = as_histories(lists)
    settings = {"name": "product", **SETTINGS, "strength": strength}
    weights = build_transition_prior(NUM_ITEMS, {**settings, "num_edges": 0}).distance_weights
    transitions = count_transitions([histories], NUM_ITEMS, distance_weights=weights)
    prior = build_transition_prior(NUM_ITEMS, {**settings, "num_edges": len(transitions.target)})
    counts = histories.item_counts(NUM_ITEMS) if counted is None else counted
    prior.load_transitions(*map(torch.from_numpy, transitions), torch.from_numpy(counts))
    return prior


@pytest.fixture
def lists(generator):
    return [generator.permutation(NUM_ITEMS)[:length] for length in generator.integers(2, 30, 80)]


@pytest.fixture
def lists_with_repeats(generator):
    return [generator.integers(0, 12, length) for length in generator.integers(2, 30, 60)]


def test_the_score_is_that_of_the_baseline(lists):
    asked = [lists[0], lists[1][:2], lists[2][:1]]
    baseline = transition_product(as_histories(lists), NUM_ITEMS, **SETTINGS)
    wanted = baseline.score_tiles(asked)(0, NUM_ITEMS).double()
    prior = build_prior(lists, strength=1.7)
    recent = last_items_after(asked, SETTINGS["max_items"])
    found = prior.logits(recent, 0, NUM_ITEMS).double()
    torch.testing.assert_close(found, 1.7 * wanted, rtol=1e-4, atol=1e-5)
    tiles = [prior.logits(recent, start, stop) for start, stop in pairwise([0, 7, 40, NUM_ITEMS])]
    torch.testing.assert_close(torch.cat(tiles, dim=1).double(), found)


def test_an_empty_history_is_answered_by_popularity(lists):
    prior = build_prior(lists)
    empty = torch.full((1, SETTINGS["max_items"]), -1)
    torch.testing.assert_close(prior.logits(empty, 0, NUM_ITEMS)[0], prior.popularity.log())
    assert prior.logits(empty[:0], 0, NUM_ITEMS).shape == (0, NUM_ITEMS)


def test_kernel_weights_are_decayed_over_the_last_items_and_even_before():
    prior = build_prior([np.arange(5)])
    history = torch.tensor([[4, 3, 2, 1, 0] + [-1] * 7, [9, 8] + [-1] * 10, [-1] * 12])
    head = torch.tensor([1, 0.5, 0.25])
    wanted = torch.zeros(3, 12)
    wanted[0, :3] = 0.7 * head / 1.75
    wanted[0, 3:5] = 0.3 / 2
    wanted[1, :2] = head[:2] / 1.5
    torch.testing.assert_close(prior.kernel_weights(history), wanted)


@pytest.mark.parametrize("kind", ["lists", "lists_with_repeats"])
def test_a_target_in_training_is_left_out_of_the_counts(kind, request):
    lists = request.getfixturevalue(kind)
    counts = as_histories(lists).item_counts(NUM_ITEMS)
    with_it = build_prior(lists)
    for index in (0, 5, 9):
        *before, label = lists[index]
        without = [*lists[:index], np.array(before), *lists[index + 1 :]]
        recent = last_items_after([np.array(before)], SETTINGS["max_items"])
        expected = build_prior(without, counted=counts).logits(recent, 0, NUM_ITEMS)
        for edges in ([0, NUM_ITEMS], [0, 30, NUM_ITEMS]):
            tiles = [
                with_it.logits(recent, start, stop, torch.tensor([label]))
                for start, stop in pairwise(edges)
            ]
            found = torch.cat(tiles, dim=1)
            torch.testing.assert_close(found[:, label], expected[:, label], rtol=1e-4, atol=1e-5)
            others = np.delete(np.arange(NUM_ITEMS), label)
            plain = with_it.logits(recent, 0, NUM_ITEMS)
            torch.testing.assert_close(found[:, others], plain[:, others])


def test_training_in_bfloat16_loses_no_more_than_its_rounding(lists):
    prior = build_prior(lists)
    recent = last_items_after(lists[:4], SETTINGS["max_items"])
    labels = torch.tensor([7, -100, 3, 2])
    wanted = prior.logits(recent, 0, NUM_ITEMS, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = prior.logits(recent, 0, NUM_ITEMS, labels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=2**-7, atol=2**-7)
    rows = torch.tensor([0, 2, 3])
    torch.testing.assert_close(found[rows, labels[rows]], wanted[rows, labels[rows]])
