"""Types of the columns that rows carry beside id and vector."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

ID, VECTOR = "id", "vector"

TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "texts": pa.list_(pa.string()),
    "integer": pa.int64(),
    "number": pa.float64(),
    "flag": pa.bool_(),
}
"""Arrow type of each kind of column that every store can hold."""


def name_types(schema: pa.Schema) -> dict[str, str]:
    """Return the type names of all columns beside id and vector."""
    names = {type: name for name, type in TYPES.items()}
    return {field.name: names[field.type] for field in schema if field.name not in (ID, VECTOR)}


def build_schema(columns: Mapping[str, str], width: int) -> pa.Schema:
    """Return the Arrow schema of a version's rows."""
    fields = [pa.field(ID, pa.string()), pa.field(VECTOR, pa.list_(pa.float32(), width))]
    fields += [pa.field(name, TYPES[type]) for name, type in columns.items()]
    return pa.schema(fields)


def list_payloads(rows: pa.Table) -> list[dict[str, Any]]:
    """Return the columns beside id and vector as a mapping per row, without empty cells.

    An empty list counts as an empty cell: some stores hold no list of unknown type.
    """
    payload = rows.drop_columns([ID, VECTOR]).to_pylist()
    return [
        {name: value for name, value in row.items() if value is not None and value != []}
        for row in payload
    ]


def list_vectors(rows: pa.Table) -> Any:
    """Return the vectors of rows as a float32 matrix."""
    vectors = rows[VECTOR].combine_chunks()
    return vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(rows), -1)


def build_rows(
    ids: list[str], vectors: Any, payloads: Sequence[Mapping[str, Any]], schema: pa.Schema
) -> pa.Table:
    """Return rows from what a store answers; columns that a row lacks are empty."""
    flat = pa.array(vectors.reshape(-1), type=pa.float32())
    width = schema.field(VECTOR).type.list_size
    columns = [pa.array(ids, type=pa.string()), pa.FixedSizeListArray.from_arrays(flat, width)]
    for field in list(schema)[2:]:
        cells = [payload.get(field.name) for payload in payloads]
        columns.append(pa.array(cells, type=field.type))
    return pa.table(columns, schema=schema)
