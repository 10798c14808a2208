"""The answer cache: what teachers say at every place of the training log, the likeliest titles.

A folder of Parquet shards, each row a place: ``row`` (the row of the log that was read last),
``items`` and ``log_probs`` (lists of ``k``, likeliest first), ``rest`` (the probability of all
other items together); and ``cache.json``, which says what it was made of.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from seqrec.errors import SeqRecError

CACHE_FILE = "cache.json"
KIND = "answers"
BYTES_A_SHARD, BYTES_A_ROW, BYTES_A_TITLE = 4096, 12, 8
COMPLAINTS = {
    "kind": "holds no teacher's answers",
    "teachers": "was made by other teachers (objective.teachers)",
    "catalog_fingerprint": "was made for another catalog",
    "data_fingerprint": "was made on other data",
    "max_length": "was made with windows of another length (data.max_length)",
    "windows": "was made with other windows (data.windows)",
    "stride": "was made with windows of another stride (data.stride)",
}


class CachedAnswers(NamedTuple):
    """What was kept of a teacher's distributions."""

    rows: Int[np.ndarray, " N"]
    """Of the log: what was read last."""
    items: Int[np.ndarray, "N K"]
    log_prob: Float[np.ndarray, "N K"]
    """Half precision: off by a 2,048th of itself, or by 3e-8, at most."""
    rest: Float[np.ndarray, " N"]


def shard_name(number: int) -> str:
    """The file of a shard."""
    return f"part-{number:06d}.parquet"


def most_bytes(num_shards: int, num_rows: int, k: int) -> int:
    """What shards of some places can take on disk; in memory a title takes 6 bytes."""
    return num_shards * BYTES_A_SHARD + num_rows * (BYTES_A_ROW + k * BYTES_A_TITLE)


def whole_shards(folder: Path) -> list[int]:
    """How many places every shard holds, from the first until one is missing or cut short."""
    found: list[int] = []
    while True:
        try:
            found.append(pq.read_metadata(folder / shard_name(len(found))).num_rows)
        except (OSError, pa.ArrowException):
            return found


def write_shard(answers: CachedAnswers, file: Path) -> None:
    """Write some places."""
    num_rows, k = answers.items.shape
    table = pa.table(
        {
            "row": pa.array(answers.rows, pa.int64()),
            "items": _lists(answers.items.astype(np.int32), k),
            "log_probs": _lists(answers.log_prob.astype(np.float32), k),
            "rest": pa.array(answers.rest, pa.float32()),
        }
    )
    try:
        # no dictionary: of numbers that hardly recur it takes more than they do
        pq.write_table(table, file, compression="zstd", use_dictionary=False)
    except pa.ArrowException as error:
        raise OSError(f"{file.name}: {' '.join(str(error).split())}") from error


def _lists(values: np.ndarray, k: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), k)


def read_header(folder: Path) -> dict[str, Any]:
    """What a cache was made of.

    Raises:
        SeqRecError: no cache, or one that does not say how much it holds.
    """
    try:
        found = json.loads((folder / CACHE_FILE).read_text())
    except (OSError, ValueError) as error:
        raise SeqRecError(f"{folder}: no cache of answers; write it with seqrec cache") from error
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise SeqRecError(f"{folder}: {COMPLAINTS['kind']}; write it with seqrec cache")
    sizes = [found.get(key) for key in ("k", "num_rows", "num_shards")]
    if not all(isinstance(size, int) and size >= 0 for size in sizes):
        raise SeqRecError(f"{folder}: does not say how much it holds; write it with seqrec cache")
    strength = found.get("prior_strength")
    if strength is not None and not (isinstance(strength, float) and strength > 0):
        raise SeqRecError(f"{folder}: prior_strength {strength}; write it with seqrec cache")
    return found


def read_answers(folder: Path, wanted: dict[str, Any]) -> CachedAnswers:
    """All that a cache holds.

    Args:
        folder: what ``seqrec cache`` wrote.
        wanted: what it must have been made of.

    Raises:
        SeqRecError: no cache, one made of something else, or one that is not whole.
    """
    header = read_header(folder)
    for key, complaint in COMPLAINTS.items():
        if key in wanted and header.get(key) != wanted[key]:
            raise SeqRecError(f"{folder}: {complaint}; write it with seqrec cache")
    num_rows, k = header["num_rows"], header["k"]
    answers = CachedAnswers(
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
            answers.rows[filled:end] = table["row"].to_numpy()
            answers.items[filled:end] = table["items"].to_numpy().reshape(-1, k)
            answers.log_prob[filled:end] = table["log_probs"].to_numpy().reshape(-1, k)
            answers.rest[filled:end] = table["rest"].to_numpy()
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise SeqRecError(
                f"{file}: missing or cut short; write the cache again with seqrec cache"
            ) from error
        filled = end
    if filled != num_rows:
        raise SeqRecError(f"{folder}: holds {filled:,} places of {num_rows:,}; write it again")
    if len(np.unique(answers.rows)) < num_rows:
        raise SeqRecError(f"{folder}: holds a place twice; write it again with seqrec cache")
    return answers
