"""Baselines tuned on validation, with a number of trials each."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from seqrec.baselines import get_default_settings
from seqrec.baselines.settings import Settings, baseline_text
from seqrec.builders.named_models import NamedModel, open_ranker, parse_baseline
from seqrec.builders.search import ask, load_optuna, start_with
from seqrec.config.search import BASELINE_SPACES, SearchSpace
from seqrec.data.histories import Histories
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import Queries, build_queries, evaluate_lists

SELECTION_K = 10
SELECTION_METRIC = f"ndcg@{SELECTION_K}"
SEED = 0


def tune_named_baselines(
    models: Sequence[NamedModel],
    prepared: PreparedData,
    histories: Histories,
    num_trials: int,
    *,
    exclude_seen: bool = True,
) -> tuple[list[NamedModel], list[dict[str, Any]]]:
    """Tune the baselines among some models.

    Settings in a baseline's name are fixed. The others are the best of ``num_trials`` by the
    validation metric, the defaults among them; without trials they are the defaults.

    Args:
        models: folders, names of baselines and rankers, as in ``evaluate``.
        prepared: the data.
        histories: histories of the data.
        num_trials: number of settings tried for each baseline.
        exclude_seen: exclude seen items from the lists, as the evaluation does.

    Returns:
        The models, each baseline with its settings in its name; and a row for each baseline.

    Raises:
        SeqRecError: a negative number of trials, no optuna, or no validation targets.
    """
    named = [parse_baseline(model) for model in models]
    if num_trials < 0:
        raise SeqRecError(f"--tune-baselines {num_trials}: at least 0")
    queries = None
    if num_trials:
        load_optuna("--tune-baselines")
        queries = build_queries(histories, "validation", prepared.targets)
        if not len(queries.users):
            raise SeqRecError(
                f"--tune-baselines: no user in {prepared.path} has a validation target under "
                f"{prepared.split_by}; prepare with another --split-by"
            )
    tuned: list[NamedModel] = []
    baselines = []
    for model, baseline_name in zip(models, named, strict=True):
        if baseline_name is None:
            tuned.append(model)
            continue
        name, fixed = baseline_name
        space = BASELINE_SPACES.get(name, {})
        space = {key: values for key, values in space.items() if key not in fixed}
        baseline: dict[str, Any] = {"baseline": name}
        settings = get_default_settings(name) | fixed
        if space and queries is not None:
            score = partial(_score, prepared, histories, queries, exclude_seen)
            settings, value = best_settings(name, settings, space, num_trials, score)
            baseline |= {
                "num_trials": num_trials,
                "selection_metric": SELECTION_METRIC,
                "validation": value,
            }
        chosen = settings if space and queries is not None else fixed
        tuned.append(baseline_text(name, chosen))
        baselines.append(baseline | {"settings": settings, "name": baseline_text(name, settings)})
    return tuned, baselines


def best_settings(
    name: str,
    start: Settings,
    space: SearchSpace,
    num_trials: int,
    score: Callable[[str], float],
) -> tuple[Settings, float]:
    """Return the best of ``num_trials`` settings of a baseline, and its metric.

    The first trial is ``start``; later ones that cannot be fitted are skipped. Of equal trials
    the earliest is the best.
    """
    optuna = load_optuna("--tune-baselines")
    study = optuna.create_study(direction="maximize")
    start_with(study, space, start)
    values: dict[str, float | None] = {}
    best, best_value = start, float("-inf")
    for number in range(num_trials):
        trial, suggested = ask(study, space, SEED, number)
        settings = start | suggested
        text = baseline_text(name, settings)
        if text not in values:
            try:
                values[text] = score(text)
            except SeqRecError:
                if number == 0:
                    raise
                values[text] = None
        value = values[text]
        state = optuna.trial.TrialState.FAIL if value is None else None
        study.tell(trial, value, state=state)
        if value is not None and value > best_value:
            best, best_value = settings, value
        outcome = "cannot be fitted" if value is None else f"{SELECTION_METRIC} {value:.4f}"
        print(f"trial {number + 1} of {num_trials}: {outcome}  {text}", file=sys.stderr, flush=True)
    return best, best_value


def _score(
    prepared: PreparedData,
    histories: Histories,
    queries: Queries,
    exclude_seen: bool,
    baseline: str,
) -> float:
    """Return the selection metric of a baseline on validation."""
    ranker = open_ranker(baseline, prepared, histories)
    items = ranker.rank(queries.histories, SELECTION_K, exclude_seen=exclude_seen).items
    return evaluate_lists(items, queries, [SELECTION_K], prepared.num_items).metrics[
        SELECTION_METRIC
    ]


def baselines_line(baselines: Sequence[dict[str, Any]]) -> list[str]:
    """Return the line of the protocol about tuned baselines; empty without baselines."""
    tuned = [baseline for baseline in baselines if "num_trials" in baseline]
    if not tuned:
        return ["baselines not tuned"] if baselines else []
    fixed = [baseline["name"] for baseline in baselines if "num_trials" not in baseline]
    return [
        f"baselines tuned: best of {tuned[0]['num_trials']} settings by validation "
        f"{SELECTION_METRIC}" + f", but for {', '.join(fixed)}" * bool(fixed)
    ]
