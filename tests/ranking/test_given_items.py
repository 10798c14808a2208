"""Scores of given items against the columns of the whole catalog's."""

import numpy as np
import pytest
import torch

from seqrec.baselines.popularity import Popularity
from seqrec.data.transitions import count_transitions
from seqrec.models import SeqRecForNextItem
from seqrec.models.ensemble import EnsembleConfig
from seqrec.models.transition_prior import counts
from seqrec.models.transition_prior.kinds import build_transition_prior
from seqrec.ranking.index_lists import rank_by_index
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.ranker import Ranker
from seqrec.ranking.text_fusion import TextFusion
from seqrec.retrieval.allowed_items import AllowedItems
from seqrec.retrieval.index import build_index
from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.tokenizer import ItemTokens
from tests.conftest import small_config
from tests.models.test_content import model_with_content
from tests.models.test_transition_prior import model_with_prior
from tests.models.test_transition_product import SETTINGS, as_histories

NUM_ITEMS = 100
TOKENS = ItemTokens(OneTokenItems(2, NUM_ITEMS), pad_token_id=0, unknown_token_id=1)
HISTORIES = [np.array(items) for items in ([4, 7, 9], [3], [5, 5, 2], [99, 0, 1, 2, 3, 4, 50])]
LISTS = [np.random.default_rng(1).integers(0, NUM_ITEMS, length) for length in range(2, 62)]


def with_product():
    model = SeqRecForNextItem(small_config()).eval()
    settings = {"name": "product", **SETTINGS, "strength": 0.8}
    weights = build_transition_prior(NUM_ITEMS, {**settings, "num_edges": 0}).distance_weights
    histories = as_histories(LISTS)
    transitions = count_transitions([histories], NUM_ITEMS, distance_weights=weights)
    prior = build_transition_prior(NUM_ITEMS, {**settings, "num_edges": len(transitions.target)})
    counted = torch.from_numpy(histories.item_counts(NUM_ITEMS))
    prior.load_transitions(*map(torch.from_numpy, transitions), counted)
    model.transition_prior = prior
    return model


def with_ties():
    model = SeqRecForNextItem(small_config()).eval()
    with torch.no_grad():
        weight = model.get_input_embeddings().weight
        weight[2 : 2 + NUM_ITEMS] = weight[2:12].repeat(10, 1)
    return model


def ensemble():
    config = small_config()
    config.backbone_config = EnsembleConfig(member_config=config.backbone_config, num_members=3)
    return SeqRecForNextItem(config).eval()


MODELS = {
    "tied": lambda: SeqRecForNextItem(small_config()).eval(),
    "untied": lambda: SeqRecForNextItem(small_config(head="untied")).eval(),
    "cosine": lambda: SeqRecForNextItem(small_config(cosine_scale=7.0)).eval(),
    "relative bias": lambda: SeqRecForNextItem(small_config("hstu")).eval(),
    "ensemble": ensemble,
    "content": model_with_content,
    "mean": lambda: model_with_prior(LISTS),
    "product": with_product,
    "ties": with_ties,
}


@pytest.fixture(params=[*MODELS, "popularity", "text"])
def ranker(request) -> Ranker:
    """A ranker of each kind."""
    if request.param == "popularity":
        return Popularity(as_histories(LISTS), NUM_ITEMS)
    if request.param == "text":
        vectors = np.random.default_rng(2).normal(size=(NUM_ITEMS, 8))
        plain = ModelRanker("model", MODELS["mean"](), TOKENS)
        return TextFusion(plain, vectors, vectors[3])
    return ModelRanker("model", MODELS[request.param](), TOKENS)


@pytest.mark.parametrize("is_dense", [True, False])
def test_scores_of_given_items_are_those_of_the_catalog(ranker, is_dense, monkeypatch):
    monkeypatch.setattr(counts, "MAX_CELLS", counts.MAX_CELLS if is_dense else 0)
    items = torch.from_numpy(np.random.default_rng(3).integers(0, NUM_ITEMS, (4, 17)))
    whole = ranker.score_tiles(HISTORIES)(0, NUM_ITEMS)
    torch.testing.assert_close(ranker.score_items(HISTORIES, items), whole.gather(1, items))


def test_few_candidates_are_ranked_as_in_a_list_of_the_catalog(ranker, monkeypatch):
    draw = np.random.default_rng(4)
    only = [draw.integers(-1, NUM_ITEMS, length) for length in (12, 3, 0, 9)]
    shared = draw.random(NUM_ITEMS) < 0.7
    allowed = AllowedItems(NUM_ITEMS, shared, only, [np.array([5, 40])] * 4)
    for exclude_seen in (True, False):
        found = ranker.rank(HISTORIES, 5, exclude_seen=exclude_seen, allowed=allowed)
        with monkeypatch.context() as patch:
            patch.setattr("seqrec.ranking.ranker.FEW_SHARE", NUM_ITEMS + 1)
            wanted = ranker.rank(HISTORIES, 5, exclude_seen=exclude_seen, allowed=allowed)
        assert torch.equal(found.items, wanted.items)
        torch.testing.assert_close(found.scores, wanted.scores)


@pytest.mark.parametrize("kind", ["mean", "product", "ties"])
def test_an_index_whose_items_are_scored_again_gives_the_lists_of_the_model(kind):
    """The index fetches at least 200 items: all of this catalog."""
    ranker = ModelRanker("model", MODELS[kind](), TOKENS)
    index = build_index(ranker.item_vectors(), "flat")
    histories = [*HISTORIES, np.array([], dtype=np.int64)]
    shared = np.arange(NUM_ITEMS) % 3 > 0
    for allowed in (
        None,
        AllowedItems(NUM_ITEMS, shared),
        AllowedItems(NUM_ITEMS, None, [np.arange(start, start + 9) for start in range(5)]),
    ):
        found = rank_by_index(
            ranker, index, histories, 7, exclude_seen=True, allowed=allowed, is_rescored=True
        )
        wanted = ranker.rank(histories, 7, allowed=allowed)
        torch.testing.assert_close(found.scores, wanted.scores)
        if kind != "ties":  # an index lists equal products in any order
            assert torch.equal(found.items, wanted.items)
