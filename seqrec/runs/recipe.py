"""One training run: a resolved recipe and open data become a run folder."""

import json
from pathlib import Path
from typing import Any

from seqrec.builders.pretrained import settled
from seqrec.config.objective import RewardModelConfig
from seqrec.config.recipe import Recipe
from seqrec.config.rl import RLConfig
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.objectives.next_item import Job
from seqrec.objectives.reinforcement import RLJob
from seqrec.objectives.reward_model import RewardJob
from seqrec.outputs import METRICS_FILE, describe_os_error, refuse_existing, swap_in
from seqrec.runs.folder import finished, resolved, start_folder, unfinished
from seqrec.runs.processes import run_ranks, work_as_rank
from seqrec.training.callbacks import Watch
from seqrec.training.fit import check_devices


def train_recipe(
    settings: Recipe,
    prepared: PreparedData,
    out: Path,
    *,
    resume: bool,
    overwrite: bool,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """``train`` with a recipe and data that are open already; ``watch`` may end it early."""
    partial_run = unfinished(out)
    settings = settled(settings)
    config = resolved(settings, prepared)
    if resume and not partial_run.exists():
        return finished(out, config)
    refuse_existing(out, overwrite)
    trainer = settings.trainer
    check_devices(trainer.accelerator, trainer.devices)
    is_rl = isinstance(settings.objective, RLConfig)
    job = RLJob.of(settings, prepared) if is_rl else job_of(settings, prepared)
    try:
        start_folder(partial_run, config, resume, overwrite)
        if isinstance(job, RLJob):
            metrics = job.run(partial_run)
        elif trainer.devices == 1:
            metrics = job.run(settings, partial_run, watch)
        else:
            del job
            arguments = {"recipe": settings.model_dump(), "data": str(prepared.path)}
            arguments["folder"] = str(partial_run)
            run_ranks(trainer.devices, "seqrec.runs.recipe", arguments)
            metrics = json.loads((partial_run / METRICS_FILE).read_text())
        swap_in(partial_run, out)
    except FileNotFoundError as error:
        gone = f"{error.filename}: " if error.filename else ""
        raise SeqRecError(f"--out {out}: ended early: {gone}{describe_os_error(error)}") from error
    except OSError as error:
        raise SeqRecError(f"--out {out}: cannot be written: {describe_os_error(error)}") from error
    return {"run": str(out), "model": str(out / "model"), **metrics, "out": str(out)}


def job_of(recipe: Recipe, prepared: PreparedData, rank: int = 0) -> "Job | RewardJob":
    """What one of the run's processes does that step through batches of the log."""
    is_reward_model = isinstance(recipe.objective, RewardModelConfig)
    return (RewardJob if is_reward_model else Job).of(recipe, prepared, rank)


def _train_as_rank(rank: int, arguments: dict[str, Any]) -> None:
    """What each of the processes does that ``train`` starts for several devices."""
    recipe = Recipe.model_validate(arguments["recipe"])
    job = job_of(recipe, PreparedData.open(arguments["data"]), rank)
    work = job.fit if rank else job.run
    work(recipe, Path(arguments["folder"]))


if __name__ == "__main__":
    work_as_rank(_train_as_rank)
