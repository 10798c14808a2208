"""Baselines tuned on validation, by as many trials as they are given."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from seqrec.baselines import settings_of
from seqrec.baselines.settings import Settings, baseline_text
from seqrec.builders.named_models import baseline_of, open_ranker
from seqrec.builders.search import ask, optuna_of, start_with
from seqrec.config.search import BASELINE_SPACES, SearchSpace
from seqrec.data.histories import Histories
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import Queries, judge, queries_of

SELECTION_K = 10
SELECTION_METRIC = f"ndcg@{SELECTION_K}"
SEED = 0


def tuned_baselines(
    models: Sequence[str | Path],
    prepared: PreparedData,
    histories: Histories,
    num_trials: int,
    *,
    exclude_seen: bool = True,
) -> tuple[list[str | Path], list[dict[str, Any]]]:
    """The same models with every baseline's settings in its name, and what these are.

    Settings that a name already holds stay. The others are the best of ``num_trials`` by the
    validation metric, the defaults among them; the defaults themselves without trials.

    Args:
        models: as ``evaluate`` takes them.
        prepared: the data.
        histories: of the data.
        num_trials: settings tried for each baseline.
        exclude_seen: leave out what stands in the history, as the evaluation will.
    """
    named = [baseline_of(model) for model in models]
    if num_trials < 0:
        raise SeqRecError(f"--tune-baselines {num_trials}: at least 0")
    queries = None
    if num_trials:
        optuna_of("--tune-baselines")
        queries = queries_of(histories, "validation", prepared.targets)
        if not len(queries.users):
            raise SeqRecError(
                f"--tune-baselines: nobody in {prepared.path} has a validation target under "
                f"{prepared.split_by}; prepare with another --split-by"
            )
    settled: list[str | Path] = []
    baselines = []
    for model, of_name in zip(models, named, strict=True):
        if of_name is None:
            settled.append(model)
            continue
        name, given = of_name
        space = BASELINE_SPACES.get(name, {})
        space = {key: values for key, values in space.items() if key not in given}
        baseline: dict[str, Any] = {"baseline": name}
        settings = settings_of(name) | given
        if space and queries is not None:
            value_of = partial(_value_of, prepared, histories, queries, exclude_seen)
            settings, value = best_settings(name, settings, space, num_trials, value_of)
            baseline |= {
                "num_trials": num_trials,
                "selection_metric": SELECTION_METRIC,
                "validation": value,
            }
        chosen = settings if space and queries is not None else given
        settled.append(baseline_text(name, chosen))
        baselines.append(baseline | {"settings": settings, "name": baseline_text(name, settings)})
    return settled, baselines


def best_settings(
    name: str,
    start: Settings,
    space: SearchSpace,
    num_trials: int,
    value_of: Callable[[str], float],
) -> tuple[Settings, float]:
    """The best of ``num_trials`` settings of a baseline, the earliest of equals, and its value.

    The first trial is ``start``; a later one that cannot be fitted is passed over.
    """
    optuna = optuna_of("--tune-baselines")
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
                values[text] = value_of(text)
            except SeqRecError:
                if number == 0:
                    raise
                values[text] = None
        value = values[text]
        state = optuna.trial.TrialState.FAIL if value is None else None
        study.tell(trial, value, state=state)
        if value is not None and value > best_value:
            best, best_value = settings, value
        said = "cannot be fitted" if value is None else f"{SELECTION_METRIC} {value:.4f}"
        print(f"trial {number + 1} of {num_trials}: {said}  {text}", file=sys.stderr, flush=True)
    return best, best_value


def _value_of(
    prepared: PreparedData,
    histories: Histories,
    queries: Queries,
    exclude_seen: bool,
    baseline: str,
) -> float:
    """The selection metric of a baseline on validation."""
    ranker = open_ranker(baseline, prepared, histories)
    items = ranker.rank(queries.histories, SELECTION_K, exclude_seen=exclude_seen).items
    return judge(items, queries, [SELECTION_K], prepared.num_items).metrics[SELECTION_METRIC]


def baselines_line(baselines: Sequence[dict[str, Any]]) -> list[str]:
    """What the protocol adds on how baselines came by their settings; nothing without baselines."""
    tuned = [baseline for baseline in baselines if "num_trials" in baseline]
    if not tuned:
        return ["baselines not tuned"] if baselines else []
    fixed = [baseline["name"] for baseline in baselines if "num_trials" not in baseline]
    return [
        f"baselines tuned: best of {tuned[0]['num_trials']} settings by validation "
        f"{SELECTION_METRIC}" + f", but for {', '.join(fixed)}" * bool(fixed)
    ]
