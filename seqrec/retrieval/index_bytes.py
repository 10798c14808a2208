"""FAISS indexes as bytes: reading within limits, and a check of what was read.

A checksum finds damage. It does not find an index that somebody wrote to do harm: FAISS follows
the links of a graph without looking where they lead. So every link and id is checked once.
"""

from typing import Any

import faiss
import numpy as np

CLASSES: dict[str, Any] = {
    "flat": faiss.IndexFlatIP,
    "hnsw": faiss.IndexHNSWFlat,
    "ivf": faiss.IndexIVFFlat,
}
"""The class of each kind of index."""
_LIMITS = ("deserialization_vector_byte_limit", "deserialization_loop_limit")


def read_bytes(content: bytes, kind: str, num_items: int, width: int) -> Any:
    """Return the FAISS index of some bytes.

    Args:
        content: as FAISS writes it.
        kind: ``flat``, ``hnsw`` or ``ivf``.
        num_items: number of entries that it must have.
        width: width of its vectors.

    Raises:
        ValueError: another class, size or metric, or a link that leads outside the index.
        RuntimeError: bytes that FAISS refuses.
    """
    index: Any = _deserialize(content)
    if index.__class__ is not CLASSES[kind]:
        raise ValueError(f"holds {type(index).__name__}, not the class of {kind}")
    shape = index.ntotal, index.d, index.metric_type, index.is_trained
    if shape != (num_items, width, faiss.METRIC_INNER_PRODUCT, True):
        raise ValueError(f"holds another number or width of vectors: {shape}")
    if kind == "hnsw":
        _check_graph(index)
    elif kind == "ivf":
        _check_lists(index)
    else:
        _check_vectors(index, num_items * width)
    return index


def _deserialize(content: bytes) -> Any:
    """Read bytes; no part of the index may claim to be larger than all of them."""
    before = {name: getattr(faiss, f"get_{name}")() for name in _LIMITS if _has_limit(name)}
    try:
        for name in before:
            getattr(faiss, f"set_{name}")(len(content))
        return faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8))
    finally:
        for name, limit in before.items():
            getattr(faiss, f"set_{name}")(limit)


def _has_limit(name: str) -> bool:
    return hasattr(faiss, f"set_{name}")  # FAISS has them since 1.14


def _check_vectors(flat: Any, num_numbers: int) -> None:
    vectors = faiss.vector_to_array(flat.codes).view(np.float32)
    if len(vectors) != num_numbers or not np.isfinite(vectors).all():
        raise ValueError("its vectors are incomplete or not finite")


def _check_graph(index: Any) -> None:
    """Refuse a graph with a link, level or start outside it."""
    storage = faiss.downcast_index(index.storage)
    if type(storage) is not faiss.IndexFlatIP or storage.ntotal != index.ntotal:
        raise ValueError("its vectors are not those of the graph")
    if storage.d != index.d or storage.metric_type != index.metric_type:
        raise ValueError("its vectors are not those of the graph")
    _check_vectors(storage, index.ntotal * index.d)
    graph = index.hnsw
    arrays = graph.neighbors, graph.offsets, graph.levels, graph.cum_nneighbor_per_level
    links, offsets, levels, widths = map(faiss.vector_to_array, arrays)
    is_whole = (
        len(levels) == index.ntotal
        and len(offsets) == index.ntotal + 1
        and len(widths) > 1
        and (np.diff(widths) >= 0).all()
        and (levels >= 1).all()
        and (levels < len(widths)).all()
        and 0 <= graph.max_level < levels.max()
        and 0 <= graph.entry_point < index.ntotal
        and levels[graph.entry_point] == levels.max()
    )
    if not is_whole or not np.array_equal(np.diff(offsets.astype(np.int64)), widths[levels]):
        raise ValueError("its graph has another number of entries")
    if offsets[0] or offsets[-1] != len(links) or (links < -1).any():
        raise ValueError("its graph leads outside")
    if not _reaches_high_enough(links, offsets, levels, widths):
        raise ValueError("its graph leads outside")


def _reaches_high_enough(
    links: np.ndarray, offsets: np.ndarray, levels: np.ndarray, widths: np.ndarray
) -> bool:
    """Test whether every link on a level leads to an entry that has this level."""
    if (links >= len(levels)).any():
        return False
    for level in range(1, int(levels.max())):
        rows = np.flatnonzero(levels > level)
        for row in rows:
            start = int(offsets[row])
            there = links[start + widths[level] : start + widths[level + 1]]
            if (levels[there[there >= 0]] <= level).any():
                return False
    return True


def _check_lists(index: Any) -> None:
    """Refuse inverted lists that do not hold every item once."""
    quantizer = faiss.downcast_index(index.quantizer)
    if type(quantizer) is not faiss.IndexFlatIP or quantizer.d != index.d:
        raise ValueError("its coarse index is of another class")
    lists = index.invlists
    same = quantizer.ntotal == index.nlist == lists.nlist and 0 < index.nprobe <= index.nlist
    if not same or lists.code_size != index.d * np.dtype(np.float32).itemsize:
        raise ValueError("its lists are of another number or width")
    _check_vectors(quantizer, index.nlist * index.d)
    sizes = [lists.list_size(number) for number in range(index.nlist)]
    if sum(sizes) != index.ntotal:
        raise ValueError("its lists do not hold every item once")
    ids = [
        faiss.rev_swig_ptr(lists.get_ids(number), size).copy()
        for number, size in enumerate(sizes)
        if size
    ]
    if not np.array_equal(np.sort(np.concatenate(ids)), np.arange(index.ntotal)):
        raise ValueError("its lists do not hold every item once")
