"""Events by the verbs: from a column of the log to what is asked for, and bad input."""

import json
import logging
import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from transformers import AutoTokenizer

import seqrec
import seqrec.cli
from seqrec.config.load import parse_recipe
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.ranking.given_histories import read_events
from seqrec.ranking.history_reading import find_items

QUICK = ["data.max_length=12", "model.hidden_size=16", "trainer.max_epochs=1"]
RATING = "{name: rating, column: rating, is_learned: true}"
DEVICE = "{name: device, column: device}"
GENRE = "{name: genre, item: genres}"
GAP = "{name: gap, time: gap, buckets: [3600, 86400]}"
WANTED = "{name: wanted, column: rating, place: before}"


def grammar(*features, more=""):
    return f"data.events={{features: [{', '.join(features)}]{more}}}"


def with_devices(log):
    drawn = np.random.default_rng(0).integers(0, 3, len(log)).tolist()
    return log.with_columns(device=pl.Series([("tv", "phone", None)[n] for n in drawn]))


def log_with_devices(num_users=80):
    return with_devices(first_order_world(num_items=30, seed=0).simulate(num_users, 9, seed=1))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return trained_on_events(
        tmp_path_factory.mktemp("events"), grammar(GENRE, RATING, DEVICE, GAP, WANTED)
    )


@pytest.fixture(scope="module")
def summed(tmp_path_factory) -> Path:
    """The same at one position an event."""
    unlearned = RATING.replace("true", "false")
    return trained_on_events(
        tmp_path_factory.mktemp("summed"),
        grammar(GENRE, unlearned, DEVICE, GAP, WANTED),
        "model.event_vectors=sum",
    )


def trained_on_events(folder, *overrides) -> Path:
    world = first_order_world(num_items=30, seed=0)
    world.write_log(folder, 80, 9, seed=1)
    with_devices(pl.read_csv(folder / "ratings.csv")).write_csv(folder / "ratings.csv")
    seqrec.prepare(folder, out=folder / "data")
    seqrec.train("sft", data=folder / "data", out=folder / "run", overrides=[*QUICK, *overrides])
    return folder


def test_a_model_folder_holds_its_grammar(made):
    config = json.loads((made / "run" / "model" / "config.json").read_text())
    found = {one["name"]: one for one in config["events"]["features"]}
    assert list(found) == ["genre", "rating", "device", "gap", "wanted"]
    assert found["rating"]["values"] == ["1", "2", "3", "4", "5"]
    assert found["device"]["values"] == ["phone", "tv"]
    assert config["backbone_config"]["max_position_embeddings"] == 12 * 6


def test_the_recipes_of_the_docs_are_some():
    text = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    recipes = [
        parse_recipe({"objective": {"name": "sft"}} | yaml.safe_load(b), "x") for b in blocks
    ]
    assert len(recipes) == 4 and all(recipe.data.events for recipe in recipes)


def test_sessions_are_merged_and_counted(tmp_path):
    """Titles of one series on one day: what is merged by hand is what metrics.json says."""
    log = log_with_devices()
    series = pl.col("item_id").str.slice(1).cast(pl.Int64) % 4
    log = log.with_columns(series=series, abandoned=(pl.col("rating") == 1).cast(pl.Int64))
    seqrec.prepare(log, out=tmp_path / "data")
    sessions = ", sessions: {series: series, gap_seconds: 86400}"
    abandoned = "{name: abandoned, column: abandoned, drop: [1]}"
    overrides = [*QUICK, grammar(RATING, abandoned, more=sessions)]
    result = seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "run", overrides=overrides)
    table = pl.read_parquet(tmp_path / "data" / "interactions.parquet").filter(pl.col("split") == 0)
    rows = list(table.select("user", "series", "time", "abandoned").iter_rows())
    sessions_left: list[list[int]] = []
    for before, row in zip([None, *rows], rows, strict=False):
        if not before or before[:2] != row[:2] or row[2] - before[2] > timedelta(days=1):
            sessions_left.append([])
        if not row[3]:
            sessions_left[-1].append(row[0])
    num_dropped = sum(row[3] for row in rows)
    left = [users[0] for users in sessions_left if users]
    num_merged = len(rows) - num_dropped - len(left)
    read = [user for user in left if left.count(user) > 1]
    assert result["details"]["events"] == {
        "interactions": len(rows),
        "merged": num_merged,
        "dropped": num_dropped,
        "events_read": len(read),
        "tokens_per_event": 4,
    }
    assert num_merged > 20 and num_dropped > 20
    rec = seqrec.Recommender.from_pretrained(tmp_path / "run")
    session = [{"item_id": i, "series": 1, "time": n} for n, i in enumerate(("t01", "t05", "t09"))]
    for histories in ([session], [["t01", "t05", "t09"]]):
        (found,) = rec.recommend(histories, k=30)
        assert len(found) == 27 and not {"t01", "t05", "t09"} & {item_id for item_id, _ in found}
    overrides = [*QUICK, grammar(RATING, more=sessions.replace("series: series", "series: show"))]
    with pytest.raises(SeqRecError, match="data.events.sessions: .*no column 'show'"):
        seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "no", overrides=overrides)


def test_a_budget_of_tokens_is_kept_and_told(tmp_path, capsys):
    """Of ten tokens, two events of four; the last window alone is read."""
    seqrec.prepare(log_with_devices(), out=tmp_path / "data")
    features = grammar(RATING, DEVICE, WANTED, more=", max_tokens: 10")
    overrides = [*QUICK, features, "data.windows=last"]
    assert (
        run_cli("train", "sft", "--data", tmp_path / "data", "--out", tmp_path / "run", *overrides)
        == 0
    )
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["max_length"] == 2 and config["backbone_config"]["max_position_embeddings"] == 8
    lengths = pl.read_parquet(tmp_path / "data" / "interactions.parquet").filter(split=0)
    num_rows, users = len(lengths), lengths.group_by("user").len()["len"]
    num_read = users.clip(upper_bound=3).filter(users > 1).sum()
    said = f"events: {num_rows} interactions, of which 0 merged, 0 dropped; {num_read} events read"
    assert f"{said}, 4 tokens each" in capsys.readouterr().out


def test_values_are_those_of_the_training_part(tmp_path):
    """The test rows' own device and rating are unknown to the grammar."""
    log = log_with_devices()
    is_last = pl.col("timestamp") == pl.col("timestamp").max().over("user_id")
    log = log.with_columns(
        device=pl.when(is_last).then(pl.lit("fridge")).otherwise("device"),
        rating=pl.when(is_last).then(9).otherwise("rating"),
    )
    seqrec.prepare(log, out=tmp_path / "data")
    overrides = [*QUICK, grammar(RATING, DEVICE)]
    seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "run", overrides=overrides)
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    values = [one["values"] for one in config["events"]["features"]]
    assert values == [["1", "2", "3", "4", "5"], ["phone", "tv"]]


@pytest.mark.parametrize("kind", ["made", "summed"])
def test_evaluation_feeds_what_a_recommender_is_told(kind, request):
    """Lists for all users are those for each one's events, written by hand."""
    made = request.getfixturevalue(kind)
    file = made / "lists.parquet"
    seqrec.recommend(made / "run", data=made / "data", k=5, out=file)
    lists = pl.read_parquet(file)
    rec = seqrec.Recommender.from_pretrained(made / "run")
    table = pl.read_parquet(made / "data" / "interactions.parquet")
    prepared = PreparedData.open(made / "data")
    item_ids, user_ids = prepared.items()["item_id"], prepared.users()["user_id"]
    for user in (0, 11, 42):
        rows = table.filter((pl.col("user") == user) & (pl.col("split") < 2))
        history = [
            {
                "item_id": item_ids[row["item"]],
                "rating": row["rating"],
                "device": row["device"],
                "time": row["time"].isoformat(),
            }
            for row in rows.iter_rows(named=True)
        ]
        (found,) = rec.recommend([history], k=5)
        wanted = lists.filter(pl.col("user_id") == user_ids[user]).sort("rank")
        assert [item_id for item_id, _ in found] == wanted["item_id"].to_list()
        np.testing.assert_allclose([s for _, s in found], wanted["score"], rtol=1e-4)


def test_protocols_say_what_models_are_told_of_times(made, tmp_path):
    result = seqrec.evaluate([made / "run"], data=made / "data")
    assert "times of past events read" in result["protocol"]
    given = "{name: hour, time: hour, place: before, dropout: 0}"
    overrides = [*QUICK, grammar(given, more=", target_time: true")]
    out = tmp_path / "told"
    trained = seqrec.train("sft", data=made / "data", out=out, overrides=overrides)
    assert "target time given" in trained["protocol"]
    both = seqrec.evaluate([out, "popularity"], data=made / "data")
    assert "told: target time given, others: no time input" in both["protocol"]
    plain = seqrec.evaluate(["popularity"], data=made / "data")
    assert "; no time input;" in plain["protocol"]


def test_training_goes_on_from_a_model_that_reads_events(made, tmp_path):
    overrides = [f"model.from_pretrained={made / 'run'}", "trainer.max_epochs=1"]
    seqrec.train("sft", data=made / "data", out=tmp_path / "on", overrides=overrides)
    configs = [
        json.loads((run / "model" / "config.json").read_text())["events"]
        for run in (made / "run", tmp_path / "on")
    ]
    assert configs[0] == configs[1]


def test_what_the_model_does_not_know_is_named_once(made, caplog):
    rec = seqrec.Recommender.from_pretrained(made / "run")
    event = {"item_id": "t03", "rating": 7, "mood": "sad", "device": "fridge"}
    with caplog.at_level(logging.WARNING):
        found = rec.recommend([[event, event], [event]], k=3)
    assert [record.message for record in caplog.records] == [
        "the model does not know mood, rating=7, device=fridge, masked"
    ]
    assert found == rec.recommend([["t03", "t03"], ["t03"]], k=3)


def test_every_view_of_a_history_works_on_events(made, tmp_path):
    export = seqrec.export(made / "run", to="faiss", data=made / "data", out=tmp_path / "export")
    assert export["counts"] == {"items": 30, "users": 80}
    rec = seqrec.Recommender.from_pretrained(made / "run")
    event = {"item_id": "t03", "rating": 1}
    exact = seqrec.recommend(made / "run", history=[event], k=3)
    index = tmp_path / "export" / "items" / "flat"
    by_index = seqrec.recommend(made / "run", history=[event], k=3, index=index)
    ids = [[row["item_id"] for row in one["recommendations"]] for one in (exact, by_index)]
    assert ids[0] == ids[1]
    assert not np.allclose(rec.embed([[event]]), rec.embed([["t03"]]))
    assert rec.recommend([[]], k=2) == rec.recommend([[]], k=2, conditions={"wanted": 5})
    seqrec.evaluate([made / "run"], data=made / "data", shuffle_test=True, retrieval=["exact"])


def run_cli(*arguments):
    with pytest.raises(SystemExit) as ended:
        seqrec.cli.main([str(argument) for argument in arguments])
    return ended.value.code


def test_the_command_line_takes_events_from_a_file_and_asks_for_features(made, tmp_path, capsys):
    file = tmp_path / "history.json"
    file.write_text(json.dumps(["t03", {"item_id": "t05", "rating": 4, "mood": 1}]))
    arguments = ["recommend", made / "run", "--history", file, "--condition", "rating=5"]
    assert run_cli(*arguments, "--likelihood", "rating=5", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert [event["item_id"] for event in result["history"]] == ["t03", "t05"]
    assert result["unknown_features"] == ["mood"]
    assert all(0 < row["likelihood"] < 1 for row in result["recommendations"])
    assert run_cli(*arguments) == 0
    assert "the model does not know mood" in capsys.readouterr().out


ASKED_BADLY = {
    "not in the training data; wanted is one of 1, 2, 3, 4, 5": ["--condition", "rating=7"],
    "features before an item that the model knows: wanted": ["--condition", "mood=7"],
    "write it as NAME=VALUE": ["--condition", "rating"],
    "the model has not learned it": ["--likelihood", "device=tv"],
    "likelihood rating=9: not in the training data": ["--likelihood", "rating=9"],
    "no 'item_id'": ["--history", '[{"rating": 5}]'],
    "oldest first": ["--history", '[{"item_id": "t01", "time": 9}, {"item_id": "t02", "time": 8}]'],
    "neither seconds since 1970 nor": ["--history", '[{"item_id": "t01", "time": "noon"}]'],
    "not a JSON list": ["--history", '[["t01"]]'],
    "missing.json: No such file": ["--history", "missing.json"],
}


@pytest.mark.parametrize("complaint", ASKED_BADLY)
def test_a_question_that_makes_no_sense_ends_in_one_line(made, complaint, capsys):
    arguments = ASKED_BADLY[complaint]
    history = [] if "--history" in arguments else ["--history", "t01"]
    assert run_cli("recommend", made / "run", *history, *arguments) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1


REFUSED = {
    "feature mood: .*no column 'mood'": grammar("{name: mood, column: mood}"),
    "feature mood: the items have no column 'mood'": grammar("{name: mood, item: mood}"),
    "feature when: has more than 5 values": grammar("{name: when, time: hour, max_values: 5}"),
    "feature device: buckets are of numbers": grammar(
        "{name: device, column: device, buckets: [1]}"
    ),
    "feature empty: has no value in training": grammar("{name: empty, column: empty}"),
    "buckets .* overlap": grammar("{name: r, column: rating, buckets: [3, 3]}"),
    "a gap needs buckets": grammar("{name: gap, time: gap}"),
    "target_time: true, which results": grammar("{name: hour, time: hour, place: before}"),
    "no time feature is before its item": grammar(RATING, more=", target_time: true"),
    "feature rating is named twice": grammar(RATING, RATING),
    "name one of column, item, time": grammar("{name: rating}"),
    "dropout must be above 0": grammar(WANTED.replace("}", ", dropout: 0}")),
    "max_tokens 1: one event is 2 tokens": grammar(RATING, more=", max_tokens: 1"),
    "name features or sessions": "data.events={target_time: false}",
    "drop 9: does not occur in training; choose from 1, 2, 3, 4, 5": grammar(
        RATING.replace("}", ", drop: [9]}")
    ),
    "rating: is learned, but follows device": grammar(DEVICE, RATING),
    "rating cannot be learned with model.event_vectors sum": grammar(RATING),
}
SUMMED = "model.event_vectors=sum"


@pytest.mark.parametrize("complaint", REFUSED)
def test_a_grammar_that_makes_no_sense_is_refused_before_anything_is_written(tmp_path, complaint):
    log = log_with_devices(40).with_columns(empty=pl.lit(None, pl.Float64))
    seqrec.prepare(log, out=tmp_path / "data")
    overrides = [*QUICK, REFUSED[complaint], *([SUMMED] if "sum" in complaint else [])]
    with pytest.raises(SeqRecError, match=complaint) as mistake:
        seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "run", overrides=overrides)
    assert "\n" not in str(mistake.value)
    assert not list(tmp_path.glob("run*"))


def test_events_that_are_summed_are_read_as_text(summed):
    """The tokenizer's words of whole events give the scores of the events."""
    rec = seqrec.Recommender.from_pretrained(summed / "run")
    rows = [["t03", {"item_id": "t05", "rating": 4}], ["t11"]]
    config = json.loads((summed / "run" / "model" / "config.json").read_text())
    assert config["backbone_config"]["max_position_embeddings"] == 12
    items, _ = find_items(rec.table, rows)
    histories, _ = read_events(rows, items, rec.table, rec.events, {})
    events = rec.events.flatten(histories, 12)
    tokenizer = AutoTokenizer.from_pretrained(summed / "run" / "model")
    words = tokenizer.convert_ids_to_tokens(
        rec.events.encode(events.items, events.codes).flatten().tolist()
    )
    cut = 6 * int(events.lengths[0])
    texts = [" ".join(words[:cut]), " ".join(words[cut:])]
    read = tokenizer(texts, return_tensors="pt", padding=True)
    with torch.inference_mode():
        logits = rec.model(**read).logits
        scores = rec.encode(histories) @ rec.model.item_weight().T
    torch.testing.assert_close(logits, scores, rtol=1e-3, atol=1e-5)


def test_a_sum_may_be_said_again_where_training_goes_on(summed, tmp_path):
    overrides = ["trainer.max_epochs=1", f"model.from_pretrained={summed / 'run'}"]
    arguments = {"data": summed / "data", "out": tmp_path / "on"}
    seqrec.train("sft", overrides=[*overrides, "model.event_vectors=sum"], **arguments)
    config = json.loads((tmp_path / "on" / "model" / "config.json").read_text())
    assert config["event_vectors"] == "sum"
    with pytest.raises(SeqRecError, match="model.event_vectors: .* has sum, the recipe another"):
        seqrec.train(
            "sft", overrides=[*overrides, "model.event_vectors=each"], overwrite=True, **arguments
        )


def test_strange_values_of_a_history_are_named_or_left_open(made):
    rec = seqrec.Recommender.from_pretrained(made / "run")
    huge = [{"item_id": "t03", "rating": 10**400}]
    items, _ = find_items(rec.table, [huge])
    _, unknown = read_events([huge], items, rec.table, rec.events, {})
    assert unknown == [f"rating={10**400}"]
    assert rec.likelihood([["t03"]], [[]], "rating", 5) == [[]]


def test_sums_are_of_events():
    with pytest.raises(SeqRecError, match="model.event_vectors: sum needs event features"):
        parse_recipe({"model": {"event_vectors": "sum"}, "objective": {"name": "sft"}}, "x")


SESSIONS = "data.events={sessions: {series: device, gap_seconds: 3600}}"


@pytest.mark.parametrize(
    ("who", "override"), [("feature gap", grammar(GAP)), ("data.events.sessions", SESSIONS)]
)
def test_times_out_of_order_are_refused(tmp_path, who, override):
    place = pl.int_range(pl.len()).over("user_id")
    time = pl.when(place == 3).then(None).otherwise("timestamp")  # the order alone decides
    log = log_with_devices(20).with_columns(place=-pl.col("timestamp"), timestamp=time)
    seqrec.prepare(log, out=tmp_path / "data", order="place")
    arguments = {"out": tmp_path / "run", "overrides": [*QUICK, override]}
    with pytest.raises(SeqRecError, match=f"{who}: .* earlier than the one before them"):
        seqrec.train("sft", data=tmp_path / "data", **arguments)


def test_evaluation_refuses_times_out_of_order_too(tmp_path):
    """Where one time is unknown, the next is compared with the last that is known."""
    log = log_with_devices(20)
    seqrec.prepare(log, out=tmp_path / "data")
    seqrec.train(
        "sft", data=tmp_path / "data", out=tmp_path / "run", overrides=[*QUICK, grammar(GAP)]
    )
    place = pl.int_range(pl.len()).over("user_id")
    times = pl.when(place == 3).then(None).when(place == 4).then(0).otherwise("timestamp")
    odd = log.with_columns(place=place, timestamp=times)
    seqrec.prepare(odd, out=tmp_path / "odd", order="place")
    for ask in (
        lambda: seqrec.evaluate([tmp_path / "run"], data=tmp_path / "odd"),
        lambda: seqrec.recommend(
            tmp_path / "run", data=tmp_path / "odd", k=3, out=tmp_path / "lists.parquet"
        ),
    ):
        with pytest.raises(SeqRecError, match="feature gap: 20 events .* are earlier"):
            ask()
    assert not (tmp_path / "lists.parquet").exists()


def test_sessions_need_a_series(tmp_path):
    """Items without genres have the column, and nothing in it."""
    seqrec.prepare(log_with_devices(20).drop("device"), out=tmp_path / "data")
    override = SESSIONS.replace("device", "genres")
    with pytest.raises(SeqRecError, match="sessions: no training item has a genres"):
        seqrec.train(
            "sft", data=tmp_path / "data", out=tmp_path / "run", overrides=[*QUICK, override]
        )


def test_sessions_need_times(tmp_path):
    """Also where the grammar is that of another model, and the log another."""
    log = log_with_devices().with_columns(place=pl.int_range(pl.len()))
    seqrec.prepare(log, out=tmp_path / "timed")
    seqrec.prepare(log.drop("timestamp"), out=tmp_path / "data", order="place")
    arguments = {"out": tmp_path / "run", "overrides": [*QUICK, SESSIONS]}
    seqrec.train("sft", data=tmp_path / "timed", **arguments)
    complaint = "data.events.sessions: the training part of .* has no times; remove the setting"
    with pytest.raises(SeqRecError, match=complaint):
        seqrec.train("sft", data=tmp_path / "data", **arguments, overwrite=True)
    arguments = {"out": tmp_path / "on", "overrides": [f"model.from_pretrained={tmp_path / 'run'}"]}
    with pytest.raises(SeqRecError, match=complaint):
        seqrec.train("sft", data=tmp_path / "data", **arguments)


def test_what_knows_no_events_refuses_a_model_that_reads_them(made, tmp_path):
    seqrec.pairs(data=made / "data", out=tmp_path / "pairs.parquet", source="ratings")
    overrides = [
        f"model.from_pretrained={made / 'run'}",
        f"data.pairs={tmp_path / 'pairs.parquet'}",
    ]
    with pytest.raises(SeqRecError, match="reads events, which objective preference does not"):
        seqrec.train("dpo", data=made / "data", out=tmp_path / "dpo", overrides=overrides)
    with pytest.raises(SeqRecError, match="reads events, which seqrec cache does not"):
        seqrec.cache(
            made / "run",
            data=made / "data",
            pairs=tmp_path / "pairs.parquet",
            out=tmp_path / "cache.parquet",
        )
    with pytest.raises(SeqRecError, match="reads events, which seqrec pairs does not"):
        seqrec.pairs(
            data=made / "data", out=tmp_path / "no.parquet", source="implicit", model=made / "run"
        )
    with pytest.raises(SeqRecError, match="data.events goes with objective sft"):
        seqrec.train("dpo", data=made / "data", out=tmp_path / "dpo", overrides=[grammar(RATING)])
    given = f"model.from_pretrained={made / 'run'}"
    with pytest.raises(SeqRecError, match="the event features come from model.from_pretrained"):
        seqrec.train(
            "sft", data=made / "data", out=tmp_path / "on", overrides=[given, grammar(RATING)]
        )


def test_a_model_of_titles_takes_events_as_titles_and_no_questions(tmp_path, caplog):
    seqrec.prepare(log_with_devices(40), out=tmp_path / "data")
    overrides = [*QUICK, "trainer.warmup_steps=1"]
    seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "run", overrides=overrides)
    rec = seqrec.Recommender.from_pretrained(tmp_path / "run")
    with caplog.at_level(logging.WARNING):
        found = rec.recommend([[{"item_id": "t03", "rating": 5}]], k=3)
    assert [record.message for record in caplog.records] == [
        "the model does not know rating, masked"
    ]
    assert found == rec.recommend([["t03"]], k=3)
    for ask in (
        lambda: rec.recommend([["t03"]], conditions={"rating": 5}),
        lambda: rec.likelihood([["t03"]], [["t01"]], "rating", 5),
    ):
        with pytest.raises(SeqRecError, match="rating.*: run reads items only"):
            ask()
