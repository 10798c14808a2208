"""A model of MovieLens-1M whose catalog grows by 1,000 titles that it has not met."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.engine.prepared import FOLDER, prepared
from benchmarks.engine.rows import Row, at_most, row
from benchmarks.quality.table import MODULE, RECIPES, seqrec, trained
from seqrec.ranking.recommender import Recommender

NAME = Path(__file__).stem
NUM_TITLES = 1000
NUM_HISTORIES = 200


def measure(quick: bool) -> Iterator[Row]:
    """Rows and scores of old titles before and after."""
    data = prepared("ml-1m")
    items = pl.read_parquet(data / "items.parquet")
    new = items.sample(NUM_TITLES, seed=0).sort("item")
    part, file = FOLDER / "ml-1m-part", FOLDER / "new-titles.parquet"
    new.select("item_id", "title", "genres").write_parquet(file)
    users = pl.read_parquet(data / "users.parquet").select("user", "user_id")
    log = pl.read_parquet(data / "interactions.parquet").select("user", "item")
    log = log.with_row_index("row").join(new.select("item"), on="item", how="anti")
    log = log.join(users, on="user").join(items.select("item", "item_id"), on="item").sort("row")
    log.select("user_id", "item_id", "row").write_parquet(FOLDER / "ml-1m-part.parquet")
    described = FOLDER / "ml-1m-titles.parquet"
    items.select("item_id", "title", "genres").write_parquet(described)
    source = [str(FOLDER / "ml-1m-part.parquet"), "--order", "row", "--items", str(described)]
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
