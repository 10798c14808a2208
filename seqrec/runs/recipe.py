"""One training run: a resolved recipe and open data become a run folder."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqrec.config.load import parse_recipe, with_settings
from seqrec.config.recipe import Recipe
from seqrec.config.text_recipe import TextRecipe
from seqrec.errors import SeqRecError
from seqrec.objectives.distillation import DistillationObjective
from seqrec.objectives.interface import MODEL_FOLDER, Objective
from seqrec.objectives.mixed_sft import MixedSFTObjective
from seqrec.objectives.preference import PreferenceObjective
from seqrec.objectives.reinforcement import RLObjective
from seqrec.objectives.reward_model import RewardModelObjective
from seqrec.objectives.search import SearchObjective
from seqrec.objectives.sft import SFTObjective
from seqrec.objectives.text_distillation import TextDistillationObjective
from seqrec.objectives.text_preference import TextPreferenceObjective
from seqrec.objectives.text_sft import TextSFTObjective
from seqrec.outputs import (
    METRICS_FILE,
    describe_os_error,
    lock_output,
    refuse_existing,
    settle_output,
    swap_in,
)
from seqrec.runs.card import describe_data, write_card
from seqrec.runs.folder import (
    check_finished,
    get_run_name,
    has_fewer_epochs,
    reopen,
    run_config,
    start_folder,
    unfinished,
)
from seqrec.runs.processes import run_ranks, work_as_rank
from seqrec.runs.result import RunResult, read_result
from seqrec.training.callbacks import ShouldStop
from seqrec.training.fit import FitResult, check_devices
from seqrec.training.trackers import check_trackers, open_tracker

OBJECTIVES: dict[str, type[Objective]] = {
    "sft": SFTObjective,
    "preference": PreferenceObjective,
    "distillation": DistillationObjective,
    "reward_model": RewardModelObjective,
    "search": SearchObjective,
    "rl": RLObjective,
    "text_sft": TextSFTObjective,
    "text_preference": TextPreferenceObjective,
    "text_distillation": TextDistillationObjective,
    "mixed_sft": MixedSFTObjective,
}
"""The implementation of each ``objective.name``."""
STRICT_FOLDER = "strict"
"""The run inside a refit run's folder whose validation made the choices."""


def train_recipe(
    recipe: Recipe | TextRecipe,
    prepared: Any,
    out: Path,
    *,
    resume: bool,
    overwrite: bool,
    should_stop: ShouldStop | None = None,
) -> dict[str, Any]:
    """Train a recipe on open data and write its run folder.

    Args:
        recipe: of the run.
        prepared: the data, of ``open_data``.
        out: the run folder.
        resume: continue an interrupted run, or a finished one with more epochs.
        overwrite: replace ``out``.
        should_stop: ends training early; needs one device and validation queries.

    Returns:
        The run's result and paths, as ``read_result`` returns them.

    Raises:
        SeqRecError: a mistake in the recipe, the data or the folders.
    """
    partial_run = unfinished(out)
    recipe = OBJECTIVES[recipe.objective.name].resolve(recipe)
    config = describe_run(recipe, prepared)
    grows = False
    if resume:
        settle_output(out)
        grows = has_fewer_epochs(out, config)
        if not partial_run.exists() and not grows:
            check_finished(out, config)
            return read_result(out)
    replaces = overwrite or grows
    refuse_existing(out, replaces)
    trainer = recipe.trainer
    check_devices(trainer.accelerator, trainer.devices)
    check_trackers(trainer.tracker)
    objective = OBJECTIVES[recipe.objective.name].build(recipe, prepared)
    if describe_run(recipe, prepared) != config:
        raise SeqRecError(
            "a model or file of the recipe was replaced while it was read; start again"
        )
    try:
        with lock_output(out):
            refuse_existing(out, replaces)
            if grows and not partial_run.exists():
                reopen(out, partial_run)
            start_folder(partial_run, config, resume, overwrite)
            if trainer.refit is not None:
                run_refit(objective, partial_run, should_stop)
            elif trainer.devices == 1:
                run_objective(objective, partial_run, should_stop)
            else:
                del objective
                arguments = {"recipe": recipe.model_dump(), "data": str(prepared.path)}
                arguments["folder"] = str(partial_run)
                run_ranks(trainer.devices, "seqrec.runs.recipe", arguments)
            swap_in(partial_run, out)
    except FileNotFoundError as error:
        missing = f"{error.filename}: " if error.filename else ""
        raise SeqRecError(
            f"--out {out}: ended early: {missing}{describe_os_error(error)}"
        ) from error
    except OSError as error:
        raise SeqRecError(f"--out {out}: cannot be written: {describe_os_error(error)}") from error
    return read_result(out)


def open_data(recipe: Recipe | TextRecipe, path: str | Path) -> Any:
    """Open the data that the recipe's objective reads.

    Raises:
        SeqRecError: no such data, or data of another kind.
    """
    return OBJECTIVES[recipe.objective.name].open_data(path)


def describe_run(recipe: Recipe | TextRecipe, prepared: Any) -> dict[str, Any]:
    """Return every setting of the run and the fingerprints of its inputs; itself a recipe."""
    objective = OBJECTIVES[recipe.objective.name]
    sources = {**objective.get_named_sources(recipe), **objective.get_sources(recipe)}
    return run_config(recipe, prepared.provenance, sources)


def run_objective(
    objective: Objective, folder: Path, should_stop: ShouldStop | None = None
) -> RunResult:
    """Train, save and judge a model in a run folder, and write ``metrics.json``.

    Args:
        objective: of one process, or of the first of several.
        folder: empty but for ``config.yaml``, or of an interrupted run, which is continued.
        should_stop: ends training early.
    """
    started = time.perf_counter()
    for notice in objective.notices:
        print(notice, file=sys.stderr, flush=True)
    fit = _fit(objective, folder, should_stop)
    outcome = objective.after(folder, fit)
    objective.save(folder / MODEL_FOLDER)
    details = {**outcome.details, **objective.measure(folder / MODEL_FOLDER)}
    result = RunResult(
        objective=objective.recipe.objective.name,
        num_steps=fit.num_steps,
        num_epochs=fit.num_epochs,
        best_epoch=outcome.best_epoch,
        num_parameters=objective.model.num_parameters(),
        selection_metric=objective.selection_metric,
        validation_before=outcome.validation_before,
        validation=outcome.validation,
        details=details,
        costs=outcome.costs,
        protocol=objective.protocol,
        wall_seconds=round(time.perf_counter() - started, 1),
    )
    result.write(folder)
    name, data = get_run_name(folder), describe_data(objective.prepared)
    write_card(folder / MODEL_FOLDER, name, objective.recipe, data, result)
    return result


def _fit(objective: Objective, folder: Path, should_stop: ShouldStop | None) -> FitResult:
    """Train under the trackers that the recipe names."""
    settings = objective.recipe.model_dump()
    names = objective.recipe.trainer.tracker
    tracker = open_tracker(names, folder, get_run_name(folder), settings)
    objective.tracker = tracker
    status = "failed"
    try:
        objective.before()
        fit = objective.fit(folder, should_stop)
        status = "success"
    finally:
        tracker.close(status)
    return fit


def run_refit(
    objective: Objective, folder: Path, should_stop: ShouldStop | None = None
) -> RunResult:
    """Train strictly in the folder ``strict``, then once more on the validation part, too.

    The validation metrics of the result are the strict model's.
    """
    recipe, prepared, strict = objective.recipe, objective.prepared, folder / STRICT_FOLDER
    if not (strict / METRICS_FILE).exists():
        if not strict.exists():
            strict_recipe = with_settings(recipe, {"trainer.refit": None})
            start_folder(strict, describe_run(strict_recipe, prepared), False, False)
        run_objective(objective, strict, should_stop)
    chosen = read_result(strict)
    again = objective.build_refit(chosen)
    print(f"refit: {chosen['best_epoch']} epochs on training and validation", file=sys.stderr)
    result = run_objective(again, folder)
    result = replace(
        result,
        best_epoch=chosen["best_epoch"],
        validation=chosen["validation"],
        details={**result.details, "refit": STRICT_FOLDER},
        protocol=f"{chosen['protocol']}; refit on validation after it",
    )
    result.write(folder)
    return result


def _train_as_rank(rank: int, arguments: dict[str, Any]) -> None:
    """Run one of the processes that ``train_recipe`` starts for several devices."""
    recipe = parse_recipe(arguments["recipe"], "of the run")
    prepared = open_data(recipe, arguments["data"])
    objective = OBJECTIVES[recipe.objective.name].build(recipe, prepared, rank)
    folder = Path(arguments["folder"])
    if rank:
        objective.before()
        objective.fit(folder)
    else:
        run_objective(objective, folder)


if __name__ == "__main__":
    work_as_rank(_train_as_rank)
