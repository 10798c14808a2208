"""The loop on one page runs, and does what it says."""

import runpy
from pathlib import Path

import seqrec
from seqrec.data.simulation.worlds import first_order_world

PAGE = Path(__file__).parents[2] / "notebooks" / "rl_in_one_page.py"


def test_the_flat_loop_runs(tmp_path, capsys):
    log = first_order_world(num_items=40, seed=0).simulate(60, 12, seed=1)
    data = seqrec.prepare(log, out=tmp_path / "data")["out"]
    overrides = ["model.hidden_size=16", "trainer.max_epochs=1", "data.max_length=20"]
    run = seqrec.train("sft", data=data, out=tmp_path / "run", overrides=overrides)["out"]
    reward = runpy.run_path(str(PAGE))["main"](run, data, 3)
    lines = capsys.readouterr().out.splitlines()
    assert 0 <= reward <= 1 and lines[-1].startswith("update   2  reward")
