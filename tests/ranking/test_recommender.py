"""The recommender against plain matrix products, on a model with random weights."""

import logging
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from seqrec.errors import SeqRecError
from seqrec.ranking.history_reading import find_items
from seqrec.ranking.recommender import Recommender
from seqrec.retrieval.index import build_index
from seqrec.tokens.tokenizer import history_text
from tests.conftest import save_small_model


@pytest.fixture
def folder(tmp_path):
    return save_small_model(tmp_path / "model")


@pytest.fixture
def recommender(folder):
    return Recommender.from_pretrained(folder)


HISTORIES = [["t3", "t5", "t9"], ["t0"], ["t1"] * 30 + ["t2"]]


def test_lists_are_the_best_unseen_items_of_the_plain_product(recommender):
    tokenizer_scores = []
    for history in HISTORIES:
        tokens = [[2 + int(item_id[1:]) for item_id in history[-16:]]]
        tokenizer_scores.append(recommender.model(torch.tensor(tokens)).logits[0].detach().numpy())
    for history, scores, found in zip(
        HISTORIES, tokenizer_scores, recommender.recommend(HISTORIES, k=7), strict=True
    ):
        scores = scores.copy()
        scores[[int(item_id[1:]) for item_id in history]] = -np.inf
        expected = np.argsort(-scores, kind="stable")[:7]
        assert [item_id for item_id, _ in found] == [f"t{item}" for item in expected]
        np.testing.assert_allclose([score for _, score in found], scores[expected], rtol=1e-4)


def test_seen_items_are_listed_without_exclude_seen(recommender):
    (((first, _), *_),) = recommender.recommend([["t3"]], k=100, exclude_seen=False)
    assert len(recommender.recommend([["t3"]], k=100, exclude_seen=False)[0]) == 100
    assert first.startswith("t")


def test_ids_outside_the_catalog_are_skipped_and_logged_once(recommender, caplog):
    with caplog.at_level(logging.WARNING):
        with_unknown = recommender.recommend([["t3", "nobody", "t5", "no, either", "t9"]], k=5)
    assert with_unknown == recommender.recommend([["t3", "t5", "t9"]], k=5)
    assert [r.message for r in caplog.records] == [
        "2 item ids are not in the catalog and were skipped, 'nobody' first"
    ]


@pytest.mark.parametrize("history", [[], ["nobody"]])
def test_an_empty_history_is_answered_by_training_counts(recommender, history):
    (found,) = recommender.recommend([history], k=3)
    assert found == [("t99", 99.0), ("t98", 98.0), ("t97", 97.0)]


def test_fewer_lists_than_k_where_the_catalog_is_exhausted(recommender, caplog):
    history = [f"t{item}" for item in range(98)]
    with caplog.at_level(logging.WARNING):
        (found,) = recommender.recommend([history], k=10)
    assert {item_id for item_id, _ in found} == {"t98", "t99"}
    assert len(caplog.records) == 1
    assert recommender.recommend([[f"t{item}" for item in range(100)]], k=10) == [[]]
    assert recommender.recommend([], k=10) == []


def test_embeddings_reproduce_the_scores(recommender):
    vectors = recommender.embed(HISTORIES)
    assert vectors.shape == (3, 32) and recommender.item_embeddings().shape == (100, 32)
    ((item_id, score), *_) = recommender.recommend([HISTORIES[0]], k=1)[0]
    product = vectors[0] @ recommender.item_embeddings()[int(item_id[1:])]
    np.testing.assert_allclose(product, score, rtol=1e-5)
    assert recommender.embed([]).shape == (0, 32)


def test_a_batch_gives_what_each_history_gives_alone(recommender):
    together = recommender.recommend(HISTORIES, k=5)
    for history, found in zip(HISTORIES, together, strict=True):
        (alone,) = recommender.recommend([history], k=5)
        assert [item_id for item_id, _ in alone] == [item_id for item_id, _ in found]


def test_a_flat_index_gives_the_exact_lists(recommender):
    histories, _ = find_items(recommender.table, HISTORIES)
    index = build_index(recommender.item_embeddings(), "flat")
    by_index = recommender.rank_by_index(index, histories, 10)
    assert torch.equal(by_index.items, recommender.rank(histories, 10).items)


def test_the_tokenizer_of_the_folder_gives_the_recommenders_scores(folder, recommender):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = history_text(HISTORIES[0])
    logits = recommender.model(**tokenizer(text, return_tensors="pt")).logits[0]
    found = recommender.recommend([HISTORIES[0]], k=100, exclude_seen=False)[0]
    assert [f"t{item}" for item in logits.argsort(descending=True)[:20]] == [
        i for i, _ in found[:20]
    ]


def test_a_plain_string_is_not_a_history(recommender):
    with pytest.raises(SeqRecError, match="lists of item ids"):
        recommender.recommend(["318"])


def test_parts_of_different_models_are_refused(tmp_path, folder):
    other = save_small_model(tmp_path / "other", item_ids=[f"x{i}" for i in range(100)])
    (folder / "tokenizer.json").write_bytes((other / "tokenizer.json").read_bytes())
    with pytest.raises(SeqRecError, match="not the tokenizer that the model was trained with"):
        Recommender.from_pretrained(folder)
    (folder / "items.parquet").write_bytes((other / "items.parquet").read_bytes())
    with pytest.raises(SeqRecError, match="not the catalog of the model's training"):
        Recommender.from_pretrained(folder)
    (folder / "items.parquet").unlink()
    with pytest.raises(SeqRecError, match=r"items.parquet"):
        Recommender.from_pretrained(folder)
    with pytest.raises(SeqRecError, match="no such model folder"):
        Recommender.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize("memory_mb", [0.001, 0.02, 1, 10_000])
def test_lists_are_the_same_within_any_memory(recommender, memory_mb):
    plain = recommender.recommend(HISTORIES, k=7)
    limited = recommender.with_memory_limit(memory_mb)
    held = 2 * 4 * limited.batch_size * min(limited.tile_items, limited.num_items)
    assert held <= memory_mb * 2**20
    found = limited.recommend(HISTORIES, k=7)
    assert [[i for i, _ in one] for one in found] == [[i for i, _ in one] for one in plain]


def test_no_memory_at_all_is_refused(recommender):
    for broken in (float("nan"), float("inf"), -1):
        with pytest.raises(SeqRecError, match="a number of MiB"):
            recommender.with_memory_limit(broken)
    with pytest.raises(SeqRecError, match="--memory-mb 0"):
        recommender.with_memory_limit(0)


@pytest.mark.parametrize(
    "histories",
    [
        (history for history in HISTORIES),
        map(list, HISTORIES),
        iter(HISTORIES),
        [(item_id for item_id in history) for history in HISTORIES],
        [np.array(history) for history in HISTORIES],
        pd.Series(HISTORIES),
        [pd.Series(history) for history in HISTORIES],
        [pl.Series(history) for history in HISTORIES],
        tuple(map(tuple, HISTORIES)),
    ],
)
def test_whatever_lists_histories_is_read_once_into_lists(recommender, histories):
    assert recommender.recommend(histories, k=3) == recommender.recommend(HISTORIES, k=3)


def test_generators_are_embedded(recommender):
    vectors = recommender.embed(iter(history) for history in HISTORIES)
    np.testing.assert_array_equal(vectors, recommender.embed(HISTORIES))


def test_numbers_and_uuids_are_the_ids_that_a_log_has(tmp_path):
    unique = [str(uuid.UUID(int=number)) for number in range(50)]
    folder = save_small_model(tmp_path / "m", [*map(str, range(1000, 1050)), *unique])
    recommender = Recommender.from_pretrained(folder)
    expected = recommender.recommend([["1000", "1001", unique[3]]], k=3)
    for ids in ([1000, 1001], [1000.0, np.float32(1001)], np.array([1000, 1001]).tolist()):
        assert recommender.recommend([[*ids, uuid.UUID(unique[3])]], k=3) == expected
    for missing in (None, float("nan"), np.nan):
        with pytest.raises(SeqRecError, match="an item id is missing"):
            recommender.recommend([[1000, missing]])


@pytest.mark.parametrize("histories", [[1000, 1001], None, 5, "t3", {"item_id": "t3"}, [None]])
def test_a_single_history_is_refused_in_one_line(recommender, histories):
    with pytest.raises(SeqRecError, match="lists of item ids"):
        recommender.recommend(histories)


@pytest.mark.parametrize("k", ["5", 2.0, None, True, 0, -1])
def test_k_is_a_whole_number_of_at_least_one(recommender, k):
    with pytest.raises(SeqRecError, match=r"\bk\b"):
        recommender.recommend(HISTORIES, k=k)


def test_k_of_numpy_counts(recommender):
    assert recommender.recommend(HISTORIES, k=np.int64(2)) == recommender.recommend(HISTORIES, k=2)
