"""A small prepared log of made-up stories, with titles, genres, years and plots."""

import polars as pl

import seqrec
from seqrec.data.simulation.worlds import first_order_world

NUM_STORIES = 12


def prepare_stories(out, num_users, plots):
    """Write a prepared folder of twelve stories; ``plots`` holds one of each."""
    log = first_order_world(num_items=NUM_STORIES, seed=0).simulate(num_users, 6, seed=1)
    user, item = log.columns[:2]
    log = log.rename({user: "user_id", item: "item_id"})
    ids = log["item_id"].unique().sort().cast(pl.String)
    numbers = range(len(ids))
    items = pl.DataFrame(
        {
            "item_id": ids,
            "title": [f"Story {number} ({1980 + number})" for number in numbers],
            "genres": [["Comedy"] * (number % 2) + ["Drama"] for number in numbers],
            "year": [1980 + number for number in numbers],
            "plot": plots[: len(ids)],
        }
    )
    seqrec.prepare(log, out=out, items=items)
    return out
