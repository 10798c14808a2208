"""The commands of docs/tomorrow.md run one after the other, on a world whose log grows."""

import re
import shlex
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from seqrec.cli import main
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.worlds import first_order_world

PAGE = Path(__file__).parent.parent / "docs" / "tomorrow.md"
SMALL = ["model.hidden_size=16", "model.num_hidden_layers=1", "trainer.accelerator=cpu"]
START = int(np.datetime64("2024-01-20", "s").astype(np.int64))
DAY = 86_400


def run(command):
    """Run a command of the page; models are small."""
    arguments = shlex.split(command)[1:]
    if arguments[0] == "train":
        is_new = not any(text.startswith("model.from_pretrained") for text in arguments)
        arguments += ["trainer.max_epochs=1", *(SMALL if is_new else SMALL[2:])]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code, command


def test_the_commands_of_the_page_run_in_order(tmp_path, monkeypatch, capsys):
    log = first_order_world(num_items=20, seed=0).simulate(40, 12, seed=1)
    rank = log["timestamp"].rank("ordinal").to_numpy().astype(np.int64) - 1
    log = log.with_columns(timestamp=START + rank * 60 * DAY // len(log))
    log.write_csv(tmp_path / "ratings.csv")
    today = log[:5].with_columns(
        item_id=pl.lit("new"), timestamp=START + 61 * DAY + pl.int_range(5)
    )
    today.write_csv(tmp_path / "today.csv")
    (tmp_path / "new.csv").write_text("item_id,title,neighbours\nnew,New,t03|t04\nnewer,,t05\n")
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL):
        for command in block.splitlines():
            run(command)
    printed = capsys.readouterr().out
    assert "appended 5 rows of today.csv, 1 new items" in printed
    assert "1 of 21 items of data/prepared/mine are unknown to monday: 'new'" in printed
    assert "2 new items, vectors from neighbours; 0 of the file were known" in printed
    assert "mean and standard deviation over 2 windows" in printed
    assert PreparedData.open("data/prepared/mine").num_items == 21
    lists = pl.read_parquet("lists.parquet")
    assert "new" not in lists["item_id"].to_list() and lists["user_id"].n_unique() == 40
