"""What content says of titles that training never met, and how loudly."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seqrec.evaluation.protocol import Queries
from seqrec.models import SeqRecForNextItem
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.tokens.tokenizer import ItemTokens, build_tokenizer
from seqrec.training.calibration.cold_items import learn_cold_items, scale_cold_items
from seqrec.training.tensors import PackedTensors
from seqrec.training.validation import validation_metrics
from tests.conftest import small_config

NUM_ITEMS, NUM_MET, WIDTH = 100, 80, 6
KS = [10]


@pytest.fixture
def model():
    """Of 100 titles 80 are met, and the vectors of these follow from their contents."""
    model = SeqRecForNextItem(small_config(content={"content_width": WIDTH})).eval()
    tokens = model.get_input_embeddings()
    content = torch.randn(NUM_ITEMS, WIDTH)
    tokens.load_content(content, (torch.arange(NUM_ITEMS) < NUM_MET).long())
    with torch.no_grad():
        tokens.proj.weight.copy_(torch.randn(32, WIDTH) / WIDTH)
        tokens.weight.mul_(0.05)
    return model


@pytest.fixture
def histories(generator):
    return [generator.choice(NUM_MET, 9, replace=False) for _ in range(64)]


def batches_of(model, histories):
    """Histories that go on as the model would have it, drawn anew in every batch."""
    items = torch.from_numpy(np.stack(histories))
    input_ids = items + model.config.first_item_token
    with torch.no_grad():
        logits = model.hidden_states(input_ids) @ model.item_weight()[: model.num_learned].T
    documents, weight = torch.ones_like(input_ids), torch.ones(input_ids.shape)
    while True:
        labels = torch.distributions.Categorical(logits=logits).sample()
        yield PackedTensors(input_ids, documents, labels, weight, labels.numel())


@pytest.fixture(scope="module")
def learn_once():
    """``learn_cold_items`` for tests that start from the same weights and random numbers."""
    learned = {}

    def learn(model, histories):
        if not learned:
            batches = batches_of(model, histories)
            learn_cold_items(model, batches, row_dropout=0.5, content_dropout=0.2)
            learned["weights"] = copy.deepcopy(model.state_dict())
            learned["random_state"] = torch.get_rng_state()
        model.load_state_dict(learned["weights"])
        torch.set_rng_state(learned["random_state"])

    return learn


def ranker_of(model):
    item_ids = [f"t{item}" for item in range(NUM_ITEMS)]
    tokens = ItemTokens.of(build_tokenizer(item_ids), item_ids)
    return ModelRanker("model", model, tokens)


def test_where_content_says_all_of_a_title_it_says_all_of_a_new_one(model, histories):
    """The vectors that known titles would have, from a world in which rows hold nothing."""
    tokens = model.get_input_embeddings()
    with torch.no_grad():
        tokens.weight[tokens.items] = 0
    learn_cold_items(model, batches_of(model, histories), row_dropout=0.5, content_dropout=0.0)
    with torch.no_grad():
        found = model.item_weight()[NUM_MET:]
        wanted = tokens.proj(tokens.content[NUM_MET:])
        states = model.hidden_states(next(batches_of(model, histories)).input_ids).flatten(0, 1)
    both = torch.stack([(states @ part.T).flatten() for part in (found, wanted)])
    assert torch.corrcoef(both)[0, 1] > 0.95


def test_nothing_else_changes(model, histories):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learn_cold_items(model, batches_of(model, histories), row_dropout=0.5, content_dropout=0.5)
    changed = {name for name, value in model.state_dict().items() if not before[name].equal(value)}
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in changed} == {"proj_of_new"}


def queries_after(model, histories):
    """What the model itself would have come next."""
    labels = next(batches_of(model, histories)).labels[:, -1]
    targets = [np.array([label]) for label in labels.tolist()]
    queries = Queries(np.arange(len(histories)), histories, targets, 0)
    return SimpleNamespace(iterate_all=lambda: iter([queries]))


def scaled_by(model, fitted, scale):
    with torch.no_grad():
        for part, of_one in zip(
            model.get_input_embeddings().proj_of_new.parameters(), fitted, strict=True
        ):
            part.copy_(scale * of_one)


@pytest.mark.parametrize("max_cost", [0.0, 0.05, 0.3, 1.0])
def test_cold_items_take_as_many_places_as_validation_allows(
    model, histories, learn_once, max_cost
):
    """Within the cost, and a little more would be beyond it."""
    learn_once(model, histories)
    validation, ranker = queries_after(model, histories), ranker_of(model)
    fitted = [part.clone() for part in model.get_input_embeddings().proj_of_new.parameters()]

    def value(scale):
        scaled_by(model, fitted, scale)
        return validation_metrics(ranker, validation, KS)["ndcg@10"]

    learned = ranker.without_cold_items()
    scaled_by(model, fitted, 1.0)
    left_out = validation_metrics(learned, validation, KS)["ndcg@10"]
    found = scale_cold_items(ranker, validation, "ndcg@10", KS, max_cost)
    now = [part.clone() for part in model.get_input_embeddings().proj_of_new.parameters()]
    for part, of_one in zip(now, fitted, strict=True):
        torch.testing.assert_close(part, found.scale * of_one)
    assert found.validation["ndcg@10"] == value(found.scale)
    assert found.cost == pytest.approx(1 - value(found.scale) / left_out)
    assert found.cost <= max_cost
    assert found.scale == 2 or value(1.06 * found.scale) < (1 - max_cost) * left_out
    assert (found.scale == 2) == (max_cost == 1)


def test_where_no_target_is_found_nothing_is_said_about_lengths(model, histories, learn_once):
    learn_once(model, histories)
    before = model.item_weight().detach()
    targets = [history[:1] for history in histories]
    queries = Queries(np.arange(len(histories)), histories, targets, 0)
    validation = SimpleNamespace(iterate_all=lambda: iter([queries]))
    found = scale_cold_items(ranker_of(model), validation, "ndcg@10", KS, 0.01)
    assert (found.scale, found.cost) == (1.0, 0.0)
    assert model.item_weight().equal(before)


def test_cold_items_are_left_out_until_they_are_learned(model, histories):
    """Zero vectors score 0, which would win where known titles' scores are all below."""
    ranker = ranker_of(model)
    hidden = ranker.encode(histories)
    scores = hidden @ model.item_weight().detach().T
    found = ranker.without_cold_items().rank(histories, 10, exclude_seen=False)
    assert found.items.equal(scores[:, :NUM_MET].topk(10).indices)
    assert ranker.num_items == NUM_ITEMS


def test_with_a_memory_the_softmax_is_that_of_both(histories):
    """Where the memory alone explains what comes next, new titles' content has nothing to add."""
    transition_prior = {"max_steps": 2, "step_decay": 0.5, "query_decay": 0.7, "smoothing": 30.0}
    config = small_config(
        content={"content_width": WIDTH},
        transition_prior=transition_prior | {"num_edges": 0, "strength": 1.0},
    )
    model = SeqRecForNextItem(config).eval()
    tokens = model.get_input_embeddings()
    counts = torch.where(torch.arange(NUM_ITEMS) < NUM_MET, 100, 0)
    counts[: NUM_MET // 2] = 1000
    content = torch.zeros(NUM_ITEMS, WIDTH)
    content[: NUM_MET // 2, 0] = 1.0
    content[NUM_MET // 2 : NUM_MET, 1] = 1.0
    tokens.load_content(content, counts)
    no_edges = torch.zeros(0)
    model.transition_prior.load_transitions(
        torch.zeros(NUM_ITEMS + 1), no_edges, no_edges, torch.zeros(NUM_ITEMS), counts
    )
    with torch.no_grad():
        tokens.weight.mul_(1e-3)
        tokens.proj.weight.zero_()
    input_ids = torch.from_numpy(np.stack(histories[:1] * 64)) + model.config.first_item_token
    documents, weight = torch.ones_like(input_ids), torch.ones(input_ids.shape)

    def batches():
        while True:
            drawn = torch.multinomial(counts[:NUM_MET].float(), input_ids.numel(), replacement=True)
            labels = drawn.view(input_ids.shape)
            yield PackedTensors(input_ids, documents, labels, weight, labels.numel())

    learn_cold_items(model, batches(), row_dropout=0.5, content_dropout=0.0)
    with torch.no_grad():
        states = model.hidden_states(input_ids).flatten(0, 1)
        said = states @ tokens.proj_of_new(content[:NUM_MET]).T
    apart = (said[:, 0] - said[:, -1]).abs().mean()
    assert apart < 0.2  # of log(10), which content would have to say without the memory
