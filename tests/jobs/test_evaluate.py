"""Evaluation: seeds, samples of users, titles that training never met, verdicts."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

import seqrec
from seqrec.cli import main
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.worlds import first_order_world
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import build_queries
from seqrec.jobs import train as module

QUICK = [
    "data.max_length=16",
    "model.hidden_size=16",
    "model.intermediate_size=16",
    "model.num_hidden_layers=1",
    "model.transition_prior={}",
    "trainer.ema_decay=0.9",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    log = first_order_world(num_items=40, seed=0).simulate(150, 12, seed=1)
    return seqrec.prepare(log, out=folder / "data")["out"]


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "mine"
    return seqrec.train("sft", data=data, out=out, overrides=QUICK, seeds=[0, 3])


def test_a_run_of_several_seeds_is_a_run_each(runs, data, tmp_path):
    assert [run["run"].rpartition("/")[2] for run in runs["runs"]] == ["seed-0", "seed-3"]
    alone = seqrec.train("sft", data=data, out=tmp_path / "x", overrides=[*QUICK, "trainer.seed=3"])
    assert alone["validation"] == runs["runs"][1]["validation"]
    values = [run["validation"]["ndcg@10"] for run in runs["runs"]]
    assert runs["validation"]["ndcg@10"] == pytest.approx(np.mean(values))
    assert runs["sd"]["ndcg@10"] == pytest.approx(np.std(values, ddof=1))
    assert alone["details"]["prior_strength"] >= 0


def test_the_chosen_strength_is_as_good_as_the_decoder_alone(runs):
    for run in runs["runs"]:
        log = [json.loads(line) for line in open(f"{run['run']}/log.jsonl", encoding="utf-8")]
        alone = max(line["val/ndcg@10"] for line in log)
        assert run["validation"]["ndcg@10"] >= alone - 1e-9


def test_exported_vectors_exclude_the_transition_prior_with_a_warning(data, tmp_path, caplog):
    for name, prior in (("plain", "null"), ("mixed", "{strength: 1}")):
        run, out = tmp_path / name, tmp_path / f"{name}-vectors"
        overrides = [*QUICK, f"model.transition_prior={prior}"]
        seqrec.train("sft", data=data, out=run, overrides=overrides)
        manifest = seqrec.export(run, to="faiss", out=out)
        exact, by_index = (
            seqrec.recommend(run, history=["t03", "t05"], k=5, index=index)["recommendations"]
            for index in (None, out / "items" / "flat")
        )
        scores = [[row["score"] for row in rows] for rows in (exact, by_index)]
        has_prior = name == "mixed"
        assert manifest["scores_are_products"] == (not has_prior)
        assert np.allclose(*scores, atol=1e-4) == (not has_prior)
        warnings = [
            record.message for record in caplog.records if "transition prior" in record.message
        ]
        assert (
            warnings == ["lists of mixed through an index exclude its transition prior"] * has_prior
        )


def test_seeds_go_on_where_they_were(runs, data, tmp_path):
    out = tmp_path / "mine"
    seqrec.train("sft", data=data, out=out, overrides=QUICK, seeds=[0])
    before = (out / "seed-0" / "log.jsonl").stat().st_mtime_ns
    result = seqrec.train("sft", data=data, out=out, overrides=QUICK, seeds=[0, 3], resume=True)
    assert (out / "seed-0" / "log.jsonl").stat().st_mtime_ns == before
    assert result["validation"] == runs["validation"]
    again = seqrec.train("sft", data=data, out=out, overrides=QUICK, seeds=[0], resume=True)
    assert again == result  # what evaluate counts, the metrics count
    with pytest.raises(SeqRecError, match="--overwrite"):
        seqrec.train("sft", data=data, out=out, overrides=QUICK, seeds=[0])
    with pytest.raises(SeqRecError, match="name different seeds"):
        seqrec.train("sft", data=data, out=out, overrides=QUICK, seeds=[1, 1])


def test_what_goes_wrong_with_seeds_leaves_what_is_there(runs, data, tmp_path):
    out = tmp_path / "mine"
    seqrec.train("sft", data=data, out=out, overrides=QUICK, seeds=[0, 3])

    def files():
        return {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}

    before = files()
    for mistake, more in (
        ("model.from_pretrained=nope", {"overwrite": True}),
        ("model.hidden_size=32", {"resume": True}),
        ("model.hiden_size=32", {"overwrite": True}),
    ):
        with pytest.raises(SeqRecError):
            overrides = [*QUICK, mistake]
            seqrec.train("sft", data=data, out=out, overrides=overrides, seeds=[0, 5], **more)
        assert files() == before
    arguments = {"data": data, "overrides": [*QUICK, "trainer.max_epochs=1"]}
    seqrec.train("sft", out=out, seeds=[5], overwrite=True, **arguments)
    assert sorted(path.name for path in out.iterdir()) == ["metrics.json", "seed-5"]


def test_an_interrupted_run_of_seeds_says_how_it_goes_on(runs, data, tmp_path, monkeypatch):
    out, partial_runs = tmp_path / "mine", tmp_path / "mine.partial"
    arguments = {"data": data, "out": out, "overrides": QUICK}

    def interrupted(recipe, *more, **options):
        if recipe.trainer.seed == 3:
            raise KeyboardInterrupt
        return train_recipe(recipe, *more, **options)

    train_recipe = module.train_recipe
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "train_recipe", interrupted)
        seqrec.train("sft", seeds=[0, 3], **arguments)
    assert not out.exists() and (partial_runs / "seed-0" / "model").is_dir()
    with pytest.raises(SeqRecError, match="mine.partial: an unfinished run is there; add --resume"):
        seqrec.train("sft", seeds=[0, 3], **arguments)
    with pytest.raises(SeqRecError, match=f"{tmp_path}/none.partial does not exist"):
        seqrec.train("sft", seeds=[0], **{**arguments, "out": tmp_path / "none"}, resume=True)
    result = seqrec.train("sft", seeds=[0, 3], resume=True, **arguments)
    assert result["validation"] == runs["validation"] and not partial_runs.exists()
    assert [run["run"] for run in result["runs"]] == [f"{out}/seed-0", f"{out}/seed-3"]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "train_recipe", interrupted)
        seqrec.train("sft", seeds=[3], resume=True, **arguments)
    assert (out / "seed-3" / "model").is_dir() and not partial_runs.exists()


def test_who_learned_from_other_data_is_named(data, tmp_path):
    """The same catalog in the same order, and nothing held out."""
    log = first_order_world(num_items=40, seed=0).simulate(150, 12, seed=1)
    whole = seqrec.prepare(log, out=tmp_path / "whole", split_by="none")["out"]
    later = seqrec.prepare(log, out=tmp_path / "later", split_by="global-time:.9")["out"]
    fingerprints = {PreparedData.open(folder).catalog_fingerprint for folder in (whole, later)}
    assert len(fingerprints) == 1
    overrides = [*QUICK, "model.transition_prior=null"]  # which validation would choose
    start = seqrec.train("sft", data=whole, out=tmp_path / "start", overrides=overrides)["run"]
    overrides = [f"model.from_pretrained={start}", "trainer.max_epochs=1"]
    seqrec.train("sft", data=later, out=tmp_path / "tuned", overrides=overrides)
    honest = seqrec.train("sft", data=later, out=tmp_path / "honest", overrides=QUICK)["run"]
    notes = seqrec.evaluate([start, tmp_path / "tuned" / "model", honest], data=later)["notes"]
    told = [note for note in notes if "may hold the targets of this evaluation" in note]
    assert [note.partition(":")[0] for note in told] == [start, str(tmp_path / "tuned")]
    assert f"learned, by way of {start}, from other data" in told[1]
    protocol = seqrec.evaluate(start, data=later)["protocol"]
    assert "models chosen by" not in protocol and "seeds: 1" in protocol


def test_a_system_is_asked_once_and_has_a_name_of_its_own(runs, data, tmp_path):
    file = tmp_path / "popularity.parquet"
    seqrec.recommend("popularity", data=data, k=5, out=file)
    for models, files in (
        (["popularity", "popularity"], []),
        (["popularity", "popularity:"], []),
        ([runs["runs"][0]["run"], runs["runs"][0]["model"]], []),
        ([Path(runs["runs"][0]["run"]).parent, runs["runs"][0]["run"]], []),
        ([], [file, tmp_path / "." / "popularity.parquet"]),
    ):
        with pytest.raises(SeqRecError, match="named twice"):
            seqrec.evaluate(models, data=data, recommendations=files)
    models = ["item-knn:num_neighbours=5", "item-knn", "popularity"]
    result = seqrec.evaluate(models, data=data, recommendations=[file], k=5)
    names = [row["system"] for row in result["rows"]]
    assert names == ["item-knn", "item-knn (2)", "popularity", str(file)]
    assert all(row["seeds"] == 1 for row in result["rows"])


def test_a_wrong_name_is_refused_before_anything_is_ranked(data, monkeypatch):
    monkeypatch.setattr("seqrec.jobs.folder_evaluation.tune_named_baselines", pytest.fail)
    for wrong, message in (
        ({"against": "eas"}, "--against eas: choose from popularity"),
        ({"metric": "ndcg@20"}, "--metric ndcg@20: choose from"),
    ):
        with pytest.raises(SeqRecError, match=message):
            seqrec.evaluate("popularity", data=data, tune_baselines=2, **wrong)


def test_lists_that_end_early_are_counted(data, tmp_path):
    file = tmp_path / "lists.parquet"
    seqrec.recommend("popularity", data=data, k=10, out=file)
    lists = pl.read_parquet(file)
    first = lists["user_id"][0]
    lists.filter((pl.col("user_id") != first) | (pl.col("rank") <= 5)).write_parquet(file)
    result = seqrec.evaluate((), data=data, recommendations=[file], k=10)
    assert result["rows"][0]["users_with_short_list"] == 1
    (note,) = [note for note in result["notes"] if "fewer than 10 items" in note]
    assert note.startswith(f"{file}: 1 users") and note.endswith(f"'{first}' first")
    whole = seqrec.evaluate((), data=data, recommendations=[file], k=50)["rows"][0]
    assert whole["users_with_short_list"] == 150  # of 40 titles, some 30 are left of everybody


def test_baselines_have_no_vectors_and_say_so(data):
    result = seqrec.evaluate("popularity", data=data, retrieval=["exact", "faiss-flat"])
    assert len(result["rows"]) == 1
    assert "popularity: has no vectors for faiss-flat to index" in result["notes"]


def test_a_table_has_means_spreads_intervals_and_verdicts(runs, data, tmp_path):
    mine = tmp_path / "mine"
    result = seqrec.evaluate([runs["out"], "transitions", "popularity"], data=data, out=mine)
    ours, transitions, popularity = result["rows"]
    parts = [seqrec.evaluate(run["run"], data=data)["rows"][0]["ndcg@10"] for run in runs["runs"]]
    assert ours["system"] == "mine" and ours["seeds"] == 2
    assert ours["ndcg@10"] == pytest.approx(np.mean(parts))
    assert ours["sd"]["ndcg@10"] == pytest.approx(np.std(parts, ddof=1))
    low, high = ours["intervals"]["ndcg@10"]
    assert low < ours["ndcg@10"] < high
    assert "sd" not in popularity
    names = [(found["system"], found["other"]) for found in result["comparisons"]]
    assert names == [("mine", "transitions"), ("mine", "popularity")]
    assert result["comparisons"][0]["metric"] == "ndcg@10"
    assert "models chosen by validation ndcg@10; seeds: 2" in result["protocol"]
    assert "looks into the future" in result["notes"][0]
    per_user = pl.read_parquet(mine / "per_user.parquet")
    assert per_user.filter(system="mine")["seed"].unique().sort().to_list() == [0, 3]
    against = seqrec.evaluate(
        ["transitions", "popularity"], data=data, metric="mrr@10", against="popularity"
    )["comparisons"]
    assert against[0]["system"] == "popularity" and against[0]["metric"] == "mrr@10"
    with pytest.raises(SeqRecError, match="--metric ndcg@7: choose from"):
        seqrec.evaluate("popularity", data=data, metric="ndcg@7")


def test_the_terminal_shows_spreads_and_intervals(runs, data, capsys):
    with pytest.raises(SystemExit):
        arguments = [runs["out"], "popularity", "--data", data, "--k", "10", "--strata"]
        main(["evaluate", *map(str, arguments)])
    shown = capsys.readouterr().out
    row = seqrec.evaluate([runs["out"], "popularity"], data=data, k=10)["rows"][0]
    head, means, spreads, intervals = shown.splitlines()[:4]
    assert head.split()[:4] == ["system", "seeds", "recall@10", "ndcg@10"]
    assert means.split()[:4] == ["mine", "2", f"{row['recall@10']:.4f}", f"{row['ndcg@10']:.4f}"]
    assert f"± {row['sd']['ndcg@10']:.4f}" in spreads
    assert "{:.4f} to {:.4f}".format(*row["intervals"]["ndcg@10"]) in intervals
    strata = shown[shown.index("target popularity") :]
    assert strata.splitlines()[1].count(" to ") == 1


def test_a_sample_is_one_of_users_and_says_so(data):
    whole = seqrec.evaluate("transitions", data=data)
    result = seqrec.evaluate("transitions", data=data, users_sample=20)
    assert result["counts"]["queries"] == 20
    assert "20 users drawn at random of 150, all candidates" in result["protocol"]
    assert "drawn" not in seqrec.evaluate("transitions", data=data, users_sample=150)["protocol"]
    assert "drawn" not in whole["protocol"]
    assert seqrec.evaluate("transitions", data=data, users_sample=20)["rows"][0] | {
        "users_per_second": 0
    } == result["rows"][0] | {"users_per_second": 0}
    with pytest.raises(SeqRecError, match="--users-sample 0: at least 1"):
        seqrec.evaluate("transitions", data=data, users_sample=0)


def test_the_future_is_counted_where_some_have_no_times(tmp_path):
    log = first_order_world(num_items=40, seed=0).simulate(50, 6, seed=1)
    is_timed = pl.col("user_id") != log["user_id"][0]
    time = pl.when(is_timed).then("timestamp")
    log = log.with_columns(timestamp=time, place=pl.int_range(pl.len()))
    data = seqrec.prepare(log, out=tmp_path / "data", order="place")["out"]
    (note, *_) = seqrec.evaluate("popularity", data=data)["notes"]
    num_untimed = log["timestamp"].null_count()
    assert "are later than the earliest test target" in note
    assert f"({num_untimed} interactions have no time and are not counted)" in note


def test_cold_and_warm_targets_part_the_queries(tmp_path):
    log = first_order_world(num_items=40, seed=0).simulate(150, 12, seed=1)
    data = seqrec.prepare(log, out=tmp_path / "data", cold_share=0.2)["out"]
    whole, cold, warm = (
        seqrec.evaluate("popularity", data=data, only=only) for only in (None, "cold", "warm")
    )
    counts = [result["counts"]["queries"] for result in (whole, cold, warm)]
    assert counts[0] == counts[1] + counts[2] and min(counts) > 0
    assert cold["counts"]["targets_never_trained_on"] == counts[1]
    assert warm["counts"]["targets_never_trained_on"] == 0
    assert cold["rows"][0]["recall@10"] == 0 < warm["rows"][0]["recall@10"]
    assert "targets that training never met alone" in cold["protocol"]
    with pytest.raises(SeqRecError, match="--only lukewarm: choose from cold, warm"):
        seqrec.evaluate("popularity", data=data, only="lukewarm")


def test_of_several_targets_those_that_are_meant_are_asked_for(tmp_path):
    log = first_order_world(num_items=40, seed=0).simulate(60, 14, seed=1)
    data = seqrec.prepare(log, out=tmp_path / "data", split_by="last-n:5", cold_share=0.2)["out"]
    prepared = PreparedData.open(data)
    histories = prepared.histories()
    queries = build_queries(histories, "test", prepared.targets)
    met = np.unique(histories.items[histories.split == TRAIN])
    num_warm = [int(np.isin(targets, met).sum()) for targets in queries.targets]
    num_cold = [len(of) - warm for of, warm in zip(queries.targets, num_warm, strict=True)]
    for only, counts in (("warm", num_warm), ("cold", num_cold)):
        out = tmp_path / only
        result = seqrec.evaluate("popularity", data=data, only=only, out=out)
        asked = pq.read_table(out / "per_user.parquet")["num_targets"].to_pylist()
        assert asked == [count for count in counts if count]
        assert result["counts"]["queries"] == len(asked)


def test_a_table_in_which_all_users_are_alike_has_a_report(tmp_path):
    lists = [["a", "b", "c", "d"]] * 10
    log = pl.DataFrame(
        {
            "user_id": [f"u{user}" for user in range(10) for _ in range(4)],
            "item_id": [item for items in lists for item in items],
        }
    )
    data = seqrec.prepare(log, out=tmp_path / "data")["out"]
    seqrec.evaluate(["popularity", "transitions"], data=data, k=2, out=tmp_path / "out")
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_system_is_compared_by_the_name_it_was_given(runs, data):
    baseline = "transition-graph:max_steps=3"
    for against in (baseline, "transition-graph", runs["out"], "mine"):
        (found,) = seqrec.evaluate([runs["out"], baseline], data=data, against=against)[
            "comparisons"
        ]
        assert found["system"] == ("mine" if str(against).endswith("mine") else "transition-graph")


def test_the_protocol_says_which_baselines_had_trials(data):
    named = ["transition-graph", "ease:l2=5,history_decay=1", "popularity"]
    protocol = seqrec.evaluate(named, data=data, tune_baselines=1)["protocol"]
    assert "; baselines tuned: best of 1 settings by validation ndcg@10, but for " in protocol
    assert "but for ease:l2=5.0,history_decay=1.0, popularity;" in f"{protocol};"


def test_a_filter_by_rating_is_named_whatever_it_keeps(tmp_path):
    log = first_order_world(num_items=20, seed=0).simulate(30, 8, seed=1)
    log = log.with_columns(rating=1.0 + (pl.int_range(pl.len()) % 5))
    data = seqrec.prepare(log, out=tmp_path / "data", min_rating=1)["out"]
    assert "filters: min-rating 1;" in seqrec.evaluate("popularity", data=data)["protocol"]


def test_a_table_goes_beyond_accuracy(runs, data):
    result = seqrec.evaluate([runs["out"], "popularity"], data=data, k=5, shuffle_test=True)
    ours, popularity = result["rows"]
    assert popularity["popularity_share@5"] > ours["popularity_share@5"]
    assert popularity["novelty@5"] < ours["novelty@5"]
    assert "diversity@5" not in ours
    low, high = ours["intervals"]["novelty@5"]
    assert low < ours["novelty@5"] < high
    for system in ("mine", "popularity"):
        for by in ("target popularity", "history length"):
            parts = [s for s in result["strata"] if (s["system"], s["by"]) == (system, by)]
            weights = [part["queries"] for part in parts]
            mean = np.average([part["recall@5"] for part in parts], weights=weights)
            row = ours if system == "mine" else popularity
            assert sum(weights) == result["counts"]["queries"]
            assert mean == pytest.approx(row["recall@5"])
    mine, baseline = result["order"]
    assert baseline["in_order"] == baseline["shuffled"] and baseline["relative"] == 0
    assert mine["in_order"] == pytest.approx(ours["ndcg@5"])
    assert mine["shuffled"] != mine["in_order"]
    low, high = mine["interval"]
    assert low <= mine["shuffled"] - mine["in_order"] <= high
    assert baseline["interval"] == [0, 0]


@pytest.fixture
def log_with_genres(tmp_path):
    """Eight users of five films; the odd ones are Drama and War, the others Comedy."""
    log = tmp_path / "log"
    log.mkdir()
    (log / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n"
        + "".join(f"{u},{(u + i) % 8},5,{i}\n" for u in range(8) for i in range(5))
    )
    (log / "movies.csv").write_text(
        "movieId,title,genres\n"
        + "".join(f"{i},Film {i},{'Drama|War' if i % 2 else 'Comedy'}\n" for i in range(8))
    )
    return log


def test_genres_are_read_from_the_items(log_with_genres, tmp_path):
    data = seqrec.prepare(log_with_genres, out=tmp_path / "data")["out"]
    (row,) = seqrec.evaluate("popularity", data=data, k=2)["rows"]
    assert 0 <= row["diversity@2"] <= 1 and row["miscalibration@2"] >= 0
    assert "miscalibration@2" in row and "diversity@2" in row["intervals"]


def test_what_lists_lack_is_null_of_them_and_a_mean_over_the_others(log_with_genres, tmp_path):
    """Two seeds, a baseline and two files: of seven users, and of people whom nobody knows."""
    data = seqrec.prepare(log_with_genres, out=tmp_path / "data")["out"]
    run = seqrec.train("sft", data=data, out=tmp_path / "run", overrides=QUICK, seeds=[0, 1])["out"]
    seqrec.recommend("popularity", data=data, k=2, out=tmp_path / "most.parquet")
    lists = pl.read_parquet(tmp_path / "most.parquet")
    lists.filter(pl.col("user_id") != "3").write_parquet(tmp_path / "most.parquet")
    lists.with_columns(user_id=pl.lit("x") + pl.col("user_id")).write_parquet(
        tmp_path / "none.parquet"
    )
    files, out = [tmp_path / "most.parquet", tmp_path / "none.parquet"], tmp_path / "judged"
    models = [run, "popularity"]
    result = seqrec.evaluate(models, data=data, recommendations=files, k=2, out=out)
    per_user = pl.read_parquet(out / "per_user.parquet")
    key = "miscalibration@2"
    by_system = {row["system"]: row for row in result["rows"]}
    for system, num_known in (("run", 16), ("popularity", 8), ("most", 7), ("none", 0)):
        of = per_user.filter(system=system)
        assert len(of) - of[key].null_count() == num_known
        mean = of[key].mean()
        assert by_system[system][key] == (mean if mean is None else pytest.approx(mean))
        assert (key in by_system[system]["intervals"]) == (num_known > 0)
    low, high = by_system["most"]["intervals"][key]
    assert low <= by_system["most"][key] <= high
    assert json.loads((out / "metrics.json").read_text(), parse_constant=pytest.fail)["rows"]


def test_a_factorization_is_one_run_with_seed_variance(data):
    """It starts from random vectors, as a model does; an item graph does not."""
    verdicts = seqrec.evaluate(["popularity", "als:factors=4", "item-knn"], data=data)
    assert {row["other"]: row["runs"] for row in verdicts["comparisons"]} == {
        "als": 1,
        "item-knn": None,
    }
