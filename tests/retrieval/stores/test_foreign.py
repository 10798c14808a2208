"""Tables of others in a store stay as they are; damaged files are one line."""

import chromadb
import duckdb
import lancedb
import psycopg
import pyarrow as pa
import pytest

from seqrec.errors import SeqRecError
from seqrec.retrieval.stores.opening import open_store, open_target
from seqrec.retrieval.stores.urls import parse_address
from tests.retrieval.stores.places import opened, serve_postgres
from tests.retrieval.stores.test_contract import describe, make_rows, publish


def refuse_to_publish(address):
    rows = make_rows(1)
    with opened(address) as store, pytest.raises(SeqRecError, match="choose another --name"):
        publish(store, rows, describe(rows))


def test_a_table_of_lancedb_stays(tmp_path):
    database = lancedb.connect(tmp_path / "db")
    database.create_table("items", pa.table({"id": ["theirs"]}))
    refuse_to_publish(f"lancedb:{tmp_path / 'db'}")
    assert database.open_table("items").to_arrow()["id"].to_pylist() == ["theirs"]


@pytest.mark.parametrize("kind", ["TABLE", "VIEW"])
def test_a_table_or_view_of_duckdb_stays(tmp_path, kind):
    file = str(tmp_path / "x.duckdb")
    with duckdb.connect(file) as connection:
        connection.execute(f"CREATE {kind} items AS SELECT 'theirs' AS id")
    refuse_to_publish(f"duckdb:{file}")
    with duckdb.connect(file) as connection:
        assert connection.sql("SELECT * FROM items").fetchall() == [("theirs",)]


def test_a_collection_of_chroma_stays(tmp_path):
    settings = chromadb.config.Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(tmp_path / "db"), settings=settings)
    collection = client.create_collection("items", embedding_function=None)
    collection.add(ids=["theirs"], embeddings=[[1.0, 2.0]])
    refuse_to_publish(f"chroma:{tmp_path / 'db'}")
    assert collection.get()["ids"] == ["theirs"]


def test_postgres_keeps_what_is_not_ours_and_an_export_survives_a_lost_connection(tmp_path):
    with serve_postgres(tmp_path) as address, psycopg.connect(address, autocommit=True) as own:
        for kind in ("TABLE", "VIEW"):
            own.execute(f"CREATE {kind} items AS SELECT 'theirs' AS id")
            refuse_to_publish(address)
            assert own.execute("SELECT * FROM items").fetchall() == [("theirs",)]
            own.execute(f"DROP {kind} items")
        own.execute("CREATE TABLE films__other (x int)")
        refuse_to_publish(f"{address}#films")
        rows, lost = make_rows(1), []
        with opened(address) as store:
            insert = store.insert

            def lose_the_connection(version, batch):
                if not lost:
                    lost.append(store._connection.info.backend_pid)
                    own.execute(f"SELECT pg_terminate_backend({lost[0]})")
                insert(version, batch)

            store.insert = lose_the_connection
            done = publish(store, rows, describe(rows))
            assert lost and store.get_live() == done.version
        names = [column.name for column in own.execute("SELECT * FROM items").description]
        assert names == rows.column_names
        own.execute("CREATE VIEW dear AS SELECT title FROM items")
        with opened(address) as store:
            publish(store, rows, describe(rows, 2))
        assert len(own.execute("SELECT * FROM dear").fetchall()) == len(rows)
        nul = rows.set_column(0, "id", pa.array(["nul\0byte", *rows["id"].to_pylist()[1:]]))
        with opened(address) as store, pytest.raises(SeqRecError, match="holds a NUL byte"):
            publish(store, nul, describe(nul, 3))


@pytest.mark.parametrize("kind", ["lancedb", "qdrant", "milvus", "chroma", "duckdb"])
def test_a_file_of_something_else_is_one_line(tmp_path, kind):
    file = tmp_path / "notes.txt"
    file.write_text("no database\n" * 1000)
    address = f"{kind}:{file}"
    with pytest.raises(SeqRecError) as caught:
        open_store(address)
    assert str(caught.value).startswith(address) and "\n" not in str(caught.value)
    with pytest.raises(SeqRecError):
        store = open_target(parse_address(address, "--to"), writes=True)
        publish(store, make_rows(1), describe(make_rows(1)))
    assert file.read_text() == "no database\n" * 1000
