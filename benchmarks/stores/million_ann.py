"""A million simulated titles under an approximate index."""

from collections.abc import Iterator

from benchmarks.engine.rows import Row
from benchmarks.stores.million import measure_systems

NAME = "store-million-ann"
SYSTEMS = (("lancedb", "ivf"),)


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of approximate searches."""
    return measure_systems(NAME, SYSTEMS, quick)
