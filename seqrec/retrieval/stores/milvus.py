"""Milvus: a collection per version, and an alias of the published one."""

import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from seqrec.errors import SeqRecError, quote
from seqrec.retrieval.stores.ann import Ann
from seqrec.retrieval.stores.columns import (
    ID,
    VECTOR,
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

TOKEN = "MILVUS_TOKEN"
MOST_ID_BYTES = 65_535
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
READ_ROWS = 4000
DELETED_ROWS = 500


class MilvusStore(Store):
    """Collections of a Milvus server, or of a Milvus Lite file."""

    kind = "milvus"
    measure = Measure.PRODUCT
    updates_at_once = False
    ann_kinds = ("hnsw",)

    def __init__(self, address: Address, writes: bool) -> None:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it prints that a server is slow
        with needs_extra("milvus"):
            import pymilvus
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs errors that it raises
        self.label, self.name = address.label, address.name
        token = os.environ.get(TOKEN, "")
        self.secret = address.secret or token or None
        self._pymilvus, self._loaded = pymilvus, ""
        is_server = "://" in address.url
        self.client = self.attempt(
            lambda: pymilvus.MilvusClient(address.url, token=token if is_server else "")
        )

    def close(self) -> None:
        self.client.close()

    def is_transient(self, error: Exception) -> bool:
        return type(error).__name__ in ("MilvusUnavailableException", "RpcError")

    def check_rows(self, rows: pa.Table) -> None:
        for id in rows[ID].to_pylist():
            if not 0 < len(id.encode()) <= MOST_ID_BYTES:
                raise SeqRecError(
                    f"{self.label}: id {quote(id)} has no letter or over {MOST_ID_BYTES:,} bytes; "
                    "choose another store"
                )
        for column, type in zip(rows.column_names, rows.schema.types, strict=True):
            if pa.types.is_list(type) and not PLAIN_NAME.fullmatch(column):
                raise SeqRecError(
                    f"{self.label}: column {quote(column)} holds lists, which Milvus searches in "
                    "columns of letters, digits and _; rename it, or leave it out of --payload"
                )

    def list_versions(self) -> list[Version]:
        prefix = f"{self.name}__"
        names = sorted(name for name in self.client.list_collections() if name.startswith(prefix))
        return [Version(self._describe(name), self._count(name)) for name in names]

    def get_live(self) -> str | None:
        prefix = f"{self.name}__"
        for name in self.client.list_collections():
            if name.startswith(prefix) and self.name in self._list_aliases(name):
                return self.check_own(name.removeprefix(prefix))
        return self.check_own(None) if self.client.has_collection(self.name) else None

    def create(self, description: Description, schema: pa.Schema) -> None:
        kinds, name = self._pymilvus.DataType, self._collection(description.version)
        fields = self.client.create_schema(auto_id=False, enable_dynamic_field=True)
        fields.add_field(ID, kinds.VARCHAR, is_primary=True, max_length=MOST_ID_BYTES)
        fields.add_field(VECTOR, kinds.FLOAT_VECTOR, dim=description.width)
        ann = Ann.from_settings(description.ann)
        self.client.create_collection(
            name,
            schema=fields,
            index_params=self._plan_index(ann),
            properties={METADATA_KEY: description.to_json()},
            consistency_level="Strong",
        )

    def insert(self, version: str, rows: pa.Table) -> None:
        vectors = list_vectors(rows)
        parts = zip(rows[ID].to_pylist(), vectors, list_payloads(rows), strict=True)
        entities = [{ID: id, VECTOR: vector.tolist()} | payload for id, vector, payload in parts]
        self.client.upsert(self._collection(version), entities)

    def update(self, description: Description, rows: pa.Table, gone: Sequence[str]) -> None:
        name = self._collection(description.version)
        for start in range(0, len(rows), self.batch_rows):
            self.insert(description.version, rows.slice(start, self.batch_rows))
        for start in range(0, len(gone), DELETED_ROWS):
            ids = gone[start : start + DELETED_ROWS]
            self.client.delete(name, filter=f"{ID} in {_quote(ids)}")
        self.client.alter_collection_properties(name, {METADATA_KEY: description.to_json()})

    def build_index(self, version: str, ann: Ann) -> None:
        """Wait until all rows are indexed."""
        self.client.flush(self._collection(version))

    def read(self, version: str) -> Iterator[pa.Table]:
        name = self._load(version)
        description = self._describe(name)
        schema = build_schema(description.columns, description.width)
        iterator = self.client.query_iterator(
            name, batch_size=READ_ROWS, filter="", output_fields=[*schema.names]
        )
        while found := iterator.next():
            vectors = np.array([row[VECTOR] for row in found], dtype=np.float32)
            yield build_rows([row[ID] for row in found], vectors, found, schema)
        iterator.close()

    def find(self, description: Description, request: Request) -> list[tuple[str, float]]:
        conditions = []
        for column, value in request.where.items():
            is_list = description.columns[column] == "texts"
            literal = _quote(value)
            conditions.append(
                f"json_contains({column}, {literal})"
                if is_list
                else f"$meta[{_quote(column)}] == {literal}"
            )
        if request.exclude:
            conditions.append(f"{ID} not in {_quote(request.exclude)}")
        ann = Ann.from_settings(description.ann)
        parameters = {} if ann is None else {"ef": max(ann.search_breadth, request.k)}
        (found,) = self.client.search(
            self._load(description.version),
            [request.vector.tolist()],
            limit=request.k,
            filter=" and ".join(conditions),
            search_params={"metric_type": "IP", "params": parameters},
        )
        return [(hit[ID], hit["distance"]) for hit in found]

    def publish(self, version: str) -> None:
        name, live = self._collection(version), self.get_live()
        switch = self.client.create_alias if live is None else self.client.alter_alias
        switch(name, self.name)

    def drop(self, version: str) -> None:
        self.client.drop_collection(self._collection(version))

    def _plan_index(self, ann: Ann | None) -> Any:
        plan = self.client.prepare_index_params()
        kind, settings = "FLAT", {}
        if ann is not None:
            kind, settings = "HNSW", {"M": ann.links, "efConstruction": ann.build_breadth}
        plan.add_index(VECTOR, index_type=kind, metric_type="IP", params=settings)
        return plan

    def _load(self, version: str) -> str:
        """Return the collection of a version, in the server's memory."""
        name = self._collection(version)
        if self._loaded != name:
            self.client.load_collection(name)
            self._loaded = name
        return name

    def _list_aliases(self, collection: str) -> list[str]:
        return list(self.client.list_aliases(collection).get("aliases", ()))

    def _count(self, collection: str) -> int:
        self.client.load_collection(collection)
        (row,) = self.client.query(collection, filter="", output_fields=["count(*)"])
        return row["count(*)"]

    def _collection(self, version: str) -> str:
        return f"{self.name}__{version}"

    def _describe(self, collection: str) -> Description:
        properties = self.client.describe_collection(collection).get("properties", {})
        return Description.from_json(properties.get(METADATA_KEY), self.label)


def _quote(value: Any) -> str:
    """Return a literal of a filter; Milvus reads the escapes of JSON."""
    return json.dumps(
        value if isinstance(value, str | int | float) else list(value), ensure_ascii=False
    )
