"""Addresses of stores, settings of indexes, and operations that are tried again."""

import subprocess
import sys

import pytest

from seqrec.errors import SeqRecError
from seqrec.retrieval.stores.ann import Ann
from seqrec.retrieval.stores.opening import open_store
from seqrec.retrieval.stores.retries import ATTEMPTS, call_with_retries
from seqrec.retrieval.stores.urls import is_store, mask_url, parse_address


@pytest.mark.parametrize(
    ("text", "kind", "url", "name"),
    [
        ("lancedb:exports/db", "lancedb", "exports/db", "items"),
        ("lancedb:s3://bucket/db#films", "lancedb", "s3://bucket/db", "films"),
        ("postgresql://ann:pw@host/db", "pgvector", "postgresql://ann:pw@host/db", "items"),
        ("pgvector:postgresql:///db", "pgvector", "postgresql:///db", "items"),
        ("qdrant:http://host:6333", "qdrant", "http://host:6333", "items"),
        ("duckdb:a b.duckdb", "duckdb", "a b.duckdb", "items"),
    ],
)
def test_an_address_names_kind_url_and_table(text, kind, url, name):
    assert is_store(text)
    assert parse_address(text, "--to") == (kind, url, name)


@pytest.mark.parametrize("text", ["redis:x", "lancedb", "lancedb:", "http://host", "faiss-flat"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(SeqRecError, match="--to .*write KIND:URL"):
        parse_address(text, "--to")


@pytest.mark.parametrize(
    "name", ["ab", "1st", "a-b", "a__b", "_ab", "ab_", "a b", "x" * 41, "é" * 4]
)
def test_names_that_some_store_refuses_are_refused_by_all(name):
    with pytest.raises(SeqRecError, match="--name .*letters"):
        parse_address(f"duckdb:x#{name}", "--to")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:s3cret@host:5/db", "postgresql://ann:***@host:5/db"),
        (
            "postgresql://ann@host/db?password=s3cret&x=1",
            "postgresql://ann@host/db?password=***&x=1",
        ),
        ("http://:s3cret@host", "http://:***@host"),
        ("postgresql:///db?host=/run/pg", "postgresql:///db?host=/run/pg"),
        ("exports/db", "exports/db"),
    ],
)
def test_passwords_are_masked(url, shown):
    assert mask_url(url) == shown
    kind = "pgvector" if url.startswith("postgresql") else "qdrant"
    address = parse_address(f"{kind}:{url}", "--to")
    assert "s3cret" not in address.label
    assert (address.secret == "s3cret") is ("s3cret" in url)


def test_errors_of_a_client_hold_no_password():
    def fail():
        raise RuntimeError("no route to ann:s3cret@host\nsecond line")

    with pytest.raises(SeqRecError, match=r"^store: no route to ann:\*\*\*@host; check") as caught:
        call_with_retries(fail, "store", "s3cret", lambda error: False)
    assert "second" not in str(caught.value)


def test_an_operation_is_tried_again_with_doubling_pauses():
    tries, pauses = [], []

    def fail_twice():
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("away")
        return "done"

    def is_transient(error):
        return isinstance(error, ConnectionError)

    assert call_with_retries(fail_twice, "store", None, is_transient, pauses.append) == "done"
    assert pauses == [0.25, 0.5]
    tries.clear()
    pauses.clear()
    with pytest.raises(SeqRecError, match="store: away"):
        call_with_retries(fail_always, "store", None, is_transient, pauses.append)
    assert len(pauses) == ATTEMPTS - 1


def fail_always():
    raise ConnectionError("away")


def test_settings_of_indexes_are_checked():
    assert Ann.parse("hnsw:search_breadth=90,links=8") == Ann("hnsw", links=8, search_breadth=90)
    assert Ann.parse("ivf").resolve(10_000) == Ann("ivf", lists=100, search_lists=75)
    for text in ("flat", "hnsw:lists=3", "ivf:lists=0", "hnsw:links=x", "hnsw:links"):
        with pytest.raises(SeqRecError, match=f"--ann {text}: "):
            Ann.parse(text)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:s3cret@127.0.0.1:9/db?connect_timeout=2",
        "qdrant:http://127.0.0.1:9",
        "chroma:http://127.0.0.1:9",
    ],
)
def test_a_server_that_does_not_answer_is_one_line(url, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(SeqRecError) as caught:
        open_store(url)
    assert str(caught.value).startswith(url.partition("//")[0][:6])
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("package", "url"),
    [
        ("lancedb", "lancedb:."),
        ("duckdb", "duckdb:."),
        ("psycopg", "postgresql://host/db"),
        ("qdrant_client", "qdrant:http://host"),
        ("qdrant_edge", "qdrant:."),
        ("pymilvus", "milvus:."),
        ("chromadb", "chroma:."),
    ],
)
def test_a_missing_package_is_named_with_its_extra(package, url, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SeqRecError, match=r"needs the package .*pip install 'seqrec\[\w+\]'"):
        open_store(url)


def test_the_module_of_stores_loads_no_client():
    code = "import seqrec.retrieval.stores.opening, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    clients = {"lancedb", "duckdb", "psycopg", "pgvector", "qdrant_client", "pymilvus", "chromadb"}
    assert not clients & {name.split(".")[0] for name in loaded.stdout.split()}
