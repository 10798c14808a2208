"""Evaluation on one prepared folder: lists, metrics, tables and the folder of results."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Int

from seqrec.builders.named_models import NamedModel
from seqrec.builders.tuned_baselines import baselines_line, tune_named_baselines
from seqrec.data.item_columns import genre_matrix
from seqrec.data.prepared import PreparedData
from seqrec.evaluation.protocol import (
    ListMetrics,
    Queries,
    Split,
    evaluation_notes,
    protocol_line,
)
from seqrec.evaluation.selection import select_queries
from seqrec.evaluation.tables import (
    comparisons,
    evaluate_system,
    order_rows,
    per_user_table,
    strata_rows,
    table_rows,
)
from seqrec.jobs.evaluation_options import get_model_text
from seqrec.jobs.systems_under_test import SystemsUnderTest
from seqrec.outputs import METRICS_FILE, new_folder
from seqrec.reports.evaluation import evaluation_page
from seqrec.reports.trained_models import TrainedModel
from seqrec.runs.evaluation_folder import PER_USER_FILE
from seqrec.runs.history import REPORT_FILE, environment, trained_models
from seqrec.runs.provenance import selection_of, trained_elsewhere


@dataclass(frozen=True)
class Settings:
    """The options of ``evaluate`` that hold for every prepared folder."""

    split: Split
    ks: list[int]
    metric: str
    retrieval: Sequence[str]
    tune_baselines: int
    only: Literal["cold", "warm"] | None
    users_sample: int | None
    shuffle_test: bool
    exclude_seen: bool
    memory_mb: float | None


def evaluate_folder(
    settings: Settings,
    models: Sequence[NamedModel],
    data: Path,
    recommendations: Sequence[Any],
    against: str | None,
    out: Path | None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Compare systems on one prepared folder; see ``evaluate``."""
    ks, metric, exclude_seen = settings.ks, settings.metric, settings.exclude_seen
    split, only = settings.split, settings.only
    prepared = PreparedData.open(data)
    histories = prepared.histories()
    item_counts = histories.item_counts(prepared.num_items)
    selected = select_queries(prepared, histories, item_counts, split, only, settings.users_sample)
    arguments = list(map(get_model_text, models))
    models, tuned = tune_named_baselines(
        models, prepared, histories, settings.tune_baselines, exclude_seen=exclude_seen
    )
    systems = SystemsUnderTest(prepared, histories, selected.queries, ks[-1], exclude_seen, split)
    for model, argument in zip(models, arguments, strict=True):
        systems.add_model(
            model,
            argument,
            settings.retrieval,
            settings.memory_mb,
            shuffle_test=settings.shuffle_test,
        )
    for file in recommendations:
        systems.add_file(file)
    trained = trained_models(systems.models) if out is not None else []
    evaluations, shuffled = _compute_metrics(systems, ks, item_counts)
    counts = _count_targets(selected.queries, item_counts)
    conditions = [*selected.limits, *baselines_line(tuned), *selection_of(_list_folders(models))]
    result: dict[str, Any] = {
        "protocol": "; ".join([_get_protocol(systems, split), *conditions]),
        "warnings": _get_warnings(counts, exclude_seen),
        "notes": _get_notes(systems, models),
        "catalog": prepared.num_items,
        "query_settings": _get_query_settings(prepared, split, exclude_seen, only),
        "counts": counts,
        "models": systems.models,
        "metric": metric,
        **_build_tables(systems, evaluations, ks, item_counts, metric, against),
        "baselines": tuned,
    }
    if settings.shuffle_test:
        result["order"] = order_rows(
            systems.answers, evaluations, shuffled, selected.queries, metric
        )
    if out is not None:
        _write_folder(out, overwrite, result, systems, evaluations, trained)
        result["out"] = str(out)
    return result


def _compute_metrics(
    systems: SystemsUnderTest, ks: Sequence[int], item_counts: Int[np.ndarray, " I"]
) -> tuple[list[ListMetrics], dict[tuple[str, int], ListMetrics]]:
    """Compute the metrics of all lists, and of those for shuffled histories."""
    evaluate_lists = partial(
        evaluate_system,
        queries=systems.queries,
        ks=ks,
        item_counts=item_counts,
        genres=genre_matrix(systems.prepared.items()),
    )
    evaluations = [evaluate_lists(answer) for answer in systems.answers]
    shuffled = {key: evaluate_lists(answer) for key, answer in systems.shuffled_answers.items()}
    return evaluations, shuffled


def _get_protocol(systems: SystemsUnderTest, split: Split) -> str:
    return protocol_line(
        systems.prepared,
        split,
        len(systems.queries.users),
        systems.exclude_seen,
        systems.get_time_input(),
    )


def _get_warnings(counts: Mapping[str, int], exclude_seen: bool) -> list[str]:
    """Return what makes the table's numbers mean something else than they seem to."""
    num_targets, num_seen = counts["queries"], counts["targets_seen_before"]
    if not exclude_seen or 2 * num_seen <= num_targets:
        return []
    return [
        f"{num_seen:,} of {num_targets:,} targets repeat an item of their history and cannot be "
        "recommended, since lists exclude seen items: add --keep-seen, or prepare the log with "
        "--repeats drop-duplicates or drop-consecutive"
    ]


def _get_notes(systems: SystemsUnderTest, models: Sequence[NamedModel]) -> list[str]:
    """Return warnings about the split, the models' training data and the lists."""
    return [
        *evaluation_notes(systems.prepared),
        *trained_elsewhere(_list_folders(models), systems.prepared),
        *systems.get_notes(),
    ]


def _list_folders(models: Sequence[NamedModel]) -> list[str]:
    """Return the models that are folders or names, without rankers in memory."""
    texts = map(get_model_text, models)
    pairs = zip(models, texts, strict=True)
    return [text for model, text in pairs if isinstance(model, str | Path) or Path(text).is_dir()]


def _get_query_settings(
    prepared: PreparedData, split: Split, exclude_seen: bool, only: str | None
) -> dict[str, Any]:
    """Return the settings that two evaluations must share to be comparable query by query."""
    return {
        "data_fingerprint": prepared.fingerprint,
        "split": split,
        "exclude_seen": exclude_seen,
        "only": only,
    }


def _count_targets(queries: Queries, item_counts: Int[np.ndarray, " I"]) -> dict[str, int]:
    """Return the numbers of queries and of some kinds of targets."""
    return {
        "queries": len(queries.users),
        "targets_without_history": queries.num_without_history,
        "targets_seen_before": queries.num_seen_targets,
        "targets_never_trained_on": int((item_counts[np.concatenate(queries.targets)] == 0).sum()),
    }


def _build_tables(
    systems: SystemsUnderTest,
    evaluations: Sequence[ListMetrics],
    ks: Sequence[int],
    item_counts: Int[np.ndarray, " I"],
    metric: str,
    against: str | None,
) -> dict[str, Any]:
    """Return the rows of systems, of comparisons and of strata."""
    answers, queries = systems.answers, systems.queries
    name = systems.get_name(against)
    return {
        "rows": table_rows(answers, evaluations, queries),
        "comparisons": comparisons(
            answers, evaluations, queries, metric, name, systems.get_untrained()
        ),
        "strata": strata_rows(answers, queries, ks, item_counts, metric),
    }


def _write_folder(
    out: Path,
    overwrite: bool,
    result: Mapping[str, Any],
    systems: SystemsUnderTest,
    evaluations: Sequence[ListMetrics],
    trained: Sequence[TrainedModel],
) -> None:
    """Write the result, every query's metrics and the report."""
    prepared = systems.prepared
    with new_folder(out, overwrite=overwrite) as folder:
        (folder / METRICS_FILE).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        table = per_user_table(systems.answers, evaluations, systems.queries, prepared)
        pq.write_table(table, folder / PER_USER_FILE)
        title = f"seqrec evaluation: {Path(prepared.manifest['source']).name}"
        page = evaluation_page(title, result, trained, environment())
        (folder / REPORT_FILE).write_text(page, encoding="utf-8")
