"""The reference cache: a model's log-probabilities of the answers of a pairs file.

Parquet, a row a pair: ``pair`` (its number among the used pairs), ``chosen``, ``rejected`` (a
list), ``unrelated``. The header in the file's metadata must match the run that reads it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from seqrec.data.caches.header import FIX, check_header
from seqrec.data.parquet import read_parquet, write_errors_as_os_error, write_parquet
from seqrec.errors import SeqRecError, refuse_unreadable
from seqrec.files import parse_json

METADATA_KEY = b"seqrec"
KIND = "pairs"
MISMATCHES = {
    "kind": "holds no log-probabilities of pairs",
    "model_fingerprint": "was made by another model than the one that training starts from "
    "(to use another reference, name its model)",
    "catalog_fingerprint": "was made for another catalog",
    "pairs_fingerprint": "was made for another pairs file",
    "data_fingerprint": "was made on other data",
    "max_length": "was made with histories of another length (data.max_length)",
}
"""The message for each key of the header whose value differs."""


class CachedLogProbs(NamedTuple):
    """Log-probabilities in nats, a row a pair."""

    chosen: Float[np.ndarray, " P"]
    rejected: Float[np.ndarray, "P R"]
    """0 behind the last answer."""
    unrelated: Float[np.ndarray, " P"]


def build_header(
    *,
    model_fingerprint: str,
    catalog_fingerprint: str,
    pairs_fingerprint: str,
    data_fingerprint: str,
    max_length: int,
) -> dict[str, str | int]:
    """Return the header of a cache: everything that its numbers depend on."""
    return {
        "kind": KIND,
        "model_fingerprint": model_fingerprint,
        "catalog_fingerprint": catalog_fingerprint,
        "pairs_fingerprint": pairs_fingerprint,
        "data_fingerprint": data_fingerprint,
        "max_length": max_length,
    }


def write_part(numbers: Int[np.ndarray, " P"], log_probs: CachedLogProbs, file: Path) -> None:
    """Write the log-probabilities of some pairs."""
    table = pl.DataFrame(
        {
            "pair": pl.Series(numbers, dtype=pl.UInt32),
            "chosen": pl.Series(log_probs.chosen, dtype=pl.Float32),
            "rejected": pl.Series(log_probs.rejected.tolist(), dtype=pl.List(pl.Float32)),
            "unrelated": pl.Series(log_probs.unrelated, dtype=pl.Float32),
        }
    )
    write_parquet(table, file)


def join_parts(parts: Sequence[Path], header: dict[str, str | int], file: Path) -> int:
    """Join parts into one cache file, in the order of the pairs; return the number of pairs."""
    table = pl.concat([pl.read_parquet(part, glob=False) for part in parts]).sort("pair")
    width = int(table["rejected"].list.len().max() or 0)  # type: ignore[arg-type]
    padded = [row + [0.0] * (width - len(row)) for row in table["rejected"].to_list()]
    table = table.with_columns(rejected=pl.Series(padded, dtype=pl.List(pl.Float32)))
    arrow = table.to_arrow()
    metadata = {**(arrow.schema.metadata or {}), METADATA_KEY: json.dumps(header).encode()}
    with write_errors_as_os_error(file):
        pq.write_table(arrow.replace_schema_metadata(metadata), file)
    return len(table)


def read_reference_cache(
    file: Path, expected: dict[str, str | int], num_pairs: int
) -> CachedLogProbs:
    """Return the cached log-probabilities of all pairs.

    Args:
        file: a file from ``join_parts``.
        expected: the header that the cache must have.
        num_pairs: number of pairs that it must hold.

    Raises:
        SeqRecError: no such file, another kind of file, another header.
    """
    table = read_parquet(file)
    with refuse_unreadable(str(file), FIX):
        metadata = pq.read_schema(file).metadata or {}
        header = parse_json(metadata.get(METADATA_KEY, b"null"))
        check_header(file, header, expected, MISMATCHES)
        if not np.array_equal(table["pair"].to_numpy(), np.arange(num_pairs)):
            raise SeqRecError(f"{file}: does not hold every pair once; {FIX}")
        table = table.select(pl.col("chosen", "unrelated").cast(pl.Float32), "rejected")
        lists = table["rejected"].cast(pl.List(pl.Float32)).to_list()
        rejected = np.array(lists, dtype=np.float32).reshape(num_pairs, -1)
        cached = CachedLogProbs(table["chosen"].to_numpy(), rejected, table["unrelated"].to_numpy())
        if not all((part <= 0).all() for part in cached):  # false for NaN, too
            raise SeqRecError(f"{file}: holds numbers that are no log-probabilities; {FIX}")
        return cached
