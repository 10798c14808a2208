"""A catalog that grows by 1,000 titles, and a week of new data: going on against training anew."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.engine.prepared import FOLDER, prepared
from benchmarks.engine.rows import Row, Target, at_least, at_most, row
from benchmarks.quality.table import MODULE, RECIPES, judged, rows_of, seqrec, trained
from seqrec.ranking.recommender import Recommender

NAME = Path(__file__).stem
NUM_TITLES = 1000
START, NEW_DAYS = "1998-04-02", "1998-03-26"
"""First test day of the first window, and the first day that its training has not seen."""
GO_ON = (
    "trainer.max_epochs=10",
    "trainer.warmup_steps=10",
    "trainer.learning_rate=0.001",
    f"data.replay={{since: {NEW_DAYS}, share: 0.1}}",
)
NUM_HISTORIES = 200


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of both."""
    yield from _grow_by_titles(quick)
    yield from _go_on(quick)


def _grow_by_titles(quick: bool) -> Iterator[Row]:
    """A model of MovieLens-1M without 1,000 titles, extended by them."""
    data = prepared("ml-1m")
    items = pl.read_parquet(data / "items.parquet")
    new = items.sample(NUM_TITLES, seed=0).sort("item")
    part, file = FOLDER / "ml-1m-part", FOLDER / "new-titles.parquet"
    new.select("item_id", "title", "genres").write_parquet(file)
    log = pl.read_parquet(data / "interactions.parquet").join(new, on="item", how="anti")
    log = log.join(pl.read_parquet(data / "users.parquet").select("user", "user_id"), on="user")
    log = log.join(items.select("item", "item_id"), on="item").with_row_index("position")
    log.select("user_id", "item_id", "position").write_parquet(FOLDER / "ml-1m-part.parquet")
    described = FOLDER / "ml-1m-titles.parquet"
    items.select("item_id", "title", "genres").write_parquet(described)
    source = [str(FOLDER / "ml-1m-part.parquet"), "--order", "position", "--items", str(described)]
    seqrec("prepare", *source, "--out", str(part), "--overwrite")
    recipe = RECIPES / "ml1m-a" / "sasrec.yaml"
    name = "ml-1m-part"
    run = trained(recipe, part, "trainer.max_epochs=1", quick=quick, name=name, seeds=[0])
    out = FOLDER / "ml-1m-extended"
    options = ["--items", str(file), "--out", str(out), "--overwrite"]
    seqrec("extend", str(run / "seed-0"), *options)
    old, grown = Recommender.from_pretrained(run / "seed-0"), Recommender.from_pretrained(out)
    num_old = old.num_items
    is_equal = np.array_equal(old.item_embeddings(), grown.item_embeddings()[:num_old])
    generator = np.random.default_rng(0)
    histories = [generator.integers(0, num_old, 50) for _ in range(NUM_HISTORIES)]
    before, after = (one.score_tiles(histories)(0, num_old).numpy() for one in (old, grown))
    work = f"ml-1m grown from {num_old:,} by {grown.num_items - num_old:,} titles"
    for what, value, target in (
        ("rows of old titles that changed", float(not is_equal), at_most(0)),
        ("largest change of an old score", float(np.abs(after - before).max()), at_most(1e-6)),
    ):
        yield row(NAME, f"{work}, {what}", [value], "", target=target, module=MODULE)


def _go_on(quick: bool) -> Iterator[Row]:
    """A week of MovieLens-100K: a model that goes on, one that is trained anew, the old one."""
    weeks = FOLDER / "ml-100k-weeks"
    split = ["--split-by", f"windows:{START},7d,2", "--targets", "successive"]
    seqrec("prepare", "movielens-100k", "--out", str(weeks), "--overwrite", *split)
    recipe = RECIPES / "ml-100k-later" / "sasrec.yaml"
    old = trained(recipe, weeks / "window-1", quick=quick, name="week-1")
    anew = trained(recipe, weeks / "window-2", quick=quick, name="week-2-anew")
    start = f"model.from_pretrained={old}/seed-{{seed}}"
    went_on = trained(recipe, weeks / "window-2", start, *GO_ON, quick=quick, name="week-2-went-on")
    result = judged(
        "ml-100k-weeks", [old, anew, went_on], weeks / "window-2", baselines=[], quick=quick
    )
    metrics = {one["system"]: one["ndcg@10"] for one in result["rows"]}
    kept = metrics[went_on.name] / metrics[anew.name]
    targets: dict[tuple[str, str], Target] = {}
    yield from rows_of(NAME, "ml-100k, the week after", result, targets)
    work = "ml-100k, a week of new data, went on against trained anew"
    yield row(
        NAME, f"{work}, ndcg@10", [kept], "", ratio=kept, target=at_least(0.98), module=MODULE
    )
    steps = [_count_steps(run) for run in (went_on, anew)]
    share = steps[0] / steps[1]
    yield row(NAME, f"{work}, steps", [share], "", ratio=share, target=at_most(0.1), module=MODULE)


def _count_steps(run: Path) -> float:
    """Return the optimizer steps of a run's seeds, on average."""
    results = [pl.read_json(file) for file in sorted(run.glob("seed-*/metrics.json"))]
    return float(np.mean([one["num_steps"].item() for one in results]))
