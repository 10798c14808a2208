"""A short run of the campaign of logs, and mutated bytes of every format."""

import bz2
import gzip
import lzma

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from seqrec.data.log.item_file import read_item_file
from seqrec.errors import SeqRecError
from tests.campaigns.logs import judge, read_histories, zipped
from tests.campaigns.runner import failures, run_campaign

TABLE = pl.DataFrame(
    {
        "user": [f"u{number % 7}" for number in range(60)],
        "item": [f"i{number}" for number in range(60)],
        "time": [1_600_000_000 + number for number in range(60)],
    }
)
TEXT = TABLE.write_csv(quote_style="non_numeric").encode()
ARRAY = b"[" + b",".join(TABLE.write_ndjson().encode().splitlines()) + b"]"


def written(kind: str, tmp_path) -> bytes:
    getattr(TABLE, f"write_{kind}")(tmp_path / "whole")
    return (tmp_path / "whole").read_bytes()


FORMATS = {
    "csv": lambda folder: TEXT,
    "utf16": lambda folder: TEXT.decode().encode("utf-16"),
    "gz": lambda folder: gzip.compress(TEXT),
    "bz2": lambda folder: bz2.compress(TEXT),
    "xz": lambda folder: lzma.compress(TEXT),
    "zip": lambda folder: zipped(TEXT),
    "zst": lambda folder: pa.compress(TEXT, codec="zstd", asbytes=True),
    "parquet": lambda folder: written("parquet", folder),
    "feather": lambda folder: written("ipc", folder),
    "stream": lambda folder: written("ipc_stream", folder),
    "ndjson": lambda folder: written("ndjson", folder),
    "json": lambda folder: ARRAY,
    "sequences": lambda folder: b"u 1 2 3\nv 4 5\n" * 20,
}


def test_generated_logs_give_the_right_histories_or_one_line():
    cases = run_campaign(judge, range(60), seed=1)
    assert not failures(cases)
    assert sum(case.result == "right" for case in cases) > 20


@pytest.mark.parametrize("kind", FORMATS)
def test_no_error_of_a_parser_escapes(tmp_path, kind):
    generator = np.random.default_rng(5)
    whole = FORMATS[kind](tmp_path)
    for number in range(25):
        content = bytearray(whole)
        for place in generator.integers(0, len(whole), 1 + number % 4):
            content[place] = int(generator.integers(256))
        if number % 5 == 0:
            content = content[: int(generator.integers(len(content)))]
        file = tmp_path / f"log{number}.{kind}"
        file.write_bytes(content)
        for read in (read_histories, read_item_file):
            try:
                read(file)
            except SeqRecError as error:
                assert "\n" not in str(error)
