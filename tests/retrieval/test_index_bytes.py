"""Indexes whose checksum fits but whose bytes are hostile: one line, never a crash."""

import hashlib
import json

import numpy as np
import pytest
import torch

from seqrec.errors import SeqRecError
from seqrec.retrieval.exact import top_k_by_product
from seqrec.retrieval.index import KINDS, build_index, search
from seqrec.retrieval.index_folder import load_index, save_index

PRINTS = {"catalog_fingerprint": "c", "model_fingerprint": "m"}


@pytest.fixture(params=KINDS)
def saved(request, tmp_path, generator):
    """An index of 300 items in a folder, and its vectors."""
    vectors = generator.normal(size=(300, 8)).astype(np.float32)
    save_index(build_index(vectors, request.param), tmp_path, **PRINTS)
    return tmp_path, vectors


def rewrite(folder, content, **fields):
    """Write other bytes, and a description that agrees with them."""
    (folder / "index.faiss").write_bytes(content)
    description = json.loads((folder / "index.json").read_text())
    description |= {"sha256": hashlib.sha256(content).hexdigest(), **fields}
    (folder / "index.json").write_text(json.dumps(description))


def test_an_index_is_read_and_searched_as_it_was_written(saved):
    folder, vectors = saved
    index = load_index(folder, **PRINTS)
    found = search(index, vectors[:20], 5)
    exact = top_k_by_product(torch.tensor(vectors[:20]), torch.tensor(vectors), 5, tile_items=64)
    assert (found.items[:, 0] == exact.items[:, 0]).float().mean() > 0.8


def test_flipped_bits_with_their_own_checksum_end_in_one_line_or_a_list(saved, generator):
    folder, vectors = saved
    whole = (folder / "index.faiss").read_bytes()
    refused = 0
    for number in range(300):
        place = number % 200 if number % 2 else int(generator.integers(len(whole)))
        content = bytearray(whole)
        content[place] ^= 1 << int(generator.integers(8))
        rewrite(folder, bytes(content))
        try:
            found = search(load_index(folder, **PRINTS), vectors[:3], 5)
            assert found.items.min() >= -1 and found.items.max() < len(vectors)
        except SeqRecError as error:
            assert "\n" not in str(error) and "index" in str(error)
            refused += 1
    assert refused > 30


@pytest.mark.parametrize("fields", [{"num_items": 301}, {"width": 9}, {"num_items": -1}])
def test_a_description_of_another_size_is_refused(saved, fields):
    folder, _ = saved
    rewrite(folder, (folder / "index.faiss").read_bytes(), **fields)
    with pytest.raises(SeqRecError, match="another number or width of vectors"):
        load_index(folder, **PRINTS)


@pytest.mark.parametrize("fields", [{"kind": ["flat"]}, {"width": "8"}, {"num_items": None}])
def test_a_description_of_other_types_is_refused(saved, fields):
    folder, _ = saved
    rewrite(folder, (folder / "index.faiss").read_bytes(), **fields)
    with pytest.raises(SeqRecError, match="index.json is damaged"):
        load_index(folder, **PRINTS)


def test_another_class_under_the_name_of_a_kind_is_refused(saved):
    folder, _ = saved
    kind = json.loads((folder / "index.json").read_text())["kind"]
    other = next(one for one in KINDS if one != kind)
    rewrite(folder, (folder / "index.faiss").read_bytes(), kind=other)
    with pytest.raises(SeqRecError, match=f"not the class of {other}"):
        load_index(folder, **PRINTS)


@pytest.mark.parametrize("content", [b"", b"x", b"IxFI", b"IHNf" * 9, b"\0" * 500])
def test_bytes_of_no_index_are_refused(saved, content):
    folder, _ = saved
    rewrite(folder, content)
    with pytest.raises(SeqRecError, match="index.faiss: cannot be read"):
        load_index(folder, **PRINTS)
