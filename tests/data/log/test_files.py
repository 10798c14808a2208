"""A log of any compression, encoding and number of files is the log that was written."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import fsspec
import polars as pl
import pyarrow as pa
import pytest

from seqrec.data.log.columns import Columns
from seqrec.data.log.sources import read_source
from seqrec.errors import SeqRecError

TABLE = pl.DataFrame({"user": ["u", "u", "v"], "item": ["a", "b", "é"], "time": [3, 1, 2]})
ROWS = [("u", "a", "3"), ("u", "b", "1"), ("v", "é", "2")]
TEXT = TABLE.write_csv()


def rows(source, **options) -> list[tuple]:
    table = read_source(source, **options).collect()
    return table.select(pl.col("user", "item", "time").cast(pl.String)).rows()


def zipped(content: bytes, name: str = "log.csv") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
        archive.writestr("__MACOSX/._log.csv", b"\0")
    return target.getvalue()


COMPRESSIONS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
    "zip": zipped,
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("suffix", ["right", ".csv"])
def test_compression_is_found_by_content_whatever_the_name_says(tmp_path, compression, suffix):
    file = tmp_path / f"log.csv{'.' + compression if suffix == 'right' else ''}"
    file.write_bytes(COMPRESSIONS[compression](TEXT.encode()))
    assert rows(file) == ROWS
    file.write_bytes(COMPRESSIONS[compression](TEXT.encode() + b"u,x,noon,4\n"))
    with pytest.raises(SeqRecError, match=f"{file.name}: line 5: 4 fields"):
        rows(file)


def test_two_layers_of_compression_and_binary_formats_inside_of_one(tmp_path):
    (tmp_path / "a.csv.gz.zip").write_bytes(zipped(gzip.compress(TEXT.encode()), "a.csv.gz"))
    assert rows(tmp_path / "a.csv.gz.zip") == ROWS
    TABLE.write_parquet(tmp_path / "plain")
    (tmp_path / "b.parquet.gz").write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    assert rows(tmp_path / "b.parquet.gz") == ROWS


def test_a_zip_of_several_files_lists_them_and_a_workbook_is_named(tmp_path):
    for names, message in (
        (["a.csv", "b.csv"], "must hold one file, it has a.csv, b.csv"),
        (["xl/workbook.xml", "x"], "is an Excel workbook"),
        ([], "must hold one file, it has none"),
    ):
        with zipfile.ZipFile(tmp_path / "log.zip", "w") as archive:
            archive.writestr("folder/", b"")
            for name in names:
                archive.writestr(name, TEXT)
        with pytest.raises(SeqRecError, match=message):
            read_source(tmp_path / "log.zip")


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8"]
)
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("kind", ["csv", "ndjson", "array"])
def test_unicode_encodings_and_all_line_ends_are_read(tmp_path, encoding, ends, kind):
    lines = [json.dumps(row, ensure_ascii=False) for row in TABLE.to_dicts()]
    text = {
        "csv": TEXT,
        "ndjson": "\n".join(lines) + "\n",
        "array": "[\n" + ",\n".join(lines) + "\n]",
    }[kind]
    file = tmp_path / f"log.{'csv' if kind == 'csv' else 'json'}"
    file.write_bytes(text.replace("\n", ends).encode(encoding))
    assert rows(file) == ROWS


def test_another_encoding_is_refused_with_its_line_and_a_way_to_convert(tmp_path):
    file = tmp_path / "log.csv"
    file.write_bytes(TEXT.encode("latin-1"))
    with pytest.raises(SeqRecError, match=r"line 4: b'\\xe9,2.n' is not UTF-8 text.*iconv"):
        rows(file)


@pytest.mark.parametrize("name", ["log.feather", "log.parquet", "log.csv", "log"])
@pytest.mark.parametrize("kind", ["ipc", "ipc_stream", "parquet"])
def test_arrow_and_parquet_are_found_by_content(tmp_path, name, kind):
    getattr(TABLE, f"write_{kind}")(tmp_path / name)
    assert rows(tmp_path / name) == ROWS


def test_a_json_array_keeps_numbers_as_they_are_written(tmp_path):
    file = tmp_path / "log.json"
    first = '{"user": 123456789012345678901234567890,\n  "item": "a\\nb"}'
    file.write_text(f'[\n {first},\n{{"user":7,"item":"é"}}]\n')
    table = read_source(file).collect()
    assert table.rows() == [("123456789012345678901234567890", "a\nb"), ("7", "é")]
    for broken, message in (
        ('[{"user": 1, "item": 2}, 5]', "entry 2: not a JSON object: '5'"),
        ('[{"user": 1, "item": 2}', "entry 1: no comma follows"),
        ('[{"user": 1, "item": 2},', "does not end with the file"),
        ('[{"user": 1, "item": 2}, {"user"', "entry 2: no JSON"),
    ):
        file.write_text(broken)
        with pytest.raises(SeqRecError, match=message):
            read_source(file)


@pytest.mark.parametrize("kind", ["csv", "parquet", "ndjson", "ipc"])
@pytest.mark.parametrize("given", ["folder", "pattern", "list", "iterator"])
def test_files_of_one_log_are_read_one_after_the_other(tmp_path, kind, given):
    suffix = {"ipc": "feather"}.get(kind, kind)
    for number in range(11):
        part = TABLE.with_columns(user=pl.lit(f"u{number}"))
        getattr(part, f"write_{kind}")(tmp_path / f"part-{number}.{suffix}")
    (tmp_path / "_SUCCESS").touch()
    source = {
        "folder": tmp_path,
        "pattern": str(tmp_path / f"part-*.{suffix}"),
        "list": [tmp_path / f"part-{number}.{suffix}" for number in range(11)],
        "iterator": iter([str(tmp_path / f"part-{number}.{suffix}") for number in range(11)]),
    }[given]
    log = read_source(source)
    expected = [f"u{number}" for number in range(11) for _ in range(3)]
    assert log.collect()["user"].to_list() == expected
    assert sorted(log.files) == sorted(f"part-{number}.{suffix}" for number in range(11))
    assert len(set(log.files.values())) == 11
    assert log.where(3 * 10 + 1).startswith(str(tmp_path / f"part-10.{suffix}"))


def test_columns_in_another_order_and_one_line_for_other_columns(tmp_path):
    (tmp_path / "a.csv").write_text(TEXT)
    (tmp_path / "b.csv").write_text("item,time,user\nc,4,w\n")
    assert rows(tmp_path) == [*ROWS, ("w", "c", "4")]
    (tmp_path / "c.csv").write_text("item,time,member\nc,4,w\n")
    with pytest.raises(SeqRecError, match=r"a.csv has the columns .* and .*c.csv \['item'"):
        read_source(tmp_path)
    with pytest.raises(SeqRecError, match="a.csv is csv and .*x.parquet parquet"):
        TABLE.write_parquet(tmp_path / "x.parquet")
        read_source([tmp_path / "a.csv", tmp_path / "x.parquet"])


def test_one_column_of_two_types_is_refused(tmp_path):
    TABLE.write_parquet(tmp_path / "a.parquet")
    dated = TABLE.with_columns(time=pl.lit("2024-01-01").str.to_date())
    dated.write_parquet(tmp_path / "b.parquet")
    with pytest.raises(SeqRecError, match="column 'time' holds Int64 in .*a.parquet and Date in"):
        read_source(tmp_path)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_keys_of_hive_partitions_are_columns(tmp_path, kind):
    for day, item in (("2024-01-02", "a"), ("2024-01-01", "b")):
        folder = tmp_path / f"day={day}" / "country=N%20L"
        folder.mkdir(parents=True)
        getattr(TABLE.head(1).with_columns(item=pl.lit(item)), f"write_{kind}")(
            folder / f"0.{kind}"
        )
    for source in (tmp_path, str(tmp_path / "day=*" / "*" / f"0.{kind}"), str(tmp_path / "day=*")):
        log = read_source(source, columns=Columns(time="time"))
        table = log.collect().select("item", "day", "country")
        assert table.rows() == [("b", "2024-01-01", "N L"), ("a", "2024-01-02", "N L")]
    names = read_source(tmp_path, columns=Columns(time="day")).files
    assert sorted(names)[0] == f"day=2024-01-01/country=N%20L/0.{kind}"


def test_a_name_that_exists_is_no_pattern(tmp_path):
    (tmp_path / "log[1].csv").write_text(TEXT)
    (tmp_path / "log1.csv").write_text("user,item,time\nz,z,1\n")
    assert rows(tmp_path / "log[1].csv") == ROWS
    assert rows(str(tmp_path / "log[1-9].csv")) == [("z", "z", "1")]
    with pytest.raises(SeqRecError, match="no file has a name of this pattern"):
        rows(str(tmp_path / "x*.csv"))


def test_a_table_with_a_transaction_log_and_a_file_twice_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text(TEXT)
    with pytest.raises(SeqRecError, match="a.csv: occurs twice"):
        read_source([tmp_path / "a.csv", tmp_path / "a.csv"])
    with pytest.raises(SeqRecError, match="the list of files is empty"):
        read_source([])
    (tmp_path / "_delta_log").mkdir()
    with pytest.raises(SeqRecError, match="is a Delta table"):
        read_source(tmp_path)


def test_remote_files_are_read_through_fsspec():
    system = fsspec.filesystem("memory")
    system.pipe("/logs/part-0.csv", TEXT.encode())
    system.pipe("/logs/part-1.csv.gz", gzip.compress(TEXT.encode()))
    try:
        assert rows("memory://logs/part-0.csv") == ROWS
        assert rows("simplecache::memory://logs/part-0.csv") == ROWS
        assert rows("memory://logs/*") == ROWS * 2
        assert rows("memory://logs") == ROWS * 2
        with pytest.raises(SeqRecError, match="memory://logs/x.csv: no such file"):
            read_source("memory://logs/x.csv")
        with pytest.raises(SeqRecError, match=r"s3://b/x.csv: .*pip install 'fsspec\[s3\]'"):
            read_source("s3://b/x.csv")
        with pytest.raises(SeqRecError, match="nothing://x: "):
            read_source("nothing://x")
    finally:
        system.rm("/logs", recursive=True)


def test_temporary_copies_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "log.xz").write_bytes(lzma.compress(TEXT.encode()))
    log = read_source(tmp_path / "log.xz")
    assert log.collect().height == 3 and list((tmp_path / "temporary").iterdir())
    del log
    assert not list((tmp_path / "temporary").iterdir())


def test_any_object_of_the_arrow_protocol_is_a_frame():
    class Result:
        def __arrow_c_stream__(self, requested_schema=None):
            return TABLE.to_arrow().__arrow_c_stream__(requested_schema)

    assert rows(Result()) == ROWS
