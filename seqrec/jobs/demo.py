"""``seqrec demo``: every stage on MovieLens-100K, in minutes on a laptop."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Float

from seqrec.data.prepared import PreparedData
from seqrec.data.worlds import second_order_world
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import queries_of
from seqrec.evaluation.significance import bootstrap_interval, holm, paired_randomization
from seqrec.jobs.evaluate import PER_USER_FILE, evaluate
from seqrec.jobs.export import export
from seqrec.jobs.folders import new_folder, refuse_existing
from seqrec.jobs.models import open_recommender
from seqrec.jobs.prepare import prepare
from seqrec.jobs.run_folder import CONFIG_FILE
from seqrec.jobs.train import train
from seqrec.reports.demo import demo_page
from seqrec.reports.tables import text_table
from seqrec.retrieval.index import load_index
from seqrec.training.epoch_log import read_log
from seqrec.training.fit import LOG_FILE

MOVIELENS = "movielens-100k"
SIMULATED = "simulated"
RECIPE = "sft"
RUN = "sft"
FLOORS = ("popularity", "transitions", "transition-graph")
COLUMNS = ("system", "retrieval", "recall@10", "ndcg@10", "mrr@10", "recall@50", "coverage@10")
TESTED_METRIC = "ndcg@10"
PLOTTED_METRIC = "recall@10"
NUM_USERS_SHOWN = 3
NUM_TITLES_SHOWN = 5
NUM_SIMULATED_ITEMS = 150
NUM_SIMULATED_USERS = 800
SIMULATED_LENGTH = 25
SEED = 0


def demo(
    data: str = MOVIELENS,
    *,
    out: str | Path = Path("runs") / "demo",
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Obtain, prepare, train, evaluate beside the floors, export, search, recommend, report.

    Args:
        data: ``movielens-100k``, or ``simulated`` where there is neither network nor copy.
        out: folder for everything that is made.
        overwrite: replace it.
        say: where the lines go.

    Returns:
        The table, the tests of significance, the paths, and the seconds of each stage.
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
    run = train(RECIPE, data=out / "prepared", out=out / RUN, overwrite=True)
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
    scores = _scores_of_systems(out / "evaluation" / PER_USER_FILE)
    tests = _tests(scores[RUN], {name: scores[name] for name in FLOORS})
    findings = [_finding(test) for test in tests]
    table = [{key: row[key] for key in COLUMNS} for row in judged["rows"]]
    say("\n" + text_table(table))
    say(judged["protocol"] + "\n")
    for finding in findings:
        say(finding)
    page = demo_page(
        title=f"seqrec demo: {data}",
        origin=origin,
        table=table,
        protocol=judged["protocol"],
        findings=findings,
        users=users,
        log=read_log(out / RUN / LOG_FILE),
        selection_metric=run["selection_metric"],
        bars=[
            (
                name,
                float(of[PLOTTED_METRIC].mean()),
                bootstrap_interval(of[PLOTTED_METRIC], seed=SEED),
            )
            for name, of in scores.items()
        ],
        bars_label=PLOTTED_METRIC,
        model_name=RUN,
        settings=(out / RUN / CONFIG_FILE).read_text(),
    )
    report = out / "report.html"
    report.write_text(page, encoding="utf-8")
    stages.end("report")
    say(stages.line())
    for name in ("prepared", RUN, "evaluation", "export", "report.html"):
        say(f"{name:12s} {out / name}")
    return {
        "data": data,
        "table": table,
        "protocol": judged["protocol"],
        "tests": tests,
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


def _scores_of_systems(file: Path) -> dict[str, dict[str, Float[np.ndarray, " Q"]]]:
    """By system, the metrics of every query under exact retrieval."""
    table = pq.read_table(file, filters=[("retrieval", "==", "exact")])
    systems = np.array(table["system"].to_pylist())
    columns = {key: table[key].to_numpy() for key in (TESTED_METRIC, PLOTTED_METRIC)}
    return {
        str(name): {key: column[systems == name] for key, column in columns.items()}
        for name in dict.fromkeys(systems.tolist())
    }


def _tests(
    model: dict[str, Float[np.ndarray, " Q"]],
    floors: dict[str, dict[str, Float[np.ndarray, " Q"]]],
) -> list[dict[str, Any]]:
    """The model against every floor, by paired randomisation over users, Holm over all."""
    ours = model[TESTED_METRIC]
    tests = [
        paired_randomization(ours, floor[TESTED_METRIC], seed=SEED) for floor in floors.values()
    ]
    adjusted = holm([test.p_value for test in tests])
    return [
        {
            "floor": name,
            "difference": test.difference,
            "relative": test.difference / floor[TESTED_METRIC].mean(),
            "p_value": p_value,
        }
        for (name, floor), test, p_value in zip(floors.items(), tests, adjusted, strict=True)
    ]


def _finding(test: dict[str, Any]) -> str:
    """Who wins, in a sentence."""
    if test["p_value"] >= 0.05:
        verdict = "the difference may be chance"
    else:
        verdict = "the model wins" if test["difference"] > 0 else f"{test['floor']} wins"
    return (
        f"{TESTED_METRIC} against {test['floor']}: {test['difference']:+.4f} "
        f"({test['relative']:+.0%}), p = {test['p_value']:.4f} "
        f"(paired randomisation over users, Holm over the floors): {verdict}."
    )
