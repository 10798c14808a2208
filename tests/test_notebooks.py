"""Notebooks run from top to bottom, over a simulated world, and are kept without outputs."""

import re
from pathlib import Path

import nbformat
import polars as pl
import pytest
from jupyter_client import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient

import seqrec
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.runs.evaluation_folder import (
    check_same_queries,
    differences_by_length,
    read_system,
    shared_metrics,
)
from tests.language import save_tiny_encoder, save_tiny_llama

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
COMPARE, FINE_TUNE, EVENING = (
    next(file for file in NOTEBOOKS if file.stem == name)
    for name in ("compare_two_runs", "fine_tune_on_chats", "one_evening")
)
QUICK = ["data.max_length=10", "model.hidden_size=16", "data.batch_size=16"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with two runs, one of two seeds, an evaluation of both, and one of the first."""
    root = tmp_path_factory.mktemp("root")
    log = first_order_world(num_items=40, seed=1).simulate(120, 9, seed=2)
    data, runs = root / "prepared", root / "runs"
    seqrec.prepare(log, out=data)
    seqrec.train("sft", data=data, out=runs / "long", overrides=[*QUICK, "trainer.max_epochs=9"])
    overrides = [*QUICK, "trainer.max_epochs=1"]
    seqrec.train("sft", data=data, out=runs / "short", overrides=overrides, seeds=[3, 4])
    systems = [runs / "long", runs / "short", "popularity"]
    seqrec.evaluate(systems, data=data, out=root / "all")
    seqrec.evaluate(runs / "long", data=data, split="validation", out=root / "validation")
    return root


@pytest.fixture(scope="module")
def kernel():
    """A Python kernel, which keeps what it imported from one notebook to the next."""
    manager = AsyncKernelManager(kernel_name="python3")
    yield manager
    run_sync(manager.shutdown_kernel)(now=True)


def ran(kernel, file, **parameters):
    """The text that a notebook shows, and how many pictures, under other parameters."""
    notebook = nbformat.read(file, as_version=4)
    place = next(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    known = re.findall(r"^[A-Z_, ]+(?= = )", notebook.cells[place].source, re.MULTILINE)
    assert set(parameters) <= {name for line in known for name in line.split(", ")}
    lines = [f"{name} = {value!r}" for name, value in parameters.items()]
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell("\n".join(lines)))
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    NotebookClient(notebook, timeout=120, km=kernel).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    texts, num_pictures = [], 0
    for output in outputs:
        data = output.get("data", {})
        num_pictures += "image/png" in data
        texts += [output.get("text", ""), data.get("text/html", "")]
    return "\n".join(texts), num_pictures


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_kept_without_outputs(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


def test_two_runs_of_one_evaluation_are_compared(root, kernel):
    text, num_pictures = ran(
        kernel,
        COMPARE,
        ROOT=str(root),
        FIRST="all",
        SECOND="all",
        FIRST_SYSTEM="long",
        SECOND_SYSTEM="short",
    )
    assert num_pictures == 5
    assert "long: leave-one-out test; 120 queries" in text
    assert "ndcg@10, long against short: +" in text and "long wins" in text
    assert "-  max_epochs: 9" in text and "+  max_epochs: 1" in text
    queries = re.findall(r"<td>\d+ to \d+</td><td class=number>(\d+)</td>", text)
    assert len(queries) == 4 and sum(map(int, queries)) == 120
    table = seqrec.evaluate(root / "runs" / "long", data=root / "prepared")["rows"][0]
    assert f"{table['ndcg@10']:.4f}" in text


def test_a_run_beside_itself_and_a_baseline_need_no_second_run(root, kernel):
    named = {"FIRST_SYSTEM": "long", "SECOND_SYSTEM": "long"}
    same, _ = ran(kernel, COMPARE, ROOT=str(root), FIRST="all", SECOND="all", **named)
    assert "long (1) against long (2): +0.0000" in same and "may be chance" in same
    named = {"FIRST_SYSTEM": "popularity", "SECOND_SYSTEM": None}
    baseline, num_pictures = ran(
        kernel, COMPARE, ROOT=str(root), FIRST="all", SECOND="all", **named
    )
    assert "popularity: no run folder" in baseline and num_pictures == 4


def test_a_language_model_is_tuned_on_chats_and_answers_from_its_folder(kernel, tmp_path):
    backbone, out = save_tiny_llama(tmp_path / "tiny"), tmp_path / "chats"
    text, _ = ran(
        kernel,
        FINE_TUNE,
        BACKBONE=str(backbone),
        NUM_CHATS=20,
        EPOCHS=2,
        OUT=str(out),
        MAX_TOKENS=3,
    )
    assert "20 chats, the first:" in text and "Heat (1995), directed by Michael Mann." in text
    assert text.count("before:") == text.count("after:") == 2
    assert "'perplexity':" in text and (out / "adapter").is_dir()


def test_a_reviewed_tag_changes_the_answer_of_an_evening(kernel, tmp_path):
    encoder, out = save_tiny_encoder(tmp_path / "encoder"), tmp_path / "evening"
    text, _ = ran(kernel, EVENING, ENCODER=str(encoder), OUT=str(out))
    assert "'a crime film from the 90s' understood as" in text
    assert text.count("'a heist film before 2000' understood as") == 2
    assert len(re.findall("2000' understood as .*tags.*'heist'", text)) == 2
    assert "without it the rank falls" in text or "without them the rank falls" in text
    assert "and you watched Inside Job (1991)" in text
    (new,) = re.findall(r"^new: (\[.*\])$", text, re.MULTILINE)
    assert re.search(r"\(19\d\d\)", new)
    accepted = pl.read_parquet(out / "tags.parquet")
    assert len(accepted) and all(
        row["item_id"].startswith(row["tags"][0]) and row["tag_sources"][0].endswith("by eve")
        for row in accepted.iter_rows(named=True)
    )


def test_a_system_read_again_has_the_evaluations_means(root):
    short = read_system(root / "all", "short")
    assert short.per_query["ndcg@10"].shape == (2, 120)
    assert short.per_query["ndcg@10"].mean() == pytest.approx(short.row["ndcg@10"], abs=1e-6)
    assert [run.seed for run in short.trained.runs] == [3, 4]
    assert read_system(root / "all", "popularity").trained is None


def test_groups_by_length_add_up_to_the_whole_difference(root):
    one, other = read_system(root / "all"), read_system(root / "all", "short")
    for num_groups in (1, 4, 50):
        groups = differences_by_length(one, other, "ndcg@10", num_groups)
        total = sum(group["difference"] * group["queries"] for group in groups)
        whole = one.per_query["ndcg@10"].mean() - other.per_query["ndcg@10"].mean()
        assert total / 120 == pytest.approx(whole)
        assert sum(group["queries"] for group in groups) == 120


def test_what_cannot_be_compared_is_refused_in_a_line(root, tmp_path):
    with pytest.raises(SeqRecError, match="not an evaluation folder"):
        read_system(tmp_path)
    with pytest.raises(SeqRecError, match="no system ease; choose from long, short, popularity"):
        read_system(root / "all", "ease")
    with pytest.raises(SeqRecError, match="different queries"):
        check_same_queries(read_system(root / "all"), read_system(root / "validation"))
    seqrec.evaluate("popularity", data=root / "prepared", exclude_seen=False, out=tmp_path / "kept")
    with pytest.raises(SeqRecError, match=r"different queries \(exclude seen\)"):
        check_same_queries(read_system(root / "all"), read_system(tmp_path / "kept"))


def test_metrics_that_somebody_lacks_are_not_compared(root, tmp_path):
    seqrec.recommend("popularity", data=root / "prepared", k=5, out=tmp_path / "half.parquet")
    half = pl.read_parquet(tmp_path / "half.parquet")
    half.filter(pl.col("user_id") != half["user_id"][0]).write_parquet(tmp_path / "half.parquet")
    out, files = tmp_path / "half", [tmp_path / "half.parquet"]
    seqrec.evaluate((), data=root / "prepared", recommendations=files, k=10, out=out)
    one, other = read_system(root / "all"), read_system(out)
    check_same_queries(one, other)
    assert shared_metrics(one, other) == ["recall@10", "hit_rate@10", "ndcg@10", "mrr@10"]
    assert {"recall@50", "novelty@10"} < set(one.per_query)
