"""The teacher cache: the teachers' top-k log-probabilities at every training position.

A folder of Parquet shards, a row a position: ``row`` (the last row of the log that the teachers
read), ``items`` and ``log_probs`` (lists of ``k``, likeliest first), ``tail_mass`` (the summed
probability of all other items); and the header ``cache.json``.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from seqrec.data.caches.header import FIX, check_header
from seqrec.data.parquet import write_errors_as_os_error
from seqrec.errors import SeqRecError

CACHE_FILE = "cache.json"
KIND = "teacher"
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
        header = json.loads((folder / CACHE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SeqRecError(f"{folder}: no teacher cache; {FIX}") from error
    check_header(folder, header, {"kind": KIND}, MISMATCHES)
    sizes = {key: header.get(key) for key in ("k", "num_rows", "num_shards")}
    for key, size in sizes.items():
        if not (isinstance(size, int) and size >= 0):
            raise SeqRecError(f"{folder}: {CACHE_FILE}: {key} is missing or no integer; {FIX}")
    strength = header.get("prior_strength")
    if strength is not None and not (isinstance(strength, float) and strength > 0):
        raise SeqRecError(f"{folder}: {CACHE_FILE}: prior_strength {strength}; {FIX}")
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
    num_rows, k = header["num_rows"], header["k"]
    top_k = CachedTopK(
        np.empty(num_rows, dtype=np.int64),
        np.empty((num_rows, k), dtype=np.int32),
        np.empty((num_rows, k), dtype=np.float16),
        np.empty(num_rows, dtype=np.float32),
    )
    filled = 0
    for number in range(header["num_shards"]):
        file = folder / shard_name(number)
        try:
            table = pl.read_parquet(file, glob=False)
            end = filled + len(table)
            top_k.rows[filled:end] = table["row"].to_numpy()
            top_k.items[filled:end] = table["items"].to_numpy().reshape(-1, k)
            top_k.log_prob[filled:end] = table["log_probs"].to_numpy().reshape(-1, k)
            top_k.tail_mass[filled:end] = table["tail_mass"].to_numpy()
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise SeqRecError(
                f"{file}: missing or cut short; write the cache again with seqrec cache"
            ) from error
        filled = end
    if filled != num_rows:
        raise SeqRecError(f"{folder}: holds {filled:,} of {num_rows:,} positions; {FIX}")
    if len(np.unique(top_k.rows)) < num_rows:
        raise SeqRecError(f"{folder}: holds a position twice; write it again with seqrec cache")
    return top_k
