"""Ranking metrics by hand, against a brute-force twin, scikit-learn, and two processes."""

import doctest
import json
import math
import warnings
from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score, top_k_accuracy_score
from torchmetrics.functional.retrieval import retrieval_hit_rate, retrieval_recall

from seqrec.errors import SeqRecError
from seqrec.evaluation import metrics
from seqrec.evaluation.metrics import (
    CoverageAtK,
    HitRateAtK,
    MRRAtK,
    NDCGAtK,
    RecallAtK,
    hit_rate,
    mark_hits,
    metric_collection,
    mrr,
    ndcg,
    recall,
)

log2 = math.log2


def hits_at(*ranks, length=5):
    """One query's hits at the given ranks, from 1."""
    return torch.tensor([[rank in ranks for rank in range(1, length + 1)]])


@pytest.mark.parametrize(
    ("metric", "ranks", "num_targets", "k", "expected"),
    [
        (recall, (1,), 1, 1, 1),
        (recall, (2,), 1, 1, 0),
        (recall, (2, 5), 4, 5, 2 / 4),
        (recall, (2, 5), 4, 4, 1 / 4),
        (recall, (1, 2), 9, 2, 2 / 9),
        (hit_rate, (2, 5), 4, 1, 0),
        (hit_rate, (2, 5), 4, 2, 1),
        (hit_rate, (2, 5), 4, 5, 1),
        (ndcg, (1,), 1, 5, 1),
        (ndcg, (3,), 1, 5, 1 / log2(4)),
        (ndcg, (3,), 1, 2, 0),
        (ndcg, (1, 3), 2, 5, (1 + 1 / log2(4)) / (1 + 1 / log2(3))),
        (ndcg, (1, 2), 7, 2, 1),
        (ndcg, (2,), 7, 2, (1 / log2(3)) / (1 + 1 / log2(3))),
        (mrr, (2, 5), 4, 5, 1 / 2),
        (mrr, (4,), 1, 4, 1 / 4),
        (mrr, (4,), 1, 3, 0),
        (mrr, (), 1, 5, 0),
    ],
)
def test_metrics_by_hand(metric, ranks, num_targets, k, expected):
    value = metric(hits_at(*ranks), torch.tensor([num_targets]), k)
    assert value.tolist() == pytest.approx([expected])


@pytest.mark.parametrize("metric", [recall, hit_rate, ndcg, mrr])
def test_a_list_shorter_than_k_is_judged_as_if_padded_with_misses(metric):
    short, padded = hits_at(2, length=3), hits_at(2, length=10)
    num_targets = torch.tensor([4])
    assert torch.equal(metric(short, num_targets, 8), metric(padded, num_targets, 8))
    no_columns = torch.zeros(1, 0, dtype=torch.bool)
    assert metric(no_columns, num_targets, 8).tolist() == [0]


def judged_one_by_one(items, targets, k):
    """The twin: recall, hit rate, NDCG and MRR of one list by the textbook, in plain Python."""
    gains = [1 if item in targets else 0 for item in items[:k]]
    dcg = sum(gain / log2(rank + 1) for rank, gain in enumerate(gains, 1))
    ideal = sum(1 / log2(rank + 1) for rank in range(1, min(len(targets), k) + 1))
    first = next((rank for rank, gain in enumerate(gains, 1) if gain), None)
    return (
        sum(gains) / len(targets),
        float(any(gains)),
        dcg / ideal,
        1 / first if first else 0.0,
    )


def random_lists(seed, num_queries, num_items, length):
    rng = np.random.default_rng(seed)
    items = [rng.permutation(num_items)[:length].tolist() for _ in range(num_queries)]
    targets = [
        rng.choice(num_items, rng.integers(1, num_items + 1), replace=False).tolist()
        for _ in range(num_queries)
    ]
    return items, targets


def hits_and_counts(items, targets):
    counts = torch.tensor([len(target) for target in targets])
    rows = torch.arange(len(targets)).repeat_interleave(counts)
    return mark_hits(torch.tensor(items), rows, torch.tensor(sum(targets, []))), counts


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_queries=st.integers(1, 5),
    num_items=st.integers(1, 12),
    length=st.integers(1, 12),
    k=st.integers(1, 14),
)
def test_metrics_equal_the_textbook_on_random_ranks(seed, num_queries, num_items, length, k):
    items, targets = random_lists(seed, num_queries, num_items, length)
    hits, counts = hits_and_counts(items, targets)
    expected = [judged_one_by_one(*pair, k) for pair in zip(items, map(set, targets), strict=True)]
    found = torch.stack([metric(hits, counts, k) for metric in (recall, hit_rate, ndcg, mrr)], 1)
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize("k", [1, 3, 10, 40])
def test_metrics_equal_independent_libraries(k):
    num_queries, num_items = 50, 40
    items, targets = random_lists(7, num_queries, num_items, num_items)
    hits, counts = hits_and_counts(items, targets)
    relevance = np.zeros((num_queries, num_items))
    scores = np.zeros((num_queries, num_items))
    for query in range(num_queries):
        relevance[query, targets[query]] = 1
        scores[query, items[query]] = np.arange(num_items, 0, -1)
    assert ndcg(hits, counts, k).mean().item() == pytest.approx(ndcg_score(relevance, scores, k=k))
    for query in range(num_queries):
        pair = torch.from_numpy(scores[query]), torch.from_numpy(relevance[query]).bool()
        torch.testing.assert_close(recall(hits, counts, k)[query], retrieval_recall(*pair, top_k=k))
        torch.testing.assert_close(
            hit_rate(hits, counts, k)[query], retrieval_hit_rate(*pair, top_k=k)
        )

    single = [target[:1] for target in targets]
    hits, counts = hits_and_counts(items, single)
    if k < num_items:
        accuracy = top_k_accuracy_score(np.ravel(single), scores, k=k, labels=np.arange(num_items))
        assert recall(hits, counts, k).mean().item() == pytest.approx(accuracy)
        assert hit_rate(hits, counts, k).mean().item() == pytest.approx(accuracy)
    one_hot = np.eye(num_items)[np.ravel(single)]
    reciprocal = label_ranking_average_precision_score(one_hot, scores)
    assert mrr(hits, counts, num_items).mean().item() == pytest.approx(reciprocal)


def test_hits_know_their_query_and_ignore_padding_and_repeats():
    items = torch.tensor([[4, 2, 4, -1], [2, 0, 4, -1], [-1, -1, -1, -1]])
    hits = mark_hits(items, torch.tensor([0, 0, 1, 2]), torch.tensor([4, 9, 0, -1]))
    assert hits.tolist() == [[True, False, False, False], [False, True, False, False], [False] * 4]
    nothing = torch.empty(0, dtype=torch.int64)
    assert not mark_hits(items, nothing, nothing).any()
    assert mark_hits(torch.empty(0, 3, dtype=torch.int64), nothing, nothing).shape == (0, 3)


def test_means_are_over_queries_not_over_updates():
    metric = RecallAtK(1)
    metric.update(torch.tensor([[True]]), torch.tensor([1]))
    metric.update(torch.tensor([[False], [False], [True]]), torch.tensor([1, 1, 2]))
    assert metric.compute().item() == (1 + 0 + 0 + 1 / 2) / 4
    metric.reset()
    metric.update(torch.tensor([[False]]), torch.tensor([1]))
    assert metric.compute().item() == 0


def test_coverage_is_the_share_of_items_listed():
    metric = CoverageAtK(k=2, num_items=10)
    metric.update(torch.tensor([[1, 2, 3], [2, -1, -1]]))
    metric.update(torch.tensor([[9, 1, 0]]))
    assert metric.compute().item() == pytest.approx(len({1, 2, 9}) / 10)


def test_without_queries_means_are_nan_and_coverage_is_0():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in (RecallAtK(3), HitRateAtK(3), NDCGAtK(3), MRRAtK(3)):
            metric.update(torch.zeros(0, 3, dtype=torch.bool), torch.zeros(0, dtype=torch.int64))
            assert metric.compute().isnan()
        coverage = CoverageAtK(3, num_items=5)
        coverage.update(torch.zeros(0, 3, dtype=torch.int64))
        assert coverage.compute().item() == 0


def test_a_query_without_targets_is_refused():
    with pytest.raises(SeqRecError, match="no target"):
        RecallAtK(1).update(torch.tensor([[False]]), torch.tensor([0]))


def test_the_collection_has_a_key_per_metric_and_k():
    collection = metric_collection([10, 50], num_items=100)
    names = ("recall", "hit_rate", "ndcg", "mrr", "coverage")
    assert set(collection) == {f"{name}@{k}" for name in names for k in (10, 50)}
    assert all(metric.k == int(key.split("@")[1]) for key, metric in collection.items())


def updated(queries):
    """All metrics after the given queries of a fixed world, in two updates."""
    items, targets = random_lists(3, num_queries=30, num_items=25, length=6)
    collection = metric_collection([1, 5], num_items=25)
    for part in (queries[:4], queries[4:]):
        part_items = [items[query] for query in part]
        hits, counts = hits_and_counts(part_items, [targets[query] for query in part])
        for key, metric in collection.items():
            arguments = (torch.tensor(part_items),) if "coverage" in key else (hits, counts)
            metric.update(*arguments)
    return collection


def _judge_a_share(share, store, folder):
    """What process 0 or 1 computes when both have judged their share of the queries."""
    dist.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=share,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    try:
        queries = list(range(11)) if share == 0 else list(range(11, 30))
        values = {key: metric.compute().item() for key, metric in updated(queries).items()}
        (folder / f"{share}.json").write_text(json.dumps(values))
    finally:
        dist.destroy_process_group()


def test_two_processes_agree_with_one(tmp_path, monkeypatch, pytestconfig):
    expected = {key: metric.compute().item() for key, metric in updated(list(range(30))).items()}
    monkeypatch.syspath_prepend(pytestconfig.rootpath)  # the other process imports this module
    arguments = (1, tmp_path / "store", tmp_path)
    other = mp.get_context("spawn").Process(target=_judge_a_share, args=arguments)
    other.start()
    _judge_a_share(0, *arguments[1:])
    other.join()
    for share in range(2):
        values = json.loads((tmp_path / f"{share}.json").read_text())
        assert values == pytest.approx(expected, abs=1e-6)


def test_the_stories_in_the_docstrings_are_true():
    result = doctest.testmod(metrics)
    assert result.attempted > 0 and result.failed == 0
