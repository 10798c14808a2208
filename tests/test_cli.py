"""Every verb end to end on a simulated world, called as on the command line."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

import seqrec
from seqrec.cli import main
from seqrec.data.simulation.worlds import first_order_world

QUICK = ["trainer.max_epochs=2", "data.max_length=20", "model.hidden_size=32", "data.batch_size=8"]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A CSV log of a small world."""
    file = tmp_path_factory.mktemp("log") / "log.csv"
    first_order_world(num_items=60, seed=1).simulate(200, 12, seed=2).write_csv(file)
    return file


@pytest.fixture(scope="module")
def prepared(log, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "prepared"
    seqrec.prepare(log, out=folder)
    return folder


@pytest.fixture(scope="module")
def run(prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    seqrec.train("sft", data=prepared, out=folder, overrides=QUICK)
    return folder


def call(capsys, *arguments):
    """Exit code, standard output and standard error of a command line."""
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return exit_.value.code, captured.out, captured.err


def refused(capsys, *arguments):
    """The one line by which a mistake is answered."""
    code, out, err = call(capsys, *arguments)
    lines = [line for line in err.splitlines() if not line.startswith("epoch ")]
    assert code == 2 and out == "" and len(lines) == 1, (code, out, err)
    assert lines[0].startswith("seqrec: ")
    return lines[0]


VERBS = ["datasets", "prepare", "train", "tune", "pairs", "cache", "evaluate", "recommend"]
VERBS += ["export", "serve", "demo"]


@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS)])
def test_help_answers_in_half_a_second(verb):
    command = [sys.executable, "-m", "seqrec", *verb, "--help"]
    seconds = []
    while len(seconds) < 10 and min(seconds, default=1.0) >= 0.5:  # other workers may delay a try
        started = time.perf_counter()
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds.append(time.perf_counter() - started)
    assert "Usage" in shown and "--help" in shown
    assert min(seconds) < 0.5


def test_datasets_lists_what_is_known(capsys):
    code, out, _ = call(capsys, "datasets", "--json")
    known = {entry["name"]: entry for entry in json.loads(out)["datasets"]}
    assert code == 0 and known["movielens-100k"]["interactions"] == 100_000
    assert "movielens-1m" in call(capsys, "datasets")[1]


def test_prepare_writes_a_folder_and_counts(capsys, log, tmp_path):
    code, out, _ = call(capsys, "prepare", log, "--out", tmp_path / "a", "--json")
    result = json.loads(out)
    assert code == 0 and result["out"] == str(tmp_path / "a")
    assert result["counts"]["users"] == 200
    names = {file.name for file in (tmp_path / "a").iterdir()}
    assert names == {"interactions.parquet", "items.parquet", "users.parquet", "manifest.json"}
    zipped = tmp_path / "log.csv.gz"
    zipped.write_bytes(gzip.compress(log.read_bytes()))
    code, out, _ = call(capsys, "prepare", zipped, "--out", tmp_path / "b")
    assert code == 0 and out.splitlines()[-1] == str(tmp_path / "b")
    one, other = (pq.read_table(tmp_path / x / "interactions.parquet") for x in "ab")
    assert one.equals(other)


def test_prepare_takes_several_files_and_a_condition(capsys, tmp_path):
    for name, rows in (("b.csv", "1,x,watch\n1,y,click\n"), ("a.csv", "1,z,watch\n2,x,watch\n")):
        (tmp_path / name).write_text(f"user,item,event\n{rows}")
    arguments = [tmp_path / "b.csv", tmp_path / "a.csv", "--where", "event == 'watch'"]
    code, out, _ = call(capsys, "prepare", *arguments, "--out", tmp_path / "p", "--json")
    result = json.loads(out)
    assert code == 0 and sorted(result["sources"]) == ["a.csv", "b.csv"]
    assert result["counts"]["kept_by_where"] == result["counts"]["interactions"] == 3
    assert result["counts"]["rows_read"] == 4 and result["options"]["where"] == "event == 'watch'"
    items = pq.read_table(tmp_path / "p" / "items.parquet")["item_id"].to_pylist()
    table = pq.read_table(tmp_path / "p" / "interactions.parquet")
    assert [items[item] for item in table["item"].to_pylist()] == ["x", "z", "x"]
    pattern = [str(tmp_path / "*.csv"), "--out", tmp_path / "q", "--json"]
    assert json.loads(call(capsys, "prepare", *pattern)[1])["counts"]["interactions"] == 4


def test_train_writes_a_run_folder(run):
    names = {str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()}
    assert names >= {
        "config.yaml",
        "metrics.json",
        "log.jsonl",
        "checkpoints/last.ckpt",
        "model/config.json",
        "model/model.safetensors",
        "model/tokenizer.json",
        "model/items.parquet",
    }
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["validation"]) >= {"recall@10", "ndcg@10", "mrr@10"}
    assert len((run / "log.jsonl").read_text().splitlines()) == 2
    assert not run.with_name("first.partial").exists()


def test_a_runs_config_is_a_recipe_that_gives_the_same_model(run, prepared, tmp_path):
    seqrec.train(run / "config.yaml", data=prepared, out=tmp_path / "again")
    weights = [(f / "model" / "model.safetensors").read_bytes() for f in (run, tmp_path / "again")]
    assert weights[0] == weights[1]


def test_dry_run_prints_the_resolved_recipe_and_writes_nothing(capsys, tmp_path):
    out = tmp_path / "run"
    code, shown, _ = call(capsys, "train", "sft", "trainer.max_epochs=7", "--out", out, "--dry-run")
    assert code == 0 and "max_epochs: 7" in shown and not out.exists()
    seeds = ("train", "distill", "objective.teachers=[runs/seed-{seed}]", "--dry-run", "--seeds")
    shown = call(capsys, *seeds, "7,8")[1]
    assert "runs/seed-7" in shown and "seed: 7" in shown
    assert call(capsys, *seeds, "a")[0] == 2


def test_tune_prints_its_trials_and_a_recipe_that_trains(capsys, prepared, tmp_path):
    out = tmp_path / "search"
    arguments = ["tune", "sft", "search={model.dropout: [0.1, 0.3]}", *QUICK, "--out", out]
    code, shown, _ = call(capsys, *arguments, "--dry-run")
    assert code == 0 and "model.dropout:\n  - 0.1" in shown and not out.exists()
    code, shown, _ = call(capsys, *arguments, "--data", prepared, "--trials", 2)
    lines = shown.splitlines()
    assert code == 0 and lines[0].split()[:3] == ["trial", "state", "ndcg@10"]
    assert lines[-1] == str(out) and "leave-one-out validation" in shown
    assert call(capsys, "train", out / "best.yaml", "--dry-run")[0] == 0
    code, shown, _ = call(
        capsys, *arguments, "--data", prepared, "--trials", 2, "--resume", "--json"
    )
    assert code == 0 and len(json.loads(shown)["trials"]) == 2


def test_pairs_cache_and_a_preference_run_end_to_end(capsys, run, prepared, tmp_path):
    file, cache, out = (tmp_path / name for name in ("pairs.parquet", "cache.parquet", "dpo"))
    arguments = ["pairs", "--data", prepared, "--out", file, "--source", "implicit"]
    code, shown, _ = call(capsys, *arguments, "--model", run, "--per-user", 5, "--k", 20)
    assert code == 0 and " users" in shown and shown.splitlines()[-1] == str(file)
    assert pl.read_parquet(file).columns == [
        "user_id",
        "history",
        "chosen",
        "rejected",
        "source",
        "weight",
    ]
    arguments = ["cache", run, "--data", prepared, "--pairs", file, "--out", cache]
    code, shown, _ = call(capsys, *arguments)
    assert code == 0 and "log-probabilities of" in shown
    overrides = [f"model.from_pretrained={run}", f"data.pairs={file}", "trainer.max_epochs=1"]
    overrides += [f"objective.reference={cache}", "objective.tolerance=0.9"]
    arguments = ["train", "dpo", *overrides, "--data", prepared, "--out", out]
    code, shown, _ = call(capsys, *arguments)
    assert code == 0 and "before: " in shown and "pair_accuracy" in shown
    again = json.loads(call(capsys, *arguments, "--resume", "--json")[1])
    assert again["best_epoch"] == 1
    line = refused(capsys, *arguments, "--resume", "objective.sft_share=0.5")
    assert "objective.sft_share differs" in line
    rows = json.loads(call(capsys, "evaluate", out, run, "--data", prepared, "--json")[1])["rows"]
    assert [row["system"] for row in rows] == ["dpo", "first"]


def test_evaluate_tunes_baselines_and_prints_names_that_can_be_given_again(capsys, prepared):
    arguments = ["evaluate", "transition-graph", "popularity", "--data", prepared]
    code, shown, said = call(capsys, *arguments, "--tune-baselines", 2)
    (named,) = (line for line in shown.splitlines() if line.startswith("transition-graph:"))
    assert code == 0 and "(validation 0." in named and said.count("transition-graph:") == 2
    again = call(capsys, "evaluate", named.split()[0], "popularity", "--data", prepared)[1]
    assert again.splitlines()[1].split()[2:-1] == shown.splitlines()[1].split()[2:-1]


def test_evaluate_puts_models_and_baselines_in_one_table(capsys, run, prepared, tmp_path):
    out = tmp_path / "judged"
    arguments = ["evaluate", run, "popularity", "transitions", "transition-graph"]
    arguments += [
        "--data",
        prepared,
        "--k",
        "5,20",
        "--retrieval",
        "faiss-flat,faiss-hnsw,faiss-ivf",
    ]
    code, shown, _ = call(capsys, *arguments, "--out", out, "--json")
    result = json.loads(shown)
    rows = {(row["system"], row["retrieval"]): row for row in result["rows"]}
    assert code == 0 and len(rows) == 7
    exact, flat = rows["first", "exact"], rows["first", "faiss-flat"]
    assert flat["recall_against_exact"] == 1 and flat["ndcg@20"] == exact["ndcg@20"]
    assert "leave-one-out test" in result["protocol"]
    table = pq.read_table(out / "per_user.parquet").to_pandas()
    of_model = table[(table.system == "first") & (table.retrieval == "exact")]
    assert len(of_model) == 200
    assert of_model["ndcg@20"].mean() == pytest.approx(exact["ndcg@20"], abs=1e-6)
    assert "popularity" in call(capsys, "evaluate", "popularity", "--data", prepared)[1]


def test_recommendations_of_all_users_judged_as_a_file_equal_the_model(
    capsys, run, prepared, tmp_path
):
    file = tmp_path / "recs.parquet"
    code, _, _ = call(capsys, "recommend", run, "--data", prepared, "--k", 10, "--out", file)
    assert code == 0
    lists = pl.read_parquet(file)
    assert lists.columns == ["user_id", "item_id", "rank", "score"]
    assert lists["user_id"].n_unique() == 200
    arguments = ["evaluate", run, "--recommendations", file, "--data", prepared, "--k", "10"]
    one, other = json.loads(call(capsys, *arguments, "--json")[1])["rows"]
    for key in ("recall@10", "ndcg@10", "mrr@10", "coverage@10"):
        assert one[key] == other[key]


def test_recommend_for_a_history_exact_and_through_an_exported_index(
    capsys, run, prepared, tmp_path
):
    item_ids = pq.read_table(run / "model" / "items.parquet")["item_id"].to_pylist()
    history = json.dumps([*item_ids[:3], "nobody"])
    arguments = ["recommend", run, "--history", history, "--k", 4, "--json"]
    exact = json.loads(call(capsys, *arguments)[1])
    assert exact["unknown_items"] == ["nobody"] and len(exact["recommendations"]) == 4
    code, shown, _ = call(
        capsys, "export", run, "--to", "faiss", "--data", prepared, "--out", tmp_path / "export"
    )
    assert code == 0 and "recall@10 of hnsw against exact" in shown
    index = tmp_path / "export" / "items" / "flat"
    found = json.loads(call(capsys, *arguments, "--index", index)[1])
    assert [r["item_id"] for r in found["recommendations"]] == [
        r["item_id"] for r in exact["recommendations"]
    ]
    readable = call(capsys, "recommend", run, "--history", "nobody", "--k", 100)[1]
    assert "most watched in training" in readable and "only 60 items can be listed" in readable


@pytest.mark.parametrize("kind", ["parquet", "numpy"])
def test_exported_vectors_reproduce_the_lists(capsys, run, prepared, tmp_path, kind):
    from seqrec.retrieval.export import numpy, parquet

    out = tmp_path / "export"
    code, _, _ = call(capsys, "export", run, "--to", kind, "--data", prepared, "--out", out)
    assert code == 0
    read = {"parquet": parquet, "numpy": numpy}[kind].read
    (item_ids, items), (user_ids, users) = read(out, "items"), read(out, "users")
    recommender = seqrec.Recommender.from_pretrained(run)
    rows = pq.read_table(prepared / "interactions.parquet").to_pandas()
    history = [item_ids[item] for item in rows[rows.user == 5].item]
    ((best, _),) = recommender.recommend([history], k=1, exclude_seen=False)[0]
    assert item_ids[int(np.argmax(items @ users[5]))] == best
    assert user_ids == pq.read_table(prepared / "users.parquet")["user_id"].to_pylist()


def test_the_model_folder_alone_recommends(run, tmp_path):
    shutil.copytree(run / "model", tmp_path / "alone")
    script = (
        "import seqrec\n"
        "rec = seqrec.Recommender.from_pretrained('alone')\n"
        "print(rec.recommend([rec.item_ids[:2]], k=3)[0][0][0])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    rec = seqrec.Recommender.from_pretrained(run)
    assert answer.stdout.strip() == rec.recommend([rec.item_ids[:2]], k=3)[0][0][0]


def test_swapping_two_item_ids_moves_no_metric(prepared, log, tmp_path):
    frame = pl.read_csv(log)
    one, other = frame["item_id"].unique().sort()[:2]
    swapped = frame.with_columns(
        pl.col("item_id").replace({one: other, other: one}),
    )
    seqrec.prepare(swapped, out=tmp_path / "prepared")
    metrics = []
    for data, run in ((prepared, "a"), (tmp_path / "prepared", "b")):
        seqrec.train("sft", data=data, out=tmp_path / run, overrides=QUICK)
        rows = seqrec.evaluate([tmp_path / run, "transition-graph"], data=data)["rows"]
        metrics.append([[row["ndcg@10"], row["recall@50"], row["coverage@10"]] for row in rows])
    assert metrics[0] == metrics[1]


def test_the_demo_on_a_simulated_world(capsys, tmp_path):
    out = tmp_path / "demo"
    code, shown, _ = call(capsys, "demo", "--data", "simulated", "--out", out)
    assert code == 0 and shown.startswith("SIMULATED DATA")
    for name in ("popularity", "transitions", "transition-graph", "recommended:"):
        assert name in shown
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert "http" not in page
    assert "ndcg@10, sft against popularity: +" in shown and ": sft wins" in shown
    assert "looks into the future" in shown and "Holm" in shown
    assert f"seqrec serve {out / 'sft'} transitions --data {out / 'prepared'}" in shown
    assert refused(capsys, "demo", "--data", "simulated", "--out", out).endswith("add --overwrite")


MISTAKES = {
    "no such source": (["prepare", "nowhere.csv", "--out", "{tmp}/x"], "nowhere.csv"),
    "no such column": (["prepare", "{log}", "--out", "{tmp}/x", "--item", "film"], "film"),
    "bad split": (["prepare", "{log}", "--out", "{tmp}/x", "--split-by", "half"], "half"),
    "nobody left": (["prepare", "{log}", "--out", "{tmp}/x", "--min-user", "99"], "min-user"),
    "existing out": (["prepare", "{log}", "--out", "{data}"], "add --overwrite"),
    "recipe": (["train", "sftt", "--data", "{data}", "--out", "{tmp}/x"], "sft"),
    "key": (["train", "sft", "modle.head=tied", "--data", "{data}", "--out", "{tmp}/x"], "modle"),
    "weight": (
        ["train", "sft", "objective.weight=joy", "--data", "{data}", "--out", "{tmp}/x"],
        "joy",
    ),
    "not prepared": (["train", "sft", "--data", "{tmp}", "--out", "{tmp}/x"], "{tmp}"),
    "no data": (["train", "sft", "--out", "{tmp}/x"], "--data"),
    "nothing to resume": (
        ["train", "sft", "--data", "{data}", "--out", "{tmp}/x", "--resume"],
        "start without --resume",
    ),
    "nothing to search": (["tune", "sft", "--data", "{data}"], "--out is missing"),
    "no search file": (
        ["tune", "sft", "--data", "{data}", "--out", "{tmp}/x", "--search", "{tmp}/s.yaml"],
        "s.yaml: No such file",
    ),
    "no trials": (
        ["tune", "sft", "--data", "{data}", "--out", "{tmp}/x", "--trials", "0"],
        "--trials",
    ),
    "a baseline's setting": (["evaluate", "ease:l3=1", "--data", "{data}"], "known here: l2"),
    "tuning by less than none": (
        ["evaluate", "ease", "--data", "{data}", "--tune-baselines", "-1"],
        "--tune-baselines -1",
    ),
    "no source of pairs": (
        ["pairs", "--data", "{data}", "--out", "{tmp}/x", "--source", "stars"],
        "choose from ratings, implicit, file",
    ),
    "a policy without a model": (
        ["pairs", "--data", "{data}", "--out", "{tmp}/x", "--source", "implicit"],
        "needs --model",
    ),
    "ratings that are not apart": (
        ["pairs", "--data", "{data}", "--out", "{tmp}/x", "--source", "ratings", "--liked", "2"],
        "must be above --disliked 2",
    ),
    "nobody who rated so": (
        [
            "pairs",
            "--data",
            "{data}",
            "--out",
            "{tmp}/x.csv",
            "--source",
            "ratings",
            "--liked",
            "9",
        ],
        "no pairs",
    ),
    "people's file": (
        [
            "pairs",
            "--data",
            "{data}",
            "--out",
            "{tmp}/x.csv",
            "--source",
            "file",
            "--file",
            "{tmp}/y",
        ],
        "y: no such file",
    ),
    "no pairs to learn": (
        ["train", "dpo", "model.from_pretrained={run}", "--data", "{data}", "--out", "{tmp}/x"],
        "data.pairs: missing",
    ),
    "no start": (["train", "dpo", "--data", "{data}", "--out", "{tmp}/x"], "model.from_pretrained"),
    "no pairs to cache": (
        ["cache", "{run}", "--data", "{data}", "--pairs", "{log}", "--out", "{tmp}/x"],
        "neither column 'chosen' nor 'rejected'",
    ),
    "a baseline to cache": (
        ["cache", "popularity", "--data", "{data}", "--pairs", "{log}", "--out", "{tmp}/x"],
        "no such model folder",
    ),
    "no model": (["evaluate", "{tmp}", "--data", "{data}"], "config.json is missing"),
    "no baseline": (["evaluate", "popular", "--data", "{data}"], "popularity, transitions"),
    "nothing to evaluate": (["evaluate", "--data", "{data}"], "nothing to evaluate"),
    "k": (["evaluate", "popularity", "--data", "{data}", "--k", "ten"], "--k ten"),
    "k of 0": (["evaluate", "popularity", "--data", "{data}", "--k", "0,5"], "--k 0"),
    "retrieval": (
        ["evaluate", "popularity", "--data", "{data}", "--retrieval", "faiss"],
        "faiss-flat",
    ),
    "split": (["evaluate", "popularity", "--data", "{data}", "--split", "train"], "--split train"),
    "recommendations": (
        ["evaluate", "--recommendations", "{log}", "--data", "{data}"],
        "column 'score' is missing",
    ),
    "history and out": (["recommend", "{run}", "--history", "a", "--out", "{tmp}/x.csv"], "--data"),
    "index of a baseline": (
        ["recommend", "popularity", "--data", "{data}", "--index", "{tmp}", "--out", "{tmp}/x.csv"],
        "no vectors",
    ),
    "a file as index": (
        ["recommend", "{run}", "--history", "a", "--index", "{run}/metrics.json"],
        "not the folder of an index",
    ),
    "a name too long": (["prepare", "{log}", "--out", "{tmp}/" + "x" * 300], "too long"),
    "a huge seed": (
        ["train", "sft", "trainer.seed=99999999999999", "--data", "{data}", "--out", "{tmp}/x"],
        "trainer.seed",
    ),
    "history and data": (["recommend", "{run}"], "name exactly one of them"),
    "data without out": (["recommend", "{run}", "--data", "{data}"], "--out"),
    "index": (["recommend", "{run}", "--history", "a", "--index", "{tmp}"], "index"),
    "export": (["export", "{run}", "--to", "redis", "--out", "{tmp}/x"], "choose from parquet"),
    "unwritable": (["export", "{run}", "--to", "numpy", "--out", "/proc/x"], "cannot be written"),
    "out is a file": (["export", "{run}", "--to", "numpy", "--out", "{log}"], "is a file"),
    "demo data": (["demo", "--data", "netflix", "--out", "{tmp}/x"], "simulated"),
    "verb": (["evalute"], "Did you mean"),
    "option": (["export", "{run}", "--form", "numpy"], "--form"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_line_that_names_it(capsys, mistake, log, prepared, run, tmp_path):
    arguments, named = mistake
    names = {"log": log, "data": prepared, "run": run, "tmp": tmp_path}
    line = refused(capsys, *(argument.format(**names) for argument in arguments))
    assert named.format(**names) in line
    assert not (tmp_path / "x").exists()
    assert not [file for file in tmp_path.iterdir() if "partial" in file.name]


def test_a_teacher_of_another_catalog_and_a_foreign_index_are_refused(
    capsys, run, prepared, log, tmp_path
):
    seqrec.prepare(log, out=tmp_path / "other", min_item=20)
    code, out, _ = call(capsys, "evaluate", run, "--data", tmp_path / "other")
    assert code == 0 and "are not in" in out
    arguments = ["distill", "--data", tmp_path / "other", "--out", tmp_path / "student"]
    line = refused(capsys, "train", *arguments, f"objective.teachers=[{run}]")
    assert "another catalog" in line and "are not in" in line
    overrides = [*QUICK, "trainer.seed=5"]
    seqrec.train("sft", data=prepared, out=tmp_path / "second", overrides=overrides)
    seqrec.export(tmp_path / "second", to="faiss", out=tmp_path / "export")
    index = tmp_path / "export" / "items" / "flat"
    capsys.readouterr()
    line = refused(capsys, "recommend", run, "--history", "a", "--index", index)
    assert "another model" in line


def test_an_edited_prepared_folder_is_refused(capsys, prepared, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(prepared, copy)
    manifest = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(manifest.replace('"leave-one-out"', '"last-n:5"'))
    assert "manifest.json" in refused(capsys, "evaluate", "popularity", "--data", copy)
    (copy / "manifest.json").write_text(manifest)
    pl.read_parquet(copy / "items.parquet").reverse().write_parquet(copy / "items.parquet")
    assert "items.parquet" in refused(capsys, "evaluate", "popularity", "--data", copy)


def interrupted_after(line_start, arguments, tmp_path, sent=signal.SIGINT):
    """A command that is sent a signal once its standard error shows a line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "seqrec", *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    for line in process.stderr:
        if line.startswith(line_start):
            os.kill(process.pid, sent)
            break
    rest = process.stderr.read()
    return process.wait(timeout=60), rest


@pytest.mark.slow
def test_an_interrupted_run_resumes_and_ends_equal_to_an_uninterrupted_one(prepared, tmp_path):
    overrides = ["trainer.max_epochs=12", *QUICK[1:]]
    arguments = ["train", "sft", *overrides, "--data", prepared]
    whole = tmp_path / "whole"
    seqrec.train("sft", data=prepared, out=whole, overrides=overrides)
    broken = tmp_path / "broken"
    code, rest = interrupted_after("epoch   2", [*arguments, "--out", broken], tmp_path)
    assert code == 130, rest
    assert "seqrec: interrupted" in rest and "Traceback" not in rest
    assert not broken.exists() and (tmp_path / "broken.partial").exists()
    seqrec.train("sft", data=prepared, out=broken, overrides=overrides, resume=True)
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (whole, broken)]
    assert weights[0] == weights[1]
    logs = [
        [json.loads(line)["train/loss_nats"] for line in (f / "log.jsonl").read_text().splitlines()]
        for f in (whole, broken)
    ]
    assert logs[0] == logs[1] and len(logs[0]) == 12
    again = seqrec.train("sft", data=prepared, out=broken, overrides=overrides, resume=True)
    assert again["num_epochs"] == 12


def test_an_unfinished_run_is_neither_lost_nor_mixed_with_another(capsys, prepared, tmp_path):
    partial: Path = tmp_path / "run.partial"
    partial.mkdir()
    arguments = ["train", "sft", *QUICK, "--data", prepared, "--out", tmp_path / "run"]
    assert "add --resume" in refused(capsys, *arguments)
    (partial / "config.yaml").write_text((_config_of(capsys, prepared, tmp_path)).read_text())
    line = refused(capsys, *arguments, "--resume", "trainer.seed=9")
    assert "trainer.seed differs" in line


def _config_of(capsys, prepared, tmp_path):
    run = tmp_path / "other"
    seqrec.train("sft", data=prepared, out=run, overrides=QUICK)
    return run / "config.yaml"


@pytest.mark.slow
def test_a_moved_run_keeps_its_best_weights_and_a_stopped_one_stays_stopped(prepared, tmp_path):
    overrides = [*QUICK, "trainer.max_epochs=30", "trainer.patience=2"]
    overrides += ["trainer.learning_rate=0.02", "data.batch_size=4"]
    whole = seqrec.train("sft", data=prepared, out=tmp_path / "whole", overrides=overrides)
    assert whole["num_epochs"] == whole["best_epoch"] + 2
    shutil.copytree(tmp_path / "whole", tmp_path / "moved.partial")
    for name in ("metrics.json", "model"):
        path = tmp_path / "moved.partial" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    moved = seqrec.train(
        "sft", data=prepared, out=tmp_path / "moved", overrides=overrides, resume=True
    )
    assert (moved["best_epoch"], moved["num_epochs"]) == (whole["best_epoch"], whole["num_epochs"])
    weights = [
        (tmp_path / name / "model" / "model.safetensors").read_bytes()
        for name in ("whole", "moved")
    ]
    assert weights[0] == weights[1]


def test_an_index_answers_an_empty_history_as_exact_search_does(capsys, run, tmp_path):
    seqrec.export(run, to="faiss", out=tmp_path / "export")
    arguments = ["recommend", run, "--history", "nobody", "--k", 3, "--json"]
    index = tmp_path / "export" / "items" / "hnsw"
    exact = json.loads(call(capsys, *arguments)[1])
    assert json.loads(call(capsys, *arguments, "--index", index)[1]) == exact


def test_a_baselines_lists_judged_as_a_file_equal_the_baseline(capsys, prepared, tmp_path):
    file = tmp_path / "popularity.parquet"
    seqrec.recommend("popularity", data=prepared, k=50, out=file)
    result = seqrec.evaluate("popularity", data=prepared, recommendations=[file])
    one, other = result["rows"]
    assert one["ndcg@10"] == other["ndcg@10"] and one["system"] != other["system"]


def test_seen_items_in_anybodys_lists_are_no_hits(tmp_path):
    log = pl.DataFrame({"user": ["u"] * 4 + ["v"] * 4, "item": list("abca") + list("bcad")})
    seqrec.prepare(log, out=tmp_path / "data")
    lists = pl.DataFrame({"user_id": ["u", "v"], "item_id": ["a", "d"], "rank": [1, 1]})
    lists.write_parquet(tmp_path / "lists.parquet")
    arguments = {"data": tmp_path / "data", "recommendations": [tmp_path / "lists.parquet"], "k": 1}
    (row,) = seqrec.evaluate(**arguments)["rows"]
    assert row["recall@1"] == 0.5 and row["seen_items_in_lists"] == 1
    (row,) = seqrec.evaluate(**arguments, exclude_seen=False)["rows"]
    assert row["recall@1"] == 1


def test_users_and_items_missing_from_a_recommendations_file_are_named(capsys, tmp_path):
    log = pl.DataFrame({"user": ["u"] * 4 + ["v"] * 4, "item": list("abcd") * 2})
    seqrec.prepare(log, out=tmp_path / "data")
    lists = pl.DataFrame({"user_id": ["u", "w"], "item_id": ["d", "x"], "score": [1.0, 1.0]})
    lists.write_parquet(tmp_path / "lists.parquet")
    arguments = ["--data", tmp_path / "data", "--recommendations", tmp_path / "lists.parquet"]
    shown = call(capsys, "evaluate", *arguments)[1]
    for note in (
        "1 users are recommended no known item, 'v' first",
        "1 users are not in the data, 'w' first",
        "1 items are not in the catalog, 'x' first",
    ):
        assert f"lists.parquet: {note}" in shown


def test_an_absurd_k_asks_for_no_absurd_memory(capsys, run, prepared):
    code, out, _ = call(capsys, "recommend", run, "--history", "x", "--k", 10**9, "--json")
    assert code == 0 and len(json.loads(out)["recommendations"]) == 60
    assert call(capsys, "evaluate", run, "--data", prepared, "--k", 10**7)[0] == 0
