"""Chroma: a collection per version, and an empty collection whose metadata name the live one."""

import os
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from seqrec.errors import SeqRecError
from seqrec.retrieval.stores.ann import Ann
from seqrec.retrieval.stores.columns import (
    ID,
    build_rows,
    build_schema,
    list_payloads,
    list_vectors,
)
from seqrec.retrieval.stores.description import METADATA_KEY, Description
from seqrec.retrieval.stores.extras import needs_extra
from seqrec.retrieval.stores.interface import Request, Store, Version
from seqrec.retrieval.stores.scores import Measure
from seqrec.retrieval.stores.urls import Address

LIVE = "live"
TOKEN = "CHROMA_TOKEN"
ID_COLUMN = "item_id"
"""Metadata that repeat the id, since filters cannot name ids."""
READ_ROWS = 2000


class ChromaStore(Store):
    """Collections of a Chroma folder or server. Chroma has no exact search: its graph is broad."""

    kind = "chroma"
    measure = Measure.ONE_MINUS_PRODUCT
    switches_at_once = False
    updates_at_once = False
    has_flat = False
    ann_kinds = ("hnsw",)
    batch_rows = 4000

    def __init__(self, address: Address, writes: bool) -> None:
        with needs_extra("chroma"):
            import chromadb
            from chromadb.errors import NotFoundError
        self.label, self.name, self._missing = address.label, address.name, NotFoundError
        self.secret = address.secret or os.environ.get(TOKEN)
        self.client = self.attempt(lambda: _connect(chromadb, address.url))
        self._opened: tuple[str, Any] | None = None

    def is_transient(self, error: Exception) -> bool:
        return type(error).__module__.startswith("httpx") or "Connection" in type(error).__name__

    def check_rows(self, rows: pa.Table) -> None:
        if "" in rows[ID].to_pylist():
            raise SeqRecError(f"{self.label}: Chroma refuses an empty id; choose another store")

    def list_versions(self) -> list[Version]:
        prefix = f"{self.name}__"
        names = sorted(one.name for one in self._list() if one.name.startswith(prefix))
        collections = [self._get(name) for name in names]
        return [Version(self._describe(one), one.count()) for one in collections]

    def get_live(self) -> str | None:
        try:
            pointer = self._get(self.name)
        except self._missing:
            return None
        return self.check_own((pointer.metadata or {}).get(LIVE))

    def create(self, description: Description, schema: pa.Schema) -> None:
        ann = Ann.from_settings(description.ann) or Ann("hnsw", links=64)
        self.client.create_collection(
            self._collection(description.version),
            metadata={METADATA_KEY: description.to_json()},
            embedding_function=None,
            configuration={
                "hnsw": {
                    "space": "ip",
                    "max_neighbors": ann.links,
                    "ef_construction": ann.build_breadth,
                    "ef_search": ann.search_breadth,
                }
            },
        )

    def insert(self, version: str, rows: pa.Table) -> None:
        self._upsert(self._open(version), rows)

    def update(self, description: Description, rows: pa.Table, gone: Sequence[str]) -> None:
        collection = self._open(description.version)
        limit = self.batch_rows
        for start in range(0, len(rows), limit):
            batch = rows.slice(start, limit)
            collection.delete(ids=batch[ID].to_pylist())  # an upsert keeps cells that are now empty
            self._upsert(collection, batch)
        for start in range(0, len(gone), limit):
            collection.delete(ids=list(gone[start : start + limit]))
        collection.modify(metadata={METADATA_KEY: description.to_json()})

    def build_index(self, version: str, ann: Ann) -> None:
        return

    def read(self, version: str) -> Iterator[pa.Table]:
        collection = self._open(version)
        description = self._describe(collection)
        schema = build_schema(description.columns, description.width)
        for start in range(0, collection.count(), READ_ROWS):
            found = collection.get(
                limit=READ_ROWS, offset=start, include=["embeddings", "metadatas"]
            )
            vectors = np.asarray(found["embeddings"], dtype=np.float32)
            yield build_rows(found["ids"], vectors, found["metadatas"], schema)

    def find(self, description: Description, request: Request) -> list[tuple[str, float]]:
        conditions: list[dict[str, Any]] = []
        for column, value in request.where.items():
            is_list = description.columns[column] == "texts"
            conditions.append({column: {"$contains" if is_list else "$eq": value}})
        if request.exclude:
            conditions.append({ID_COLUMN: {"$nin": list(request.exclude)}})
        where: dict[str, Any] | None = conditions[0] if conditions else None
        if len(conditions) > 1:
            where = {"$and": conditions}
        found = self._open(description.version).query(
            query_embeddings=[request.vector],
            n_results=min(request.k, description.num_items),
            where=where,
            include=["distances"],
        )
        return list(zip(found["ids"][0], found["distances"][0], strict=True))

    def publish(self, version: str) -> None:
        pointer = self.client.get_or_create_collection(self.name, embedding_function=None)
        pointer.modify(metadata={LIVE: version, "collection": self._collection(version)})

    def drop(self, version: str) -> None:
        self.client.delete_collection(self._collection(version))

    def _upsert(self, collection: Any, rows: pa.Table) -> None:
        ids = rows[ID].to_pylist()
        payloads = [{ID_COLUMN: id} | row for id, row in zip(ids, list_payloads(rows), strict=True)]
        collection.upsert(ids=ids, embeddings=list_vectors(rows), metadatas=payloads)

    def _list(self) -> list[Any]:
        found: list[Any] = []
        while page := self.client.list_collections(limit=100, offset=len(found)):
            found += page
        return found

    def _open(self, version: str) -> Any:
        """Return the collection of a version, looked up once."""
        if self._opened is None or self._opened[0] != version:
            self._opened = version, self._get(self._collection(version))
        return self._opened[1]

    def _get(self, name: str) -> Any:
        return self.client.get_collection(name, embedding_function=None)

    def _collection(self, version: str) -> str:
        return f"{self.name}__{version}"

    def _describe(self, collection: Any) -> Description:
        return Description.from_json((collection.metadata or {}).get(METADATA_KEY), self.label)


def _connect(chromadb: Any, url: str) -> Any:
    """Return a client of a server or a folder."""
    from chromadb.config import Settings

    settings: dict[str, Any] = {"anonymized_telemetry": False}
    if "://" not in url:
        return chromadb.PersistentClient(url, settings=Settings(**settings))
    split = urlsplit(url)
    if token := os.environ.get(TOKEN):
        settings |= {
            "chroma_client_auth_provider": "chromadb.auth.token_authn.TokenAuthClientProvider",
            "chroma_client_auth_credentials": token,
        }
    return chromadb.HttpClient(
        split.hostname or "localhost",
        port=split.port or 8000,
        ssl=split.scheme == "https",
        settings=Settings(**settings),
    )
