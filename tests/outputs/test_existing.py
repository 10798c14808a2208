"""Outputs replace only what seqrec wrote, and nothing that the command reads."""

import os
from pathlib import Path

import pytest
import typer.main

import seqrec
from seqrec.cli import app, main
from seqrec.config.load import load_recipe
from seqrec.config.recipe_paths import list_recipe_paths
from seqrec.errors import SeqRecError
from seqrec.outputs import find_foreign, refuse_existing, refuse_existing_file
from seqrec.rl.controller import STATE_FILE
from seqrec.training.state_files import previous_file

MANIFEST = '{"catalog_fingerprint": "x"}'


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def write_own(folder):
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(MANIFEST)
    return folder


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with inputs of every kind; none is valid, and each has what seqrec would write."""
    monkeypatch.chdir(tmp_path)
    for name in ("data", "run", "index"):
        write_own(tmp_path / name)
    (tmp_path / "run" / "items.parquet").write_text("x")
    write_own(tmp_path / "source")
    (tmp_path / "source" / "ratings.csv").write_text("user,item\n1,2\n")
    for name in ("items.csv", "pairs.parquet", "lists.parquet", "space.yaml"):
        (tmp_path / name).write_text("x")
    (tmp_path / "recipe.yaml").write_text("objective: {name: sft}\nsearch: {data.stride: [1]}\n")
    return tmp_path


START = "model.from_pretrained=run"
READS = {
    "prepare": [
        ("prepare source", "source"),
        ("prepare source", "source/new"),
        ("prepare source/ratings.csv --items items.csv", "source"),
        ("prepare source/*.csv", "source"),
    ],
    "train": [
        ("train sft --data data", "data"),
        ("train sft --data data", "data/run"),
        (f"train sft {START} --data data", "run"),
        (f"train sft {START} --data data --seeds 0,1", "run"),
        ("train sft model.from_pretrained=run.partial --data data", "run"),
        ("train reward-model data.labels=pairs.parquet --data data", "pairs.parquet"),
    ],
    "tune": [
        ("tune recipe.yaml --data data", "data"),
        (f"tune recipe.yaml {START} --data data", "run"),
    ],
    "pairs": [
        ("pairs --data data --source file --file pairs.parquet", "pairs.parquet"),
        ("pairs --data data --source ratings", "data/interactions.parquet"),
        ("pairs --data data --source implicit --model run", "run/lists.parquet"),
    ],
    "cache": [
        ("cache run --data data", "data"),
        ("cache run --data data", "run"),
        ("cache run --data data --pairs pairs.parquet", "pairs.parquet"),
    ],
    "evaluate": [
        ("evaluate run --data data", "data"),
        ("evaluate run --data data", "run/evaluation"),
        ("evaluate popularity --data data --recommendations lists.parquet", "lists.parquet"),
    ],
    "recommend": [
        ("recommend popularity --data data", "data/interactions.parquet"),
        ("recommend run --data data --index index", "index/vectors.parquet"),
        ("recommend popularity --data data", "run/items.parquet"),
    ],
    "export": [("export run --to numpy", "run"), ("export run --to numpy --data data", "data")],
    "extend": [
        ("extend run --items items.csv", "run"),
        ("extend run --items items.csv", "items.csv"),
    ],
    "draft": [
        ("draft tags --data data --tags pairs.parquet", "data"),
        ("draft tags --data data --tags pairs.parquet", "pairs.parquet"),
        ("draft summary --data data --model run", "run"),
    ],
    "demo": [("demo --data simulated", "source")],
}
"""Commands of every verb that writes, and an output that each must refuse to replace."""


def refuse(capsys, command):
    with pytest.raises(SystemExit) as ended:
        main(command)
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(lines) == 1, lines
    return lines[0]


def test_every_verb_with_an_output_is_in_the_table():
    commands = typer.main.get_command(app).commands
    writing = {
        name
        for name, command in commands.items()
        if any("--out" in option.opts for option in command.params)
    }
    assert writing == set(READS)


@pytest.mark.parametrize(
    ("command", "out"), [pair for pairs in READS.values() for pair in pairs], ids=str
)
def test_what_a_command_reads_is_never_replaced(project, capsys, command, out):
    (project / "run.partial").mkdir()
    before = contents(project)
    line = refuse(capsys, [*command.split(), "--out", out, "--overwrite"])
    assert f"--out {out}: " in line and "--overwrite" not in line
    assert contents(project) == before
    if (project / out).exists():  # nor is it advised
        assert "--overwrite" not in refuse(capsys, [*command.split(), "--out", out])


@pytest.mark.parametrize("name", ["{}", "../{0.parent.name}/{0.name}", "link", "."])
def test_another_name_of_what_is_read_is_seen(tmp_path, monkeypatch, name):
    data = write_own(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("data")
    read = data.parent / name.format(data)
    with pytest.raises(SeqRecError, match="is read by|lies inside"):
        refuse_existing(data, True, ["popularity", None, [read]])


def test_a_hard_link_of_a_file_that_is_read_is_seen(tmp_path):
    (tmp_path / "a.parquet").write_text("x")
    os.link(tmp_path / "a.parquet", tmp_path / "b.parquet")
    with pytest.raises(SeqRecError, match="is read by this command"):
        refuse_existing_file(tmp_path / "b.parquet", True, [tmp_path / "a.parquet"])


def test_a_folder_that_is_not_seqrecs_is_never_replaced(tmp_path):
    out = write_own(tmp_path / "out")
    refuse_existing(out, True)
    (out / "notes.txt").write_text("my thesis")
    with pytest.raises(SeqRecError, match="holds notes.txt, which seqrec did not write"):
        refuse_existing(out, True)
    with pytest.raises(SeqRecError, match="exists; name another folder$"):
        refuse_existing(out, False)
    (out / "notes.txt").unlink()
    (out / ".DS_Store").write_text("")
    refuse_existing(out, True)
    (out / "model").symlink_to(tmp_path)
    with pytest.raises(SeqRecError, match="holds model"):
        refuse_existing(out, True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.yaml", "objective: {name: sft}\n"),  # a recipe of the user's
        ("manifest.json", '{"name": "a web application"}'),
        ("metrics.json", "[1, 2]"),
        ("items.parquet", "x"),
        ("config.json", "{"),
    ],
)
def test_names_alone_do_not_make_a_folder_seqrecs(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert find_foreign(tmp_path) == tmp_path / name


def test_a_prepared_folder_is_replaced_twice_and_an_empty_one_is_no_matter(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("user,item,time\n" + "".join(f"u{n % 5},i{n % 7},{n}\n" for n in range(60)))
    (tmp_path / "out").mkdir()
    for overwrite in (False, True, True):
        seqrec.prepare(log, out=tmp_path / "out", overwrite=overwrite)
    assert {path.name for path in tmp_path.iterdir()} == {"log.csv", "out"}


def test_the_models_and_files_that_a_recipe_names_are_listed():
    recipe = load_recipe("distill", ["objective.teachers=[a, b]"])
    assert {"a", "b"} <= set(list_recipe_paths(recipe))
    recipe = load_recipe("reward-model", ["data.labels=c"])
    assert {"c"} <= set(list_recipe_paths(recipe))
    recipe = load_recipe(
        "dpo", ["model.from_pretrained=d", "data.pairs=e", "objective.reference=f"]
    )
    assert {"d", "e", "f"} <= set(list_recipe_paths(recipe))
    rewards = "objective.rewards=[{name: model, path: h}]"
    recipe = load_recipe("grpo", ["model.from_pretrained=g", rewards])
    assert {"g", "h"} <= set(list_recipe_paths(recipe))


def test_the_state_before_the_last_one_of_reinforcement_learning_is_a_runs_own(tmp_path):
    for state in (STATE_FILE, previous_file(Path(STATE_FILE)).name, "last.previous.ckpt"):
        (tmp_path / state).touch()
    assert find_foreign(tmp_path, needs_header=False) is None
