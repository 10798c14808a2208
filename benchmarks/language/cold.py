"""Titles that nobody has watched in training, but other users later: 83 of MovieLens-1M.

The 1,000 users of ``items`` never met them. SmolLM2 as trained there, and a native model that
reads content, grow by them (``seqrec extend``), and rank the whole catalog for other users before
they watched one.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from benchmarks.engine.prepared import FOLDER, prepared
from benchmarks.engine.rows import Row
from benchmarks.language.items import (
    LENGTH,
    NUM_USERS,
    ONE_PASS,
    SEED,
    SIZE,
    System,
    prepared_users,
    slug,
    systems,
    trained,
)
from benchmarks.language.judged_requests import count_items, encode_items, metric_rows
from benchmarks.quality.table import seqrec
from benchmarks.search.asked import Asked
from benchmarks.search.judged import judge
from seqrec.baselines.nearest_text import NearestText
from seqrec.builders.text_search import ENCODER
from seqrec.ranking.recommender import Recommender

NAME = Path(__file__).stem
METRICS = ("recall@50", "recall@10", "mrr")
NUM_ASKED = 300
"""Histories that are judged, drawn with a seed."""
COLUMNS = ["title", "genres"]
CONTENT = System(
    "native, content of titles and genres, one pass",
    (
        *(f"{key}={value}" for key, value in SIZE.items()),
        f"model.content={{columns: [title, genres], encoder: {ENCODER}}}",
        *ONE_PASS,
    ),
    "one pass over the last windows, as SmolLM2",
)
LEARNED = "SmolLM2-135M, LoRA of rank 16, from words of titles"
"""The row of ``items`` that grows; its new rows come from each of these in turn."""
STARTS = ("words", "text", "random")


def measure(quick: bool) -> Iterator[Row]:
    """Rows by system and metric."""
    num_users = 50 if quick else NUM_USERS
    data, folder = prepared_users(num_users), FOLDER / ("quick" if quick else "runs")
    runs, folder = folder / f"items-{num_users}", folder / f"cold-{num_users}"
    for one in (runs, folder):
        one.mkdir(parents=True, exist_ok=True)
    learned = next(one for one in systems(runs) if one.name == LEARNED)
    trained(learned, data, runs, quick)
    trained(CONTENT, data, folder, quick)
    new = find_new_titles(data)
    new.select("item_id", "title", "genres").write_parquet(folder / "new-titles.parquet")
    models = {CONTENT.name: extend(folder / slug(CONTENT.name), folder, "content")}
    for start in STARTS:
        models[f"SmolLM2-135M, new titles from {start}"] = extend(
            runs / slug(LEARNED), folder, start
        )
    first = Recommender.from_pretrained(models[CONTENT.name])
    asked = ask_for(new, data, first.item_ids)
    work = f"ml-1m, {len(asked)} watched of {len(new)} titles that {num_users:,} users never met"
    for system, scores in score_all(models, first, asked).items():
        yield from metric_rows(NAME, work, system, judge(scores, asked), asked, METRICS)


def find_new_titles(data: Path) -> pl.DataFrame:
    """The items of MovieLens-1M that a prepared folder of some of its users lacks."""
    items = pl.read_parquet(prepared("ml-1m") / "items.parquet")
    known = pl.read_parquet(data / "items.parquet")
    return items.join(known, on="item_id", how="anti", maintain_order="left")


def extend(model: Path, folder: Path, rows: str) -> Path:
    """The model with the new titles, made once."""
    out = folder / f"{model.name}-{rows}"
    if not out.exists():
        given = ["--items", str(folder / "new-titles.parquet"), "--rows", rows]
        columns = ["--columns", ",".join(COLUMNS)]
        seqrec("extend", str(model), *given, *columns, "--out", str(out))
    return out


def ask_for(new: pl.DataFrame, data: Path, item_ids: list[str]) -> Asked:
    """Histories of other users before each of the new titles, without a request."""
    whole = prepared("ml-1m")
    items, users = (pl.read_parquet(whole / f"{name}.parquet") for name in ("items", "users"))
    known = pl.read_parquet(data / "users.parquet")
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    numbers = np.array([row_of[item_id] for item_id in items["item_id"]])
    is_new = np.zeros(len(items), dtype=bool)
    is_new[new["item"].to_numpy()] = True
    log = pl.read_parquet(whole / "interactions.parquet").join(users, on="user")
    log = log.join(known.select("user_id"), on="user_id", how="anti")
    groups, histories, targets = [], [], []
    for (user,), part in log.group_by("user", maintain_order=True):
        watched = part["item"].to_numpy()
        for place in np.flatnonzero(is_new[watched]).tolist():
            before = watched[:place]
            before = before[~is_new[before]][-LENGTH:]
            if len(before):
                groups.append(user)
                histories.append(numbers[before])
                targets.append(numbers[watched[place : place + 1]])
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(groups))[:NUM_ASKED]).tolist()
    return Asked(
        np.array([groups[one] for one in chosen]),
        [histories[one] for one in chosen],
        [""] * len(chosen),
        [targets[one] for one in chosen],
    )


def score_all(models: Mapping[str, Path], first: Recommender, asked: Asked) -> dict[str, Tensor]:
    """The scores of every system; states of one decoder are computed once.

    Args:
        models: folders by system; all but the first have the decoder of ``LEARNED``.
        first: the first of them.
        asked: the histories.
    """
    texts = NearestText(encode_items(first.items, COLUMNS))
    nearest = texts.score_tiles(asked.histories)(0, first.num_items)
    found = {"nearest-text": nearest, "popularity": count_items(first, asked)}
    states: Tensor | None = None
    for system, folder in models.items():
        is_first = system == next(iter(models))
        model = first if is_first else Recommender.from_pretrained(folder)
        if is_first or states is None:
            embedded = torch.from_numpy(model.embed_histories(asked.histories))
            states = None if is_first else embedded
        else:
            embedded = states
        found[system] = embedded @ torch.from_numpy(model.item_embeddings()).T
    return found
