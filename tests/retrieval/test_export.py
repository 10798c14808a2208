"""Exports are read back: ids as in the log, vectors bit for bit."""

import json

import faiss as plain_faiss
import numpy as np
import polars as pl
import pytest

from seqrec.retrieval.export import faiss, numpy, parquet
from seqrec.retrieval.index import KINDS

IDS = [
    "318",
    str(2**70),
    "-0001",
    "two words",
    " padded ",
    "single ' and double \"",
    "line\nbreak\r\n",
    "tab\tcomma,semicolon;",
    "🎬 Amélie",
    "<pad>",
    "<item:1>",
    "null",
    "",
    "back\\slash",
    "nul\0byte",
]
VECTORS = np.random.default_rng(0).standard_normal((len(IDS), 6)).astype(np.float32)
FINGERPRINTS = {"catalog_fingerprint": "catalog-1", "model_fingerprint": "model-1"}


@pytest.mark.parametrize("target", [parquet, numpy])
@pytest.mark.parametrize("num_rows", [0, 1, len(IDS)])
def test_ids_and_vectors_come_back(target, num_rows, tmp_path):
    for name in ("items", "users"):
        files = target.write(tmp_path, name, IDS[:num_rows], VECTORS[:num_rows])
        assert all(file.is_file() for file in files)
    ids, vectors = target.read(tmp_path, "users")
    assert ids == IDS[:num_rows]
    assert vectors.dtype == np.float32 and np.array_equal(vectors, VECTORS[:num_rows])


def test_parquet_is_read_by_polars_as_text_and_fixed_size_lists(tmp_path):
    (file,) = parquet.write(tmp_path, "items", IDS, VECTORS.astype(np.float64))
    frame = pl.read_parquet(file)
    assert frame.schema == {"id": pl.String, "vector": pl.Array(pl.Float32, 6)}
    assert frame["id"].to_list() == IDS
    assert np.array_equal(frame["vector"].to_numpy(), VECTORS)


def test_numpy_needs_no_pickle_and_ids_are_plain_json(tmp_path):
    numpy.write(tmp_path, "items", IDS, VECTORS)
    loaded = np.load(tmp_path / "items" / "vectors.npy", allow_pickle=False, mmap_mode="r")
    assert np.array_equal(loaded, VECTORS)
    assert json.loads((tmp_path / "items" / "ids.json").read_text()) == IDS


def write_faiss(folder):
    return faiss.write(folder, "items", IDS, VECTORS, queries=VECTORS, k=5, **FINGERPRINTS)


def test_faiss_reports_recall_and_every_index_comes_back(tmp_path):
    recalls = write_faiss(tmp_path)
    assert list(recalls) == list(KINDS)
    assert recalls["flat"] == 1 and all(0 < recall <= 1 for recall in recalls.values())
    for kind in KINDS:
        ids, index = faiss.read(tmp_path, "items", kind, **FINGERPRINTS)
        assert ids == IDS and index.kind == kind
        assert np.array_equal(index.faiss_index.reconstruct_n(0, len(IDS)), VECTORS)


def test_plain_faiss_reads_the_files_and_ranks_by_inner_product(tmp_path):
    write_faiss(tmp_path)
    for kind in KINDS:
        index = plain_faiss.read_index(str(tmp_path / "items" / kind / "index.faiss"))
        scores, rows = index.search(VECTORS, 3)
        products = VECTORS @ VECTORS.T
        assert np.allclose(scores, np.take_along_axis(products, rows, axis=1), atol=1e-5)


@pytest.mark.parametrize("target", [parquet, numpy])
def test_an_unwritable_folder_is_an_os_error(target, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError):
        target.write(tmp_path / "file", "items", IDS, VECTORS)
