"""FAISS indexes against the matrix product."""

import json

import numpy as np
import pytest
import torch

from seqrec.errors import SeqRecError
from seqrec.retrieval.exact import SeenItems, top_k_by_product
from seqrec.retrieval.index import KINDS, ItemIndex, build_index, recall_against_exact, search
from seqrec.retrieval.index_folder import load_index, save_index

FINGERPRINTS = {"catalog_fingerprint": "catalog-1", "model_fingerprint": "model-1"}


def world(num_items, num_queries=40, width=16, *, norm_skew=0.0, seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((num_items, width)) * rng.lognormal(0, norm_skew, (num_items, 1))
    queries = rng.standard_normal((num_queries, width))
    most = rng.integers(0, num_items + 1, num_queries)
    most[::2] = np.minimum(most[::2], 5)
    seen = [rng.integers(-1, num_items + 1, count) for count in most]
    return vectors.astype(np.float32), queries.astype(np.float32), seen


def exact_lists(vectors, queries, k, seen):
    return top_k_by_product(
        torch.from_numpy(queries),
        torch.from_numpy(vectors),
        k,
        seen=SeenItems.from_lists(seen),
        tile_items=1000,
    )


@pytest.mark.parametrize("num_items", [1, 2, 10, 700])
def test_flat_equals_exact(num_items):
    vectors, queries, seen = world(num_items)
    for k in (1, 10, num_items + 3):
        found = search(build_index(vectors, "flat"), queries, k, seen=seen)
        exact = exact_lists(vectors, queries, k, seen)
        assert torch.equal(found.items, exact.items)
        torch.testing.assert_close(found.scores, exact.scores)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_items", [1, 3, 10, 45, 2000])
def test_never_fewer_than_k_while_k_unseen_items_exist(kind, num_items, capfd):
    vectors, queries, seen = world(num_items, norm_skew=1.0)
    vectors[num_items // 2 :] *= 1e-3  # half the catalog is all but invisible
    index = build_index(vectors, kind)
    for k in (1, 20, num_items):
        found = search(index, queries, k, seen=seen)
        exact = exact_lists(vectors, queries, k, seen)
        assert torch.equal((found.items >= 0).sum(dim=1), (exact.items >= 0).sum(dim=1))
        for items, left_out in zip(found.items.tolist(), seen, strict=True):
            listed = [item for item in items if item >= 0]
            assert len(set(listed)) == len(listed) and not set(listed) & set(left_out.tolist())
        vectors_found = vectors[found.items.clamp_min(0).numpy()]
        scores = torch.from_numpy(np.einsum("bd,bkd->bk", queries, vectors_found))
        listed = found.items >= 0
        torch.testing.assert_close(found.scores[listed], scores[listed], rtol=1e-4, atol=1e-4)
        assert (found.scores[:, :-1] >= found.scores[:, 1:]).all()
    assert capfd.readouterr().err == ""


def test_a_row_that_the_index_leaves_short_is_scored_exactly():
    class Forgetful:
        """A flat index that returns one item for every query."""

        def __init__(self, vectors):
            self.ntotal, self.d = vectors.shape
            self.inner = build_index(vectors, "flat").faiss_index
            self.reconstruct_n = self.inner.reconstruct_n

        def search(self, queries, k, params):
            scores, items = self.inner.search(queries, k, params=params)
            items[:, 1:], scores[:, 1:] = -1, np.finfo(np.float32).min
            return scores, items

    vectors, queries, seen = world(300)
    found = search(ItemIndex("flat", Forgetful(vectors)), queries, 15, seen=seen)
    assert torch.equal(found.items, exact_lists(vectors, queries, 15, seen).items)


@pytest.mark.parametrize("norm_skew", [0.0, 0.5])
def test_hnsw_finds_nearly_all_whatever_the_norms(norm_skew):
    vectors, queries, seen = world(3000, 200, norm_skew=norm_skew)
    found = search(build_index(vectors, "hnsw"), queries, 20, seen=seen)
    assert recall_against_exact(found.items, exact_lists(vectors, queries, 20, seen).items) > 0.98


def test_ivf_finds_most_where_items_cluster():
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((40, 16))
    vectors = centers[rng.integers(0, 40, 3000)] + 0.3 * rng.standard_normal((3000, 16))
    queries = centers[rng.integers(0, 40, 200)] + 0.3 * rng.standard_normal((200, 16))
    vectors, queries, seen = vectors.astype(np.float32), queries.astype(np.float32), [[]] * 200
    found = search(build_index(vectors, "ivf"), queries, 20, seen=seen)
    assert recall_against_exact(found.items, exact_lists(vectors, queries, 20, seen).items) > 0.95


def test_without_seen_items_nothing_is_left_out():
    vectors, queries, _ = world(50)
    found = search(build_index(vectors, "flat"), queries, 50)
    assert (found.items.sort(dim=1).values == torch.arange(50)).all()


def test_recall_against_exact_by_hand():
    exact = torch.tensor([[1, 2, 3], [4, 5, -1]])
    found = torch.tensor([[3, 1, 9], [1, 4, 2]])
    assert recall_against_exact(found, exact) == pytest.approx((2 + 1) / (3 + 2))
    assert recall_against_exact(exact, exact) == 1
    assert recall_against_exact(found, torch.full((2, 3), -1)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_comes_back_from_disk_unchanged(kind, tmp_path):
    vectors, queries, seen = world(500)
    index = build_index(vectors, kind)
    save_index(index, tmp_path, **FINGERPRINTS)
    loaded = load_index(tmp_path, **FINGERPRINTS)
    assert (loaded.kind, loaded.num_items, loaded.width) == (kind, 500, 16)
    assert loaded.settings == index.settings
    before, after = search(index, queries, 7, seen=seen), search(loaded, queries, 7, seen=seen)
    assert torch.equal(before.items, after.items) and torch.equal(before.scores, after.scores)
    stored = json.loads((tmp_path / "index.json").read_text())
    assert stored["metric"] == "inner_product" and stored["num_items"] == 500


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("file", "harm", "message"),
    [
        ("index.faiss", truncate, "index.faiss is damaged"),
        ("index.faiss", flip_a_byte, "index.faiss is damaged"),
        ("index.faiss", lambda path: path.unlink(), "index.faiss is missing"),
        ("index.json", lambda path: path.unlink(), "index.json is missing"),
        ("index.json", truncate, "index.json is damaged"),
        ("index.json", lambda path: path.write_text("[]"), "index.json is damaged"),
        ("index.json", lambda path: path.write_text('{"kind": "flat"}'), "index.json is damaged"),
    ],
)
def test_a_broken_index_is_refused_in_one_line(file, harm, message, tmp_path):
    save_index(build_index(world(50)[0], "flat"), tmp_path, **FINGERPRINTS)
    harm(tmp_path / file)
    with pytest.raises(SeqRecError, match=message) as caught:
        load_index(tmp_path, **FINGERPRINTS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("which", ["catalog", "model"])
def test_an_index_of_another_catalog_or_model_is_refused(which, tmp_path):
    save_index(build_index(world(5)[0], "flat"), tmp_path, **FINGERPRINTS)
    with pytest.raises(SeqRecError, match=f"another {which}"):
        load_index(tmp_path, **(FINGERPRINTS | {f"{which}_fingerprint": "other"}))


def test_errors_in_building_and_searching_are_named():
    vectors, queries, _ = world(5)
    with pytest.raises(SeqRecError, match="flat, hnsw, ivf"):
        build_index(vectors, "annoy")
    with pytest.raises(SeqRecError, match="empty"):
        build_index(vectors[:0], "flat")
    with pytest.raises(SeqRecError, match="NaN"):
        build_index(np.full((3, 2), np.nan), "flat")
    with pytest.raises(SeqRecError, match="16 wide, the index 8"):
        search(build_index(vectors[:, :8], "flat"), queries, 1)
    with pytest.raises(SeqRecError, match="k is 0"):
        search(build_index(vectors, "flat"), queries, 0)
