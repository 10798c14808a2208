"""Open a store by its address, to write to it or to search its live version."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from seqrec.errors import SeqRecError
from seqrec.retrieval.stores.chroma import ChromaStore
from seqrec.retrieval.stores.description import Description
from seqrec.retrieval.stores.duckdb import DuckStore
from seqrec.retrieval.stores.interface import Hits, Store, Where
from seqrec.retrieval.stores.lancedb import LanceStore
from seqrec.retrieval.stores.milvus import MilvusStore
from seqrec.retrieval.stores.pgvector import PostgresStore
from seqrec.retrieval.stores.qdrant import QdrantStore
from seqrec.retrieval.stores.qdrant_edge import QdrantEdgeStore
from seqrec.retrieval.stores.urls import Address, parse_address

MEMORY = ":memory:"
"""The client's imitation of a server, for trials within one process."""


def _open_qdrant(address: Address, writes: bool) -> Store:
    """Return a server's collections, or for a folder the shards of Qdrant Edge."""
    is_client = "://" in address.url or address.url == MEMORY
    return (QdrantStore if is_client else QdrantEdgeStore)(address, writes)


ANN_KINDS: Mapping[str, Sequence[str]] = {
    store.kind: store.ann_kinds
    for store in (LanceStore, PostgresStore, QdrantStore, MilvusStore, ChromaStore, DuckStore)
}
"""Approximate indexes of each kind of store."""
OPENERS: Mapping[str, Callable[[Address, bool], Store]] = {
    "lancedb": LanceStore,
    "pgvector": PostgresStore,
    "qdrant": _open_qdrant,
    "milvus": MilvusStore,
    "chroma": ChromaStore,
    "duckdb": DuckStore,
}
"""Function that opens each kind, from its address and whether it will be written to."""


@dataclass(frozen=True)
class LiveStore:
    """The version of a store that was live when it was opened; later publications do not move it.

    So vectors and model stay together. ``export --keep`` says how many publications it survives.
    """

    store: Store
    description: Description

    @property
    def label(self) -> str:
        return self.store.label

    def search(
        self,
        queries: Float[np.ndarray, "B D"],
        k: int,
        exclude: Sequence[Sequence[str]] | None = None,
        where: Where | None = None,
    ) -> Hits:
        """Return the ``k`` items of the largest inner product with each query; see ``Store``."""
        return self.store.search(self.description, queries, k, exclude, where)

    def close(self) -> None:
        self.store.close()


def open_target(address: Address, *, writes: bool) -> Store:
    """Return the store of an address.

    Raises:
        SeqRecError: a missing package, file or server.
    """
    is_path = "://" not in address.url and address.url != MEMORY
    if not writes and is_path and not os.path.exists(address.url):
        raise SeqRecError(f"{address.label}: no such store; export a model to it first")
    return OPENERS[address.kind](address, writes)


def open_store(
    url: str,
    *,
    model_fingerprint: str | None = None,
    catalog_fingerprint: str | None = None,
    option: str = "--retrieval",
) -> LiveStore:
    """Return the live version of ``KIND:URL`` or ``KIND:URL#NAME``, ready for searches.

    Args:
        url: the address, such as ``lancedb:exports/db`` or ``postgresql://host/db``.
        model_fingerprint: of the model whose queries are searched; None: not checked.
        catalog_fingerprint: of its catalog; None: not checked.
        option: names the address in messages.

    Raises:
        SeqRecError: a missing package, store or version, or the vectors of another model.
    """
    store = open_target(parse_address(url, option), writes=False)
    live = store.attempt(store.get_live)
    versions = {one.name: one for one in store.attempt(store.list_versions)}
    if live is None or live not in versions:
        raise SeqRecError(f"{store.label}: nothing is published; export a model to it first")
    description = versions[live].description
    if model_fingerprint is not None and catalog_fingerprint is not None:
        description.check_model(store.label, model_fingerprint, catalog_fingerprint)
    return LiveStore(store, description)
