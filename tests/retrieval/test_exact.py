"""Exact top-k against a stable sort of the full row in plain Python."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrec.errors import SeqRecError
from seqrec.retrieval.exact import SeenItems, top_k, top_k_by_product


def sorted_lists(scores, seen, k):
    """The reference: Python's stable sort of all unseen items, lower items first among equals."""
    lists = []
    for row, left_out in zip(scores.tolist(), seen, strict=True):
        unseen = [item for item in range(len(row)) if item not in set(map(int, left_out))]
        best = sorted(unseen, key=lambda item: -row[item])[:k]
        lists.append(best + [-1] * (k - len(best)))
    return torch.tensor(lists, dtype=torch.int64).reshape(len(scores), k)


def top_k_of_scores(scores, k, *, seen=None, tile_items):
    def score_tile(start, stop):
        assert stop - start <= tile_items
        return scores[:, start:stop]

    return top_k(score_tile, *scores.shape, k, seen=seen, tile_items=tile_items)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_queries=st.integers(0, 6),
    num_items=st.integers(0, 40) | st.integers(100, 400),
    num_levels=st.sampled_from([1, 2, 5, 1000]),
    k=st.integers(1, 12) | st.integers(13, 45),
    tile_items=st.integers(1, 45) | st.integers(100, 400),
)
def test_equals_a_stable_sort_without_seen_items(
    seed, num_queries, num_items, num_levels, k, tile_items
):
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.integers(-num_levels, num_levels, (num_queries, num_items)) / 8.0)
    seen = [
        rng.integers(0, max(num_items, 1), rng.integers(0, num_items + 1))
        for _ in range(num_queries)
    ]
    before = scores.clone()
    best = top_k_of_scores(scores, k, seen=SeenItems.from_lists(seen), tile_items=tile_items)

    torch.testing.assert_close(best.items, sorted_lists(scores, seen, k), rtol=0, atol=0)
    listed = best.items >= 0
    assert torch.equal(listed.sum(dim=1), (best.scores > -torch.inf).sum(dim=1))
    found = scores.gather(1, best.items.clamp_min(0)) if num_items else best.scores
    assert torch.equal(best.scores[listed].double(), found[listed].double())
    assert torch.equal(scores, before)


def test_a_hand_case_with_ties_across_the_cut_and_across_tiles():
    scores = torch.tensor([[1.0, 3.0, 2.0, 2.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    for tile_items in range(1, 8):
        best = top_k_of_scores(
            scores, 3, seen=SeenItems.from_lists([[1], []]), tile_items=tile_items
        )
        assert best.items.tolist() == [[4, 2, 3], [0, 1, 2]]
        assert best.scores.tolist() == [[3.0, 2.0, 2.0], [0.0, 0.0, 0.0]]


def test_lists_are_padded_when_nothing_is_left():
    scores = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    best = top_k_of_scores(scores, 4, seen=SeenItems.from_lists([[0, 1], [1, 1]]), tile_items=2)
    assert best.items.tolist() == [[-1, -1, -1, -1], [0, -1, -1, -1]]
    assert best.scores.tolist() == [[-torch.inf] * 4, [1.0] + [-torch.inf] * 3]


def test_seen_items_outside_the_catalog_leave_nothing_out():
    scores = torch.tensor([[1.0, 2.0, 3.0]])
    best = top_k_of_scores(scores, 3, seen=SeenItems.from_lists([[-1, 3, 99]]), tile_items=2)
    assert best.items.tolist() == [[2, 1, 0]]


def test_seen_items_are_flat_and_may_be_empty():
    seen = SeenItems.from_lists([[3, 1], np.array([], dtype=np.int32), np.array([2])])
    assert seen.rows.tolist() == [0, 0, 2] and seen.items.tolist() == [3, 1, 2]
    for lists in ([], [[], []]):
        seen = SeenItems.from_lists(lists)
        assert seen.rows.tolist() == seen.items.tolist() == []
        assert seen.rows.dtype == seen.items.dtype == torch.int64


@pytest.mark.parametrize("tile_items", [7, 50, 1000])
def test_product_equals_the_dense_matrix_in_float64(tile_items):
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(20, 8, generator=generator, dtype=torch.float64)
    item_vectors = torch.randn(300, 8, generator=generator, dtype=torch.float64)
    seen = [list(range(row, 300, 20)) for row in range(20)]
    best = top_k_by_product(
        queries, item_vectors, 12, seen=SeenItems.from_lists(seen), tile_items=tile_items
    )
    assert torch.equal(best.items, sorted_lists(queries @ item_vectors.T, seen, 12))


def test_padding_rows_that_are_sliced_off_are_never_listed():
    item_vectors = torch.ones(64, 4)
    item_vectors[10:] = 100
    best = top_k_by_product(torch.ones(2, 4), item_vectors[:10], 20, tile_items=4)
    assert best.items.tolist() == [[*range(10), *[-1] * 10]] * 2


def test_half_precision_with_many_ties_keeps_the_order():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(8, 2000, generator=generator).bfloat16()
    best = top_k_of_scores(scores, 30, tile_items=500)
    assert torch.equal(best.items, sorted_lists(scores, [[]] * 8, 30))
    for items, values in zip(best.items.tolist(), best.scores.tolist(), strict=True):
        neighbours = pairwise(zip(values, items, strict=True))
        assert all(a > b or (a == b and i < j) for (a, i), (b, j) in neighbours)


def test_scores_that_are_expanded_or_need_a_gradient_will_do():
    counts = torch.tensor([5.0, 7.0, 7.0, 1.0], requires_grad=True)
    best = top_k(
        lambda start, stop: counts[start:stop].expand(3, -1),
        *(3, 4, 2),
        seen=SeenItems.from_lists([[], [1], [1, 2]]),
        tile_items=4,
    )
    assert best.items.tolist() == [[1, 2], [2, 0], [0, 3]]
    assert not best.scores.requires_grad


@pytest.mark.parametrize("num_items", [10, 205])
@pytest.mark.parametrize("from_last", [1, 4])
def test_nan_is_refused(num_items, from_last):
    scores = torch.zeros(2, num_items)
    scores[1, num_items - from_last] = torch.nan
    with pytest.raises(SeqRecError, match="NaN among the scores"):
        top_k_of_scores(scores, 2, tile_items=(num_items + 1) // 2)


def test_k_below_one_is_refused():
    with pytest.raises(SeqRecError, match="k is 0"):
        top_k_of_scores(torch.zeros(1, 3), 0, tile_items=2)
