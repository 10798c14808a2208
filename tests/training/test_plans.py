"""Models that say what kind of title comes next before they recommend."""

import numpy as np
import polars as pl
import pytest
import torch

import seqrec
import seqrec.cli
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.ranking.given_histories import read_events
from seqrec.ranking.history_reading import find_items
from tests.conftest import save_small_model
from tests.training.test_events import QUICK

NEXT_GENRE = "{name: next_genre, item: genres, place: before, is_learned: true, dropout: 0.3}"
PLAN = f"data.events={{features: [{NEXT_GENRE}]}}"
SIDES = ("Even", "Odd")


@pytest.fixture(scope="module")
def taking_turns(tmp_path_factory):
    """A model of a world in which genres mostly take turns, and titles of a genre are all alike."""
    folder = tmp_path_factory.mktemp("turns")
    generator = np.random.default_rng(0)
    rows = ["userId,movieId,rating,timestamp"]
    for user in range(400):
        left = [generator.permutation(np.arange(side, 24, 2)).tolist() for side in (0, 1)]
        side = generator.integers(2)
        for step in range(10):
            side ^= generator.random() < 0.8
            title = left[side].pop()
            rows.append(f"{user},t{title:02d},5,{1_000_000 + step}")
    (folder / "ratings.csv").write_text("\n".join(rows) + "\n")
    titles = [f"t{title:02d},Title {title},{SIDES[title % 2]}" for title in range(24)]
    (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *titles]) + "\n")
    seqrec.prepare(folder, out=folder / "data")
    overrides = [*QUICK, "trainer.max_epochs=10", PLAN]
    seqrec.train("sft", data=folder / "data", out=folder / "run", overrides=overrides)
    return folder


def side_of(lists):
    return [{int(item_id[1:]) % 2 for item_id, _ in pairs} for pairs in lists]


def test_a_model_says_what_comes_next_and_recommends_given_that(taking_turns):
    rec = seqrec.Recommender.from_pretrained(taking_turns / "run")
    histories = [["t03", "t08"], ["t11"], ["t20", "t13", "t02", "t17"], []]
    planned = rec.add_plans(find_items(rec.table, histories)[0])
    odd, even = {"next_genre": "Odd"}, {"next_genre": "Even"}
    assert rec.get_plans(planned) == [odd, even, even, {}]
    found = rec.recommend(histories, k=8, plan=True)
    assert side_of(found)[:3] == [{1}, {0}, {0}]
    for pairs, history, plan in zip(found, histories, (odd, even, even), strict=False):
        (asked,) = rec.recommend([history], k=8, conditions=plan)
        assert [item_id for item_id, _ in pairs] == [item_id for item_id, _ in asked]
    against = rec.recommend(histories, k=8, conditions=even, plan=True)
    assert side_of(against)[:3] == [{0}] * 3


def test_the_command_line_prints_the_plan(taking_turns, capsys):
    arguments = ["recommend", str(taking_turns / "run"), "--plan"]
    with pytest.raises(SystemExit):
        seqrec.cli.main([*arguments, "--history", "t11"])
    assert "plan: next_genre=Even" in capsys.readouterr().out
    data = taking_turns / "data"
    out = seqrec.recommend(
        taking_turns / "run", data=data, k=3, plan=True, out=taking_turns / "lists.parquet"
    )["out"]
    rec = seqrec.Recommender.from_pretrained(taking_turns / "run")
    prepared = PreparedData.open(data)
    rows = pl.read_parquet(out).filter(pl.col("user_id") == prepared.users()["user_id"][5])
    log = prepared.histories()
    items = log.items[log.offsets[5] : log.offsets[6] - 1]
    history = prepared.items()["item_id"].gather(items).to_list()
    (wanted,) = rec.recommend([history], k=3, plan=True)
    assert rows.sort("rank")["item_id"].to_list() == [item_id for item_id, _ in wanted]


def test_who_cannot_plan_says_so(taking_turns, tmp_path):
    rec = seqrec.Recommender.from_pretrained(save_small_model(tmp_path / "run"))
    with pytest.raises(SeqRecError, match="plan: run has learned no feature that precedes"):
        rec.recommend([["t3"]], plan=True)
    with pytest.raises(SeqRecError, match="plan: popularity has learned no features"):
        seqrec.recommend("popularity", data=taking_turns / "data", plan=True, out="lists.parquet")


def test_plans_are_made_with_the_times_that_the_model_reads(taking_turns, tmp_path):
    overrides = [*QUICK, "trainer.max_epochs=1", PLAN, "model.time_bias=past_times"]
    data = taking_turns / "data"
    run = seqrec.train("sft", data=data, out=tmp_path / "run", overrides=overrides)["run"]
    rec = seqrec.Recommender.from_pretrained(run)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in rec.model.named_parameters():
        if "time_bias" in name:
            parameter.data.normal_(std=9.0, generator=generator)
    history = ["t03", "t08", "t04", "t19", "t06"]
    plans = set()
    for gap in 3.0 ** np.arange(1, 15):
        timed = [{"item_id": one, "time": 10**6 + n * gap} for n, one in enumerate(history)]
        (found,) = rec.recommend([timed], k=5, plan=True)
        beside, _ = rec.recommend([timed, ["t11"]], k=5, plan=True)
        assert [item_id for item_id, _ in beside] == [item_id for item_id, _ in found]
        items, _ = find_items(rec.table, [timed])
        (plan,) = rec.get_plans(
            rec.add_plans(read_events([timed], items, rec.table, rec.events, {})[0])
        )
        (asked,) = rec.recommend([timed], k=5, conditions=plan)
        assert [item_id for item_id, _ in asked] == [item_id for item_id, _ in found]
        plans.add(plan["next_genre"])
    assert plans == set(SIDES)
