"""``seqrec tune``: a resumable search for the settings with the best validation metric."""

import json
import shutil
from pathlib import Path
from typing import Any

from seqrec.arguments import check_arguments
from seqrec.builders.search import load_optuna, study_errors_as_os_error
from seqrec.config.defaults import TUNE
from seqrec.config.given_overrides import Overrides, format_overrides
from seqrec.config.load import load_recipe, load_search
from seqrec.config.recipe import Recipe
from seqrec.config.search import SearchSpace, space_settings
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.outputs import (
    describe_os_error,
    locate_output,
    lock_output,
    refuse_existing,
    swap_in,
)
from seqrec.runs.folder import (
    CONFIG_FILE,
    check_same,
    start_folder,
    unfinished,
)
from seqrec.runs.inputs import list_reads
from seqrec.runs.recipe import describe_run
from seqrec.runs.search import BEST_FILE, TRIALS_FILE, TRIALS_FOLDER, Search, trial_table

COMPARED_BY = {"trainer.selection_metric", "trainer.devices", "trainer.accelerator"}


@check_arguments
def tune(
    recipe: str | Path,
    *,
    data: str | Path,
    out: str | Path,
    trials: int = TUNE.trials,
    overrides: Overrides = (),
    search: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train a recipe with different settings, and keep the best model.

    The first trial has the recipe's own settings; a warning names those outside the search space.
    Settings are never trained twice. A trial ends early if, at some epoch, its best validation
    metric is below the median of earlier trials at that epoch. Complete trials are compared by
    their final models, after calibration such as the transition prior's strength. The test part is
    never read.

    The search is written to ``OUT.partial``, which is renamed to ``OUT`` at the end. ``resume``
    continues an interrupted search, within the interrupted trial; the trials are the same as
    without the interruption. It also adds trials to a finished search; if that is interrupted, the
    search is restored with the trials that ended.

    Args:
        recipe: a shipped recipe's name or a YAML file.
        data: prepared folder.
        out: folder for ``best.yaml``, ``trials.json``, ``.txt`` and ``.png``, and a folder per
            trial; only the best trial keeps its weights.
        trials: total number of trials.
        overrides: recipe settings as ``key.path=value``, or a mapping; see ``train``.
        search: YAML file with a ``search`` block, instead of the recipe's own.
        resume: continue an interrupted search, or add trials to a finished one.
        overwrite: replace ``out``.

    Returns:
        The trials, the best trial, its recipe and its model.

    Raises:
        SeqRecError: a mistake in recipe, search space, data or folders; no trial succeeded.
    """
    texts = format_overrides(overrides)
    settings = load_recipe(recipe, texts)
    if not isinstance(settings, Recipe):
        raise SeqRecError(
            "tune: searches over recipes for prepared data; run seqrec train with each setting of "
            "a text recipe"
        )
    space = load_search(recipe, texts, search)
    load_optuna("tune")
    out = locate_output(out)
    if overwrite or not resume:
        refuse_existing(out, overwrite, list_reads(recipe, data, [settings], search))
    prepared = PreparedData.open(data)
    _check(settings, prepared, trials)
    if compared := COMPARED_BY & set(space):
        raise SeqRecError(f"search: {compared.pop()} cannot be searched, as all trials share it")
    try:
        with lock_output(out), study_errors_as_os_error():
            return _search(settings, space, prepared, out, trials, resume, overwrite)
    except OSError as error:
        raise SeqRecError(f"--out {out}: cannot be written: {describe_os_error(error)}") from error


def _search(
    settings: Recipe,
    space: SearchSpace,
    prepared: PreparedData,
    out: Path,
    trials: int,
    resume: bool,
    overwrite: bool,
) -> dict[str, Any]:
    """Start or continue the search in ``OUT.partial``, and move it to ``out``; see ``tune``."""
    folder = unfinished(out)
    config = {**describe_run(settings, prepared), "search": space_settings(space)}
    was_finished = False
    if resume and not folder.exists():
        if not (out / TRIALS_FILE).exists():
            raise SeqRecError(f"--resume: {folder} does not exist; start without --resume")
        check_same(out / CONFIG_FILE, config, is_finished=True)
        if len(json.loads((out / TRIALS_FILE).read_text(encoding="utf-8"))["trials"]) >= trials:
            return _result(out)
        out.rename(folder)
        was_finished = True
    refuse_existing(out, overwrite)
    start_folder(folder, config, resume, overwrite)
    search_ = Search.open(settings, space, prepared, folder)
    try:
        for number in range(len(search_.ended()), trials):
            search_.run(number, trials)
    except BaseException:
        if was_finished:
            search_.write()
            folder.rename(out)
        raise
    if search_.best() is None:
        first = search_.ended()[0]
        shutil.rmtree(folder)
        raise SeqRecError(f"tune: no trial succeeded; the first: {first['reason']}")
    search_.write()
    swap_in(folder, out)
    return _result(out)


def _check(recipe: Recipe, prepared: PreparedData, trials: int) -> None:
    if trials < 1:
        raise SeqRecError(f"--trials {trials}: at least 1")
    if not recipe.objective.has_epochs:
        raise SeqRecError(
            "tune: a search compares epochs, but objective rl has none; run seqrec train with "
            "each setting"
        )
    if recipe.trainer.devices > 1:
        raise SeqRecError("trainer.devices: a search trains on one device; set it to 1")
    if not prepared.manifest["counts"].get("validation"):
        raise SeqRecError(
            f"{prepared.path}: no user has a validation target under {prepared.split_by}, which "
            "the search needs; prepare with another --split-by"
        )


def _result(out: Path) -> dict[str, Any]:
    content = json.loads((out / TRIALS_FILE).read_text(encoding="utf-8"))
    model = out / TRIALS_FOLDER / f"{content['best']['trial']:03d}"
    return {
        **content,
        "table": trial_table(content["trials"]),
        "recipe": str(out / BEST_FILE),
        "model": str(model),
        "out": str(out),
    }
