"""Diverse lists, caps and pins against the rules spelled out one item at a time."""

import itertools

import numpy as np
import pytest
import torch

from seqrec.ranking.list_rules import Cap, ListRules, rank_by_rules
from seqrec.retrieval.allowed_items import AllowedItems
from seqrec.retrieval.exact import SeenItems, top_k

NUM_ITEMS = 300


def make_search(scores):
    """A search by fixed scores, a row for each history; a history's first item is its row."""

    def search(histories, k, *, exclude_seen, allowed):
        rows = [int(history[0]) for history in histories]
        part = torch.from_numpy(scores[rows])
        return top_k(
            lambda start, stop: part[:, start:stop],
            len(rows),
            NUM_ITEMS,
            k,
            seen=SeenItems.from_lists(histories) if exclude_seen else None,
            allowed=allowed,
            tile_items=NUM_ITEMS,
        )

    return search


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    scores = rng.permuted(np.tile(np.arange(NUM_ITEMS), (6, 1)), axis=1).astype(np.float32)
    histories = [np.array([row, *rng.integers(0, NUM_ITEMS, 5)]) for row in range(6)]
    return rng, scores, histories


def listed(ranked):
    return [[item for item in row if item >= 0] for row in ranked.items.tolist()]


def order(scores, history):
    return [int(i) for i in np.argsort(-scores, kind="stable") if i not in history]


def test_caps_skip_what_is_over_them_down_to_the_last_item(world):
    rng, scores, histories = world
    genres = [sorted({*rng.integers(0, 4, 2).tolist()}) for _ in range(NUM_ITEMS)]
    years = [[int(item % 40)] if item % 3 else [] for item in range(NUM_ITEMS)]
    caps = [Cap(5, genres), Cap(1, years)]
    for k in (3, 12, 60):
        rules = ListRules(k, caps=caps)
        found = listed(rank_by_rules(make_search(scores), histories, rules, None, NUM_ITEMS))
        for row, history in enumerate(histories):
            expected = []
            for item in order(scores[row], history):
                new = [*expected, item]
                values = [[g for i in new for g in cap.groups[i]] for cap in caps]
                if all(
                    values[c].count(v) <= caps[c].limit
                    for c in range(2)
                    for v in caps[c].groups[item]
                ):
                    expected = new
            assert found[row] == expected[:k]


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.8, 1.0])
def test_diverse_lists_are_maximal_marginal_relevance(world, weight):
    rng, scores, histories = world
    vectors = rng.standard_normal((NUM_ITEMS, 4)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    rules = ListRules(7, trade_off=weight)
    found = listed(rank_by_rules(make_search(scores), histories, rules, vectors, NUM_ITEMS))
    for row, history in enumerate(histories):
        pool = order(scores[row], history)[:100]
        values = scores[row][pool].astype(float)
        worth = dict(
            zip(pool, (values - values.min()) / (values.max() - values.min()), strict=True)
        )
        expected = []
        for _ in range(7):
            gains = {
                item: weight * worth[item]
                - (1 - weight) * max((unit[item] @ unit[other] for other in expected), default=0)
                for item in pool
                if item not in expected
            }
            expected.append(max(gains, key=gains.get))
        assert found[row] == expected
        if weight == 1:
            assert found[row] == pool[:7]


def test_diverse_lists_read_the_vectors_of_candidates_alone(world):
    rng, scores, histories = world
    vectors = rng.standard_normal((NUM_ITEMS, 4)).astype(np.float32)
    pools = {item for row in range(6) for item in order(scores[row], histories[row])[:100]}
    pin = next(item for item in range(NUM_ITEMS) if item not in pools)
    rules = ListRules(7, trade_off=0.5, pins=[(pin, 1)])
    expected = listed(rank_by_rules(make_search(scores), histories, rules, vectors, NUM_ITEMS))
    unread = [item for item in range(NUM_ITEMS) if item not in {*pools, pin}]
    assert unread
    vectors[unread] = np.nan
    found = listed(rank_by_rules(make_search(scores), histories, rules, vectors, NUM_ITEMS))
    assert found == expected


def test_pins_stand_at_their_ranks_unless_they_are_excluded(world):
    _, scores, histories = world
    seen, excluded, high = int(histories[0][1]), int(np.argsort(scores[1])[5]), 7
    allowed = AllowedItems(
        NUM_ITEMS,
        excluded=[np.array([excluded] if row == 1 else [], dtype=int) for row in range(6)],
    )
    pins = [(seen, 3), (excluded, None), (high, 6)]
    rules = ListRules(6, allowed=allowed, pins=pins)
    ranked = rank_by_rules(make_search(scores), histories, rules, None, NUM_ITEMS)
    for row, history in enumerate(histories):
        pinned = [item for item, _ in pins if row != 1 or item != excluded]
        others = iter([i for i in order(scores[row], history) if i not in (seen, excluded, high)])
        slots = {3: seen, 6: high} | ({} if row == 1 else {1: excluded})
        expected = [slots.get(rank) or next(others) for rank in range(1, 7)]
        assert listed(ranked)[row] == expected and set(pinned) <= set(expected)
        np.testing.assert_array_equal(ranked.scores[row], scores[row][expected])


def test_pins_count_under_caps_and_short_lists_close_up(world):
    _, scores, histories = world
    groups = [[item % 2] for item in range(NUM_ITEMS)]
    rules = ListRules(8, caps=[Cap(2, groups)], pins=[(8, 8), (10, None)])
    for row in listed(rank_by_rules(make_search(scores), histories, rules, None, NUM_ITEMS)):
        assert len(row) == 4 and row[0] == 10 and row[-1] == 8
        assert [item % 2 for item in row[1:3]] == [1, 1]


def test_rules_without_effect_are_the_search(world):
    _, scores, histories = world
    search = make_search(scores)
    expected = search(histories, 9, exclude_seen=True, allowed=None)
    for rules in (ListRules(9), ListRules(9, caps=[Cap(9, [[0]] * NUM_ITEMS)])):
        ranked = rank_by_rules(search, histories, rules, None, NUM_ITEMS)
        assert torch.equal(ranked.items, expected.items)
        assert torch.equal(ranked.scores, expected.scores)
    assert list(itertools.chain(*listed(ranked)))
