"""FAISS indexes of the catalog by inner product: built, searched without seen items, kept on disk.

All kinds hold the plain vectors and rank by inner product. For HNSW we measured the alternative,
a graph by L2 over vectors augmented to equal norm (Bachrach et al. 2014): on vectors of unequal
norm it finds far less at the same breadth, so the graph is by inner product too
(Morozov and Babenko 2018, "Non-metric similarity graphs").
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isqrt
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.errors import SeqRecError
from seqrec.retrieval.exact import TILE_ITEMS, SeenItems, TopK, best_first, top_k

KINDS = ("flat", "hnsw", "ivf")

HNSW_LINKS = 32
HNSW_BUILD_BREADTH = 200
HNSW_SEARCH_BREADTH = 256
IVF_TRAINING_ITEMS_PER_LIST = 39
IVF_SEARCHED_SHARE = 1 / 4
BREADTH_PER_FETCHED = 2


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
        """What the index was built with."""
        if self.kind == "hnsw":
            return {"links": HNSW_LINKS, "build_breadth": self.faiss_index.hnsw.efConstruction}
        return {"lists": self.faiss_index.nlist} if self.kind == "ivf" else {}


def build_index(vectors: Float[np.ndarray, "I D"], kind: str) -> ItemIndex:
    """An index of ``kind`` over the vectors of all items.

    ``flat`` compares with every item, ``hnsw`` walks a graph of neighbours, ``ivf`` reads the
    nearest of about ``sqrt(I)`` lists.
    """
    if kind not in KINDS:
        raise SeqRecError(f"index kind {kind!r} is unknown: choose from {', '.join(KINDS)}")
    if len(vectors) == 0:
        raise SeqRecError("the catalog is empty: an index needs at least one item")
    vectors = _checked(vectors, "item vectors")
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
    index.add(vectors)
    return ItemIndex(kind, index)


def search(
    index: ItemIndex,
    queries: Float[np.ndarray, "B D"],
    k: int,
    *,
    seen: Sequence[np.ndarray | Sequence[int]] | None = None,
) -> TopK:
    """The first ``k`` unseen items by the index, and never fewer while ``k`` exist.

    Each query fetches ``k`` items and room for those it has seen, rounded up to a power of two so
    that queries alike are searched together. A query that an approximate index leaves short is
    scored exactly. ``flat`` equals ``top_k_by_product`` up to ties.
    """
    if k < 1:
        raise SeqRecError(f"k is {k}: it must be at least 1")
    if queries.shape[1] != index.width:
        raise SeqRecError(
            f"queries are {queries.shape[1]} wide, the index {index.width}: "
            "build the index again from this model"
        )
    queries = _checked(queries, "queries")
    seen = [()] * len(queries) if seen is None else seen
    seen_keys, num_seen = _seen_keys(seen, index.num_items)
    room = 2 ** np.ceil(np.log2(np.maximum(num_seen, 1))).astype(np.int64)
    fetches = np.minimum(k + room * (num_seen > 0), index.num_items)
    items = torch.full((len(queries), k), -1)
    scores = torch.full((len(queries), k), -torch.inf)
    for fetch in np.unique(fetches):
        rows = np.flatnonzero(fetches == fetch)
        items[rows], scores[rows] = _fetch(index, queries, rows, int(fetch), k, seen_keys)
    due = np.minimum(k, index.num_items - num_seen)
    short = np.flatnonzero((items >= 0).sum(dim=1).numpy() < due)
    if len(short):
        items[short], scores[short] = _rescue(
            index, queries[short], k, [seen[i] for i in short.tolist()]
        )
    return TopK(items, scores)


def recall_against_exact(found: Int[Tensor, "B K"], exact: Int[Tensor, "B K"]) -> float:
    """The share of the exact lists' items that the found lists hold too; 1 if there are none."""
    found_keys, exact_keys = (
        (torch.arange(len(items))[:, None] + items * len(items))[items >= 0]
        for items in (found, exact)
    )
    if len(exact_keys) == 0:
        return 1.0
    return torch.isin(exact_keys, found_keys).float().mean().item()


def save_index(
    index: ItemIndex, folder: Path, *, catalog_fingerprint: str, model_fingerprint: str
) -> None:
    """Writes ``index.faiss`` and ``index.json`` into an existing folder."""
    content = faiss.serialize_index(index.faiss_index).data
    (folder / "index.faiss").write_bytes(content)
    description = {
        "kind": index.kind,
        "num_items": index.num_items,
        "width": index.width,
        "metric": "inner_product",
        "settings": index.settings,
        "catalog_fingerprint": catalog_fingerprint,
        "model_fingerprint": model_fingerprint,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / "index.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load_index(folder: Path, *, catalog_fingerprint: str, model_fingerprint: str) -> ItemIndex:
    """The index that ``save_index`` wrote, if it is whole and of this catalog and model."""
    try:
        description = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        content = (folder / "index.faiss").read_bytes()
        kind, sha256 = description["kind"], description["sha256"]
        fingerprints = description["catalog_fingerprint"], description["model_fingerprint"]
    except FileNotFoundError as error:
        raise SeqRecError(f"{error.filename} is missing: export the index again") from error
    except OSError as error:
        raise SeqRecError(f"{folder}: not the folder of an index; name .../items/flat") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SeqRecError(f"{folder / 'index.json'} is damaged: export the index again") from error
    for name, stored, wanted in zip(
        ("catalog", "model"), fingerprints, (catalog_fingerprint, model_fingerprint), strict=True
    ):
        if stored != wanted:
            raise SeqRecError(
                f"{folder} indexes another {name} ({stored}, not {wanted}): export the index again"
            )
    if kind not in KINDS or hashlib.sha256(content).hexdigest() != sha256:
        raise SeqRecError(f"{folder / 'index.faiss'} is damaged: export the index again")
    return ItemIndex(kind, faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8)))


def _checked(vectors: np.ndarray, name: str) -> Float[np.ndarray, "N D"]:
    """As contiguous float32, which FAISS reads."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if not np.isfinite(vectors).all():
        raise SeqRecError(f"{name} hold NaN or infinity: the model's weights are broken")
    return vectors


def _seen_keys(
    seen: Sequence[np.ndarray | Sequence[int]], num_items: int
) -> tuple[Int[np.ndarray, " S"], Int[np.ndarray, " B"]]:
    """``row * num_items + item`` of all seen items, sorted; and how many each row has seen."""
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
) -> TopK:
    """The lists of some rows from ``fetch`` items each; -1 where the index came back short."""
    scores, items = index.faiss_index.search(
        queries[rows], fetch, params=_search_parameters(index, fetch)
    )
    keys = rows[:, None] * index.num_items + items
    places = np.searchsorted(seen_keys, keys)
    is_seen = np.append(seen_keys, -1)[places] == keys
    scores = np.where(is_seen | (items < 0), -np.inf, scores)
    return best_first(torch.from_numpy(items), torch.from_numpy(scores), k)


def _search_parameters(index: ItemIndex, fetch: int) -> Any:
    """Breadth that grows with the number of items to fetch."""
    wanted = BREADTH_PER_FETCHED * fetch
    if index.kind == "hnsw":
        breadth = max(HNSW_SEARCH_BREADTH, wanted)
        return faiss.SearchParametersHNSW(efSearch=breadth)  # type: ignore[attr-defined]
    if index.kind == "ivf":
        lists = index.faiss_index.nlist
        probes = ceil(lists * max(IVF_SEARCHED_SHARE, min(1.0, wanted / index.num_items)))
        return faiss.SearchParametersIVF(nprobe=probes)  # type: ignore[call-arg]
    return None


def _rescue(
    index: ItemIndex,
    queries: Float[np.ndarray, "B D"],
    k: int,
    seen: Sequence[np.ndarray | Sequence[int]],
) -> TopK:
    """The exact lists, from the vectors that the index holds."""
    return top_k(
        lambda start, stop: torch.from_numpy(
            queries @ index.faiss_index.reconstruct_n(start, stop - start).T
        ),
        len(queries),
        index.num_items,
        k,
        seen=SeenItems.from_lists(seen),
        tile_items=TILE_ITEMS,
    )
