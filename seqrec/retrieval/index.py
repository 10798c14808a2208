"""FAISS indexes of the catalog by inner product: build, search without seen items, save, load.

All kinds hold the plain vectors and rank by inner product. For HNSW we measured the alternative,
an L2 graph over vectors augmented to equal norm (Bachrach et al. 2014): on vectors of unequal
norm its recall is far lower at the same breadth, so the graph uses the inner product too
(Morozov and Babenko 2018, "Non-metric similarity graphs").
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, isqrt
from typing import Any, Protocol

import faiss
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.errors import SeqRecError
from seqrec.retrieval.allowed_items import AllowedItems
from seqrec.retrieval.exact import TILE_ITEMS, SeenItems, TopK, best_first, top_k

KINDS = ("flat", "hnsw", "ivf")

HNSW_LINKS = 32
HNSW_BUILD_BREADTH = 200
HNSW_SEARCH_BREADTH = 256
IVF_TRAINING_ITEMS_PER_LIST = 39
IVF_SEARCHED_SHARE = 1 / 4
ADDED_ITEMS = 20_000
"""Items that are added to an index at once."""
BREADTH_PER_FETCHED = 2
EXACT_QUERIES = 512
"""Number of queries that are scored exactly at once."""


class VectorIndex(Protocol):
    """Whatever finds the items of the largest inner product with a query."""

    def search(
        self,
        queries: Float[np.ndarray, "B D"],
        k: int,
        *,
        seen: Sequence[np.ndarray | Sequence[int]] | None = None,
        allowed: AllowedItems | None = None,
    ) -> TopK:
        """Return the best ``k`` unseen and allowed items, or all if there are fewer."""


@dataclass(frozen=True)
class ItemIndex:
    """A FAISS index over all items; entry ``i`` is item ``i``."""

    kind: str
    faiss_index: Any

    @property
    def num_items(self) -> int:
        return self.faiss_index.ntotal

    @property
    def width(self) -> int:
        return self.faiss_index.d

    @property
    def settings(self) -> dict[str, int]:
        """The settings that the index was built with."""
        if self.kind == "hnsw":
            return {"links": HNSW_LINKS, "build_breadth": self.faiss_index.hnsw.efConstruction}
        return {"lists": self.faiss_index.nlist} if self.kind == "ivf" else {}

    def search(
        self,
        queries: Float[np.ndarray, "B D"],
        k: int,
        *,
        seen: Sequence[np.ndarray | Sequence[int]] | None = None,
        allowed: AllowedItems | None = None,
    ) -> TopK:
        """Return the lists of the function ``search``."""
        return search(self, queries, k, seen=seen, allowed=allowed)


def build_index(
    vectors: Float[np.ndarray, "I D"],
    kind: str,
    report: Callable[[int], None] = lambda num_added: None,
) -> ItemIndex:
    """Return an index of ``kind`` over the vectors of all items.

    ``flat`` compares with every item, ``hnsw`` walks a graph of neighbours, ``ivf`` reads the
    nearest of about ``sqrt(I)`` lists.

    Args:
        vectors: vector of each item.
        kind: one of ``KINDS``.
        report: called with the number of items added so far.
    """
    if kind not in KINDS:
        raise SeqRecError(f"index kind {kind!r} is unknown: choose from {', '.join(KINDS)}")
    if len(vectors) == 0:
        raise SeqRecError("the catalog is empty: an index needs at least one item")
    vectors = _check_vectors(vectors, "item vectors")
    num_items, width = vectors.shape
    index: Any
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(width, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = HNSW_BUILD_BREADTH
        index.hnsw.efSearch = HNSW_SEARCH_BREADTH
    elif kind == "ivf":
        lists = max(1, min(isqrt(num_items), num_items // IVF_TRAINING_ITEMS_PER_LIST))
        coarse = faiss.IndexFlatIP(width)
        index = faiss.IndexIVFFlat(coarse, width, lists, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = ceil(lists * IVF_SEARCHED_SHARE)
        index.cp.min_points_per_centroid = 1  # or FAISS warns about tiny catalogs
        index.train(vectors)
    else:
        index = faiss.IndexFlatIP(width)
    for start in range(0, num_items, ADDED_ITEMS):
        index.add(vectors[start : start + ADDED_ITEMS])
        report(index.ntotal)
    return ItemIndex(kind, index)


def search(
    index: ItemIndex,
    queries: Float[np.ndarray, "B D"],
    k: int,
    *,
    seen: Sequence[np.ndarray | Sequence[int]] | None = None,
    allowed: AllowedItems | None = None,
) -> TopK:
    """Return the best ``k`` unseen and allowed items by the index, or all if there are fewer.

    Each query fetches ``k`` items plus its number of seen items, rounded up to a power of two so
    that similar queries are searched together. The index itself leaves out the items that no list
    may hold. A query for which an approximate index returns too few items is scored exactly, and so
    are queries with their own lists of allowed items. ``flat`` equals ``top_k_by_product`` up to
    ties.
    """
    if k < 1:
        raise SeqRecError(f"k is {k}: it must be at least 1")
    if queries.shape[1] != index.width:
        raise SeqRecError(
            f"queries are {queries.shape[1]} wide, the index {index.width}: "
            "build the index again from this model"
        )
    queries = _check_vectors(queries, "queries")
    seen = [()] * len(queries) if seen is None else seen
    if allowed is not None and allowed.only is not None:
        return _search_exactly(index, queries, k, seen, allowed)
    selector, num_allowed, unlisted = None, index.num_items, seen
    if allowed is not None:
        unlisted = allowed.add_to_seen(seen)
    if allowed is not None and allowed.shared is not None:
        bits = np.packbits(allowed.shared, bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
        num_allowed = int(allowed.shared.sum())
    seen_keys, num_seen = _seen_keys(unlisted, index.num_items)
    extra = 2 ** np.ceil(np.log2(np.maximum(num_seen, 1))).astype(np.int64)
    fetches = np.minimum(k + extra * (num_seen > 0), max(num_allowed, 1))
    items = torch.full((len(queries), k), -1)
    scores = torch.full((len(queries), k), -torch.inf)
    for fetch in np.unique(fetches):
        rows = np.flatnonzero(fetches == fetch)
        items[rows], scores[rows] = _fetch(index, queries, rows, int(fetch), k, seen_keys, selector)
    expected = np.minimum(k, num_allowed - num_seen)
    short = np.flatnonzero((items >= 0).sum(dim=1).numpy() < expected)
    if len(short):
        items[short], scores[short] = _search_exactly(
            index,
            queries[short],
            k,
            [seen[i] for i in short.tolist()],
            None if allowed is None else allowed.select(short),
        )
    return TopK(items, scores)


def recall_against_exact(approximate: Int[Tensor, "B K"], exact: Int[Tensor, "B K"]) -> float:
    """Return the share of the exact lists' items in the approximate lists; 1 if there are none."""
    approximate_keys, exact_keys = (
        (torch.arange(len(items))[:, None] + items * len(items))[items >= 0]
        for items in (approximate, exact)
    )
    if len(exact_keys) == 0:
        return 1.0
    return torch.isin(exact_keys, approximate_keys).float().mean().item()


def _check_vectors(vectors: np.ndarray, name: str) -> Float[np.ndarray, "N D"]:
    """Return vectors as contiguous float32 for FAISS; refuse NaN and infinity."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if not np.isfinite(vectors).all():
        raise SeqRecError(f"{name} hold NaN or infinity: the model's weights are broken")
    return vectors


def _seen_keys(
    seen: Sequence[np.ndarray | Sequence[int]], num_items: int
) -> tuple[Int[np.ndarray, " S"], Int[np.ndarray, " B"]]:
    """Return ``row * num_items + item`` of all seen items, sorted, and their number per row."""
    rows, items = (part.numpy() for part in SeenItems.from_lists(seen))
    inside = (items >= 0) & (items < num_items)
    keys = np.unique(rows[inside] * num_items + items[inside])
    return keys, np.bincount(keys // num_items, minlength=len(seen))


def _fetch(
    index: ItemIndex,
    queries: Float[np.ndarray, "B D"],
    rows: Int[np.ndarray, " R"],
    fetch: int,
    k: int,
    seen_keys: Int[np.ndarray, " S"],
    selector: Any,
) -> TopK:
    """Return the lists of some rows from ``fetch`` items each; -1 where the index has no more."""
    scores, items = index.faiss_index.search(
        queries[rows], fetch, params=_search_parameters(index, fetch, selector)
    )
    keys = rows[:, None] * index.num_items + items
    positions = np.searchsorted(seen_keys, keys)
    is_seen = np.append(seen_keys, -1)[positions] == keys
    scores = np.where(is_seen | (items < 0), -np.inf, scores)
    return best_first(torch.from_numpy(items), torch.from_numpy(scores), k)


def _search_parameters(index: ItemIndex, fetch: int, selector: Any) -> Any:
    """Return search parameters whose breadth grows with the number of items to fetch.

    Args:
        index: the index.
        fetch: number of items to fetch.
        selector: the items that lists may hold, for FAISS; None: all.
    """
    breadth = BREADTH_PER_FETCHED * fetch
    chosen = {} if selector is None else {"sel": selector}
    if index.kind == "hnsw":
        breadth = max(HNSW_SEARCH_BREADTH, breadth)
        return faiss.SearchParametersHNSW(efSearch=breadth, **chosen)  # type: ignore[attr-defined]
    if index.kind == "ivf":
        lists = index.faiss_index.nlist
        probes = ceil(lists * max(IVF_SEARCHED_SHARE, min(1.0, breadth / index.num_items)))
        return faiss.SearchParametersIVF(nprobe=probes, **chosen)  # type: ignore[call-arg]
    return faiss.SearchParameters(**chosen) if chosen else None  # type: ignore[call-arg]


def _search_exactly(
    index: ItemIndex,
    queries: Float[np.ndarray, "B D"],
    k: int,
    seen: Sequence[np.ndarray | Sequence[int]],
    allowed: AllowedItems | None = None,
) -> TopK:
    """Return the exact lists from the vectors in the index."""
    batches = []
    for start in range(0, len(queries), EXACT_QUERIES):
        rows = range(start, min(start + EXACT_QUERIES, len(queries)))
        vectors = queries[rows.start : rows.stop]
        batches.append(
            top_k(
                partial(_score_by_index, index, vectors),
                len(rows),
                index.num_items,
                k,
                seen=SeenItems.from_lists([seen[row] for row in rows]),
                allowed=None if allowed is None else allowed.select(rows),
                tile_items=TILE_ITEMS,
            )
        )
    if not batches:
        return TopK(torch.full((0, k), -1), torch.empty(0, k))
    return TopK(
        torch.cat([batch.items for batch in batches]),
        torch.cat([batch.scores for batch in batches]),
    )


def _score_by_index(
    index: ItemIndex, queries: Float[np.ndarray, "B D"], start: int, stop: int
) -> Float[Tensor, "B tile"]:
    """Return the products of queries with the vectors of a range of items."""
    return torch.from_numpy(queries @ index.faiss_index.reconstruct_n(start, stop - start).T)
