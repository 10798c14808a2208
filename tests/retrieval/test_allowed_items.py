"""Lists under rules on their items, against a brute-force sort in numpy."""

import numpy as np
import pytest
import torch

from seqrec.ranking.recommender import Recommender
from seqrec.retrieval.allowed_items import AllowedItems
from seqrec.retrieval.exact import SeenItems, top_k
from seqrec.retrieval.index import KINDS, build_index, search
from tests.conftest import save_small_model

NUM_QUERIES = 12


def draw_rules(rng, num_items, with_shared, with_only, with_excluded):
    def draw_lists(largest):
        counts = rng.integers(0, largest, NUM_QUERIES)
        return [rng.integers(0, num_items, count) for count in counts]

    return AllowedItems(
        num_items,
        rng.random(num_items) < rng.choice([0.02, 0.5]) if with_shared else None,
        draw_lists(num_items) if with_only else None,
        draw_lists(num_items // 2) if with_excluded else None,
    )


def brute_force(scores, k, seen, rules):
    """For every query, the items that a full sort lists first."""
    lists = []
    for row, values in enumerate(scores):
        items = set(range(len(values))) - set(np.asarray(seen[row]).tolist())
        if rules.shared is not None:
            items &= set(np.flatnonzero(rules.shared).tolist())
        if rules.only is not None:
            items &= set(rules.only[row].tolist())
        if rules.excluded is not None:
            items -= set(rules.excluded[row].tolist())
        lists.append(sorted(items, key=lambda item: (-values[item], item))[:k])
    return lists


def listed(ranked):
    return [[item for item in row if item >= 0] for row in ranked.items.tolist()]


RULES = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("tile_items", [7, 1000])
def test_exact_lists_are_those_of_a_full_sort(rules, tile_items):
    rng = np.random.default_rng(sum(rules))
    for _ in range(5):
        scores = rng.integers(0, 20, (NUM_QUERIES, 90)).astype(np.float32)
        allowed = draw_rules(rng, 90, *rules)
        seen = [rng.integers(0, 90, rng.integers(0, 60)) for _ in range(NUM_QUERIES)]
        ranked = top_k(
            lambda start, stop, scores=scores: torch.from_numpy(scores[:, start:stop]),
            NUM_QUERIES,
            90,
            10,
            seen=SeenItems.from_lists(seen),
            allowed=allowed,
            tile_items=tile_items,
        )
        assert listed(ranked) == brute_force(scores, 10, seen, allowed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rules", RULES)
def test_an_index_lists_k_allowed_items_while_there_are_so_many(kind, rules):
    rng = np.random.default_rng(sum(rules))
    vectors = rng.standard_normal((400, 8)).astype(np.float32)
    queries = rng.standard_normal((NUM_QUERIES, 8)).astype(np.float32)
    index = build_index(vectors, kind)
    for _ in range(3):
        allowed = draw_rules(rng, 400, *rules)
        seen = [rng.integers(0, 400, rng.integers(0, 200)) for _ in range(NUM_QUERIES)]
        expected = brute_force(queries @ vectors.T, 12, seen, allowed)
        found = listed(search(index, queries, 12, seen=seen, allowed=allowed))
        assert [len(row) for row in found] == [len(row) for row in expected]
        everything = brute_force(queries @ vectors.T, 400, seen, allowed)
        for row, every in zip(found, everything, strict=True):
            assert set(row) <= set(every) and len(set(row)) == len(row)
        if kind == "flat" or rules[1]:
            assert found == expected


def test_a_model_ranks_the_same_by_batches_and_through_a_flat_index(tmp_path):
    recommender = Recommender.from_pretrained(save_small_model(tmp_path / "model"))
    rng = np.random.default_rng(0)
    histories = [rng.integers(0, 100, length) for length in (0, 3, 20, *[5] * (NUM_QUERIES - 3))]
    allowed = draw_rules(rng, 100, 1, 0, 1)
    every = recommender.rank(histories, 100, exclude_seen=False)
    matrix = np.empty((NUM_QUERIES, 100), dtype=np.float32)
    np.put_along_axis(matrix, every.items.numpy(), every.scores.numpy(), axis=1)
    expected = brute_force(matrix, 8, histories, allowed)
    recommender.batch_size = 5
    assert listed(recommender.rank(histories, 8, allowed=allowed)) == expected
    index = build_index(recommender.item_embeddings(), "flat")
    assert listed(recommender.rank_by_index(index, histories, 8, allowed=allowed)) == expected
