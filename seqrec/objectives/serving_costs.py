"""Serving costs of a student and its teachers: size on disk, parameters, speed."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqrec.builders.named_models import open_recommender
from seqrec.builders.teachers import TEACHERS_KEY
from seqrec.data.prepared import PreparedData
from seqrec.models import SeqRecForNextItem
from seqrec.models.folder import model_folder
from seqrec.ranking.ranker import Ranker

BATCH = 256
NUM_TURNS = 3
NUM_SINGLE = 100
LIST_LENGTH = 10


def serving_costs(
    teachers: Sequence[str | Path],
    student: Ranker,
    folder: Path,
    prepared: PreparedData,
    histories: Sequence[Any],
) -> dict[str, dict[str, float]]:
    """Return size, parameters and speed of the student and its teachers, by name.

    Args:
        teachers: run or model folders.
        student: with its trained weights.
        folder: its model folder.
        prepared: the data.
        histories: queries that are timed; nothing is timed without any.
    """
    named: dict[str, tuple[Any, Path]] = {"student": (student, folder)}
    for path in teachers:
        teacher = model_folder(path, TEACHERS_KEY)
        name = str(path) if str(path) != "student" else f"./{path}"
        named[name] = (open_recommender(teacher, prepared), teacher)
    costs: dict[str, dict[str, float]] = {
        name: {
            "megabytes": round(_size(path) / 1e6, 2),
            "parameters": ranker.model.num_parameters(),
            "non_embedding_parameters": non_embedding_parameters(ranker.model),
        }
        for name, (ranker, path) in named.items()
    }
    if len(histories):
        rankers = {name: ranker for name, (ranker, _) in named.items()}
        for name, speeds in _speeds(rankers, histories).items():
            costs[name] |= speeds
    return costs


def _speeds(rankers: dict[str, Ranker], histories: Sequence[Any]) -> dict[str, dict[str, float]]:
    """Time batches and single histories of all rankers in turns, under the same load."""
    times: dict[str, list[float]] = {name: [] for name in rankers}
    single: dict[str, list[float]] = {name: [] for name in rankers}
    batch = [histories[number % len(histories)] for number in range(BATCH)]
    for _ in range(1 + NUM_TURNS):  # the first warms up
        for name, ranker in rankers.items():
            times[name].append(_seconds(ranker, batch))
    for number in range(NUM_SINGLE):
        for name, ranker in rankers.items():
            single[name].append(_seconds(ranker, batch[number : number + 1]))
    return {
        name: {
            f"histories_per_second_batch_{BATCH}": round(
                BATCH / statistics.median(times[name][1:]), 1
            ),
            "p50_ms": round(1000 * float(np.percentile(single[name], 50)), 2),
            "p99_ms": round(1000 * float(np.percentile(single[name], 99)), 2),
        }
        for name in rankers
    }


def _seconds(ranker: Ranker, histories: Any) -> float:
    started = time.perf_counter()
    ranker.rank(histories, LIST_LENGTH)
    return time.perf_counter() - started


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def non_embedding_parameters(model: SeqRecForNextItem) -> int:
    """The number of a model's parameters, of all its members, without token and item vectors."""
    tables: list[Any] = [model.get_input_embeddings().weight, *model.head.parameters()]
    return model.num_parameters() - sum(table.numel() for table in tables)
