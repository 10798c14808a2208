"""The cache file: a model's log-probabilities of the answers of a pairs file.

Parquet, a row a pair: ``pair`` (its number among those that can be used), ``chosen``,
``rejected`` (a list), ``unrelated``. The file says what it was made of: what differs from that
cannot use it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from seqrec.errors import SeqRecError

MADE_OF = b"seqrec"
KIND = "pairs"
COMPLAINTS = {
    "kind": "holds no log-probabilities of pairs",
    "model_fingerprint": "was made by another model than the one that training starts from "
    "(any other reference is named as a model)",
    "catalog_fingerprint": "was made for another catalog",
    "pairs_fingerprint": "was made for another pairs file",
    "data_fingerprint": "was made on other data",
    "max_length": "was made with histories of another length (data.max_length)",
}


class CachedLogProbs(NamedTuple):
    """Log-probabilities in nats, by the number of the pair."""

    chosen: Float[np.ndarray, " P"]
    rejected: Float[np.ndarray, "P R"]
    """0 where there is no answer."""
    unrelated: Float[np.ndarray, " P"]


def made_of(
    *,
    model_fingerprint: str,
    catalog_fingerprint: str,
    pairs_fingerprint: str,
    data_fingerprint: str,
    max_length: int,
) -> dict[str, str | int]:
    """What a cache's numbers follow from."""
    return {
        "kind": KIND,
        "model_fingerprint": model_fingerprint,
        "catalog_fingerprint": catalog_fingerprint,
        "pairs_fingerprint": pairs_fingerprint,
        "data_fingerprint": data_fingerprint,
        "max_length": max_length,
    }


def write_part(numbers: Int[np.ndarray, " P"], found: CachedLogProbs, file: Path) -> None:
    """Write some pairs' log-probabilities."""
    table = pl.DataFrame(
        {
            "pair": pl.Series(numbers, dtype=pl.UInt32),
            "chosen": pl.Series(found.chosen, dtype=pl.Float32),
            "rejected": pl.Series(found.rejected.tolist(), dtype=pl.List(pl.Float32)),
            "unrelated": pl.Series(found.unrelated, dtype=pl.Float32),
        }
    )
    try:
        table.write_parquet(file)
    except pl.exceptions.PolarsError as error:
        raise OSError(f"{file.name}: {' '.join(str(error).split())}") from error


def join_parts(parts: Sequence[Path], header: dict[str, str | int], file: Path) -> int:
    """Write one cache file of its parts, in the order of the pairs; answers how many there are."""
    table = pl.concat([pl.read_parquet(part, glob=False) for part in parts]).sort("pair")
    width = int(table["rejected"].list.len().max() or 0)  # type: ignore[arg-type]
    padded = [row + [0.0] * (width - len(row)) for row in table["rejected"].to_list()]
    table = table.with_columns(rejected=pl.Series(padded, dtype=pl.List(pl.Float32)))
    arrow = table.to_arrow()
    metadata = {**(arrow.schema.metadata or {}), MADE_OF: json.dumps(header).encode()}
    try:
        pq.write_table(arrow.replace_schema_metadata(metadata), file)
    except pa.ArrowException as error:
        raise OSError(f"{file.name}: {' '.join(str(error).split())}") from error
    return len(table)


def read_cache(file: Path, wanted: dict[str, str | int], num_pairs: int) -> CachedLogProbs:
    """The log-probabilities that a cache file holds of all pairs.

    Args:
        file: what ``join_parts`` wrote.
        wanted: what it must have been made of.
        num_pairs: how many it must hold.

    Raises:
        SeqRecError: no such file, another kind of file, made of something else.
    """
    try:
        with pq.ParquetFile(file) as parquet:
            found = json.loads((parquet.schema_arrow.metadata or {}).get(MADE_OF, b"null"))
            table = pl.DataFrame(parquet.read())
    except (OSError, pa.ArrowException, ValueError) as error:
        raise SeqRecError(f"{file}: not a Parquet file, or cut short") from error
    mend = "write it with seqrec cache"
    if not isinstance(found, dict):
        raise SeqRecError(f"{file}: {COMPLAINTS['kind']}; {mend}")
    for key, complaint in COMPLAINTS.items():
        if found.get(key) != wanted[key]:
            raise SeqRecError(f"{file}: {complaint}; {mend}")
    if not np.array_equal(table["pair"].to_numpy(), np.arange(num_pairs)):
        raise SeqRecError(f"{file}: does not hold every pair once; {mend}")
    rejected = np.array(table["rejected"].to_list(), dtype=np.float32)
    return CachedLogProbs(
        table["chosen"].to_numpy(), rejected.reshape(num_pairs, -1), table["unrelated"].to_numpy()
    )
