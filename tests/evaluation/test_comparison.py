"""Verdicts over a table: seeds, Holm, margins, and users who are asked several times."""

import itertools

import numpy as np
import pytest

from seqrec.errors import SeqRecError
from seqrec.evaluation.comparison import compare
from seqrec.evaluation.significance import bootstrap_intervals, holm, paired_randomization

USERS = np.arange(400)


def scores(seed: int, mean: float, num_seeds: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.1, (num_seeds, 400))


def test_a_system_that_is_better_in_every_seed_wins_and_the_others_do_not():
    table = {"ours": scores(0, 0.53), "baseline": scores(1, 0.4, 1), "like": scores(2, 0.53)}
    baseline, like = compare(table, USERS, metric="ndcg@10")
    assert baseline.is_significant and baseline.is_not_inferior
    assert baseline.difference == pytest.approx(table["ours"].mean() - table["baseline"].mean())
    assert baseline.relative == pytest.approx(baseline.difference / table["baseline"].mean())
    assert baseline.interval[0] < baseline.difference < baseline.interval[1]
    assert not like.is_significant and like.is_not_inferior
    assert "ours wins" in baseline.sentence() and "not inferior" in like.sentence()


def test_p_values_are_those_of_the_means_over_seeds_adjusted_over_the_table():
    table = {"a": scores(0, 0.5), "b": scores(1, 0.49), "c": scores(2, 0.485)}
    found = [comparison.p_value for comparison in compare(table, USERS, metric="ndcg@10")]
    means = {name: values.mean(axis=0) for name, values in table.items()}
    alone = [paired_randomization(means["a"], means[other], seed=0).p_value for other in "bc"]
    assert found == holm(alone)


def test_one_seed_of_the_other_sign_is_not_significant():
    ours = np.stack([np.full(400, 0.9), np.full(400, 0.9), np.full(400, 0.4)])
    (found,) = compare({"ours": ours, "baseline": np.full((1, 400), 0.5)}, USERS, metric="ndcg@10")
    assert found.p_value < 0.001 and not found.has_one_sign and not found.is_significant


def test_a_verdict_over_single_runs_says_so():
    table = {"ours": scores(0, 0.53, 1), "baseline": scores(1, 0.4, 1)}
    (found,) = compare(table, USERS, metric="ndcg@10")
    assert found.is_significant and "ours wins (one run: seed variance" in found.sentence()
    table["ours"] = scores(0, 0.53)
    (found,) = compare(table, USERS, metric="ndcg@10")
    assert found.runs == 1 and "one run" in found.sentence()
    (found,) = compare(table, USERS, metric="ndcg@10", untrained=["baseline"])
    assert found.runs == 3 and "one run" not in found.sentence()
    (found,) = compare(table, USERS, metric="ndcg@10", untrained=["baseline", "ours"])
    assert found.runs is None and "one run" not in found.sentence()


def test_every_seed_of_either_is_looked_at_where_they_are_not_as_many():
    ours, other = np.full((2, 400), 0.5), np.full((3, 400), [[0.3], [0.3], [0.6]])
    for table in ({"a": ours, "b": other}, {"b": other, "a": ours}):
        (found,) = compare(table, USERS, metric="ndcg@10")
        assert not found.has_one_sign


def test_p_values_of_means_over_seeds_are_those_of_all_flips():
    """Thirds in single precision hide that draws equal what was observed."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        ours, other = (rng.integers(0, 2, (3, 14)).astype(np.float32) for _ in range(2))
        hits = (ours.sum(axis=0) - other.sum(axis=0)).astype(int)  # thirds, exactly
        signs = np.array(list(itertools.product([1, -1], repeat=14)))
        exact = (np.abs(signs @ hits) >= abs(hits.sum())).mean()
        (found,) = compare({"a": ours, "b": other}, np.arange(14), metric="recall@10")
        assert found.p_value == pytest.approx(exact, abs=0.02)


def test_a_loss_of_more_than_the_margin_is_inferior():
    baseline = np.random.default_rng(0).uniform(0.4, 0.6, (1, 400))
    (lost,) = compare({"ours": baseline * 0.96, "baseline": baseline}, USERS, metric="ndcg@10")
    (kept,) = compare({"ours": baseline * 0.98, "baseline": baseline}, USERS, metric="ndcg@10")
    assert not lost.is_not_inferior and kept.is_not_inferior
    assert lost.is_significant and "baseline wins" in lost.sentence()


def test_a_system_that_is_equal_is_not_inferior():
    baseline = scores(1, 0.4, 1)
    (same,) = compare({"ours": baseline, "baseline": baseline}, USERS, metric="ndcg@10")
    assert same.difference == 0 and same.is_not_inferior and not same.is_significant
    assert "(+0.0%; 95 %" in same.sentence() and "ours is not inferior" in same.sentence()


def test_a_gain_over_nothing_is_no_percentage():
    (found,) = compare({"a": scores(0, 0.5), "b": np.zeros((1, 400))}, USERS, metric="mrr@10")
    assert found.as_row()["relative"] is None and "(95 % interval" in found.sentence()


def test_who_asks_often_is_drawn_as_one():
    """Each user asks eight times and gets the same answer: no more evidence than one query."""
    rng = np.random.default_rng(0)
    once = rng.normal(0.05, 0.4, 50)
    queries = np.repeat(once, 8)[None]
    users = np.repeat(np.arange(50), 8)
    nothing = np.zeros_like(queries)
    (clustered,) = compare({"a": queries, "b": nothing}, users, metric="mrr@10")
    (alone,) = compare({"a": once[None], "b": nothing[:, :50]}, np.arange(50), metric="mrr@10")
    (naive,) = compare({"a": queries, "b": nothing}, np.arange(400), metric="mrr@10")
    assert clustered.p_value == pytest.approx(alone.p_value, abs=1e-12)
    assert clustered.interval == pytest.approx(alone.interval)
    assert naive.p_value < clustered.p_value


def test_users_of_several_queries_weigh_as_their_queries_do():
    """Intervals of the mean over queries, against draws of users by hand."""
    values = np.array([[1.0], [0.0], [0.0], [1.0], [0.5]])
    users = np.array([7, 3, 3, 7, 9])
    rng = np.random.default_rng(1)
    of = {7: values[[0, 3], 0], 3: values[[1, 2], 0], 9: values[[4], 0]}
    drawn = [np.concatenate([of[user] for user in rng.choice([3, 7, 9], 3)]) for _ in range(20_000)]
    low, high = np.quantile([one.mean() for one in drawn], [0.025, 0.975])
    ((found_low, found_high),) = bootstrap_intervals(values, users=users, seed=0)
    assert (found_low, found_high) == pytest.approx((low, high), abs=0.01)


def test_a_system_that_is_not_there_is_named():
    with pytest.raises(SeqRecError, match="--against c: choose from a, b"):
        compare({"a": scores(0, 0.5), "b": scores(1, 0.5)}, USERS, metric="x", against="c")
