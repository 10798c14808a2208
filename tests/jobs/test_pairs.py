"""Where pairs come from: only from what was trained on, and by the rules."""

import numpy as np
import polars as pl
import pytest

import seqrec
from seqrec.data.feedback.pairs_file import read_pairs
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.tastes import opposed_tastes
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError

QUICK = ["data.max_length=20", "model.hidden_size=32", "trainer.max_epochs=1"]


@pytest.fixture(scope="module")
def world():
    return opposed_tastes(num_items=30, seed=0)


@pytest.fixture(scope="module")
def data(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs") / "data"
    seqrec.prepare(world.simulate(120, 14, seed=1), out=folder, split_by="last-n:3")
    return folder


@pytest.fixture(scope="module")
def without_held_out(data, tmp_path_factory):
    """The same data of which the held-out rows are deleted."""
    prepared = PreparedData.open(data)
    rows = pl.read_parquet(data / "interactions.parquet").filter(pl.col("split") == TRAIN)
    rows = rows.join(prepared.users().select("user", "user_id"), on="user").join(
        prepared.items().select("item", "item_id"), on="item"
    )
    log = rows.sort("time", maintain_order=True).select("user_id", "item_id", "time", "rating")
    folder = tmp_path_factory.mktemp("pairs") / "without"
    seqrec.prepare(log, out=folder, split_by="none")
    assert PreparedData.open(folder).catalog_fingerprint == prepared.catalog_fingerprint
    return folder


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs") / "run"
    seqrec.train("sft", data=data, out=folder, overrides=QUICK)
    return folder


def trained(data):
    """By user id, the training history and the ratings."""
    prepared = PreparedData.open(data)
    histories = prepared.histories(["rating"])
    item_ids = prepared.items()["item_id"].to_list()
    return {
        user_id: (
            [item_ids[item] for item in histories.training_part(user)],
            histories.training_part(user, "rating").tolist(),
        )
        for user, user_id in enumerate(prepared.users()["user_id"])
    }


def test_rated_pairs_are_better_against_worse_after_the_history(data, world, tmp_path):
    file = tmp_path / "pairs.parquet"
    result = seqrec.pairs(data=data, out=file, source="ratings", horizon=6, min_history=3)
    known, table = trained(data), pl.read_parquet(file)
    assert result["pairs"] == len(table) > 300
    assert not table.select("user_id", "history", "chosen", "rejected").is_duplicated().any()
    firsts = []
    for row in table.iter_rows(named=True):
        items, ratings = known[row["user_id"]]
        end = len(row["history"])
        assert row["history"] == items[:end] and end >= 3
        (rejected,) = row["rejected"]
        places = [items.index(title) for title in (row["chosen"], rejected)]
        assert all(end <= place < end + 6 for place in places)
        assert ratings[places[0]] >= 4 and ratings[places[1]] <= 2
        assert world.is_liked(row["user_id"], row["chosen"])
        firsts.append(places[0] < places[1])
    assert 0.4 < np.mean(firsts) < 0.6


def test_implicit_pairs_reject_what_the_policy_lists_and_training_lacks(data, model, tmp_path):
    file = tmp_path / "pairs.parquet"
    seqrec.pairs(data=data, out=file, source="implicit", model=model, k=12, num_rejected=3)
    recommender = seqrec.Recommender.from_pretrained(model)
    known, table = trained(data), pl.read_parquet(file)
    assert set(table["source"]) == {"implicit"} and len(table) > 300
    places = []
    for row in table[::7].iter_rows(named=True):
        items, _ = known[row["user_id"]]
        end = len(row["history"])
        assert row["history"] == items[:end] and row["chosen"] == items[end]
        listed = [item_id for item_id, _ in recommender.recommend([row["history"]], k=12)[0]]
        assert 1 <= len(row["rejected"]) <= 3 and not set(row["rejected"]) & set(items)
        places += [listed.index(item_id) for item_id in row["rejected"]]
    assert 4 < np.mean(places) < 8  # random ones of the twelve, not the hardest


@pytest.mark.parametrize("source", ["ratings", "implicit"])
def test_pairs_are_the_same_without_the_held_out_rows(
    source, data, without_held_out, model, tmp_path
):
    more = {"model": model, "k": 10} if source == "implicit" else {}
    tables = []
    for number, folder in enumerate((data, without_held_out)):
        file = tmp_path / f"{number}.parquet"
        seqrec.pairs(data=folder, out=file, source=source, per_user=6, **more)
        tables.append(pl.read_parquet(file).sort("user_id", "history", "chosen"))
    assert tables[0].equals(tables[1])
    held_out = PreparedData.open(data).histories()
    assert (held_out.split != TRAIN).any()


def test_held_out_titles_may_be_rejected_as_any_unseen_one(data, model, tmp_path):
    file = tmp_path / "pairs.parquet"
    seqrec.pairs(data=data, out=file, source="implicit", model=model, k=30, num_rejected=10)
    prepared = PreparedData.open(data)
    histories = prepared.histories()
    item_ids = prepared.items()["item_id"].to_list()
    user_of = {user_id: user for user, user_id in enumerate(prepared.users()["user_id"])}
    hits = 0
    for row in pl.read_parquet(file).iter_rows(named=True):
        user = user_of[row["user_id"]]
        part = slice(histories.offsets[user], histories.offsets[user + 1])
        later = histories.items[part][histories.split[part] != TRAIN]
        hits += len({item_ids[item] for item in later} & set(row["rejected"]))
    assert hits > 0


def test_the_seed_decides_and_histories_are_cut(data, tmp_path):
    tables = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        file = tmp_path / f"{name}.parquet"
        seqrec.pairs(data=data, out=file, source="ratings", seed=seed, max_history=4)
        tables.append(pl.read_parquet(file))
    assert tables[0].equals(tables[1]) and not tables[0].equals(tables[2])
    assert tables[0]["history"].list.len().max() == 4


def test_peoples_comparisons_become_a_pairs_file(data, tmp_path):
    text = "user_id,history,chosen,rejected\n"
    text += 'me,"[""t01"", ""t02""]",t03,t04\nme,t01,t05,t05\nme,t01,nothing,t05\n'
    (tmp_path / "people.csv").write_text(text)
    file = tmp_path / "pairs.parquet"
    result = seqrec.pairs(data=data, out=file, source="file", file=tmp_path / "people.csv")
    assert (result["pairs"], result["users"]) == (1, 1)
    assert result["counts"]["chosen_equals_rejected"] == result["counts"]["unknown_ids"] == 1
    assert result["unknown"] == {"unknown_ids": "nothing"}
    (row,) = pl.read_parquet(file).rows(named=True)
    assert row == {
        "user_id": "me",
        "history": ["t01", "t02"],
        "chosen": "t03",
        "rejected": ["t04"],
        "source": "human",
        "weight": 1.0,
    }


def test_data_without_ratings_are_refused(tmp_path):
    log = pl.DataFrame({"user": ["u"] * 9, "item": list("abcdefghi")})
    seqrec.prepare(log, out=tmp_path / "data")
    with pytest.raises(SeqRecError, match="no numeric column 'rating'"):
        seqrec.pairs(data=tmp_path / "data", out=tmp_path / "x.parquet", source="ratings")
    assert not (tmp_path / "x.parquet").exists()


def test_what_gave_no_pair_is_counted_by_hand(tmp_path):
    """Pleased likes all five titles; torn goes on with a liked and a disliked one."""
    ratings = {"short": [5, 1], "pleased": [5] * 5, "torn": [3, 3, 5, 1]}
    rows = [(user, item, r) for user, of in ratings.items() for item, r in enumerate(of)]
    log = pl.DataFrame(rows, schema=["user", "item", "rating"], orient="row")
    seqrec.prepare(log, out=tmp_path / "data", split_by="none")
    result = seqrec.pairs(
        data=tmp_path / "data",
        out=tmp_path / "rated.parquet",
        source="ratings",
        min_history=2,
        per_user=3,
    )
    assert result["pairs"] == result["users"] == 1
    assert result["counts"] == {
        "users_without_a_pair": 2,
        "users_of_short_histories": 1,
        "positions_without_both_ratings": 3,
        "drawn_twice": 2,
    }
    result = seqrec.pairs(
        data=tmp_path / "data",
        out=tmp_path / "next.parquet",
        source="implicit",
        model="popularity",
        min_history=3,
    )
    assert result["pairs"] == 1
    assert result["counts"] == {
        "users_without_a_pair": 2,
        "users_of_short_histories": 1,
        "lists_of_seen_items": 2,
    }


NOT_READ = {
    "file": {"file": "people.csv", "max_history": 3},
    "ratings": {"num_rejected": 3},
    "implicit": {"model": "popularity", "horizon": 3},
}


@pytest.mark.parametrize(("source", "options"), NOT_READ.items())
def test_an_option_of_another_source_is_refused(data, tmp_path, source, options):
    option = f"--{list(options)[-1].replace('_', '-')}"
    with pytest.raises(SeqRecError, match=f"--source {source}: has no {option}"):
        seqrec.pairs(data=data, out=tmp_path / "x.parquet", source=source, **options)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".ndjson"])
def test_pairs_are_the_same_in_every_format(data, tmp_path, suffix):
    options = {"data": data, "source": "ratings", "per_user": 3}
    seqrec.pairs(out=tmp_path / "pairs.parquet", **options)
    seqrec.pairs(out=tmp_path / f"pairs{suffix}", **options)
    one, other = (
        read_pairs(tmp_path / f"pairs{s}", PreparedData.open(data)) for s in (".parquet", suffix)
    )
    assert one.user_ids == other.user_ids and one.sources == other.sources
    for name in ("chosen", "rejected", "weight", "is_next"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for row in range(len(one)):
        start = one.histories.starts[row]
        np.testing.assert_array_equal(
            one.histories.get(row, start), other.histories.get(row, start)
        )
    with pytest.raises(SeqRecError, match="names no format"):
        seqrec.pairs(out=tmp_path / "pairs", **options)
