"""Evidence for listed items, against full softmaxes and counts by hand."""

import numpy as np
import polars as pl
import pytest
import torch

from seqrec.baselines import build_baseline
from seqrec.data.counted_transitions import CountedTransitions
from seqrec.data.histories import Histories
from seqrec.data.item_table import ItemTable
from seqrec.data.transitions import count_transitions
from seqrec.ranking import evidence
from seqrec.ranking.evidence import find_evidence
from seqrec.ranking.recommender import Recommender
from seqrec.ranking.served import Reading, serve_baseline
from tests.conftest import save_small_model

NO_READING = Reading({}, plan=False)
HISTORY = ["t3", "t5", "nobody", "t9", "t5"]
ITEMS = np.array([7, 40, 99])


@pytest.fixture
def recommender(tmp_path):
    return Recommender.from_pretrained(save_small_model(tmp_path / "model"))


def explain(recommender, history, counted=None):
    return find_evidence(recommender.serve(), history, ITEMS, NO_READING, counted)


def test_a_title_is_left_out_with_all_its_events(recommender):
    recommender.tile_items = 30
    for found, item in zip(explain(recommender, HISTORY), ITEMS, strict=True):
        assert found.item == item and [one.title for one in found.titles] == [3, 9, 5]
        logits = {}
        for left_out in (None, 3, 9, 5):
            kept = [one for one in (3, 5, 9, 5) if one != left_out]
            logits[left_out] = recommender.model(2 + torch.tensor([kept])).logits[0].detach()
        unseen = [row for row in range(100) if row not in (3, 5, 9)]

        def rank(scores, unseen=unseen, item=item):
            return 1 + int((scores[unseen] > scores[item]).sum())

        assert found.rank == rank(logits[None])
        np.testing.assert_allclose(found.score, logits[None][item], rtol=1e-4)
        for one in found.titles:
            without = logits[one.title]
            assert one.without.rank == rank(without)
            factor = logits[None].softmax(0)[item] / without.softmax(0)[item]
            np.testing.assert_allclose(one.without.factor, factor, rtol=1e-4)
            vectors = recommender.model.item_weight().detach()
            cosine = torch.cosine_similarity(vectors[one.title], vectors[item], dim=0)
            np.testing.assert_allclose(one.cosine, cosine, atol=1e-6)
            assert one.followed is None


def test_nothing_is_left_of_a_history_of_one_title(recommender):
    (first, *_) = explain(recommender, ["t3"])
    (only,) = first.titles
    assert only.without == (1 + 99 - 7 - 0, None)  # by the counts of training
    assert [found.titles for found in explain(recommender, [])] == [[], [], []]


def test_a_long_history_leaves_out_its_most_recent_titles(recommender, monkeypatch):
    monkeypatch.setattr(evidence, "MAX_LEFT_OUT", 2)
    assert [one.title for one in explain(recommender, HISTORY)[0].titles] == [9, 5]


def test_transitions_are_counted_from_the_training_part(recommender):
    items = np.array([3, 7, 3, 7, 40, 3, 7, 9, 7], dtype=np.int32)
    split = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1], dtype=np.uint8)
    histories = Histories(np.array([0, 5, 9]), items, split)
    counted = CountedTransitions(
        count_transitions([histories], 100, distance_weights=[1.0, 1.0]),
        recommender.table,
        2,
        is_weighted=False,
    )
    by_item = {found.item: found for found in explain(recommender, HISTORY, counted)}
    (third, *_) = by_item[7].titles
    # 3 is followed within two by 7, 3; 7, 40; 7, 9
    assert third.followed == (3.0, 3 / 6)
    assert [one.followed for one in by_item[40].titles] == [(1.0, 1 / 6), None, None]
    assert counted.find("t7", "t7") == (1.0, 1 / 4)  # 3, 7; 40; 9
    assert counted.find("nobody", "t7") is None


def test_a_prior_is_the_source_of_transitions(recommender, tmp_path):
    from tests.onnx.test_export import save_event_model

    own = Recommender.from_pretrained(save_event_model(tmp_path / "events"))
    prior = own.model.transition_prior
    target, weight = int(prior.target[9]), float(prior.weight[9])
    (found,) = find_evidence(own.serve(), ["t3"], np.array([target]), NO_READING)
    assert found.titles[0].followed == pytest.approx((weight, weight / float(prior.leaving[3])))


def test_a_baseline_has_ranks_and_no_probabilities():
    histories = Histories(
        np.array([0, 3, 6]), np.array([0, 1, 2, 0, 1, 3], dtype=np.int32), np.zeros(6, np.uint8)
    )
    ranker = build_baseline("item-knn", histories, 4, {})
    items = pl.DataFrame({"item": range(4), "item_id": list("abcd")})
    served = serve_baseline(ranker, items)
    assert isinstance(served.table, ItemTable)
    (found,) = find_evidence(served, ["a", "b"], np.array([2]), NO_READING)
    scores = ranker.score_tiles([np.array([0, 1])])(0, 4)[0]
    assert found.score == pytest.approx(float(scores[2]))
    assert found.rank == 1 + int(scores[3] > scores[2])
    assert [one.without.factor for one in found.titles] == [None, None]
    assert [one.cosine for one in found.titles] == [None, None]
