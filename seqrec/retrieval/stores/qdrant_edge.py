"""Qdrant Edge, Qdrant's engine within the process: a shard per version in folders."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seqrec.retrieval.stores.ann import Ann
from seqrec.retrieval.stores.columns import ID, build_rows, build_schema
from seqrec.retrieval.stores.description import Description
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

SHARD, DESCRIPTION, LIVE = "shard", "seqrec.json", "live"
READ_ROWS = 4000
FULL_SCAN_KILOBYTES = 10


class QdrantEdgeStore(Store):
    """Shards in a folder: ``NAME/VERSION/shard``; the file ``NAME/live`` names the live version.

    A shard is open in one process at a time.
    """

    kind = "qdrant"
    measure = Measure.PRODUCT
    updates_at_once = False
    ann_kinds = ("hnsw",)
    batch_rows = 1000

    def __init__(self, address: Address, writes: bool) -> None:
        with needs_extra("qdrant"):
            import qdrant_edge
        self.label, self.secret = address.label, address.secret
        self.name, self._edge = address.name, qdrant_edge
        self.folder = Path(address.url) / address.name
        self._opened: tuple[str, Any] | None = None

    def close(self) -> None:
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    def check_rows(self, rows: pa.Table) -> None:
        check_columns(rows, self.label)

    def list_versions(self) -> list[Version]:
        names = sorted(file.parent.name for file in self.folder.glob(f"*/{DESCRIPTION}"))
        return [Version(self._describe(name), self._count(name)) for name in names]

    def get_live(self) -> str | None:
        file = self.folder / LIVE
        return self.check_own(file.read_text(encoding="utf-8")) if file.exists() else None

    def create(self, description: Description, schema: pa.Schema) -> None:
        edge, ann = self._edge, Ann.from_settings(description.ann)
        graph = None
        optimizers = edge.EdgeOptimizersConfig(indexing_threshold=0)
        if ann is not None:
            graph = edge.HnswIndexConfig(ann.links, ann.build_breadth, FULL_SCAN_KILOBYTES)
            optimizers = edge.EdgeOptimizersConfig(indexing_threshold=FULL_SCAN_KILOBYTES)
        vectors = edge.EdgeVectorParams(
            size=description.width, distance=edge.Distance.Dot, hnsw_config=graph
        )
        self.close()
        folder = self.folder / description.version
        (folder / SHARD).mkdir(parents=True)
        config = edge.EdgeConfig(vectors=vectors, optimizers=optimizers)
        shard = edge.EdgeShard.create(str(folder / SHARD), config)
        for column, type in description.columns.items():
            if type in INDEXES:  # the graph gets links for filters by columns that have an index
                kind = getattr(edge.PayloadSchemaType, INDEXES[type].capitalize())
                shard.update(edge.UpdateOperation.create_field_index(get_key(column), kind))
        self._opened = description.version, shard
        self._write(description)

    def insert(self, version: str, rows: pa.Table) -> None:
        edge, shard = self._edge, self._open(version)
        points = [
            edge.Point(id, vector, {name: _as_number(value) for name, value in payload.items()})
            for id, vector, payload in list_points(rows)
        ]
        shard.update(edge.UpdateOperation.upsert_points(points))
        shard.flush()

    def update(self, description: Description, rows: pa.Table, gone: Sequence[str]) -> None:
        for start in range(0, len(rows), self.batch_rows):
            self.insert(description.version, rows.slice(start, self.batch_rows))
        shard = self._open(description.version)
        if gone:
            ids: Any = get_point_ids(gone)
            shard.update(self._edge.UpdateOperation.delete_points(ids))
            shard.flush()
        self._write(description)

    def build_index(self, version: str, ann: Ann) -> None:
        self._open(version).optimize()
        self._open(version).flush()

    def read(self, version: str) -> Iterator[pa.Table]:
        shard, offset = self._open(version), None
        description = self._describe(version)
        schema = build_schema(description.columns, description.width)
        while True:
            points, offset = shard.scroll(
                self._edge.ScrollRequest(
                    limit=READ_ROWS, offset=offset, with_payload=True, with_vector=True
                )
            )
            if points:
                vectors = np.array([point.vector for point in points], dtype=np.float32)
                payloads = [_restore_flags(point.payload, description) for point in points]
                yield build_rows([one[ID] for one in payloads], vectors, payloads, schema)
            if offset is None:
                return

    def find(self, description: Description, request: Request) -> list[tuple[str, float]]:
        edge, ann = self._edge, Ann.from_settings(description.ann)
        conditions = [
            edge.FieldCondition(get_key(column), match=edge.MatchValue(_as_number(value)))
            if not isinstance(value, float)
            else edge.FieldCondition(get_key(column), range=edge.RangeFloat(gte=value, lte=value))
            for column, value in request.where.items()
        ]
        hidden = [edge.HasIdCondition(set(get_point_ids(request.exclude)))]
        breadth = edge.SearchParams(exact=True)
        if ann is not None:
            breadth = edge.SearchParams(hnsw_ef=max(ann.search_breadth, request.k))
        found = self._open(description.version).query(
            edge.QueryRequest(
                limit=request.k,
                query=edge.Query.Nearest(request.vector.tolist()),
                filter=edge.Filter(
                    must=conditions or None, must_not=hidden if request.exclude else None
                ),
                with_payload=True,
                params=breadth,
            )
        )
        return [(point.payload[ID], point.score) for point in found]

    def publish(self, version: str) -> None:
        new = self.folder / f"{LIVE}.new"
        with new.open("w", encoding="utf-8") as file:
            file.write(version)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.folder / LIVE)

    def drop(self, version: str) -> None:
        if self._opened is not None and self._opened[0] == version:
            self.close()
        (self.folder / version / DESCRIPTION).unlink(missing_ok=True)
        shutil.rmtree(self.folder / version, ignore_errors=True)

    def _open(self, version: str) -> Any:
        """Return the shard of a version, opened once."""
        if self._opened is None or self._opened[0] != version:
            self.close()
            shard = self._edge.EdgeShard.load(str(self.folder / version / SHARD))
            self._opened = version, shard
        return self._opened[1]

    def _count(self, version: str) -> int:
        return self._open(version).count(self._edge.CountRequest(exact=True))

    def _write(self, description: Description) -> None:
        """Write the description at once, after the shard: a folder without one is no version."""
        file = self.folder / description.version / DESCRIPTION
        new = file.with_suffix(".new")
        new.write_text(description.to_json(), encoding="utf-8")
        os.replace(new, file)

    def _describe(self, version: str) -> Description:
        text = (self.folder / version / DESCRIPTION).read_text(encoding="utf-8")
        return Description.from_json(text, self.label)


def _as_number(value: Any) -> Any:
    """Return 1 or 0 for a flag: filters of Edge's Python interface read True as 1."""
    return int(value) if isinstance(value, bool) else value


def _restore_flags(payload: Mapping[str, Any], description: Description) -> dict[str, Any]:
    """Return a payload with its flags as such."""
    return {
        name: bool(value) if description.columns.get(name) == "flag" else value
        for name, value in payload.items()
    }
