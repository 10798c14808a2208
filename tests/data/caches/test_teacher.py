"""The teacher cache takes no more space than computed, and holds every position once."""

import json

import numpy as np
import pytest

from seqrec.data.caches.teacher import (
    CACHE_FILE,
    KIND,
    CachedTopK,
    count_shard_rows,
    max_cache_bytes,
    read_teacher_cache,
    shard_name,
    write_shard,
)
from seqrec.errors import SeqRecError


def top_k(generator, rows, k, num_items=1_000_000):
    """Random numbers, which do not compress."""
    items = generator.integers(0, num_items, (len(rows), k))
    log_prob = -generator.exponential(9, (len(rows), k))
    return CachedTopK(np.asarray(rows), items, log_prob, generator.random(len(rows)))


@pytest.fixture
def cache(tmp_path, generator):
    """Three shards of ten positions."""
    for number in range(3):
        rows = np.arange(10 * number, 10 * number + 10)
        write_shard(top_k(generator, rows, 4), tmp_path / shard_name(number))
    header = {"kind": KIND, "k": 4, "num_rows": 30, "num_shards": 3}
    (tmp_path / CACHE_FILE).write_text(json.dumps(header))
    return tmp_path


@pytest.mark.parametrize(("num_rows", "k"), [(1, 1), (3, 2), (20_000, 1), (20_000, 5), (500, 200)])
def test_no_shard_is_larger_than_computed(tmp_path, generator, num_rows, k):
    rows = generator.permutation(10_000_000)[:num_rows]
    write_shard(top_k(generator, rows, k), tmp_path / "shard")
    assert (tmp_path / "shard").stat().st_size <= max_cache_bytes(1, num_rows, k)


def test_a_cache_is_read_at_half_precision(cache, generator):
    again = np.random.default_rng(0)
    written = [top_k(again, np.arange(10 * n, 10 * n + 10), 4) for n in range(3)]
    found = read_teacher_cache(cache, {"kind": KIND})
    for name in ("rows", "items"):
        assert (getattr(found, name) == np.concatenate([getattr(w, name) for w in written])).all()
    log_prob = np.concatenate([w.log_prob for w in written])
    assert (np.abs(found.log_prob - log_prob) <= np.abs(log_prob) / 2048).all()


def test_a_copy_of_a_shard_is_refused(cache):
    (cache / shard_name(2)).write_bytes((cache / shard_name(0)).read_bytes())
    with pytest.raises(SeqRecError, match="holds a position twice"):
        read_teacher_cache(cache, {"kind": KIND})


def test_a_header_without_sizes_is_refused(cache):
    (cache / CACHE_FILE).write_text(json.dumps({"kind": KIND, "k": 4}))
    with pytest.raises(SeqRecError, match="num_rows is missing or no integer"):
        read_teacher_cache(cache, {"kind": KIND})


@pytest.mark.parametrize("size", [None, "7", -1, 2.5])
def test_a_header_with_an_invalid_size_is_refused(cache, size):
    header = json.loads((cache / CACHE_FILE).read_text())
    (cache / CACHE_FILE).write_text(json.dumps(header | {"k": size}))
    with pytest.raises(SeqRecError, match="k is missing or no integer"):
        read_teacher_cache(cache, {"kind": KIND})


def test_shards_count_until_one_is_broken(cache):
    assert count_shard_rows(cache) == [10, 10, 10]
    broken = cache / shard_name(1)
    broken.write_bytes(broken.read_bytes()[:-9])
    assert count_shard_rows(cache) == [10]
    assert count_shard_rows(cache / "nowhere") == []
    with pytest.raises(SeqRecError, match="part-000001.parquet: missing or cut short"):
        read_teacher_cache(cache, {"kind": KIND})
