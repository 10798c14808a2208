"""Exports to stores and to files of rows; ``evaluate`` and ``recommend`` through a store."""

import json
import os
import signal
import subprocess
import sys

import datasets
import duckdb
import lancedb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

import seqrec
from seqrec.cli import main
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.retrieval.stores.opening import open_store

QUICK = ["trainer.max_epochs=1", "model.hidden_size=16"]
PRIOR = "model.transition_prior={strength: 1}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Data with genres and years, a model whose scores are products, and one with a prior."""
    root = tmp_path_factory.mktemp("stores")
    log = first_order_world(num_items=40, seed=0).simulate(80, 9, seed=1)
    ids = log[log.columns[1]].unique().sort().to_list()
    items = pl.DataFrame(
        {
            "item_id": ids,
            "title": [f"<b>{id}</b>" for id in ids],
            "genres": [["Comedy"] * (number % 2) + ["Drama"] for number in range(len(ids))],
            "year": [1980 + number % 10 for number in range(len(ids))],
        }
    )
    seqrec.prepare(log, out=root / "data", items=items)
    for name, overrides in (("plain", QUICK), ("prior", [*QUICK, PRIOR])):
        seqrec.train("sft", data=root / "data", out=root / name, overrides=overrides)
        seqrec.export(
            root / name, to="lancedb", url=str(root / "db"), name=name, data=root / "data"
        )
    return root


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


def test_an_export_says_what_it_measured_and_published(made, capsys, tmp_path):
    arguments = ["export", made / "plain", "--to", f"duckdb:{tmp_path / 'x.duckdb'}"]
    code, out, err = call(
        capsys, *arguments, "--data", made / "data", "--payload", "year", "--name", "films"
    )
    assert code == 0 and "reading back" in err and "40 of 40 rows written" in err
    for kind in ("plain", "minus seen", "with a genre", "minus seen, with a genre"):
        assert f"recall@10 of {kind} against exact: 1.0000" in out
    assert "measured in the store with 80 users" in out and "live: version" in out
    with duckdb.connect(str(tmp_path / "x.duckdb"), read_only=True) as connection:
        rows = connection.sql("SELECT id, title, genres, year, num_interactions FROM films").pl()
    items = seqrec.Recommender.from_pretrained(made / "plain").items
    assert rows["id"].to_list() == items["item_id"].to_list()
    for column in ("title", "genres", "year", "num_interactions"):
        assert rows[column].to_list() == items[column].to_list()
    result = json.loads(call(capsys, *arguments, "--json")[1])
    assert result["written"] == 40 and result["recall_of_users"] is False


@pytest.mark.parametrize("model", ["plain", "prior"])
def test_lists_through_a_store_equal_exact_ones_also_with_a_prior(made, model, tmp_path):
    store = f"lancedb:{made / 'db'}#{model}"
    result = seqrec.evaluate(
        made / model, data=made / "data", k=10, retrieval=["faiss-flat", store]
    )
    exact, flat, stored = result["rows"]
    assert (exact["retrieval"], stored["retrieval"]) == ("exact", store)
    assert stored["recall_against_exact"] == pytest.approx(1)
    assert flat["recall_against_exact"] == pytest.approx(1) or model == "prior"
    for metric in ("recall@10", "ndcg@10", "coverage@10"):
        assert stored[metric] == pytest.approx(exact[metric])
    lists = []
    for index in (None, store):
        out = tmp_path / f"{index is None}.parquet"
        seqrec.recommend(made / model, data=made / "data", k=7, index=index, out=out)
        lists.append(pl.read_parquet(out))
    assert lists[0]["item_id"].to_list() == lists[1]["item_id"].to_list()
    assert np.allclose(lists[0]["score"], lists[1]["score"], atol=1e-4)


def test_list_rules_hold_through_a_store(made):
    store = f"lancedb:{made / 'db'}#plain"
    options = {
        "histories": [["t03", "t05"], ["t11"]],
        "k": 5,
        "where": "genres contains 'Comedy' AND year > 1982",
        "exclude": ["t07"],
        "max_per": ["year:1"],
    }
    exact, stored = (
        seqrec.recommend(made / "plain", **options, index=index) for index in (None, store)
    )
    assert [[id for id, _ in one] for one in exact] == [[id for id, _ in one] for one in stored]


def test_the_vectors_of_another_model_are_refused_in_one_line(made, capsys):
    store = f"lancedb:{made / 'db'}#prior"
    code, _, err = call(
        capsys, "evaluate", made / "plain", "--data", made / "data", "--retrieval", f"exact,{store}"
    )
    assert code == 2 and err.count("\n") == 1 and "holds vectors of another model" in err
    code, _, err = call(capsys, "recommend", made / "plain", "--history", "t03", "--index", store)
    assert code == 2 and err.count("\n") == 1 and "export this model again" in err


def test_a_killed_export_leaves_the_old_version_live_and_the_next_one_continues(made, tmp_path):
    url = str(tmp_path / "db")
    seqrec.export(made / "plain", to="lancedb", url=url)
    before = open_store(f"lancedb:{url}").description
    script = (
        "import sys, time, seqrec\n"
        "from seqrec.retrieval.stores.lancedb import LanceStore\n"
        "LanceStore.batch_rows, insert, calls = 15, LanceStore.insert, []\n"
        "def slow(self, version, rows):\n"
        "    insert(self, version, rows)\n"
        "    calls.append(1)\n"
        "    if len(calls) == 2:\n"
        "        print('half', flush=True)\n"
        "        time.sleep(600)\n"
        "LanceStore.insert = slow\n"
        "seqrec.export(sys.argv[1], to='lancedb', url=sys.argv[2])\n"
    )
    command = [sys.executable, "-c", script, str(made / "prior"), url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "half\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert open_store(f"lancedb:{url}").description == before
    done = seqrec.export(made / "prior", to="lancedb", url=url)
    assert (done["resumed"], done["written"]) == (30, 10)
    live = open_store(f"lancedb:{url}").description
    assert live.model == "prior" and not live.scores_are_products


def test_an_unchanged_export_writes_nothing_and_a_new_title_one_row(made, tmp_path, monkeypatch):
    address = f"duckdb:{tmp_path / 'x.duckdb'}"
    first = seqrec.export(made / "plain", to=address, payload=["year"])
    again = seqrec.export(made / "plain", to=address, payload=["year"])
    assert again["version"] == first["version"] and again["written"] == 0
    recommender = seqrec.Recommender.from_pretrained(made / "plain")
    titles = recommender.items["title"].to_list()
    titles[5] = "renamed"
    recommender.items = recommender.items.with_columns(pl.Series("title", titles))
    changed = seqrec.export(recommender, to=address, payload=["year"], changed=True)
    assert (changed["written"], changed["removed"]) == (1, 0)
    live = open_store(address)
    hits = live.search(recommender.item_embeddings()[:1], 3, None, {"title": "renamed"})
    assert hits.ids == [[recommender.item_ids[5]]]
    live.close()


def test_parquet_rows_are_read_by_others_with_titles_and_metadata(made, tmp_path):
    out = tmp_path / "rows"
    seqrec.export(
        made / "prior",
        to="parquet",
        out=out,
        data=made / "data",
        payload=["year"],
        columns={"vector": "values"},
    )
    recommender = seqrec.Recommender.from_pretrained(made / "prior")
    file, vectors = out / "items.parquet", recommender.item_embeddings()
    metadata = pq.read_schema(file).metadata
    assert metadata[b"metric"] == b"inner_product"
    assert metadata[b"model_fingerprint"].decode() == recommender.fingerprint
    assert metadata[b"scores_are_products"] == b"False"
    frame = pl.read_parquet(file)
    assert frame.columns == ["id", "values", "title", "genres", "num_interactions", "year"]
    assert frame.schema["values"] == pl.Array(pl.Float32, 16)
    by_pandas = pd.read_parquet(file)
    by_datasets = datasets.Dataset.from_parquet(str(file), cache_dir=str(tmp_path / "cache"))
    by_duckdb = duckdb.sql(f"SELECT values::FLOAT[16] AS v, title FROM '{file}'").fetchall()
    assert by_datasets.features["values"].length == 16
    for row, (stored, title) in enumerate(by_duckdb):
        expected = recommender.titles[row]
        assert title == expected == by_pandas["title"][row] == by_datasets["title"][row]
        for read in (stored, by_pandas["values"][row], by_datasets["values"][row]):
            assert np.array_equal(np.asarray(read, dtype=np.float32), vectors[row])
    assert pl.read_parquet(out / "users.parquet").columns == ["id", "values"]
    table = lancedb.connect(tmp_path / "lance").create_table("rows", pq.read_table(file))
    assert table.count_rows() == 40


def test_ndjson_rows_have_the_same_float32_and_no_empty_cells(made, tmp_path):
    seqrec.export(made / "plain", to="ndjson", out=tmp_path / "rows", payload=["year"])
    recommender = seqrec.Recommender.from_pretrained(made / "plain")
    lines = (tmp_path / "rows" / "items.ndjson").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["id"] for row in rows] == recommender.item_ids
    vectors = np.array([row["vector"] for row in rows], dtype=np.float32)
    assert np.array_equal(vectors, recommender.item_embeddings())
    assert rows[3]["title"] == recommender.titles[3] and isinstance(rows[3]["genres"], list)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"to": "lancedb"}, "needs --url"),
        ({"to": "lancedb", "url": "x", "out": "y"}, "--out and --columns are for files"),
        ({"to": "lancedb:x", "url": "y"}, "leave out --url"),
        ({"to": "lancedb:x", "keep": 0}, "--keep 0"),
        ({"to": "lancedb:x", "payload": ["director"]}, "--payload director: no such column"),
        ({"to": "duckdb:{tmp}/x", "ann": "hnsw"}, "--ann hnsw: .*leave out --ann"),
        ({"to": "lancedb:x", "ann": "pq"}, "--ann pq: choose from hnsw, ivf"),
        ({"to": "lancedb:x", "name": "a b"}, "--name a b"),
        ({"to": "parquet"}, "needs --out"),
        ({"to": "numpy", "out": "{tmp}/x", "payload": ["year"]}, "are for parquet, ndjson"),
        ({"to": "parquet", "out": "{tmp}/x", "columns": {"vectors": "v"}}, "no column 'vectors'"),
        ({"to": "parquet", "out": "{tmp}/x", "columns": {"vector": "id"}}, "two columns of one"),
        ({"to": "duckdb:{tmp}/none/x"}, "no folder"),
        ({"to": "postgres//ann:pw@host"}, "choose from parquet"),
    ],
)
def test_mistakes_are_one_line(made, tmp_path, monkeypatch, options, line):
    monkeypatch.chdir(tmp_path)
    filled = {
        key: value.format(tmp=tmp_path) if isinstance(value, str) else value
        for key, value in options.items()
    }
    with pytest.raises(SeqRecError, match=line):
        seqrec.export(made / "plain", **filled)
    assert not [file for file in tmp_path.iterdir() if file.name in ("x", "y")]
