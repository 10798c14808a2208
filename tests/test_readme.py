"""What README and docs say runs: Python on a simulated world, commands through the parser."""

import re
import shlex
from pathlib import Path

import pytest
import typer

import seqrec.cli
from seqrec.config.load import list_shipped_recipes, load_recipe
from seqrec.data.simulation.worlds import first_order_world

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def commands():
    """Every ``seqrec`` line of the shell blocks and of the prose."""
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    quoted = [" ".join(text.split()) for text in re.findall(r"`(seqrec [^`]*)`", TEXT)]
    lines = [line for line in lines if line.startswith("seqrec ")]
    return [*lines, *(text for text in quoted if "--help" not in text)]


def test_the_python_blocks_run(tmp_path, monkeypatch):
    log = first_order_world(num_items=30, seed=0).simulate(60, 10, seed=1)
    log.write_csv(tmp_path / "ratings.csv")
    monkeypatch.chdir(tmp_path)
    assert len(blocks("python")) == 2
    exec("".join(blocks("python")), {})


def test_the_log_of_the_readme_is_understood_as_printed(tmp_path, monkeypatch, capsys):
    rows = [
        f"{100 + n % 60},{(7 * n * n + n // 60) % 40 + 1000},{1 + n % 5},{1700000000 + n * 3601}"
        for n in range(1200)
    ]
    rows.insert(600, " 105,1003,4,1700003601")
    lines = ["customer,product,stars,watched_at", *rows, rows[-1]]
    (tmp_path / "ratings.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        seqrec.cli.main(["prepare", "ratings.csv", "--explain"])
    shown = [block for block in blocks("text") if block.startswith("columns")]
    assert len(shown) == 1 and capsys.readouterr().out.startswith(shown[0])
    assert list(tmp_path.iterdir()) == [tmp_path / "ratings.csv"]


def commands_of_docs():
    """Every ``seqrec`` line of the docs' shell blocks, and of what recipes say they are run by."""
    found = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL):
            found += block.replace("\\\n", " ").splitlines()
    for recipe in sorted((ROOT / "benchmarks").glob("*/*.yaml")):
        found += [line.lstrip("# ") for line in recipe.read_text().splitlines() if line[:1] == "#"]
    return [line for line in found if line.startswith("seqrec ")]


@pytest.mark.parametrize("command", sorted(set(commands_of_docs())))
def test_every_command_of_the_docs_is_understood(command):
    verb, *arguments = shlex.split(command, comments=True)[1:]
    parser = typer.main.get_command(seqrec.cli.app).commands[verb]
    asked = parser.make_context(verb, list(arguments)).params
    if verb == "train":
        load_recipe(str(asked["recipe"]), asked["overrides"] or [])


@pytest.mark.parametrize("command", commands())
def test_every_command_is_understood(command):
    verb, *arguments = shlex.split(command, comments=True)[1:]
    arguments = [argument for argument in arguments if "..." not in argument]
    parser = typer.main.get_command(seqrec.cli.app).commands[verb]
    complete = [argument.replace("[key.path=value", "trainer.seed=1") for argument in arguments]
    asked = parser.make_context(verb, list(complete)).params
    if verb == "train" and complete[0] not in ("RECIPE", "runs/search/best.yaml"):
        assert complete[0] in list_shipped_recipes()
        load_recipe(complete[0], asked["overrides"] or [])


def test_every_verb_and_every_make_target_is_named():
    for verb in typer.main.get_command(seqrec.cli.app).commands:
        assert f"`seqrec {verb}" in TEXT
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\w+)", "\n".join(blocks("bash"))):
        assert f"\n{target}:" in makefile


def test_the_tree_names_every_room():
    for room in (ROOT / "seqrec").iterdir():
        if room.is_dir() and room.name != "__pycache__":
            assert f"  {room.name}/" in TEXT, room.name
