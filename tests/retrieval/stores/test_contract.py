"""The contract of stores, on real ones: what is written is read, found, switched and dropped."""

from contextlib import ExitStack

import numpy as np
import pyarrow as pa
import pytest

from seqrec.errors import SeqRecError
from seqrec.retrieval.stores.ann import Ann
from seqrec.retrieval.stores.columns import ID, VECTOR, name_types
from seqrec.retrieval.stores.description import Description
from seqrec.retrieval.stores.opening import open_store
from seqrec.retrieval.stores.publication import publish_rows
from tests.retrieval.stores.places import ALONE, PLACES, opened

WIDTH = 6
HARD_IDS = [
    "318",
    "0318",
    "two words",
    " padded ",
    "single ' and double \"",
    "'; DROP TABLE items; --",
    "line\nbreak\r\n",
    "tab\tcomma,semicolon;",
    "🎬 Amélie",
    "<pad>",
    "null",
    "back\\slash",
    "%_{}[]$1",
    "x" * 10_000,
    "long and different " + "".join(chr(0x4E00 + n * 7 % 20_000) for n in range(3_000)),
]
GENRES = ["Comedy", 'Film "Noir"', "Children's", "Sci-Fi"]


def make_rows(seed: int, num_items: int = 60, extra: int = 0) -> pa.Table:
    """Rows with vectors of unequal norms, hard ids and columns of every type."""
    random = np.random.default_rng(seed)
    ids = [*HARD_IDS, *(f"t{row}" for row in range(num_items - len(HARD_IDS) + extra))]
    vectors = random.standard_normal((len(ids), WIDTH)) * random.uniform(0.2, 3, (len(ids), 1))
    flat = pa.array(vectors.astype(np.float32).reshape(-1))
    genres = [
        [GENRES[row % 4]] * (row % 7 > 0) + ["Drama"] * (row % 3 == 0) for row in range(len(ids))
    ]
    return pa.table(
        {
            ID: pa.array(ids),
            VECTOR: pa.FixedSizeListArray.from_arrays(flat, WIDTH),
            "title": [None if row % 10 == 0 else f'Title\'s "{row}"' for row in range(len(ids))],
            "genres": pa.array(genres, type=pa.list_(pa.string())),
            "num_interactions": pa.array(range(len(ids)), type=pa.int64()),
            "price": pa.array([row / 8 for row in range(len(ids))]),
            "new": pa.array([row % 2 == 0 for row in range(len(ids))]),
        }
    )


def describe(rows: pa.Table, number: int = 1, ann: Ann | None = None, **changes) -> Description:
    fields = {
        "version": f"2026113009150000000{number}",
        "content": f"content-{number}",
        "model": "first",
        "model_fingerprint": f"model-{number}",
        "catalog_fingerprint": "catalog",
        "tokenizer_fingerprint": "tokenizer",
        "scores_are_products": True,
        "width": WIDTH,
        "num_items": len(rows),
        "columns": name_types(rows.schema),
        "ann": None if ann is None else ann.resolve(len(rows)).to_settings(),
        "written_at": "2026-11-30T09:15:00+00:00",
        "seqrec": "0",
    }
    return Description(**(fields | changes))


def publish(store, rows, description, keep=2, only_changed=False, progress=lambda line: None):
    return publish_rows(
        store,
        rows,
        description,
        keep=keep,
        only_changed=only_changed,
        measure=lambda live: {},
        progress=progress,
    )


def expect(rows, query, k, exclude=(), genre=None):
    """The ids of the largest float64 products, by hand."""
    vectors = np.array(rows[VECTOR].to_pylist(), dtype=np.float64)
    ids, genres = rows[ID].to_pylist(), rows["genres"].to_pylist()
    order = np.argsort(-(vectors @ query.astype(np.float64)), kind="stable")
    allowed = [
        ids[row]
        for row in order
        if ids[row] not in exclude and (genre is None or genre in genres[row])
    ]
    return allowed[:k]


@pytest.fixture(scope="module", params=list(PLACES))
def place(request, tmp_path_factory):
    """The address of a running store, for all tests of a kind; they use names of their own."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp(request.param)
        yield stack.enter_context(PLACES[request.param](folder))


def test_what_is_published_is_read_back_and_found(place):
    rows = make_rows(1)
    queries = np.random.default_rng(2).standard_normal((5, WIDTH)).astype(np.float32)
    with opened(f"{place}#found") as store:
        assert store.list_versions() == [] and store.get_live() is None
        done = publish(store, rows, describe(rows))
        assert (done.written, done.resumed, done.previous, done.dropped) == (60, 0, None, [])
        assert store.get_live() == done.version
    live = open_store(f"{place}#found", model_fingerprint="model-1", catalog_fingerprint="catalog")
    assert live.description == describe(rows)
    products = np.array(rows[VECTOR].to_pylist()) @ queries.T
    seen = [HARD_IDS, rows[ID].to_pylist()[::3], [], ["not here"], expect(rows, queries[4], 10)]
    for genre in (None, *GENRES):
        where = None if genre is None else {"genres": genre}
        for exclude in (None, seen):
            hits = live.search(queries, 10, exclude, where)
            for row, query in enumerate(queries):
                left_out = () if exclude is None else exclude[row]
                assert hits.ids[row] == expect(rows, query, 10, left_out, genre)
                places = [rows[ID].to_pylist().index(id) for id in hits.ids[row]]
                assert np.allclose(hits.scores[row], products[places, row], atol=1e-5)
    titled = live.search(queries[:1], 3, None, {"title": 'Title\'s "7"', "num_interactions": 7})
    assert titled.ids == [[HARD_IDS[7]]]
    assert live.search(queries[:1], 100, None, {"new": True}).ids[0] == [
        id for id in expect(rows, queries[0], 100) if rows[ID].to_pylist().index(id) % 2 == 0
    ]
    live.close()


HARD_COLUMNS = ["share in %", "%s %(x)s", 'the "best"', "o'clock", "film.year", "année"]


@pytest.mark.parametrize("kinds", ["numbers", "numbers and lists"])
def test_columns_of_any_name_are_written_read_and_searched_or_refused(place, kinds):
    rows, query = make_rows(1), np.ones((1, WIDTH), dtype=np.float32)
    ids = rows[ID].to_pylist()
    for number, column in enumerate(HARD_COLUMNS):
        whole = rows.append_column(column, pa.array(range(60), type=pa.int64()))
        if "lists" in kinds:
            whole = whole.append_column(f"{column}s", whole["genres"])
        address = f"{place}#column{number}{kinds[-1]}{len(kinds)}"
        with opened(address) as store:
            try:
                publish(store, whole, describe(whole))
            except SeqRecError as error:
                assert column in str(error) and "\n" not in str(error)
                assert store.list_versions() == [], "nothing is left of what is refused"
                continue
        live = open_store(address)
        assert live.search(query, 3, None, {column: 17}).ids == [[ids[17]]]
        if "lists" in kinds:
            found = live.search(query, 5, [ids[:30:2]], {f"{column}s": "Comedy", column: 33})
            assert found.ids == [[ids[33]] if "Comedy" in rows["genres"][33].as_py() else []]
            found = live.search(query, 5, [ids[:30:2]], {f"{column}s": "Comedy"})
            assert found.ids == [expect(rows, query[0], 5, ids[:30:2], "Comedy")]
        live.close()


def test_readers_see_the_old_version_until_the_switch_and_old_ones_are_dropped(place, request):
    first, second = make_rows(1), make_rows(2)
    query = np.ones((1, WIDTH), dtype=np.float32)
    name = f"{place}#switched"
    with opened(name) as store:
        publish(store, first, describe(first))
    if request.node.callspec.params["place"] not in ALONE:
        reader = open_store(name)
        with opened(name) as store:

            def look(line):
                live = open_store(name)
                assert live.description.version == describe(first).version
                assert live.search(query, 5).ids == [expect(first, query[0], 5)]
                live.close()

            publish(store, second, describe(second, 2), progress=look)
        assert reader.search(query, 5).ids == [expect(first, query[0], 5)]
        reader.close()
    with opened(name) as store:
        publish(store, second, describe(second, 2))
        third = make_rows(3)
        done = publish(store, third, describe(third, 3))
        assert done.dropped == [describe(first).version]
        names = [one.name for one in store.list_versions()]
        assert names == [describe(second, 2).version, describe(third, 3).version]
        again = publish(store, second, describe(second, 4, content="content-2"))
        assert again.version == describe(second, 2).version and again.written == 0
        assert store.get_live() == again.version
    live = open_store(name)
    assert live.search(query, 5).ids == [expect(second, query[0], 5)]
    live.close()


def test_an_interrupted_export_leaves_the_old_version_and_is_resumed(place, monkeypatch):
    old, rows = make_rows(1), make_rows(2)
    name = f"{place}#interrupted"
    with opened(name) as store:
        publish(store, old, describe(old))
        monkeypatch.setattr(type(store), "batch_rows", 25)
        inserted, insert = [], store.insert

        def stop_at_the_second(version, batch):
            if inserted:
                raise KeyboardInterrupt
            inserted.append(len(batch))
            insert(version, batch)

        monkeypatch.setattr(store, "insert", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            publish(store, rows, describe(rows, 2))
    live = open_store(name)
    query = np.ones((1, WIDTH), dtype=np.float32)
    assert live.search(query, 60).ids == [expect(old, query[0], 60)]
    live.close()
    with opened(name) as store:
        done = publish(store, rows, describe(rows, 3, content="content-2"))
        assert (done.resumed, done.written) == (25, 35)
    live = open_store(name)
    assert live.search(query, 60).ids == [expect(rows, query[0], 60)]
    live.close()


def test_changed_rows_alone_are_written_and_those_that_left_removed(place):
    rows, name = make_rows(1), f"{place}#changed"
    query = np.ones((1, WIDTH), dtype=np.float32)
    with opened(name) as store:
        publish(store, rows, describe(rows))
        titles = rows["title"].to_pylist()
        titles[3] = "A new title"
        changed = rows.set_column(2, "title", pa.array(titles))
        changed = pa.concat_tables([changed.slice(2), make_rows(1, extra=3).slice(60)])
        done = publish(store, changed, describe(changed, 2), only_changed=True)
        assert (done.written, done.removed) == (4, 2)
        assert done.version == describe(rows).version
        assert [one.is_complete for one in store.list_versions()] == [True]
    live = open_store(name, model_fingerprint="model-2", catalog_fingerprint="catalog")
    assert live.search(query, 100).ids == [expect(changed, query[0], 100)]
    assert live.search(query, 9, None, {"title": "A new title"}).ids == [[HARD_IDS[3]]]
    live.close()
    other = make_rows(5)
    with opened(name) as store:
        done = publish(store, other, describe(other, 3), only_changed=True)
        is_new = done.version == describe(other, 3).version
        assert is_new is not store.updates_at_once, "rows of two models are never mixed"
    live = open_store(name)
    assert live.search(query, 100).ids == [expect(other, query[0], 100)]
    live.close()


def test_another_model_another_width_and_unknown_columns_are_refused(place):
    rows, name = make_rows(1), f"{place}#refused"
    with pytest.raises(SeqRecError, match="nothing is published|no such store"):
        open_store(name)
    with opened(name) as store:
        publish(store, rows, describe(rows))
    with pytest.raises(SeqRecError, match="another model"):
        open_store(name, model_fingerprint="model-2", catalog_fingerprint="catalog")
    with pytest.raises(SeqRecError, match="another catalog"):
        open_store(name, model_fingerprint="model-1", catalog_fingerprint="other")
    live = open_store(name)
    with pytest.raises(SeqRecError, match="6 wide"):
        live.search(np.ones((1, 7), dtype=np.float32), 5)
    with pytest.raises(SeqRecError, match="no column 'director'"):
        live.search(np.ones((1, WIDTH), dtype=np.float32), 5, None, {"director": "x"})
    live.close()


def test_a_difference_in_what_is_read_back_stops_the_switch(place, monkeypatch):
    old, rows, name = make_rows(1), make_rows(2), f"{place}#damaged"
    with opened(name) as store:
        publish(store, old, describe(old))
        insert = store.insert
        monkeypatch.setattr(store, "insert", lambda version, batch: insert(version, batch.slice(1)))
        with pytest.raises(SeqRecError, match="1 rows are missing"):
            publish(store, rows, describe(rows, 2))
        assert store.get_live() == describe(old).version


def test_approximate_indexes_find_nearly_all(place):
    rows = make_rows(1, num_items=600)
    queries = np.random.default_rng(2).standard_normal((40, WIDTH)).astype(np.float32)
    with opened(f"{place}#approximate") as store:
        for number, kind in enumerate(store.ann_kinds):
            ann = Ann(kind, links=16, build_breadth=100, search_breadth=200)
            done = publish(store, rows, describe(rows, number + 1, ann))
            assert store.get_live() == done.version
            (description,) = [
                one.description for one in store.list_versions() if one.name == done.version
            ]
            hits = store.search(description, queries, 10)
            found = [
                len({*ids} & {*expect(rows, query, 10)})
                for ids, query in zip(hits.ids, queries, strict=True)
            ]
            assert np.mean(found) >= 9.8
