"""Titles that were kept from training: a tenth of MovieLens-1M, as in ``benchmarks.quality cold``.

SmolLM2 and a native model that reads content learn the interactions of 1,000 users with the other
titles, grow by the rest of the catalog (``seqrec extend``), and rank it whole for all users whose
test item is one of that tenth.
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
from seqrec.data.splits import TEST, VALIDATION
from seqrec.ranking.recommender import Recommender

NAME = Path(__file__).stem
METRICS = ("recall@50", "recall@10", "mrr")
DATA = "ml-1m-cold"
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
"""The row of ``items`` that is trained here, and grows; its new rows come from each of these."""
STARTS = ("words", "text", "random")


def measure(quick: bool) -> Iterator[Row]:
    """Rows by system and metric."""
    num_users = 50 if quick else NUM_USERS
    data = prepared_users(num_users, DATA, VALIDATION)
    folder = FOLDER / ("quick" if quick else "runs") / f"cold-{num_users}"
    folder.mkdir(parents=True, exist_ok=True)
    learned = next(one for one in systems(folder) if one.name == LEARNED)
    trained(learned, data, folder, quick)
    trained(CONTENT, data, folder, quick)
    new = find_new_titles(data)
    new.select("item_id", "title", "genres").write_parquet(folder / "new-titles.parquet")
    models = {CONTENT.name: extend(folder / slug(CONTENT.name), folder, "content")}
    for start in STARTS:
        models[f"SmolLM2-135M, new titles from {start}"] = extend(
            folder / slug(LEARNED), folder, start
        )
    first = Recommender.from_pretrained(models[CONTENT.name])
    asked, num_cold = ask_for_cold(first.item_ids)
    work = f"ml-1m, {len(asked)} test items of {num_cold} titles kept from training"
    for system, scores in score_all(models, first, asked).items():
        yield from metric_rows(NAME, work, system, judge(scores, asked), asked, METRICS)


def find_new_titles(data: Path) -> pl.DataFrame:
    """The items of MovieLens-1M that a prepared folder of some of its users lacks."""
    items = pl.read_parquet(prepared(DATA) / "items.parquet")
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


def ask_for_cold(item_ids: list[str]) -> tuple[Asked, int]:
    """Histories of all users whose test item was kept from training, and the number of such items.

    Args:
        item_ids: of the catalog that is ranked, in its order.
    """
    items = pl.read_parquet(prepared(DATA) / "items.parquet")
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    numbers = np.array([row_of[item_id] for item_id in items["item_id"]])
    log = pl.read_parquet(prepared(DATA) / "interactions.parquet")
    is_cold = np.ones(len(items), dtype=bool)
    is_cold[log.filter(pl.col("split") < TEST)["item"].to_numpy()] = False
    groups, histories, targets = [], [], []
    for (user,), part in log.group_by("user", maintain_order=True):
        *before, target = part["item"].to_list()
        if is_cold[target]:
            groups.append(user)
            histories.append(numbers[before[-LENGTH:]])
            targets.append(numbers[[target]])
    return Asked(np.array(groups), histories, [""] * len(groups), targets), int(is_cold.sum())


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
