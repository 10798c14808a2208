"""Every verb that writes may overwrite its own output of any settings, and nobody else's."""

from pathlib import Path

import pytest
import typer.main

from seqrec.cli import app
from seqrec.errors import SeqRecError
from seqrec.outputs import find_foreign
from tests.campaigns.kill_kinds import KINDS as FOLDERS
from tests.campaigns.kill_kinds import Call, build_world
from tests.campaigns.kill_places import PLACES, build_places

KINDS = FOLDERS | {kind: PLACES[kind] for kind in ("draft, summary", "export, onnx", "text-sft")}
RECIPES = {"sft", "dpo", "distill", "reward-model", "grpo", "text-sft"}
LEFT_OUT = {"sft, one epoch", "sft, averaged weights", "distill, cached", "grpo, sampled ahead"}
"""Kinds whose files are those of others."""
OTHERS = ("notes.txt", "model/README", "deep/ratings.csv", "README.md", "report.pdf")


def get_verb(kind: str) -> str:
    first = kind.partition(",")[0]
    return "train" if first in RECIPES else first


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    build_world(folder)
    build_places(folder)
    return folder


def test_every_verb_with_an_output_is_tried():
    commands = typer.main.get_command(app).commands
    writing = {
        name
        for name, command in commands.items()
        if any("--out" in option.opts for option in command.params)
    }
    assert writing == {get_verb(kind) for kind in KINDS} | {"demo"}  # whose parts are theirs


def read_all(out: Path) -> dict[str, bytes]:
    files = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
    return {str(file): file.read_bytes() for file in files}


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - LEFT_OUT))
def test_an_output_is_replaced_by_its_verb_alone_while_it_holds_nothing_of_others(
    world, tmp_path, kind
):
    out, one = tmp_path / f"out{KINDS[kind].suffix}", KINDS[kind]
    one.run(Call(world, out, version=1))
    before = one.read(out)
    assert out.is_file() or find_foreign(out) is None
    one.run(Call(world, out))
    assert one.read(out) != before
    assert out.is_file() or find_foreign(out) is None
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    if out.is_file():
        return
    for name in OTHERS:
        other = out / name
        other.parent.mkdir(exist_ok=True)
        other.write_text("mine")
        whole = read_all(out)
        with pytest.raises(SeqRecError, match=f"holds {name}, which seqrec did not write"):
            one.run(Call(world, out, version=1))
        assert read_all(out) == whole
        other.unlink()
