"""LanceDB: a table whose versions have tags; the tag ``live`` names the published one."""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from seqrec.retrieval.stores.ann import Ann
from seqrec.retrieval.stores.columns import ID, VECTOR
from seqrec.retrieval.stores.description import METADATA_KEY, Description
from seqrec.retrieval.stores.extras import needs_extra
from seqrec.retrieval.stores.interface import Request, Store, Version
from seqrec.retrieval.stores.scores import Measure
from seqrec.retrieval.stores.sql import quote_text
from seqrec.retrieval.stores.urls import Address

LIVE = "live"
READ_ROWS = 65_536
MARGIN = timedelta(seconds=1)


class LanceStore(Store):
    """A table of a LanceDB folder or bucket.

    Lance keeps every commit. Each exported version has a tag of its name, which moves with each
    batch; readers check out the tag ``live``.
    """

    kind = "lancedb"
    measure = Measure.ONE_MINUS_PRODUCT
    ann_kinds = ("hnsw", "ivf")
    batch_rows = 65_536  # every batch is a fragment, and searches of many fragments are slow

    def __init__(self, address: Address, writes: bool) -> None:
        os.environ.setdefault("LANCEDB_LOG", "error")  # it warns of every table that is new
        with needs_extra("lancedb"):
            import lancedb
        self.label, self.secret, self.name = address.label, address.secret, address.name
        self.database = self.attempt(lambda: lancedb.connect(address.url))

    def list_versions(self) -> list[Version]:
        if not self._exists():
            return []
        tags = self._open().tags.list()
        names = sorted(name for name in tags if name != LIVE)
        return [self._get_version(name) for name in names]

    def get_live(self) -> str | None:
        if not self._exists() or LIVE not in self._open().tags.list():
            return None
        return self._describe(self._open(LIVE)).version

    def create(self, description: Description, schema: pa.Schema) -> None:
        described = schema.field(ID).with_metadata({METADATA_KEY: description.to_json()})
        schema = schema.set(0, described)
        if self._exists():
            self._describe(self._open())  # refuses to overwrite what others have made
        table = self.database.create_table(self.name, schema=schema, mode="overwrite")
        table.tags.create(description.version, table.version)

    def insert(self, version: str, rows: pa.Table) -> None:
        table = self._open_latest(version)
        table.add(rows)
        table.tags.update(version, table.version)

    def update(self, description: Description, rows: pa.Table, gone: Sequence[str]) -> None:
        table = self._open_latest(description.version)
        if len(rows):
            merge = table.merge_insert(ID).when_matched_update_all().when_not_matched_insert_all()
            merge.execute(rows)
        if gone:
            table.delete(f"{ID} IN ({', '.join(map(quote_text, gone))})")
        metadata = {METADATA_KEY: description.to_json()}
        table.update_field_metadata({"path": ID, "metadata": metadata})
        table.tags.update(description.version, table.version)
        if self.get_live() == description.version:
            table.tags.update(LIVE, table.version)

    def build_index(self, version: str, ann: Ann) -> None:
        from lancedb.index import HnswFlat, IvfFlat

        table = self._open_latest(version)
        config: Any = IvfFlat(distance_type="dot", num_partitions=ann.lists)
        if ann.kind == "hnsw":
            config = HnswFlat(
                distance_type="dot",
                num_partitions=1,
                m=ann.links,
                ef_construction=ann.build_breadth,
            )
        table.create_index(VECTOR, config=config)
        table.tags.update(version, table.version)

    def read(self, version: str) -> Iterator[pa.Table]:
        table = self._open(version)
        for batch in table.search().limit(table.count_rows()).to_batches(READ_ROWS):
            yield pa.table(batch)

    def find(self, description: Description, request: Request) -> list[tuple[str, float]]:
        search = self._open_cached(description.version).search(request.vector)
        search = search.distance_type("dot").limit(request.k).select([ID, "_distance"])
        condition = _build_condition(description, request)
        if condition:
            search = search.where(condition, prefilter=True)
        ann = Ann.from_settings(description.ann)
        if ann is None:
            search = search.bypass_vector_index()
        elif ann.kind == "ivf":
            search = search.nprobes(ann.search_lists)
        else:
            search = search.nprobes(1).ef(max(ann.search_breadth, request.k))
        found = search.to_arrow()
        return list(zip(found[ID].to_pylist(), found["_distance"].to_pylist(), strict=True))

    def publish(self, version: str) -> None:
        table = self._open()
        tags = table.tags.list()
        move = table.tags.update if LIVE in tags else table.tags.create
        move(LIVE, tags[version]["version"])

    def drop(self, version: str) -> None:
        table = self._open()
        table.tags.delete(version)
        kept = min(tag["version"] for tag in table.tags.list().values())
        written_at = {one["version"]: one["timestamp"] for one in table.list_versions()}[kept]
        age = datetime.now(UTC) - written_at.astimezone(UTC)
        table.optimize(cleanup_older_than=age + MARGIN)  # Lance refuses to go beyond a tag
        self._move_tags_to_latest()

    def _move_tags_to_latest(self) -> None:
        """Let the tags of the latest version follow its compaction."""
        table = self._open()
        tags, version = table.tags.list(), self._describe(table).version
        for name in [version, LIVE] if self.get_live() == version else [version]:
            if name in tags:
                table.tags.update(name, table.version)

    def _exists(self) -> bool:
        page = self.database.list_tables()
        while page.page_token and self.name not in page.tables:
            page = self.database.list_tables(page_token=page.page_token)
        return self.name in page.tables

    def _open(self, tag: str | None = None) -> Any:
        table = self.database.open_table(self.name)
        if tag is not None:
            table.checkout(tag)
        return table

    def _open_cached(self, version: str) -> Any:
        """Return the table at a version, opened once."""
        if self._opened is None or self._opened[0] != version:
            self._opened = version, self._open(version)
        return self._opened[1]

    _opened: tuple[str, Any] | None = None

    def _open_latest(self, version: str) -> Any:
        """Return the table with a version as its latest commit, to be written to."""
        self._opened = None
        table = self._open()
        tagged = table.tags.list()[version]["version"]
        if table.version != tagged:
            table.checkout(version)
            table.restore()
        return table

    def _get_version(self, name: str) -> Version:
        table = self._open(name)
        return Version(self._describe(table), table.count_rows())

    def _describe(self, table: Any) -> Description:
        metadata = table.schema.field(ID).metadata or {}
        text = metadata.get(METADATA_KEY.encode())
        return Description.from_json(None if text is None else text.decode(), self.label)


def _build_condition(description: Description, request: Request) -> str:
    """Return the filters as a condition of DataFusion's SQL."""
    parts = []
    for column, value in request.where.items():
        literal = quote_text(value) if isinstance(value, str) else repr(value).lower()
        if description.columns[column] == "texts":
            parts.append(f"array_has(`{column}`, {literal})")
        else:
            parts.append(f"`{column}` = {literal}")
    if request.exclude:
        parts.append(f"{ID} NOT IN ({', '.join(map(quote_text, request.exclude))})")
    return " AND ".join(parts)
