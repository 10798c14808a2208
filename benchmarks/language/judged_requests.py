"""Floors beside the models, and means with their intervals, for all rows about requests."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.engine.rows import Row, row
from benchmarks.search.asked import Asked
from benchmarks.search.judged import Metrics
from seqrec.builders.text_search import ENCODER
from seqrec.data.item_columns import item_texts
from seqrec.evaluation.significance import bootstrap_intervals
from seqrec.models.text_cache import encode_cached
from seqrec.models.text_encoder import TextEncoder
from seqrec.ranking.recommender import Recommender

NUM_DRAWS, SEED = 2_000, 0


def open_encoder() -> TextEncoder:
    """Return the encoder of texts that language models stand beside."""
    return TextEncoder.from_pretrained(ENCODER)


def encode_items(items: pl.DataFrame, columns: Sequence[str]) -> Float[np.ndarray, "I D"]:
    """Return the vectors of all items' texts."""
    return encode_cached(open_encoder(), item_texts(items, list(columns), "--items"))


def count_items(model: Recommender, asked: Asked) -> Float[Tensor, "B I"]:
    """Return the interactions of every item in training, for each request."""
    counts = torch.tensor(model.items["num_interactions"].to_list()).float()
    return counts.expand(len(asked), -1)


def metric_rows(
    name: str, work: str, system: str, metrics: Metrics, asked: Asked, names: Sequence[str]
) -> Iterator[Row]:
    """Yield a row a metric: its mean, and the interval by user or conversation in the note.

    Args:
        name: of the measurement.
        work: what was judged.
        system: whose lists they are.
        metrics: values of every request.
        asked: the requests.
        names: of the metrics that get a row.
    """
    for metric, (mean, low, high) in _summarise(metrics, asked, names).items():
        note = f"95 % interval {low:.3f} to {high:.3f}"
        text = f"{work}: {metric}"
        yield row(name, text, [mean], "", system=system, note=note, module="benchmarks.language")


def _summarise(
    metrics: Mapping[str, np.ndarray], asked: Asked, names: Sequence[str]
) -> dict[str, list[float]]:
    """Return mean, lower and upper end of the interval of every metric."""
    values = np.column_stack([metrics[name] for name in names])
    bounds = bootstrap_intervals(values, users=asked.groups, num_draws=NUM_DRAWS, seed=SEED)
    return {
        name: [float(values[:, place].mean()), *map(float, bounds[place])]
        for place, name in enumerate(names)
    }
