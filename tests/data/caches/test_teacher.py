"""A cache of answers takes no more room than was said, and every place is there once."""

import json

import numpy as np
import pytest

from seqrec.data.caches.teacher import (
    CACHE_FILE,
    KIND,
    CachedAnswers,
    most_bytes,
    read_answers,
    shard_name,
    whole_shards,
    write_shard,
)
from seqrec.errors import SeqRecError


def answers(generator, rows, k, num_items=1_000_000):
    """Numbers that no compression makes smaller."""
    items = generator.integers(0, num_items, (len(rows), k))
    log_prob = -generator.exponential(9, (len(rows), k))
    return CachedAnswers(np.asarray(rows), items, log_prob, generator.random(len(rows)))


@pytest.fixture
def cache(tmp_path, generator):
    """Three shards of ten places."""
    for number in range(3):
        rows = np.arange(10 * number, 10 * number + 10)
        write_shard(answers(generator, rows, 4), tmp_path / shard_name(number))
    header = {"kind": KIND, "k": 4, "num_rows": 30, "num_shards": 3}
    (tmp_path / CACHE_FILE).write_text(json.dumps(header))
    return tmp_path


@pytest.mark.parametrize(("num_rows", "k"), [(1, 1), (3, 2), (20_000, 1), (20_000, 5), (500, 200)])
def test_no_shard_is_larger_than_was_foreseen(tmp_path, generator, num_rows, k):
    rows = generator.permutation(10_000_000)[:num_rows]
    write_shard(answers(generator, rows, k), tmp_path / "shard")
    assert (tmp_path / "shard").stat().st_size <= most_bytes(1, num_rows, k)


def test_what_was_written_is_read_at_half_precision(cache, generator):
    again = np.random.default_rng(0)
    written = [answers(again, np.arange(10 * n, 10 * n + 10), 4) for n in range(3)]
    found = read_answers(cache, {"kind": KIND})
    for name in ("rows", "items"):
        assert (getattr(found, name) == np.concatenate([getattr(w, name) for w in written])).all()
    log_prob = np.concatenate([w.log_prob for w in written])
    assert (np.abs(found.log_prob - log_prob) <= np.abs(log_prob) / 2048).all()


def test_a_copy_of_a_shard_is_refused(cache):
    (cache / shard_name(2)).write_bytes((cache / shard_name(0)).read_bytes())
    with pytest.raises(SeqRecError, match="holds a place twice"):
        read_answers(cache, {"kind": KIND})


def test_a_header_that_leaves_out_how_much_there_is_is_refused(cache):
    (cache / CACHE_FILE).write_text(json.dumps({"kind": KIND, "k": 4}))
    with pytest.raises(SeqRecError, match="does not say how much it holds"):
        read_answers(cache, {"kind": KIND})


@pytest.mark.parametrize("size", [None, "7", -1, 2.5])
def test_a_header_whose_sizes_are_none_is_refused(cache, size):
    header = json.loads((cache / CACHE_FILE).read_text())
    (cache / CACHE_FILE).write_text(json.dumps(header | {"k": size}))
    with pytest.raises(SeqRecError, match="does not say how much it holds"):
        read_answers(cache, {"kind": KIND})


def test_shards_are_whole_until_one_is_not(cache):
    assert whole_shards(cache) == [10, 10, 10]
    broken = cache / shard_name(1)
    broken.write_bytes(broken.read_bytes()[:-9])
    assert whole_shards(cache) == [10]
    assert whole_shards(cache / "nowhere") == []
    with pytest.raises(SeqRecError, match="part-000001.parquet: missing or cut short"):
        read_answers(cache, {"kind": KIND})
