"""The transition prior: an exact distribution, leave-one-out for targets in training."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from seqrec.data.histories import Histories
from seqrec.data.splits import TRAIN
from seqrec.data.transitions import count_transitions
from seqrec.models import SeqRecForNextItem
from seqrec.models.folder import load_model
from seqrec.models.transition_prior.recent_items import (
    last_items,
    last_items_after,
    with_next_item,
)
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.tokens.events.coder import EventCoder
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.tokenizer import ItemTokens
from tests.conftest import small_config
from tests.tokens.conftest import feature

NUM_ITEMS, STEPS, DECAY, ASKED_DECAY, SMOOTHING = 100, 3, 0.7, 0.4, 1.3


def build_transitions(lists):
    histories = Histories(
        np.concatenate([[0], np.cumsum([len(items) for items in lists])]).astype(np.int64),
        np.concatenate(lists).astype(np.int32),
        np.full(sum(map(len, lists)), TRAIN, dtype=np.uint8),
    )
    return count_transitions(
        [histories], NUM_ITEMS, distance_weights=[DECAY**step for step in range(STEPS)]
    )


def model_with_prior(lists):
    transitions = build_transitions(lists)
    transition_prior = {
        "num_edges": len(transitions.target),
        "max_steps": STEPS,
        "step_decay": DECAY,
        "query_decay": ASKED_DECAY,
        "smoothing": SMOOTHING,
        "strength": 0.6,
    }
    model = SeqRecForNextItem(small_config(transition_prior=transition_prior)).eval()
    model.transition_prior.load_transitions(
        *map(torch.from_numpy, transitions), torch.arange(NUM_ITEMS)
    )
    return model


@pytest.fixture
def lists_with_repeats(generator):
    return [generator.integers(0, 12, length) for length in generator.integers(2, 30, 60)]


@pytest.fixture
def lists(generator):
    return [generator.permutation(NUM_ITEMS)[:length] for length in generator.integers(2, 30, 60)]


ASKED = torch.tensor([[4, 7, 9], [3, -1, -1], [-1, -1, -1], [5, 5, 2]])


def test_probabilities_are_those_of_the_definition(lists):
    model = model_with_prior(lists)
    transition_prior, table = model.transition_prior, np.zeros((NUM_ITEMS, NUM_ITEMS))
    for items in lists:
        for end in range(len(items)):
            for start in range(max(end - STEPS, 0), end):
                table[items[start], items[end]] += DECAY ** (end - start - 1)
    popularity = (np.arange(NUM_ITEMS) + 1) / (np.arange(NUM_ITEMS) + 1).sum()
    leaving = table.sum(axis=1, keepdims=True)
    after = (table + SMOOTHING * popularity) / (leaving + SMOOTHING)
    weights = np.array([1, ASKED_DECAY, ASKED_DECAY**2])
    wanted = [
        weights @ after[[4, 7, 9]] / weights.sum(),
        after[3],
        popularity,
        weights @ after[[5, 5, 2]] / weights.sum(),
    ]
    found = transition_prior.probabilities(ASKED, 0, NUM_ITEMS)
    np.testing.assert_allclose(found, np.array(wanted), rtol=1e-5)
    tiles = [
        transition_prior.probabilities(ASKED, start, start + 20)
        for start in range(0, NUM_ITEMS, 20)
    ]
    torch.testing.assert_close(torch.cat(tiles, dim=1), found)


def test_probabilities_sum_to_one(lists):
    transition_prior = model_with_prior(lists).transition_prior
    sums = transition_prior.probabilities(ASKED, 0, NUM_ITEMS).sum(dim=1)
    torch.testing.assert_close(sums, torch.ones(len(ASKED)))


def test_scores_are_products_plus_the_priors_log_probabilities(lists):
    model = model_with_prior(lists)
    hidden = torch.randn(len(ASKED), 32)
    wanted = hidden @ model.item_weight().T
    wanted = wanted + 0.6 * model.transition_prior.probabilities(ASKED, 0, NUM_ITEMS).log()
    scores = model.catalog_scores(hidden, ASKED)
    torch.testing.assert_close(scores.logits(slice(0, NUM_ITEMS)), wanted)
    torch.testing.assert_close(scores.logits(slice(30, 50)), wanted[:, 30:50])
    seen = torch.tensor([[3, 40]]).expand(len(ASKED), -1)
    scores = model.catalog_scores(hidden, ASKED, excluded_items=seen, temperature=0.5)
    expected = (2 * wanted).softmax(dim=1)
    expected[:, [3, 40]] = 0
    torch.testing.assert_close(
        scores.logits(slice(0, NUM_ITEMS)).softmax(dim=1),
        expected / expected.sum(dim=1, keepdim=True),
    )
    model.transition_prior.strength = 0.0
    scores = model.catalog_scores(hidden, ASKED)
    torch.testing.assert_close(scores.logits(slice(0, NUM_ITEMS)), hidden @ model.item_weight().T)


@pytest.mark.parametrize("kind", ["lists", "lists_with_repeats"])
def test_a_target_in_training_is_left_out_of_the_counts(kind, request):
    lists = request.getfixturevalue(kind)
    with_it = model_with_prior(lists).transition_prior
    for index in (0, 5, 9):
        *before, label = lists[index]
        without = [*lists[:index], np.array(before), *lists[index + 1 :]]
        wanted = model_with_prior(without).transition_prior
        asked = torch.full((1, STEPS), -1)
        last = np.array(before[::-1][:STEPS])
        asked[0, : len(last)] = torch.from_numpy(last)
        expected = wanted.probabilities(asked, 0, NUM_ITEMS)
        for edges in ([0, NUM_ITEMS], [0, 30, 60, NUM_ITEMS]):
            tiles = [
                with_it.probabilities(asked, start, stop, torch.tensor([label]))
                for start, stop in pairwise(edges)
            ]
            torch.testing.assert_close(torch.cat(tiles, dim=1), expected)


def test_reloaded_transitions_replace_cached_matrices(lists):
    transition_prior, other = (
        model_with_prior(lists).transition_prior,
        model_with_prior(lists[::-1]).transition_prior,
    )
    before = transition_prior.probabilities(ASKED, 0, NUM_ITEMS)
    transition_prior.weight.mul_(2)
    tiles = [transition_prior.probabilities(ASKED, start, start + 50) for start in (0, 50)]
    after = transition_prior.probabilities(ASKED, 0, NUM_ITEMS)
    torch.testing.assert_close(torch.cat(tiles, dim=1), after)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(other.probabilities(ASKED, 0, NUM_ITEMS), before)
    assert transition_prior.probabilities(ASKED[:0], 0, NUM_ITEMS).shape == (0, NUM_ITEMS)


def test_the_last_items_skip_what_is_no_item_and_stay_in_their_history():
    items = torch.tensor([[1, -1, 2, 3, 4], [5, 6, -1, -1, -1]])
    documents = torch.tensor([[1, 1, 1, 2, 2], [1, 1, 0, 0, 0]])
    found = last_items(items, documents, 2)
    assert found[0].tolist() == [[1, -1], [1, -1], [2, 1], [3, -1], [4, 3]]
    assert found[1, :2].tolist() == [[5, -1], [6, 5]]
    assert (found[1, 2:] == -1).all()
    assert (last_items(torch.full((1, 3), -1), torch.zeros(1, 3).long(), 2) == -1).all()


def test_the_last_items_of_histories_are_those_at_their_ends_and_go_on_with_a_new_one():
    histories = [[5, 6, 7], [], [8], [9, 9]]
    found = last_items_after([np.array(h, dtype=np.int32) for h in histories], 2)
    assert found.tolist() == [[7, 6], [-1, -1], [8, -1], [9, 9]]
    assert with_next_item(found, torch.tensor([1, 2, 3, 4])).tolist() == [
        [1, 7],
        [2, -1],
        [3, 8],
        [4, 9],
    ]
    nothing = np.empty(0, dtype=np.int64)
    assert last_items_after([nothing, nothing], 3).tolist() == [[-1] * 3] * 2
    assert last_items_after([], 3).shape == (0, 3)


def test_without_a_label_nothing_is_taken_out(lists):
    transition_prior = model_with_prior(lists).transition_prior
    labels = torch.tensor([7, -100, 3, -100])
    for start, stop in ((0, NUM_ITEMS), (0, 50)):
        plain = transition_prior.probabilities(ASKED, start, stop)
        found = transition_prior.probabilities(ASKED, start, stop, labels)
        torch.testing.assert_close(found[[1, 3]], plain[[1, 3]])
        assert not torch.allclose(found[0], plain[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_whole_rows_are_added_in_every_precision(lists, dtype):
    transition_prior = model_with_prior(lists).transition_prior.to(dtype)
    whole = transition_prior.probabilities(ASKED, 0, NUM_ITEMS)
    tiles = [transition_prior.probabilities(ASKED, start, start + 50) for start in (0, 50)]
    torch.testing.assert_close(whole, torch.cat(tiles, dim=1), rtol=1e-2, atol=1e-4)
    with torch.inference_mode():
        made_here = model_with_prior(lists).transition_prior.to(dtype)
        found = made_here.probabilities(ASKED, 0, NUM_ITEMS)
    torch.testing.assert_close(found, whole)


def test_training_in_bfloat16_loses_no_more_than_its_rounding(lists):
    """A label's leave-one-out count is a difference of unrounded numbers."""
    transition_prior = model_with_prior(lists).transition_prior
    labels = torch.tensor([7, -100, 3, 2])
    wanted = transition_prior.probabilities(ASKED, 0, NUM_ITEMS, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = transition_prior.probabilities(ASKED, 0, NUM_ITEMS, labels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=2**-7, atol=0)
    rows = torch.tensor([0, 2, 3])
    kept = labels[rows]
    torch.testing.assert_close(found[rows, kept], wanted[rows, kept])
    torch.testing.assert_close(transition_prior.probabilities(ASKED, 0, NUM_ITEMS, labels), wanted)


def test_events_that_a_grammar_drops_do_not_condition_the_prior(lists):
    """A recommender's scores are those of the tokens that the model reads."""
    grammar = Grammar((feature("rating", dropped=("1",)),))
    tokens = ItemTokens(OneTokenItems(2, 100), pad_token_id=0, unknown_token_id=1)
    events = EventTokens(tokens, EventCoder(grammar, {}), first_token=102)
    ranker = ModelRanker("model", model_with_prior(lists), tokens, events)
    histories = EventHistories(
        [np.array([4, 9, 5])], [np.array([[5], [3], [1]])], np.zeros((1, 1), dtype=np.int32)
    )
    read = torch.tensor([[2 + 4, 102 + 5, 2 + 9, 102 + 3]])
    wanted = ranker.model(read).logits
    torch.testing.assert_close(ranker.score_tiles(histories)(0, 100), wanted)


def test_saved_and_loaded_it_scores_the_same(lists, tmp_path):
    model = model_with_prior(lists)
    tokens = torch.randint(2, 102, (2, 9))
    attention_mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5])
    wanted = model(tokens, attention_mask).logits
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    assert torch.equal(loaded(tokens, attention_mask).logits, wanted)
