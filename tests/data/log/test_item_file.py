"""Item files, and catalogs with all their items."""

import gzip

import polars as pl
import pytest

import seqrec
from seqrec.data.log.item_file import read_item_file
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError

LOG = "user,film,time\n" + "".join(
    f"{user},{film},{time}\n" for user in "abc" for time, film in enumerate(["007", "1984", "x"])
)
ITEMS = (
    "film,name,genre,plot,year\n"
    '1984,Nineteen Eighty-Four,Drama|Sci-Fi,"He wrote: ""down"", and\nwas seen, of course.",1984\n'
    "007,Dr. No,,,1962\n"
    "007,Twice,,,1962\n"
    "new,Never Watched,Drama,Nobody knows.,2026\n"
    "newer,Nor This,,,2026\n"
)


@pytest.fixture
def log(tmp_path):
    (tmp_path / "log.csv").write_text(LOG)
    return tmp_path / "log.csv"


def prepared(log, tmp_path, **options):
    out = seqrec.prepare(log, out=tmp_path / "data", overwrite=True, **options)["out"]
    return PreparedData.open(out)


def test_a_file_tells_about_the_items_of_a_log(log, tmp_path):
    (tmp_path / "films.csv").write_text(ITEMS)
    data = prepared(log, tmp_path, items=tmp_path / "films.csv")
    rows = {row["item_id"]: row for row in data.items().iter_rows(named=True)}
    assert set(rows) == {"007", "1984", "x"}
    assert rows["1984"]["title"] == "Nineteen Eighty-Four"
    assert rows["1984"]["genres"] == ["Drama", "Sci-Fi"]
    assert rows["1984"]["plot"] == 'He wrote: "down", and\nwas seen, of course.'
    assert (rows["007"]["title"], rows["007"]["year"]) == ("Dr. No", 1962)
    assert rows["x"]["title"] is None
    assert set(data.manifest["sources"]) == {"log.csv", "films.csv"}


def test_all_formats_tell_the_same(tmp_path):
    (tmp_path / "films.csv").write_text(ITEMS)
    expected = read_item_file(tmp_path / "films.csv", "film").table
    table = expected.rename({"item_id": "film"})
    table.write_parquet(tmp_path / "films.parquet")
    table.write_ndjson(tmp_path / "films.ndjson")
    with gzip.open(tmp_path / "films.csv.gz", "wt") as file:
        file.write(ITEMS)
    (tmp_path / "windows.csv").write_bytes(b"\xef\xbb\xbf" + ITEMS.replace("\n", "\r\n").encode())
    (tmp_path / "blank.csv").write_text("\n" + ITEMS + "\n,,,,\n")
    for source in ("films.parquet", "films.ndjson", "films.csv.gz", "windows.csv", "blank.csv"):
        found = read_item_file(tmp_path / source, "film").table
        assert found.select(sorted(found.columns)).equals(expected.select(sorted(expected.columns)))
    table.drop("genres").write_csv(tmp_path / "films.tsv", separator="\t")
    found = read_item_file(tmp_path / "films.tsv").table
    assert found.select(expected.columns).equals(expected)
    assert read_item_file(table).table.equals(expected)
    assert read_item_file(table.to_arrow(), "film").table["item_id"].to_list()[0] == "1984"
    (tmp_path / "old.csv").write_bytes("film,title\n1,Am\xe9lie\n".encode("latin-1"))
    assert read_item_file(tmp_path / "old.csv").table["title"].to_list() == ["Amélie"]


def test_an_id_stays_text_whatever_its_column_is_called(tmp_path):
    (tmp_path / "log.csv").write_text("user,code,time\na,007,1\na,12.50,2\na,1984,3\n")
    (tmp_path / "films.csv").write_text('" code ","a;b;c;d",plot\n007,x,P\n12.50,y,Q\n1984,z,R\n')
    options = {"item": "code", "items": tmp_path / "films.csv", "catalog": "all"}
    data = prepared(tmp_path / "log.csv", tmp_path, **options)
    assert data.items().select("item_id", "plot", "a;b;c;d").sort("plot").rows() == [
        ("007", "P", "x"),
        ("12.50", "Q", "y"),
        ("1984", "R", "z"),
    ]
    (tmp_path / "films.csv").write_text("id,title,plot\n007,Film,P\n")
    data = prepared(tmp_path / "log.csv", tmp_path, **options)
    assert data.num_items == 3 and data.items()["title"].drop_nulls().to_list() == ["Film"]


def test_sidecar_values_stay_unless_the_item_file_has_others(tmp_path):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,2,3,4\n1,3,3,5\n")
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n2,Heat (1995),Crime\n3,B,War\n")
    (tmp_path / "plots.csv").write_text("movieId,plot,title\n2,They meet.,Heat\n4,They do not.,C\n")
    data = prepared(tmp_path / "ratings.csv", tmp_path, items=tmp_path / "plots.csv")
    rows = data.items().select("item_id", "title", "genres", "year", "plot").rows()
    assert rows == [
        ("2", "Heat", ["Crime"], 1995, "They meet."),
        ("3", "B", ["War"], None, None),
    ]


def test_a_catalog_of_all_has_unwatched_items_last(log, tmp_path):
    (tmp_path / "films.csv").write_text(ITEMS)
    options = {"items": tmp_path / "films.csv", "split_by": "none"}
    watched = prepared(log, tmp_path, **options)
    before = watched.items()["item_id"].to_list()
    data = prepared(log, tmp_path, **options, catalog="all")
    assert data.items()["item_id"].to_list()[:3] == before
    assert set(data.items()["item_id"].to_list()[3:]) == {"new", "newer"}
    assert data.num_items == 5 and data.manifest["counts"]["unwatched_items"] == 2
    assert data.manifest["counts"]["items"] == 5
    assert data.catalog_fingerprint != watched.catalog_fingerprint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("film,name\nother,Heat\n", "holds no item of the log: its first id is .'other'."),
        ("number,plot\n7,He runs.\n", "no column looks like the item's; call one of"),
        ("film,name\n,Heat\n", "1 rows have no id"),
        ("film,name\n ,Heat\n", "1 rows have no id"),
        ("film,plot,plot\n007,a,b\n", "column 'plot' occurs twice"),
        ("film,name\n007,a,b,c\n", "cannot be read"),
        ("", "is empty"),
    ],
)
@pytest.mark.parametrize("catalog", ["watched", "all"])
def test_a_file_of_something_else_is_refused(log, tmp_path, text, message, catalog):
    (tmp_path / "films.csv").write_text(text)
    with pytest.raises(SeqRecError, match=f"films.csv: .*{message}"):
        seqrec.prepare(log, out=tmp_path / "data", items=tmp_path / "films.csv", catalog=catalog)
    assert not (tmp_path / "data").exists()


def test_filters_make_no_item_unwatched(tmp_path):
    (tmp_path / "log.csv").write_text(LOG + "d,rare,1\nd,x,2\n")
    (tmp_path / "films.csv").write_text("film,plot\nrare,P\nx,Q\nnew,R\n")
    options = {"items": tmp_path / "films.csv", "min_item": 2, "min_user": 2}
    data = prepared(tmp_path / "log.csv", tmp_path, **options, catalog="all")
    assert set(data.items()["item_id"]) == {"007", "1984", "x", "new"}


def test_a_file_that_is_not_there_and_a_catalog_of_nothing_are_refused(log, tmp_path):
    for name in ("gone.csv", "gone.parquet", "gone.jsonl"):
        with pytest.raises(SeqRecError, match=f"{name}: no such file"):
            seqrec.prepare(log, out=tmp_path / "data", items=tmp_path / name)
    with pytest.raises(SeqRecError, match="--catalog all: no file lists other items"):
        seqrec.prepare(log, out=tmp_path / "data", catalog="all")
    with pytest.raises(SeqRecError, match="--catalog some: choose one of watched, all"):
        seqrec.prepare(log, out=tmp_path / "data", catalog="some")
    ids = pl.DataFrame({"item_id": [1.5], "title": ["Heat"]})
    with pytest.raises(SeqRecError, match="the frame of items: column 'item_id' holds Float64"):
        seqrec.prepare(log, out=tmp_path / "data", items=ids)
