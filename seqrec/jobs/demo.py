"""``seqrec demo``: every stage on MovieLens-100K, in minutes on a laptop."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seqrec.builders.named_models import open_recommender
from seqrec.config.defaults import DEMO
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.worlds import second_order_world
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import queries_of
from seqrec.jobs.evaluate import evaluate
from seqrec.jobs.export import export
from seqrec.jobs.prepare import prepare
from seqrec.jobs.train import train
from seqrec.outputs import new_folder, refuse_existing
from seqrec.reports.demo import demo_page
from seqrec.reports.evaluation import METHOD
from seqrec.reports.tables import text_table
from seqrec.retrieval.index import load_index
from seqrec.runs.history import REPORT_FILE, environment, trained_models

MOVIELENS = "movielens-100k"
SIMULATED = "simulated"
RECIPE = "sft"
RUN = "sft"
FLOORS = ("popularity", "transitions", "transition-graph")
COLUMNS = ("system", "retrieval", "recall@10", "ndcg@10", "mrr@10", "recall@50", "coverage@10")
NUM_USERS_SHOWN = 3
NUM_TITLES_SHOWN = 5
NUM_SIMULATED_ITEMS = 150
NUM_SIMULATED_USERS = 800
SIMULATED_LENGTH = 25
SEED = 0


def demo(
    data: str = DEMO.data,
    *,
    out: str | Path = DEMO.out,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Obtain, prepare, train, evaluate beside the baselines, export, search, recommend, report.

    Args:
        data: ``movielens-100k``, or ``simulated`` where there is neither network nor copy.
        out: folder for everything that is made.
        overwrite: replace it.
        say: where the lines go.

    Returns:
        The table, the comparisons, the paths, and the seconds of each stage.
    """
    if data not in (MOVIELENS, SIMULATED):
        raise SeqRecError(f"--data {data}: choose {MOVIELENS} or {SIMULATED}")
    out = Path(out)
    refuse_existing(out, overwrite)
    stages = Stages()
    if data == SIMULATED:
        origin = "SIMULATED DATA: an invented world in which nobody watched anything."
        world = second_order_world(num_items=NUM_SIMULATED_ITEMS, seed=SEED)
        with new_folder(out / "log", overwrite=True) as folder:
            world.write_log(folder, NUM_SIMULATED_USERS, SIMULATED_LENGTH, seed=SEED)
        source = str(out / "log")
    else:
        origin = "MovieLens-100K (Harper and Konstan 2015): people's ratings, read as watching."
        source = data
    say(origin)
    prepare(source, out=out / "prepared", overwrite=True, say=say)
    stages.end("prepare")
    train(RECIPE, data=out / "prepared", out=out / RUN, overwrite=True)
    stages.end("train")
    judged = evaluate(
        [out / RUN, *FLOORS],
        data=out / "prepared",
        retrieval=["faiss-flat", "faiss-hnsw", "faiss-ivf"],
        out=out / "evaluation",
        overwrite=True,
    )
    stages.end("evaluate")
    export(out / RUN, to="faiss", out=out / "export", data=out / "prepared", overwrite=True)
    stages.end("export")

    users = _people(out)
    for user in users:
        say(f"\nuser {user['user_id']}")
        say(f"  last watched: {' | '.join(user['watched'])}")
        say(f"  recommended:  {' | '.join(user['recommended'])}")
    table = [{key: row[key] for key in COLUMNS} for row in judged["rows"]]
    say("\n" + text_table(table))
    say(judged["protocol"])
    for note in judged["notes"]:
        say(note)
    say("")
    for comparison in judged["comparisons"]:
        say(comparison["sentence"])
    say(METHOD + "\n")
    page = demo_page(
        title=f"seqrec demo: {data}",
        origin=origin,
        result=judged,
        users=users,
        models=trained_models(judged["models"]),
        environment=environment(),
    )
    report = out / REPORT_FILE
    report.write_text(page, encoding="utf-8")
    stages.end("report")
    say(stages.line())
    for name in ("prepared", RUN, "evaluation", "export", REPORT_FILE):
        say(f"{name:12s} {out / name}")
    return {
        "data": data,
        "table": table,
        "protocol": judged["protocol"],
        "comparisons": judged["comparisons"],
        "seconds": stages.seconds,
        "report": str(report),
        "out": str(out),
    }


class Stages:
    """How long each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.perf_counter()

    def end(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self._started, 1)
        self._started = now

    def line(self) -> str:
        parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.seconds.items())
        return f"time: {parts}; together {sum(self.seconds.values()):.0f} s"


def _people(out: Path) -> list[dict[str, Any]]:
    """A few test users: what they watched last, and what the exported index finds for them."""
    prepared = PreparedData.open(out / "prepared")
    recommender = open_recommender(out / RUN, prepared)
    index = load_index(
        out / "export" / "items" / "hnsw",
        catalog_fingerprint=recommender.catalog_fingerprint,
        model_fingerprint=recommender.fingerprint,
    )
    queries = queries_of(prepared.histories(), "test", prepared.targets)
    places = np.linspace(0, len(queries.users) - 1, NUM_USERS_SHOWN).round().astype(int)
    histories = [queries.histories[place] for place in places]
    found = recommender.rank_by_index(index, histories, NUM_TITLES_SHOWN)
    user_ids = prepared.users()["user_id"].to_list()
    titles = recommender.titles
    return [
        {
            "user_id": user_ids[queries.users[place]],
            "watched": [titles[item] for item in history[-NUM_TITLES_SHOWN:]],
            "recommended": [titles[item] for item in items if item >= 0],
        }
        for place, history, items in zip(places, histories, found.items.tolist(), strict=True)
    ]
