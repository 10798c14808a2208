"""Rows that a model keeps in another catalog: vectors, content, transitions."""

import copy

import torch

from seqrec.models import SeqRecForNextItem
from seqrec.models.carried_rows import carry_edges, carry_rows, give_rows
from seqrec.models.transition_prior.kinds import build_transition_prior
from seqrec.models.transition_prior.mean import TransitionMean
from tests.conftest import small_config

ITEMS = torch.tensor([7, 3, -1, 99, 0])
"""The model's items in a catalog of five, whose third is new."""
TOKENS = torch.cat([torch.tensor([0, 1]), torch.where(ITEMS >= 0, ITEMS + 2, -1)])


def carried_config(model):
    config = copy.deepcopy(model.config)
    config.num_items, config.padded_num_items = 5, 64
    config.backbone_config.vocab_size = 64
    return config


def test_a_model_with_content_gives_new_items_rows_that_keep_their_vectors():
    model = SeqRecForNextItem(small_config(content={"content_width": 4})).eval()
    embedding = model.get_input_embeddings()
    embedding.load_content(torch.randn(100, 4), (torch.arange(100) < 90).long())
    torch.nn.init.normal_(embedding.proj_of_new.weight)
    before = model.item_weight().detach()
    carried = carry_rows(model, ITEMS, TOKENS, carried_config(model))
    table = carried.get_input_embeddings()
    assert table.has_row.tolist() == [True, True, False, False, True]
    known = ITEMS >= 0
    assert torch.equal(table.weight[2:7][known], embedding.weight[2 + ITEMS[known]])
    assert torch.equal(table.content[known], embedding.content[ITEMS[known]])
    torch.testing.assert_close(carried.item_weight()[known], before[ITEMS[known]])
    table.content[2] = torch.randn(4)
    served = carried.item_weight().detach()
    assert give_rows(carried, torch.tensor([True, True, True, False, True])) == 1
    assert table.has_row.tolist() == [True, True, True, False, True]
    torch.testing.assert_close(carried.item_weight(), served)
    assert torch.equal(carried.item_weight()[[0, 1, 4]], served[[0, 1, 4]])


def prior_of(counts):
    """The prior of a matrix of transition counts, without a limit on history."""
    edges = counts.nonzero()
    prior = TransitionMean(
        len(counts),
        len(edges),
        max_steps=1,
        step_decay=1.0,
        query_decay=1.0,
        smoothing=2.0,
        strength=1.0,
    )
    first = torch.cat([torch.zeros(1, dtype=torch.long), (counts > 0).sum(dim=1).cumsum(0)])
    weight = counts[edges[:, 0], edges[:, 1]]
    prior.load_transitions(first, edges[:, 1], weight, counts.sum(dim=1), counts.sum(dim=0).long())
    return prior


def test_transitions_between_kept_items_stand_in_the_other_order():
    counts = torch.tensor([[0, 3, 1, 0], [2, 0, 0, 1], [0, 0, 0, 4], [1, 1, 1, 0]]).float()
    prior, order = prior_of(counts), torch.tensor([2, 0, 3, 1])
    edges = carry_edges(prior, order)
    moved = prior_of(counts[order][:, order])
    for name, tensor in edges._asdict().items():
        assert torch.equal(tensor, getattr(moved, name)), name


def test_transitions_of_dropped_items_are_subtracted_and_new_items_have_none():
    counts = torch.tensor([[0, 3, 1], [2, 0, 0], [0, 5, 0]]).float()
    edges = carry_edges(prior_of(counts), torch.tensor([1, -1, 0]))
    assert edges.first_edge.tolist() == [0, 1, 1, 2]
    assert edges.target.tolist() == [2, 0] and edges.weight.tolist() == [2, 3]
    assert edges.leaving.tolist() == [2, 0, 3]
    # item counts 2, 8, 1 of the model: popularity 3, 9 and 2 of 14; a new item has the least
    expected = torch.tensor([9.0, 2.0, 3.0])
    torch.testing.assert_close(edges.popularity, expected / expected.sum())


def test_a_product_over_more_items_scores_the_old_ones_as_before():
    settings = {
        "name": "product",
        "max_steps": 1,
        "distance_exponent": 1.0,
        "smoothing": 6.0,
        "max_items": 2,
        "recent_items": 2,
        "recent_share": 1.0,
        "history_decay": 0.5,
        "popularity_penalty": 0.0,
        "strength": 1.0,
    }
    wider = {**settings, **build_transition_prior(3, {**settings, "num_edges": 0}).settings_over(5)}
    weight = torch.tensor([3.0, 1.0])
    old = build_transition_prior(3, {**settings, "num_edges": 2}).edge_values(weight)
    assert torch.equal(
        build_transition_prior(5, {**wider, "num_edges": 2}).edge_values(weight), old
    )
    assert wider["smoothing"] == 10.0
