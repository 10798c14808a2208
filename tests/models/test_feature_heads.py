"""Heads of features: each softmax is over one feature vocabulary, exactly."""

import numpy as np
import pytest
import torch

from seqrec.models import SeqRecForNextItem
from seqrec.models.feature_heads import (
    feature_cross_entropy,
    get_learned_vocabularies,
    get_vocabulary,
    value_probabilities,
    with_plans,
)
from seqrec.tokens.events.coder import EventCoder
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.tokenizer import ItemTokens
from tests.conftest import small_config
from tests.tokens.conftest import feature

GRAMMAR = Grammar(
    (
        feature("genre", source="item", key="genres", values=("Crime", "Drama")),
        feature("rating", is_learned=True),
        feature("finished", key="finished", values=("0", "1"), is_learned=True),
        feature("wanted", place="before"),
    )
)
TOKENS = ItemTokens(OneTokenItems(2, 100), pad_token_id=0, unknown_token_id=1)
EVENTS = EventTokens(TOKENS, EventCoder(GRAMMAR, {0: np.arange(100) % 3}), first_token=102)
GENRE, RATING, FINISHED, WANTED = EVENTS.first_tokens.tolist()


@pytest.fixture
def model():
    return SeqRecForNextItem(small_config()).eval()


def test_vocabularies_are_the_values_of_learned_features():
    rating, finished = (get_vocabulary(EVENTS, index) for index in (1, 2))
    assert get_learned_vocabularies(EVENTS) == [rating, finished]
    assert rating == (RATING + 1, 5) and finished == (FINISHED + 1, 2)


def test_the_loss_is_the_cross_entropy_within_each_vocabulary(model):
    hidden = torch.randn(6, 32, requires_grad=True)
    labels = torch.tensor([RATING + 5, -100, FINISHED + 1, RATING + 1, -100, FINISHED + 2])
    found = feature_cross_entropy(model, hidden, labels, get_learned_vocabularies(EVENTS), total=4)
    logits = hidden.double() @ model.get_input_embeddings().weight.double().T
    ratings = logits[:, RATING + 1 : RATING + 6].log_softmax(1)
    finished = logits[:, FINISHED + 1 : FINISHED + 3].log_softmax(1)
    wanted = -(ratings[0, 4] + finished[2, 0] + ratings[3, 0] + finished[5, 1]) / 4
    torch.testing.assert_close(found.double(), wanted)
    (gradient,) = torch.autograd.grad(found, hidden)
    (by_hand,) = torch.autograd.grad(wanted, hidden)
    torch.testing.assert_close(gradient, by_hand)
    assert not gradient[[1, 4]].any()


def test_without_labels_the_loss_is_0_and_has_a_gradient(model):
    hidden = torch.randn(2, 32, requires_grad=True)
    labels = torch.full((2,), -100)
    found = feature_cross_entropy(model, hidden, labels, get_learned_vocabularies(EVENTS), total=0)
    found.backward()
    assert found.item() == 0 and not hidden.grad.any()


@torch.no_grad()
def chance(model, tokens, vocabulary):
    """The probability of every value of a feature after some tokens, by hand."""
    hidden = model.hidden_states(torch.tensor([tokens]))[0, -1]
    weight = model.get_input_embeddings().weight
    return (weight[vocabulary.first_token : vocabulary.end] @ hidden).softmax(0).numpy()


HISTORY = [7, GENRE + 2, RATING + 3, FINISHED + 1, WANTED + 4]


def test_the_first_learned_feature_follows_from_the_item(model):
    found = value_probabilities(model, EVENTS, np.array(HISTORY), np.array([4, 9]), index=1)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    for item, chances in zip((4, 9), found, strict=True):
        tokens = [*HISTORY, 2 + item, GENRE + item % 3]
        np.testing.assert_allclose(
            chances, chance(model, tokens, get_vocabulary(EVENTS, 1)), rtol=1e-4
        )


def test_unknown_features_between_item_and_feature_are_marginalised(model):
    """P(finished | item) = sum over ratings of P(rating | item) P(finished | item, rating)."""
    found = value_probabilities(model, EVENTS, np.array(HISTORY), np.arange(30), index=2)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    tokens = [*HISTORY, 2 + 17, GENRE + 17 % 3]
    of_rating = chance(model, tokens, get_vocabulary(EVENTS, 1))
    after = [chance(model, [*tokens, RATING + r], get_vocabulary(EVENTS, 2)) for r in range(1, 6)]
    wanted = sum(p * given for p, given in zip(of_rating, after, strict=True))
    np.testing.assert_allclose(found[17], wanted, rtol=1e-4)


PLANNING = Grammar(
    (
        feature("genre", source="item", key="genres", values=("Crime", "Drama")),
        feature("wanted", place="before"),
        feature("mood", place="before", values=("sad", "mad", "glad"), is_learned=True),
        feature("next_genre", place="before", values=("Crime", "Drama"), is_learned=True),
    )
)
PLANS = EventTokens(TOKENS, EventCoder(PLANNING, {0: np.arange(100) % 3}), first_token=102)


def test_a_plan_is_greedy_feature_by_feature_given_those_before(model):
    """Against the tokens written by hand; histories of several lengths share a batch."""
    _, wanted, mood, next_genre = PLANS.first_tokens.tolist()
    histories = PLANS.without_features(
        [np.array([7]), np.array([4, 9, 30]), np.array([], dtype=int)]
    )
    histories.conditions[1, 3] = 2
    found = with_plans(model, PLANS, histories).conditions
    assert not histories.conditions[0].any() and not found[:, :2].any()
    assert not found[2].any()
    open_words = [wanted, mood, next_genre]
    for row, said in ((0, found[0]), (1, found[1])):
        tokens = []
        for item in histories[row].tolist():
            tokens += [2 + item, 102 + item % 3, *open_words]
        tokens = [*tokens[:-3], wanted]
        assert said[2] == 1 + chance(model, tokens, get_vocabulary(PLANS, 2)).argmax()
        tokens.append(mood + said[2])
        likeliest = 1 + chance(model, tokens, get_vocabulary(PLANS, 3)).argmax()
        assert said[3] == (likeliest if row == 0 else 2)
