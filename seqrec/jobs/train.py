"""``seqrec train``: a recipe and a prepared folder become a run folder."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqrec.arguments import check_arguments
from seqrec.builders.named_models import SEED_PREFIX, seed_folders
from seqrec.config.given_overrides import Overrides, format_overrides
from seqrec.config.load import load_recipe, load_recipe_of_seed
from seqrec.errors import SeqRecError
from seqrec.outputs import (
    METRICS_FILE,
    describe_os_error,
    locate_output,
    lock_output,
    refuse_existing,
)
from seqrec.runs.folder import unfinished
from seqrec.runs.inputs import list_reads
from seqrec.runs.random_state import keep_random_state
from seqrec.runs.recipe import open_data, train_recipe
from seqrec.runs.seeds import check_seeds, over_seeds, seeds_folder


@check_arguments
def train(
    recipe: str | Path,
    *,
    data: str | Path,
    out: str | Path,
    overrides: Overrides = (),
    seeds: Sequence[int] | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train a model and write its run folder.

    The run is written to ``OUT.partial``, which is renamed to ``OUT`` at the end. ``resume``
    continues an interrupted run; with a larger ``trainer.max_epochs`` also a finished one, which
    stays in place until the longer one replaces it. The global random state of the process does
    not change.

    Args:
        recipe: a shipped recipe's name or a YAML file.
        data: prepared folder; for recipes on text a file, folder or pattern of examples.
        out: the run folder.
        overrides: settings as ``key.path=value``, or a mapping such as
            ``{"trainer.max_epochs": 3}`` or ``{"trainer": {"max_epochs": 3}}``.
        seeds: seeds of several runs, each in ``OUT/seed-N``: a list, one number, or text such as
            ``"0,1"``. ``resume`` trains the missing runs and includes other seeds of the folder.
            ``{seed}`` in an override is replaced by the run's seed, so that each run can start
            from a model of the same seed.
        resume: continue an interrupted run, or a finished one with more epochs.
        overwrite: replace ``out``.

    Returns:
        The content of ``metrics.json`` (see ``seqrec.runs.result``), the run folder and the model
        folder. With ``seeds``: means and standard deviations of the validation metrics, and every
        run's result.

    Raises:
        SeqRecError: a mistake in recipe, data, seeds or folders.
    """
    out, texts = locate_output(out), format_overrides(overrides)
    with keep_random_state():
        if seeds is not None:
            return _train_seeds(recipe, data, out, texts, seeds, resume, overwrite)
        settings = load_recipe(recipe, texts)
        if overwrite or not resume:
            refuse_existing(out, overwrite, list_reads(recipe, data, [settings]))
        prepared = open_data(settings, data)
        return train_recipe(settings, prepared, out, resume=resume, overwrite=overwrite)


def _train_seeds(
    recipe: str | Path,
    data: str | Path,
    out: Path,
    overrides: Sequence[str],
    seeds: Sequence[int],
    resume: bool,
    overwrite: bool,
) -> dict[str, Any]:
    """Train a run for each seed; see ``train``."""
    check_seeds(seeds)
    if overwrite:
        named = [load_recipe_of_seed(recipe, overrides, seed) for seed in seeds]
        refuse_existing(out, overwrite, list_reads(recipe, data, named))
    prepared = open_data(load_recipe_of_seed(recipe, overrides, seeds[0]), data)
    try:
        with lock_output(out), seeds_folder(out, resume, overwrite) as folder:
            if resume:
                seeds = sorted({*seeds, *seed_folders(folder)})
            recipes = [load_recipe_of_seed(recipe, overrides, seed) for seed in seeds]
            runs = []
            for seed, settings in zip(seeds, recipes, strict=True):
                run = folder / f"{SEED_PREFIX}{seed}"
                is_begun = resume and (run.exists() or unfinished(run).exists())
                trained = train_recipe(
                    settings, prepared, run, resume=is_begun, overwrite=overwrite
                )
                final = out / run.name
                paths = {"run": str(final), "model": str(final / "model"), "out": str(final)}
                runs.append({**trained, **paths})
            for seed, run in seed_folders(folder).items():
                if seed not in seeds:  # part of an unfinished run that this one replaces
                    shutil.rmtree(run)
            result = {"seeds": list(seeds), **over_seeds(runs), "out": str(out)}
            (folder / METRICS_FILE).write_text(
                json.dumps(result, indent=2) + "\n", encoding="utf-8"
            )
    except OSError as error:
        raise SeqRecError(f"--out {out}: cannot be written: {describe_os_error(error)}") from error
    return result
