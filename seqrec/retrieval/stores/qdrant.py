"""Qdrant server: a collection per version, and an alias of the published one."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from seqrec.retrieval.stores.ann import Ann
from seqrec.retrieval.stores.columns import ID, build_rows, build_schema
from seqrec.retrieval.stores.description import METADATA_KEY, Description
from seqrec.retrieval.stores.extras import needs_extra
from seqrec.retrieval.stores.interface import Request, Store, Version
from seqrec.retrieval.stores.qdrant_points import (
    INDEXES,
    check_columns,
    get_key,
    get_point_ids,
    list_points,
)
from seqrec.retrieval.stores.scores import Measure
from seqrec.retrieval.stores.urls import Address

API_KEY = "QDRANT_API_KEY"
READ_ROWS = 4000
TIMEOUT_SECONDS = 60


class QdrantStore(Store):
    """Collections of a Qdrant server."""

    kind = "qdrant"
    measure = Measure.PRODUCT
    updates_at_once = False
    ann_kinds = ("hnsw",)
    batch_rows = 1000

    def __init__(self, address: Address, writes: bool) -> None:
        with needs_extra("qdrant"):
            from qdrant_client import QdrantClient, models
        key = os.environ.get(API_KEY)
        self.label, self.name, self.secret = address.label, address.name, address.secret or key
        self._models = models
        in_memory = address.url == ":memory:"
        self.client = (
            QdrantClient(":memory:")
            if in_memory
            else QdrantClient(
                url=address.url, api_key=key, timeout=TIMEOUT_SECONDS, check_compatibility=False
            )
        )

    def close(self) -> None:
        self.client.close()

    def is_transient(self, error: Exception) -> bool:
        status = getattr(error, "status_code", None)
        name = type(error).__name__
        return name == "ResponseHandlingException" or status in (429, 502, 503, 504)

    def check_rows(self, rows: pa.Table) -> None:
        check_columns(rows, self.label)

    def list_versions(self) -> list[Version]:
        prefix = f"{self.name}__"
        names = sorted(one.name for one in self.client.get_collections().collections)
        return [
            Version(self._describe(name), self.client.count(name, exact=True).count)
            for name in names
            if name.startswith(prefix)
        ]

    def get_live(self) -> str | None:
        for alias in self.client.get_aliases().aliases:
            if alias.alias_name == self.name:
                return self.check_own(alias.collection_name.removeprefix(f"{self.name}__"))
        return self.check_own(None) if self.client.collection_exists(self.name) else None

    def create(self, description: Description, schema: pa.Schema) -> None:
        models, ann = self._models, Ann.from_settings(description.ann)
        graph = models.HnswConfigDiff(m=0)
        if ann is not None:
            graph = models.HnswConfigDiff(m=ann.links, ef_construct=ann.build_breadth)
        name = self._collection(description.version)
        self.client.create_collection(
            name,
            vectors_config=models.VectorParams(
                size=description.width, distance=models.Distance.DOT
            ),
            hnsw_config=graph,
            metadata={METADATA_KEY: description.to_json()},
        )
        for column, type in description.columns.items():
            if type in INDEXES and not self._is_local:
                self.client.create_payload_index(
                    name, get_key(column), models.PayloadSchemaType(INDEXES[type])
                )

    def insert(self, version: str, rows: pa.Table) -> None:
        points = [
            self._models.PointStruct(id=id, vector=vector, payload=dict(payload))
            for id, vector, payload in list_points(rows)
        ]
        self.client.upsert(self._collection(version), points, wait=True)

    def update(self, description: Description, rows: pa.Table, gone: Sequence[str]) -> None:
        name = self._collection(description.version)
        for start in range(0, len(rows), self.batch_rows):
            self.insert(description.version, rows.slice(start, self.batch_rows))
        for start in range(0, len(gone), self.batch_rows):
            ids: Any = get_point_ids(gone[start : start + self.batch_rows])
            self.client.delete(name, self._models.PointIdsList(points=ids), wait=True)
        self.client.update_collection(name, metadata={METADATA_KEY: description.to_json()})

    def build_index(self, version: str, ann: Ann) -> None:
        """Wait until the server's optimizer has built the graph."""
        import time

        name = self._collection(version)
        while not self._is_local and self.client.get_collection(name).status != "green":
            time.sleep(1)

    def read(self, version: str) -> Iterator[pa.Table]:
        name, offset = self._collection(version), None
        description = self._describe(name)
        schema = build_schema(description.columns, description.width)
        while True:
            points, offset = self.client.scroll(
                name, limit=READ_ROWS, offset=offset, with_vectors=True
            )
            if points:
                vectors = np.array([point.vector for point in points], dtype=np.float32)
                payloads = [point.payload or {} for point in points]
                yield build_rows([one[ID] for one in payloads], vectors, payloads, schema)
            if offset is None:
                return

    def find(self, description: Description, request: Request) -> list[tuple[str, float]]:
        models, ann = self._models, Ann.from_settings(description.ann)
        conditions: Any = [
            models.FieldCondition(key=get_key(column), match=models.MatchValue(value=value))
            if not isinstance(value, float)
            else models.FieldCondition(
                key=get_key(column), range=models.Range(gte=value, lte=value)
            )
            for column, value in request.where.items()
        ]
        excluded: Any = get_point_ids(request.exclude)
        hidden = [models.HasIdCondition(has_id=excluded)] if excluded else None
        breadth = models.SearchParams(exact=True)
        if ann is not None:
            breadth = models.SearchParams(hnsw_ef=max(ann.search_breadth, request.k))
        found = self.client.query_points(
            self._collection(description.version),
            query=request.vector.tolist(),
            limit=request.k,
            query_filter=models.Filter(must=conditions or None, must_not=hidden),
            search_params=None if self._is_local else breadth,
            with_payload=[ID],
        )
        return [((point.payload or {})[ID], point.score) for point in found.points]

    def publish(self, version: str) -> None:
        models = self._models
        changes: Any = [
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(
                    collection_name=self._collection(version), alias_name=self.name
                )
            )
        ]
        if self.get_live() is not None:
            remove = models.DeleteAlias(alias_name=self.name)
            changes.insert(0, models.DeleteAliasOperation(delete_alias=remove))
        self.client.update_collection_aliases(changes)

    def drop(self, version: str) -> None:
        self.client.delete_collection(self._collection(version))

    @property
    def _is_local(self) -> bool:
        """True for the client's imitation in memory, which has no indexes."""
        return self.client.init_options.get("location") == ":memory:"

    def _collection(self, version: str) -> str:
        return f"{self.name}__{version}"

    def _describe(self, collection: str) -> Description:
        metadata = self.client.get_collection(collection).config.metadata or {}
        return Description.from_json(metadata.get(METADATA_KEY), self.label)
