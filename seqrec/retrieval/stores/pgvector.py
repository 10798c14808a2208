"""PostgreSQL with pgvector: a table per version, and a view of the published one."""

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
    list_vectors,
    name_types,
)
from seqrec.retrieval.stores.description import Description
from seqrec.retrieval.stores.extras import needs_extra
from seqrec.retrieval.stores.interface import Request, Store, Version
from seqrec.retrieval.stores.scores import Measure
from seqrec.retrieval.stores.sql import Tests, build_where, quote_name, quote_text
from seqrec.retrieval.stores.urls import Address

READ_ROWS = 10_000
MOST_BREADTH = 1000
"""Largest search breadth that pgvector takes."""
TYPES = {
    "text": "text",
    "texts": "text[]",
    "integer": "bigint",
    "number": "double precision",
    "flag": "boolean",
}
TESTS = Tests("{} = %s", "{} @> ARRAY[%s]", "{} <> ALL(%s)", percent="%%")


class PostgresStore(Store):
    """Tables of a PostgreSQL database."""

    kind = "pgvector"
    measure = Measure.NEGATIVE_PRODUCT
    ann_kinds = ("hnsw", "ivf")

    def __init__(self, address: Address, writes: bool) -> None:
        with needs_extra("pgvector"):
            import pgvector.psycopg
            import psycopg
        self.label, self.secret, self.name = address.label, address.secret, address.name
        self._psycopg, self._register = psycopg, pgvector.psycopg.register_vector
        self._url, self._writes = address.url, writes
        self._connection: Any = None
        self._searched: str | None = None
        self.attempt(self._connect)

    def close(self) -> None:
        self._connection.close()

    def is_transient(self, error: Exception) -> bool:
        return isinstance(error, self._psycopg.OperationalError)

    def check_rows(self, rows: pa.Table) -> None:
        """Refuse texts that PostgreSQL cannot hold."""
        for name, type in zip(rows.column_names, rows.schema.types, strict=True):
            if type != pa.string():
                continue
            for text in rows[name].to_pylist():
                if text is not None and "\0" in text:
                    raise SeqRecError(
                        f"{self.label}: {name} {quote(text)} holds a NUL byte, which PostgreSQL "
                        "cannot hold; rename the item, or choose another store"
                    )

    def list_versions(self) -> list[Version]:
        tables = self._fetch(
            "SELECT relname, obj_description(oid, 'pg_class') FROM pg_class WHERE relkind = 'r' "
            "AND starts_with(relname, %s) AND pg_table_is_visible(oid) ORDER BY relname",
            [f"{self.name}__"],
        )
        return [
            Version(
                Description.from_json(comment, self.label),
                self._fetch(f"SELECT count(*) FROM {quote_name(table)}")[0][0],
            )
            for table, comment in tables
        ]

    def get_live(self) -> str | None:
        rows = self._fetch(
            "SELECT obj_description(oid, 'pg_class') FROM pg_class "
            "WHERE relname = %s AND pg_table_is_visible(oid)",
            [self.name],
        )
        return self.check_own(rows[0][0]) if rows else None

    def create(self, description: Description, schema: pa.Schema) -> None:
        table = self._table(description.version)
        columns = [
            f"{ID} text NOT NULL",
            f"{VECTOR} vector({description.width}) NOT NULL",
            *(f"{quote_name(name)} {TYPES[type]}" for name, type in description.columns.items()),
            f"EXCLUDE USING hash ({ID} WITH =)",  # a unique index has room for short ids only
        ]
        with self._connect().transaction():
            if self._writes:
                self._execute("CREATE EXTENSION IF NOT EXISTS vector")
                self._register(self._connection)
            self._execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            self._comment(table, description)

    def insert(self, version: str, rows: pa.Table) -> None:
        names = ", ".join(map(quote_name, rows.column_names))
        with self._connect().transaction():
            self._execute(
                f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {names} "
                f"FROM {self._table(version)} WITH NO DATA"
            )
            self._copy("incoming", rows)
            self._execute(
                f"INSERT INTO {self._table(version)} ({names}) SELECT {names} FROM incoming "
                "ON CONFLICT DO NOTHING"
            )

    def update(self, description: Description, rows: pa.Table, gone: Sequence[str]) -> None:
        table = self._table(description.version)
        with self._connect().transaction():
            ids = [*rows[ID].to_pylist(), *gone]
            self._execute(f"DELETE FROM {table} WHERE {ID} = ANY(%s)", [ids])
            self._copy(table, rows)
            self._comment(table, description)

    def build_index(self, version: str, ann: Ann) -> None:
        table = self._table(version)
        if ann.kind == "hnsw":
            kind, settings = "hnsw", f"m = {ann.links}, ef_construction = {ann.build_breadth}"
        else:
            kind, settings = "ivfflat", f"lists = {ann.lists}"
        self._execute(
            f"CREATE INDEX ON {table} USING {kind} ({VECTOR} vector_ip_ops) WITH ({settings})"
        )
        self._execute(f"ANALYZE {table}")

    def read(self, version: str) -> Iterator[pa.Table]:
        (found,) = [one.description for one in self.list_versions() if one.name == version]
        schema = build_schema(found.columns, found.width)
        names = ", ".join(map(quote_name, schema.names))
        with self._connect().transaction(), self._connection.cursor("rows_to_read") as cursor:
            cursor.execute(f"SELECT {names} FROM {self._table(version)}")
            while rows := cursor.fetchmany(READ_ROWS):
                vectors = np.stack([row[1].to_numpy() for row in rows]).astype(np.float32)
                payloads = [dict(zip(schema.names[2:], row[2:], strict=True)) for row in rows]
                yield build_rows([row[0] for row in rows], vectors, payloads, schema)

    def find(self, description: Description, request: Request) -> list[tuple[str, float]]:
        self._set_breadth(description, request.k)
        where, values = build_where(TESTS, description.columns, request)
        distance = f"{VECTOR} <#> %s"
        return self._fetch(
            f"SELECT {ID}, {distance} FROM {self._table(description.version)} {where}"
            f"ORDER BY {distance} LIMIT {request.k}",
            [request.vector, *values, request.vector],
        )

    def publish(self, version: str) -> None:
        """Point the view to a version; views that others made of it stay, unless columns differ."""
        view, table = quote_name(self.name), self._table(version)
        with self._connect().transaction():
            try:
                with self._connection.transaction():
                    self._execute(f"CREATE OR REPLACE VIEW {view} AS SELECT * FROM {table}")
            except self._psycopg.errors.InvalidTableDefinition:  # other columns
                self._execute(f"DROP VIEW {view}")
                self._execute(f"CREATE VIEW {view} AS SELECT * FROM {table}")
            self._execute(f"COMMENT ON VIEW {view} IS {quote_text(version)}")

    def drop(self, version: str) -> None:
        self._execute(f"DROP TABLE IF EXISTS {self._table(version)}")

    def _connect(self) -> Any:
        """Return the connection, a new one if the old one broke."""
        if self._connection is None or self._connection.closed:
            self._connection = self._psycopg.connect(self._url, autocommit=True)
            self._searched = None
            if self._writes:
                self._execute("CREATE EXTENSION IF NOT EXISTS vector")
            self._register(self._connection)
        return self._connection

    def _set_breadth(self, description: Description, k: int) -> None:
        """Set how broadly this connection searches, once for a version."""
        if self._searched == f"{description.version} {k}":
            return
        ann = Ann.from_settings(description.ann)
        searches, scans = ("off", "on") if ann is None else ("on", "off")
        self._execute(f"SET enable_indexscan = {searches}")
        self._execute(f"SET enable_seqscan = {scans}")  # or small tables never use their index
        if ann is not None and ann.kind == "hnsw":
            breadth = min(max(ann.search_breadth, k), MOST_BREADTH)
            self._execute(f"SET hnsw.ef_search = {breadth}")
            self._execute("SET hnsw.iterative_scan = strict_order")  # or rare filters end short
        elif ann is not None:
            self._execute(f"SET ivfflat.probes = {ann.search_lists}")
            self._execute("SET ivfflat.iterative_scan = relaxed_order")
        self._searched = f"{description.version} {k}"

    def _copy(self, table: str, rows: pa.Table) -> None:
        """Add rows by the binary protocol."""
        names = ", ".join(map(quote_name, rows.column_names))
        types = [TYPES[name] for name in name_types(rows.schema).values()]
        columns = [rows[name].to_pylist() for name in rows.column_names[2:]]
        ids, vectors = rows[ID].to_pylist(), list_vectors(rows)
        cursor = self._connection.cursor()
        with cursor.copy(f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "vector", *types])
            for row in zip(ids, vectors, *columns, strict=True):
                copy.write_row(row)

    def _table(self, version: str) -> str:
        return quote_name(f"{self.name}__{version}")

    def _comment(self, table: str, description: Description) -> None:
        self._execute(f"COMMENT ON TABLE {table} IS {quote_text(description.to_json())}")

    def _execute(self, query: str, values: Sequence[Any] = ()) -> Any:
        return self._connection.execute(query, values or None)

    def _fetch(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._connect().execute(query, values or None).fetchall()
