"""Order, numbering, filters and counts of whole logs."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrec.data.log.columns import Columns
from seqrec.data.log.sources import read_source
from seqrec.data.preparation.filters import Filters
from seqrec.data.preparation.interactions import prepare_interactions
from seqrec.data.splits import TEST, TRAIN, VALIDATION, parse_split
from seqrec.errors import SeqRecError


def rows(found, *columns) -> list[tuple]:
    table = found.table.with_columns(
        user=found.user_ids.gather(found.table["user"]),
        item=found.item_ids.gather(found.table["item"]),
    )
    return table.select("user", "item", *columns).rows()


def test_items_that_only_targets_hold_stand_in_no_telling_order(interactions):
    """Equals are listed by their number: held-out counts must not decide it."""
    histories = {user: [f"t{user % 20}", f"x{user % 3}"] for user in range(60)}
    pairs = [(user, item) for user, items in histories.items() for item in items]
    frame = pl.DataFrame(pairs, schema=["user", "item"], orient="row")
    found = interactions(frame).item_ids.to_list()
    assert found[:20] == [f"t{n}" for n in range(20)] and set(found[20:]) == {"x0", "x1", "x2"}
    only_x2 = frame.with_columns(
        pl.when(pl.col("item").is_in(["x0", "x1"]) & (pl.col("user") > 2))
        .then(pl.lit("x2"))
        .otherwise("item")
        .alias("item")
    )
    assert interactions(only_x2).item_ids.to_list() == found


def test_numbers_follow_the_first_appearance_in_the_training_part(interactions):
    frame = pl.DataFrame({"user": ["z", "a", "z"], "item": [9, 1, 5], "time": [30, 20, 10]})
    found = interactions(frame)
    assert found.user_ids.to_list() == ["z", "a"]
    assert found.item_ids.to_list() == ["5", "1", "9"]
    assert rows(found) == [("z", "5"), ("z", "9"), ("a", "1")]


def test_numbers_are_given_after_the_filters(interactions):
    frame = pl.DataFrame({"user": ["x", "y", "z"], "item": [1, 2, 1], "rating": [1, 5, 5]})
    found = interactions(frame, min_rating=2.0)
    assert found.user_ids.to_list() == ["y", "z"]
    assert found.item_ids.to_list() == ["2", "1"]
    assert found.counts["below_min_rating"] == 1


def test_ties_keep_the_order_of_the_log_and_are_counted(interactions):
    frame = pl.DataFrame(
        {"user": [1, 2, 1, 1, 2], "item": [5, 6, 3, 4, 7], "time": [9, 9, 9, 1, 9]}
    )
    found = interactions(frame)
    assert rows(found) == [("1", "4"), ("1", "5"), ("1", "3"), ("2", "6"), ("2", "7")]
    assert found.counts["tied_pairs"] == 2


LOGS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 5), st.integers(1, 5)),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(LOGS)
def test_the_order_is_that_of_a_stable_sort_by_user_and_time(log):
    frame = pl.DataFrame(log, schema=["user", "item", "time", "rating"], orient="row")
    found = prepare_interactions(read_source(frame), Filters(), parse_split("none"))
    by_user = list(dict.fromkeys(str(row[0]) for row in log))
    expected = sorted(log, key=lambda row: (by_user.index(str(row[0])), row[2]))
    assert rows(found, "rating") == [(str(u), str(i), float(r)) for u, i, _, r in expected]
    neighbours = zip(expected, expected[1:], strict=False)
    assert found.counts["tied_pairs"] == sum(a[0] == b[0] and a[2] == b[2] for a, b in neighbours)
    assert found.counts["duplicate_rows"] == len(log) - len(set(log))


def test_an_order_column_beats_the_time_and_stays_a_column(interactions):
    frame = pl.DataFrame(
        {"user": [1, 1, 1], "item": [1, 2, 3], "time": [5, None, 7], "place": [3, 1, 2]}
    )
    found = interactions(frame, columns=Columns(order="place"))
    assert rows(found, "place") == [("1", "2", 1), ("1", "3", 2), ("1", "1", 3)]
    assert found.ordered_by == "place"
    assert (found.counts["leaked_interactions"], found.counts["untimed_interactions"]) == (0, 1)


def test_a_log_without_times_keeps_its_order(interactions):
    found = interactions(pl.DataFrame({"user": [2, 1, 2], "item": [3, 2, 1]}))
    assert rows(found) == [("2", "3"), ("2", "1"), ("1", "2")]
    assert (found.ordered_by, found.time_unit, found.counts["tied_pairs"]) == ("file", None, 0)


def test_only_consecutive_repeats_are_dropped(interactions):
    frame = pl.DataFrame({"user": [1] * 5, "item": [7, 7, 8, 8, 7], "time": [1, 2, 3, 4, 5]})
    found = interactions(frame, repeats="drop-consecutive", min_user=3)
    assert rows(found) == [("1", "7"), ("1", "8"), ("1", "7")]
    assert found.counts["repeats_dropped"] == 2
    with pytest.raises(SeqRecError, match="--min-user 5 .* leaves none of 5 rows"):
        interactions(frame, repeats="drop-consecutive", min_user=5)


def test_core_and_repeats_hold_both_at_the_end(interactions):
    """Rows outside the core can leave equal neighbours, and the reverse."""
    rng = np.random.default_rng(0)
    size = 600
    frame = pl.DataFrame(
        {
            "user": rng.integers(0, 60, size),
            "item": rng.geometric(0.15, size),
            "time": np.arange(size),
        }
    )
    found = interactions(frame, repeats="drop-consecutive", min_user=5, min_item=5)
    table = found.table.sort("user", "time")
    assert table.group_by("user").len()["len"].min() >= 5
    assert table.group_by("item").len()["len"].min() >= 5
    same = (table["user"] == table["user"].shift(1)) & (table["item"] == table["item"].shift(1))
    assert not same.any()
    assert table["user"].n_unique() == len(found.user_ids) == table["user"].max() + 1
    assert table["item"].n_unique() == len(found.item_ids) == table["item"].max() + 1
    dropped = found.counts["outside_core"] + found.counts["repeats_dropped"]
    assert dropped == size - len(table) and found.counts["repeats_dropped"] > 0


def test_blank_lines_are_skipped_and_counted(tmp_path, interactions):
    file = tmp_path / "log.csv"
    file.write_text("user,item,time\n1,a,5\n\n2,b,6\n\n")
    found = interactions(file)
    assert rows(found) == [("1", "a"), ("2", "b")]
    assert found.counts["blank_rows"] == 2


def test_other_columns_stay_with_their_types_and_give_way_to_ours(tmp_path, interactions):
    file = tmp_path / "log.csv"
    file.write_text("uid,iid,item,split,completion,zip\n1,a,x,b,0.5,01234\n1,c,y,b,,05678\n")
    found = interactions(file, columns=Columns(user="uid", item="iid"))
    others = found.table.select("item_in_log", "split_in_log", "completion", "zip")
    assert others.rows() == [("x", "b", 0.5, "01234"), ("y", "b", None, "05678")]
    assert found.renamed == {"item": "item_in_log", "split": "split_in_log"}


def test_one_user_with_one_interaction_is_kept_and_not_evaluated(interactions):
    found = interactions(pl.DataFrame({"user": [1], "item": [1], "time": [1]}))
    assert found.table["split"].to_list() == [TRAIN]
    assert found.counts["one_interaction_users"] == found.counts["users_not_evaluated"] == 1


def test_time_splits_drop_rows_without_a_time_and_count_them(interactions):
    times = [*range(20), None]
    frame = pl.DataFrame({"user": [0, 1] * 10 + [0], "item": range(21), "time": times})
    found = interactions(frame, split_by="global-time")
    assert found.counts["without_time"] == 1
    assert found.counts["train"] == 17 and found.counts["test"] == 2
    assert found.cuts == {
        "validation_from": "1970-01-01T00:00:17.000000",
        "test_from": "1970-01-01T00:00:18.000000",
    }
    assert found.counts["cold_items"] == 2 and found.counts["cold_users"] == 0


def test_a_core_under_a_time_split_counts_training_only_and_drops_everywhere(interactions):
    events = [(u, i) for _ in range(9) for u, i in (("a", 1), ("b", 2))]
    events += [("a", 2), ("new", 1), ("a", 3), ("b", 1)]
    users, items = zip(*events, strict=True)
    frame = pl.DataFrame({"user": users, "item": items, "time": range(len(events))})
    plain = interactions(frame, split_by="global-time:0.85")
    assert (plain.counts["cold_users"], plain.counts["cold_items"]) == (1, 1)
    cored = interactions(frame, split_by="global-time:0.85", min_item=2)
    assert cored.user_ids.to_list() == ["a", "b"] and cored.item_ids.to_list() == ["1", "2"]
    assert cored.cuts == plain.cuts
    assert cored.counts["cold_users"] == cored.counts["cold_items"] == 0
    assert cored.counts["outside_core"] == 2


def test_under_a_time_split_the_time_comes_before_the_order_column(interactions):
    frame = pl.DataFrame(
        {"user": [0] * 20, "item": range(20), "time": range(20), "place": range(20, 0, -1)}
    )
    found = interactions(frame, split_by="global-time", columns=Columns(order="place"))
    assert found.table["split"].to_list() == [TRAIN] * 17 + [VALIDATION] + [TEST] * 2


@pytest.mark.parametrize("split_by", ["leave-one-out", "last-n:3", "global-time:0.7", "none"])
def test_training_is_the_beginning_of_every_history(interactions, split_by):
    generator = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            name: generator.integers(0, most, 500)
            for name, most in (("user", 40), ("item", 30), ("time", 60))
        }
    )
    table = interactions(frame, split_by=split_by, min_user=3, min_item=2).table
    steps = table.select(pl.col("split").cast(pl.Int8).diff().over("user"))["split"].drop_nulls()
    assert (steps >= 0).all()


def test_cold_items_stay_in_the_catalog_and_are_left_to_the_test(interactions):
    generator = np.random.default_rng(0)
    pairs = [(user, f"t{item}") for user in range(200) for item in generator.permutation(30)[:8]]
    frame = pl.DataFrame(pairs, schema=["user", "item"], orient="row")
    plain = interactions(frame, split_by="leave-one-out")
    found = interactions(frame, split_by="leave-one-out", cold_share=0.2)
    trained = {
        item
        for (_, item), part in zip(rows(found), found.table["split"], strict=True)
        if part != TEST
    }
    in_test, before = (
        {pair for pair, part in zip(rows(of), of.table["split"], strict=True) if part == TEST}
        for of in (found, plain)
    )
    cold = set(found.item_ids) - trained
    assert len(cold) == 6 and len(found.item_ids) == found.counts["items"] == 30
    assert in_test == before and cold & {item for _, item in in_test}
    assert found.counts["withheld_as_cold"] == len(plain.table) - len(found.table) > 0
    again = interactions(frame.reverse(), split_by="none", cold_share=0.2)
    left = {item for _, item in rows(again)}
    assert set(again.item_ids) - left == cold
