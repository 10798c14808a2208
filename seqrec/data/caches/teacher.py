"""The teacher cache: the teachers' top-k log-probabilities at every training position.

A folder of Parquet shards, a row a position: ``row`` (the last row of the log that the teachers
read), ``items`` and ``log_probs`` (lists of ``k``, likeliest first), ``tail_mass`` (the summed
probability of all other items); and the header ``cache.json``.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from seqrec.data.caches.header import FIX, check_header
from seqrec.data.parquet import read_parquet, write_errors_as_os_error
from seqrec.errors import SeqRecError, quote, refuse_unreadable
from seqrec.files import read_json

CACHE_FILE = "cache.json"
KIND = "teacher"
MAX_LOG_PROB, MAX_TAIL_MASS = 1e-3, 1.001
"""Above 0 and 1 by the rounding of half precision."""
MAX_SIZE = 1 << 40
"""Largest size that a header may claim."""
BYTES_PER_SHARD, BYTES_PER_ROW, BYTES_PER_ITEM = 4096, 12, 8
MISMATCHES = {
    "kind": "holds no teacher's log-probabilities",
    "teachers": "was made by other teachers (objective.teachers)",
    "catalog_fingerprint": "was made for another catalog",
    "data_fingerprint": "was made on other data",
    "max_length": "was made with windows of another length (data.max_length)",
    "windows": "was made with other windows (data.windows)",
    "stride": "was made with windows of another stride (data.stride)",
}
"""The message for each key of the header whose value differs."""


class CachedTopK(NamedTuple):
    """The top-k distributions of teachers, a row a position."""

    rows: Int[np.ndarray, " N"]
    """The last row of the log that the teachers read."""
    items: Int[np.ndarray, "N K"]
    log_prob: Float[np.ndarray, "N K"]
    """Half precision: relative error at most 1 / 2,048, or absolute error at most 3e-8."""
    tail_mass: Float[np.ndarray, " N"]
    """The summed probability of all other items."""


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"part-{number:06d}.parquet"


def max_cache_bytes(num_shards: int, num_rows: int, k: int) -> int:
    """Return the largest size of a cache on disk, in bytes; in memory an item takes 6 bytes."""
    return num_shards * BYTES_PER_SHARD + num_rows * (BYTES_PER_ROW + k * BYTES_PER_ITEM)


def count_shard_rows(folder: Path) -> list[int]:
    """Return the rows of every shard, from the first until one is missing or cut short."""
    counts: list[int] = []
    while True:
        try:
            counts.append(pq.read_metadata(folder / shard_name(len(counts))).num_rows)
        except (OSError, pa.ArrowException):
            return counts


def _items_a_row(file: Path) -> int:
    """Return the items of a position in a shard; 0 if it holds none."""
    with refuse_unreadable(str(file), FIX):
        kind = pq.read_schema(file).field("items").type
        return kind.list_size if pa.types.is_fixed_size_list(kind) else 0


def write_shard(top_k: CachedTopK, file: Path) -> None:
    """Write the distributions at some positions."""
    k = top_k.items.shape[1]
    table = pa.table(
        {
            "row": pa.array(top_k.rows, pa.int64()),
            "items": _lists(top_k.items.astype(np.int32), k),
            "log_probs": _lists(top_k.log_prob.astype(np.float32), k),
            "tail_mass": pa.array(top_k.tail_mass, pa.float32()),
        }
    )
    with write_errors_as_os_error(file):
        # no dictionary: it would be larger than these numbers, which hardly repeat
        pq.write_table(table, file, compression="zstd", use_dictionary=False)


def _lists(values: np.ndarray, k: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), k)


def read_header(folder: Path) -> dict[str, Any]:
    """Return the header of a cache.

    Raises:
        SeqRecError: no cache, or a header without valid sizes and prior strength.
    """
    try:
        header = read_json(folder / CACHE_FILE, FIX)
    except SeqRecError as error:
        raise SeqRecError(f"{folder}: no teacher cache; {FIX}") from error
    check_header(folder, header, {"kind": KIND}, MISMATCHES)
    sizes = {key: header.get(key) for key in ("k", "num_rows", "num_shards")}
    for key, size in sizes.items():
        if type(size) is not int or not 0 <= size <= MAX_SIZE:
            raise SeqRecError(f"{folder}: {CACHE_FILE}: {key} is missing or no integer; {FIX}")
    strength = header.get("prior_strength")
    if strength is not None and not (isinstance(strength, float) and 0 < strength < MAX_SIZE):
        raise SeqRecError(f"{folder}: {CACHE_FILE}: prior_strength {quote(strength)}; {FIX}")
    return header


def read_teacher_cache(folder: Path, expected: dict[str, Any]) -> CachedTopK:
    """Return all distributions of a cache.

    Args:
        folder: a folder from ``seqrec cache``.
        expected: the header that the cache must have; keys that it lacks are not compared.

    Raises:
        SeqRecError: no cache, another header, or an incomplete cache.
    """
    header = read_header(folder)
    check_header(folder, header, expected, MISMATCHES)
    num_rows, k, num_shards = header["num_rows"], header["k"], header["num_shards"]
    counts = count_shard_rows(folder)[:num_shards]
    if len(counts) < num_shards:
        raise SeqRecError(
            f"{folder / shard_name(len(counts))}: missing or cut short; write the cache again with "
            "seqrec cache"
        )
    if sum(counts) != num_rows:
        raise SeqRecError(f"{folder}: holds {sum(counts):,} of {num_rows:,} positions; {FIX}")
    if num_shards and _items_a_row(folder / shard_name(0)) != k:
        raise SeqRecError(f"{folder}: its parts do not hold {k:,} items a position; {FIX}")
    top_k = CachedTopK(
        np.empty(num_rows, dtype=np.int64),
        np.empty((num_rows, k), dtype=np.int32),
        np.empty((num_rows, k), dtype=np.float16),
        np.empty(num_rows, dtype=np.float32),
    )
    filled = 0
    for number in range(num_shards):
        file = folder / shard_name(number)
        with refuse_unreadable(str(file), "write the cache again with seqrec cache"):
            table = read_parquet(file)
            end = filled + len(table)
            top_k.rows[filled:end] = table["row"].to_numpy()
            top_k.items[filled:end] = table["items"].to_numpy().reshape(-1, k)
            top_k.log_prob[filled:end] = table["log_probs"].to_numpy().reshape(-1, k)
            top_k.tail_mass[filled:end] = table["tail_mass"].to_numpy()
            _check_numbers(top_k, slice(filled, end), file)
        filled = end
    if len(np.unique(top_k.rows)) < num_rows:
        raise SeqRecError(f"{folder}: holds a position twice; write it again with seqrec cache")
    return top_k


def _check_numbers(top_k: CachedTopK, part: slice, file: Path) -> None:
    """Refuse items below 0, and numbers that are no probabilities."""
    mass, log_prob = top_k.tail_mass[part], top_k.log_prob[part]
    is_right = (
        (top_k.items[part] >= 0).all()
        and (log_prob <= MAX_LOG_PROB).all()  # false for NaN, too
        and (mass >= 0).all()
        and (mass <= MAX_TAIL_MASS).all()
    )
    if not is_right:
        raise SeqRecError(f"{file}: holds numbers that are no probabilities of items; {FIX}")
