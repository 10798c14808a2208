"""The time bias by the verbs: a world of gaps, what is told, what is refused."""

import json
import logging
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from transformers import LlamaConfig

import seqrec
import seqrec.cli
from seqrec.config.load import load_recipe
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.gaps import gap_world
from seqrec.data.simulation.worlds import FIRST_TIME
from seqrec.errors import SeqRecError
from seqrec.models import SeqRecForNextItem
from seqrec.models.folder import load_model
from seqrec.training.epoch_log import EpochLog
from tests.conftest import small_config

WORLD = gap_world(num_items=30)
SMALL = ["data.max_length=12", "model.hidden_size=32", "model.dropout=0.1", "data.batch_size=16"]
LEARN = [*SMALL, "trainer.learning_rate=0.005", "trainer.max_epochs=12"]
QUICK = [*SMALL, "trainer.max_epochs=1"]
PAST, TARGET = "model.time_bias=past_times", "model.time_bias=target_time"
RATING = "data.events={features: [{name: rating, column: rating, is_learned: true}]}"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gaps")
    seqrec.prepare(WORLD.simulate(400, 12, seed=1), out=folder / "data")
    seqrec.train("sft", data=folder / "data", out=folder / "past", overrides=[*LEARN, PAST])
    return folder


@pytest.fixture(scope="module")
def rated(tmp_path_factory) -> Path:
    """Blocks of two tokens under a time bias, and the target's time told."""
    folder = tmp_path_factory.mktemp("rated")
    log = WORLD.simulate(80, 9, seed=1)
    log = log.with_columns(rating=pl.Series(np.random.default_rng(0).integers(1, 6, len(log))))
    seqrec.prepare(log, out=folder / "data")
    overrides = [*QUICK, "model.block=hstu", TARGET, RATING]
    seqrec.train("sft", data=folder / "data", out=folder / "told", overrides=overrides)
    return folder


def recall(runs, data):
    rows = seqrec.evaluate(runs, data=data, k=[1])["rows"]
    return {row["system"]: row["recall@1"] for row in rows}


def histories_of(data):
    """Of every user the titles' numbers, up to the target, and whether the last two were near."""
    prepared = PreparedData.open(data)
    ids = prepared.items()["item_id"].str.slice(1).cast(pl.Int64)
    table = pl.read_parquet(data / "interactions.parquet").filter(pl.col("split") < 2)
    users = table.group_by("user", maintain_order=True).agg("item", "time")
    histories = [ids.gather(items).to_list() for items in users["item"].to_list()]
    gaps = [times[-1] - times[-2] for times in users["time"].to_list()]
    return histories, [gap < timedelta(hours=1) for gap in gaps]


def test_where_gaps_decide_a_model_with_a_time_bias_beats_any_without(made):
    data = made / "data"
    histories, are_near = histories_of(data)
    blind, best = (
        WORLD.best_recall_from_items(histories, 1),
        WORLD.best_recall(histories, are_near, 1),
    )
    noise = 2 * np.sqrt(blind * (1 - blind) / 400)
    seqrec.train("sft", data=data, out=made / "plain", overrides=LEARN)
    found = recall([made / "past", made / "plain"], data)
    assert found["plain"] < blind + noise
    assert found["past"] > max(blind + 2 * noise, 0.85 * best)


def test_where_the_gap_to_the_target_decides_only_the_targets_time_helps(made, tmp_path):
    """The same titles, each at the time of the one before it."""
    log = WORLD.simulate(400, 12, seed=1)
    before = pl.col("timestamp").shift(1).over("user_id").fill_null(FIRST_TIME - 86_400)
    data = tmp_path / "data"
    seqrec.prepare(log.with_columns(timestamp=before), out=data)
    blind = WORLD.best_recall_from_items(histories_of(data)[0], 1)
    noise = 2 * np.sqrt(blind * (1 - blind) / 400)
    told = seqrec.train("sft", data=data, out=tmp_path / "told", overrides=[*LEARN, TARGET])
    assert "; target time given" in told["protocol"]
    seqrec.train("sft", data=data, out=tmp_path / "past", overrides=[*LEARN, PAST])
    found = recall([tmp_path / "told", tmp_path / "past"], data)
    assert found["past"] < blind + noise
    assert found["told"] > blind + 2 * noise


def test_protocols_say_what_attention_is_told_of_times(made, rated):
    result = seqrec.evaluate([made / "past", "popularity"], data=made / "data")
    assert "past: times of past events read, others: no time input" in result["protocol"]
    trained = json.loads((made / "past" / "metrics.json").read_text())
    assert "; times of past events read" in trained["protocol"] and "events" not in trained
    trained = json.loads((rated / "told" / "metrics.json").read_text())
    assert "; target time given" in trained["protocol"]
    assert trained["details"]["events"]["tokens_per_event"] == 2
    result = seqrec.evaluate([rated / "told"], data=rated / "data", shuffle_test=True)
    assert "; target time given;" in result["protocol"]


def test_lists_say_what_their_maker_was_told_of_times(rated, tmp_path, capsys):
    data, told, most = rated / "data", tmp_path / "by_told.parquet", tmp_path / "most.parquet"
    assert run_cli("recommend", rated / "told", "--data", data, "--out", told) == 0
    assert "\ntarget time given\n" in capsys.readouterr().out
    seqrec.recommend("popularity", data=data, out=most)
    pl.read_parquet(told).write_parquet(tmp_path / "foreign.parquet")
    for names, said in (
        (["by_told"], "; target time given"),
        (["most"], "; no time input"),
        (["by_told", "most"], "; by_told: target time given, others: no time input"),
        (["foreign"], "; time input not stated"),
    ):
        files = [tmp_path / f"{name}.parquet" for name in names]
        assert said in seqrec.evaluate(data=data, recommendations=files)["protocol"]
    of_all = seqrec.recommend(rated / "told", data=data, split="all", out=tmp_path / "all.parquet")
    assert of_all["time_input"] == "times of past events read"


def rows_by_hand(data, user, columns):
    """A user's events before the test target, and the time of that."""
    table = pl.read_parquet(data / "interactions.parquet").filter(pl.col("user") == user)
    item_ids = PreparedData.open(data).items()["item_id"]
    rows = [
        {"item_id": item_ids[row["item"]], "time": row["time"].isoformat()}
        | {name: row[name] for name in columns}
        for row in table.iter_rows(named=True)
    ]
    return rows[:-1], rows[-1]["time"]


def test_lists_for_all_users_are_those_for_each_ones_events(made, rated, tmp_path):
    """Validation metrics, lists of a file and a recommender agree on what was when."""
    for run, data, columns, is_told in (
        (made / "past", made / "data", [], False),
        (rated / "told", rated / "data", ["rating"], True),
    ):
        file = tmp_path / f"{run.name}.parquet"
        seqrec.recommend(run, data=data, k=5, out=file)
        lists, rec = pl.read_parquet(file), seqrec.Recommender.from_pretrained(run)
        user_ids = PreparedData.open(data).users()["user_id"]
        for user in (0, 11, 42):
            history, when = rows_by_hand(data, user, columns)
            (found,) = rec.recommend([history], k=5, conditions={"time": when} if is_told else None)
            wanted = lists.filter(pl.col("user_id") == user_ids[user]).sort("rank")
            assert [item_id for item_id, _ in found] == wanted["item_id"].to_list()
            np.testing.assert_allclose([s for _, s in found], wanted["score"], rtol=1e-3)
            (untimed,) = rec.recommend([[event["item_id"] for event in history]], k=5)
            assert not np.allclose([s for _, s in untimed], [s for _, s in found])
        metrics = json.loads((run / "metrics.json").read_text())["validation"]
        (row,) = seqrec.evaluate(run, data=data, split="validation")["rows"]
        assert row["ndcg@10"] == pytest.approx(metrics["ndcg@10"], abs=1e-6)


def test_plain_ids_are_events_of_unknown_time(made, caplog):
    rec = seqrec.Recommender.from_pretrained(made / "past")
    with caplog.at_level(logging.WARNING):
        found = rec.recommend([["t03", "t05"]], k=3)
        assert found == rec.recommend([[{"item_id": "t03"}, "t05"]], k=3)
        assert not caplog.records
        event = {"item_id": "t05", "time": 60, "mood": "sad"}
        assert rec.recommend([["t03", event]], k=3)[0]
    assert [record.message for record in caplog.records] == ["the model does not know mood, masked"]
    assert rec.recommend([[]], k=2) == rec.recommend([[]], k=2)


def test_plain_ids_are_answered_no_worse_than_by_a_guess_between_evenings(made):
    """Training leaves the times of some windows unknown."""
    histories, _ = histories_of(made / "data")
    rec = seqrec.Recommender.from_pretrained(made / "past")
    ids = [[WORLD.world.item_ids[item] for item in history] for history in histories]
    table = pl.read_parquet(made / "data" / "interactions.parquet").filter(pl.col("split") == 2)
    targets = PreparedData.open(made / "data").items()["item_id"].gather(table["item"]).to_list()
    lists = rec.recommend(ids, k=1)
    hits = [found[0][0] == target for found, target in zip(lists, targets, strict=True)]
    assert np.mean(hits) > 0.5 * WORLD.best_recall_from_items(histories, 1)


def test_vectors_of_users_are_those_of_whole_histories(made, rated, tmp_path):
    seqrec.export(made / "past", to="numpy", data=made / "data", out=tmp_path / "export")
    vectors = np.load(tmp_path / "export" / "users" / "vectors.npy")
    history, when = rows_by_hand(made / "data", 7, [])
    prepared = PreparedData.open(made / "data")
    table = pl.read_parquet(made / "data" / "interactions.parquet").filter(pl.col("user") == 7)
    last = prepared.items()["item_id"][table["item"][-1]]
    rec = seqrec.Recommender.from_pretrained(made / "past")
    whole = rec.embed([[*history, {"item_id": last, "time": when}]])
    np.testing.assert_allclose(whole[0], vectors[7], rtol=1e-3, atol=1e-4)


def test_everybody_may_be_asked_at_a_time_that_is_given(rated, tmp_path):
    run, data, file = rated / "told", rated / "data", tmp_path / "all.parquet"
    history, _ = rows_by_hand(data, 7, ["rating"])
    last = pl.read_parquet(data / "interactions.parquet").filter(pl.col("user") == 7)[-1]
    prepared = PreparedData.open(data)
    item_id = prepared.items()["item_id"][last["item"][0]]
    event = {"item_id": item_id, "time": last["time"][0], "rating": last["rating"][0]}
    rec, found = seqrec.Recommender.from_pretrained(run), []
    for given in (None, {"time": "2030-01-01"}, {"time": 1_893_456_000}):
        seqrec.recommend(
            run, data=data, split="all", k=5, conditions=given, out=file, overwrite=True
        )
        lists = pl.read_parquet(file).filter(pl.col("user_id") == prepared.users()["user_id"][7])
        (wanted,) = rec.recommend([[*history, event]], k=5, conditions=given)
        found.append(lists.sort("rank")["score"].to_list())
        np.testing.assert_allclose(found[-1], [score for _, score in wanted], rtol=1e-3)
    assert found[1] == found[2] and not np.allclose(found[0], found[1])


def test_a_likelihood_knows_the_times_of_the_history(rated):
    rec = seqrec.Recommender.from_pretrained(rated / "told")
    history, _ = rows_by_hand(rated / "data", 3, ["rating"])
    ids = [event["item_id"] for event in history]
    timed, untimed = (
        [rec.likelihood([one], [["t01", "t02"]], "rating", value)[0] for value in range(1, 6)]
        for one in (history, ids)
    )
    for chances in (timed, untimed):
        np.testing.assert_allclose(np.sum(chances, axis=0), 1, rtol=1e-5)
    assert not np.allclose(timed, untimed)


def test_training_goes_on_from_a_model_with_a_time_bias(made, tmp_path):
    start = [f"model.from_pretrained={made / 'past'}", "trainer.max_epochs=1"]
    run = seqrec.train("sft", data=made / "data", out=tmp_path / "on", overrides=start)
    assert load_model(tmp_path / "on" / "model").config.time_bias == "past_times"
    assert "times of past events read" in run["protocol"]
    assert run["validation"]["ndcg@10"] > 0.6
    with pytest.raises(SeqRecError, match="model.time_bias: the model in .* has past_times"):
        seqrec.train("sft", data=made / "data", out=tmp_path / "no", overrides=[*start, TARGET])


def test_a_run_cut_off_goes_on_and_ends_as_a_whole_one(rated, tmp_path, monkeypatch):
    """Of an ensemble over blocks, whose windows slide."""
    settings = [*QUICK, PAST, RATING, "model.num_members=2", "data.max_length=6", "data.stride=2"]
    settings += ["data.batch_size=4", "trainer.checkpoint_minutes=1e-9"]
    seqrec.train("sft", data=rated / "data", out=tmp_path / "whole", overrides=settings)
    plain = EpochLog.on_train_batch_start

    def cut_off(self, trainer, module, batch, index):
        if trainer.global_step == 9:
            raise MemoryError("cut off")
        plain(self, trainer, module, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "on_train_batch_start", cut_off)
        with pytest.raises(MemoryError):
            seqrec.train("sft", data=rated / "data", out=tmp_path / "cut", overrides=settings)
    seqrec.train("sft", data=rated / "data", out=tmp_path / "cut", overrides=settings, resume=True)
    models = [tmp_path / name / "model" / "model.safetensors" for name in ("whole", "cut")]
    assert models[0].read_bytes() == models[1].read_bytes()
    members = load_model(tmp_path / "cut" / "model").backbone.members
    weights = [member.layers[0].attention.time_bias.weight for member in members]
    assert all(weight.abs().max() > 0 for weight in weights)
    assert not np.allclose(*(weight.detach().numpy() for weight in weights))


@pytest.mark.parametrize(
    "more",
    [
        "objective.loss={name: gbce, num_negatives: 8}",
        "trainer.precision=bfloat16",
        "data.windows=prefixes",
    ],
)
def test_every_way_of_learning_reads_times(rated, tmp_path, more):
    overrides = [*QUICK, PAST, "model.block=llama", "model.relative_bias=true", more]
    seqrec.train("sft", data=rated / "data", out=tmp_path / "run", overrides=overrides)
    layers = load_model(tmp_path / "run" / "model").backbone.layers
    assert all(layer.attention.time_bias.weight.abs().max() > 0 for layer in layers)


def test_what_knows_no_times_refuses_a_model_that_reads_them(made, tmp_path):
    data = made / "data"
    start = f"model.from_pretrained={made / 'past'}"
    for recipe, who in (("dpo", "objective preference"), ("grpo", "objective rl")):
        with pytest.raises(SeqRecError, match=f"reads times, which {who} does not"):
            seqrec.train(recipe, data=data, out=tmp_path / "no", overrides=[start])
    with pytest.raises(SeqRecError, match="reads times, which distillation does not"):
        teachers = f"objective.teachers=[{made / 'past'}]"
        seqrec.train("distill", data=data, out=tmp_path / "no", overrides=[*SMALL, teachers])
    with pytest.raises(SeqRecError, match="reads times, which distillation does not"):
        seqrec.cache(made / "past", data=data, out=tmp_path / "cache", k=5)
    for recipe in ("dpo", "grpo", "distill", "reward-model"):
        with pytest.raises(SeqRecError, match="model.time_bias goes with objective sft, not"):
            load_recipe(recipe, [PAST])


def run_cli(*arguments):
    with pytest.raises(SystemExit) as ended:
        seqrec.cli.main([str(argument) for argument in arguments])
    return ended.value.code


def test_logs_without_usable_times_are_refused_in_one_line(made, tmp_path, capsys):
    log = WORLD.simulate(30, 6, seed=1).with_columns(place=pl.int_range(pl.len()))
    time = pl.when(pl.col("place") == 3).then(None).otherwise("timestamp")  # the order decides
    backwards = log.with_columns(place=-pl.col("place"), timestamp=time)
    seqrec.prepare(log.drop("timestamp"), out=tmp_path / "none", order="place")
    seqrec.prepare(backwards, out=tmp_path / "backwards", order="place")
    for data, complaint in (
        ("none", "interactions.parquet has no times"),
        ("backwards", "are earlier than the one before them"),
    ):
        arguments = ["train", "sft", "--data", tmp_path / data, "--out", tmp_path / "run", PAST]
        assert run_cli(*arguments) == 2
        error = capsys.readouterr().err
        assert "model.time_bias: " in error and complaint in error and error.count("\n") == 1
        assert not list(tmp_path.glob("run*"))


def test_a_model_with_a_time_bias_asks_for_times_of_the_data_it_judges(made, tmp_path):
    log = WORLD.simulate(400, 12, seed=1).with_columns(place=pl.int_range(pl.len()))
    seqrec.prepare(log.drop("timestamp"), out=tmp_path / "none", order="place")
    with pytest.raises(SeqRecError, match="has no times, which the model reads"):
        seqrec.evaluate(made / "past", data=tmp_path / "none")
    start = f"model.from_pretrained={made / 'past'}"
    with pytest.raises(SeqRecError, match="has no times; remove the setting"):
        seqrec.train("sft", data=tmp_path / "none", out=tmp_path / "no", overrides=[start])


def test_decoders_of_other_types_have_no_time_bias(made, tmp_path):
    """A folder whose decoder is transformers' own, over the same titles."""
    old = load_model(made / "past" / "model").config
    backbone = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    fields = {key: getattr(old, key) for key in ("catalog_fingerprint", "tokenizer_fingerprint")}
    config = small_config(
        backbone_config=backbone, num_items=30, first_item_token=old.first_item_token, **fields
    )
    assert config.time_bias is None
    folder = tmp_path / "llama"
    shutil.copytree(made / "past" / "model", folder)
    SeqRecForNextItem(config).save_pretrained(folder)
    overrides = [f"model.from_pretrained={folder}", PAST]
    with pytest.raises(SeqRecError, match="model.time_bias: the model in .* has none"):
        seqrec.train("sft", data=made / "data", out=tmp_path / "no", overrides=overrides)
