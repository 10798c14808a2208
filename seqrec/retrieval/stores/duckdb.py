"""DuckDB: a table per version in one file, and a view of the published one."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from seqrec.errors import SeqRecError
from seqrec.retrieval.stores.ann import Ann
from seqrec.retrieval.stores.columns import ID, VECTOR, build_schema
from seqrec.retrieval.stores.description import Description
from seqrec.retrieval.stores.extras import needs_extra
from seqrec.retrieval.stores.interface import Request, Store, Version
from seqrec.retrieval.stores.scores import Measure
from seqrec.retrieval.stores.sql import Tests, build_where, quote_name, quote_text
from seqrec.retrieval.stores.urls import Address

READ_ROWS = 65_536
TYPES = {
    "text": "VARCHAR",
    "texts": "VARCHAR[]",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "flag": "BOOLEAN",
}
TESTS = Tests("{} = ?", "list_contains({}, ?)", "{} NOT IN (SELECT unnest(?))")


class DuckStore(Store):
    """Tables of a DuckDB file; searches are exact scans. One process writes at a time."""

    kind = "duckdb"
    measure = Measure.PRODUCT
    batch_rows = 65_536

    def __init__(self, address: Address, writes: bool) -> None:
        with needs_extra("duckdb"):
            import duckdb
        self.label, self.secret, self.name = address.label, address.secret, address.name
        parent = Path(address.url).parent
        if not parent.is_dir():
            raise SeqRecError(f"{self.label}: no folder {parent}; create it first")
        self.connection = self.attempt(lambda: duckdb.connect(address.url, read_only=not writes))

    def close(self) -> None:
        self.connection.close()

    def list_versions(self) -> list[Version]:
        rows = self.connection.execute(
            "SELECT table_name, comment FROM duckdb_tables() WHERE starts_with(table_name, ?) "
            "AND schema_name = 'main' ORDER BY table_name",
            [f"{self.name}__"],
        ).fetchall()
        return [
            Version(Description.from_json(comment, self.label), self._count(table))
            for table, comment in rows
        ]

    def get_live(self) -> str | None:
        rows = self.connection.execute(
            "SELECT comment FROM duckdb_views() WHERE view_name = $1 AND schema_name = 'main' "
            "UNION ALL SELECT comment FROM duckdb_tables() WHERE table_name = $1 "
            "AND schema_name = 'main'",
            [self.name],
        ).fetchall()
        return self.check_own(rows[0][0]) if rows else None

    def create(self, description: Description, schema: pa.Schema) -> None:
        table = self._table(description.version)
        columns = [f"{quote_name(ID)} VARCHAR", f"{quote_name(VECTOR)} FLOAT[{description.width}]"]
        columns += [
            f"{quote_name(name)} {TYPES[type]}" for name, type in description.columns.items()
        ]
        with self._transaction():
            self.connection.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            self._comment(table, description)

    def insert(self, version: str, rows: pa.Table) -> None:
        width = rows.schema.field(VECTOR).type.list_size
        names = [quote_name(name) for name in rows.column_names]
        values = [f"{name}::FLOAT[{width}]" if name == f'"{VECTOR}"' else name for name in names]
        self.connection.register("rows_to_insert", rows)
        self.connection.execute(
            f"INSERT INTO {self._table(version)} ({', '.join(names)}) "
            f"SELECT {', '.join(values)} FROM rows_to_insert"
        )
        self.connection.unregister("rows_to_insert")

    def update(self, description: Description, rows: pa.Table, gone: Sequence[str]) -> None:
        table = self._table(description.version)
        ids = [*rows[ID].to_pylist(), *gone]
        with self._transaction():
            self.connection.execute(
                f"DELETE FROM {table} WHERE {quote_name(ID)} IN (SELECT unnest(?))", [ids]
            )
            if len(rows):
                self.insert(description.version, rows)
            self._comment(table, description)

    def build_index(self, version: str, ann: Ann) -> None:
        raise AssertionError("has no index")

    def read(self, version: str) -> Iterator[pa.Table]:
        (found,) = [one for one in self.list_versions() if one.name == version]
        schema = build_schema(found.description.columns, found.description.width)
        with self.connection.cursor() as cursor:
            rows: Any = cursor.sql(f"SELECT * FROM {self._table(version)}")
            for batch in rows.to_arrow_reader(READ_ROWS):
                yield pa.Table.from_batches([batch]).cast(schema)

    def find(self, description: Description, request: Request) -> list[tuple[str, float]]:
        where, values = build_where(TESTS, description.columns, request)
        return self.connection.execute(
            f"SELECT {quote_name(ID)}, array_inner_product({quote_name(VECTOR)}, "
            f"?::FLOAT[{description.width}]) AS product FROM {self._table(description.version)} "
            f"{where}ORDER BY product DESC LIMIT {request.k}",
            [request.vector, *values],
        ).fetchall()

    def publish(self, version: str) -> None:
        view = quote_name(self.name)
        with self._transaction():
            self.connection.execute(
                f"CREATE OR REPLACE VIEW {view} AS SELECT * FROM {self._table(version)}"
            )
            self.connection.execute(f"COMMENT ON VIEW {view} IS {quote_text(version)}")

    def drop(self, version: str) -> None:
        self.connection.execute(f"DROP TABLE IF EXISTS {self._table(version)}")

    def _table(self, version: str) -> str:
        return quote_name(f"{self.name}__{version}")

    def _count(self, table: str) -> int:
        (row,) = self.connection.execute(f"SELECT count(*) FROM {quote_name(table)}").fetchall()
        return row[0]

    def _comment(self, table: str, description: Description) -> None:
        text = quote_text(description.to_json())
        self.connection.execute(f"COMMENT ON TABLE {table} IS {text}")

    def _transaction(self) -> Any:
        return _Transaction(self.connection)


class _Transaction:
    """A block that is committed at its end, and rolled back by an error."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def __enter__(self) -> None:
        self.connection.begin()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.connection.commit()
        else:
            self.connection.rollback()
