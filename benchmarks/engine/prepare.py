"""Preparing a ``ratings.csv`` of 25 million rows: time, imports among it, and memory."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.engine.machine import peak_memory_mb
from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.prepared import FOLDER, ratings_csv
from benchmarks.engine.rows import Row, at_most, row

NAME = Path(__file__).stem
SECONDS, MEMORY_MB = at_most(40), at_most(5 * 1024)


def measure(quick: bool) -> Iterator[Row]:
    """Seconds and MiB."""
    num_rows = 25_000 if quick else 25_000_000
    log = ratings_csv(num_rows)
    runs = [in_fresh_process(NAME, log=str(log)) for _ in range(1 if quick else 3)]
    title = f"prepare a ratings.csv of {num_rows:,} rows"
    note = f"{log.stat().st_size / 2**20:.0f} MB, {runs[0]['users']:,} users, "
    note += f"{runs[0]['items']:,} items"
    seconds = [run["process_seconds"] for run in runs]
    yield row(NAME, f"{title}, time", seconds, "s", target=SECONDS, note=note)
    memory = [run["peak_mb"] for run in runs]
    yield row(NAME, f"{title}, peak memory", memory, "MB", target=MEMORY_MB)


def probe(log: str) -> dict[str, Any]:
    """Prepare aside, and answer the peak of this process."""
    import seqrec

    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        result = seqrec.prepare(log, out=Path(folder) / "prepared")
        counts = {role: result["files"][f"{role}.parquet"]["rows"] for role in ("users", "items")}
    return {"peak_mb": peak_memory_mb(), **counts}
