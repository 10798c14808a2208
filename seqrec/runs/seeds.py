"""Runs of several seeds in one folder, ``OUT/seed-N``, and their summary."""

import shutil
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seqrec.builders.named_models import SEED_PREFIX
from seqrec.errors import SeqRecError
from seqrec.outputs import refuse_existing, swap_in
from seqrec.runs.folder import CONFIG_FILE, refuse_unfinished, unfinished


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse an empty list of seeds, and repeated seeds."""
    if not seeds or len(set(seeds)) < len(seeds):
        raise SeqRecError(f"--seeds {','.join(map(str, seeds))}: name different seeds")


@contextmanager
def seeds_folder(out: Path, resume: bool, overwrite: bool) -> Iterator[Path]:
    """Yield the folder in which runs of several seeds are worked on; it becomes ``out`` at the end.

    ``resume`` continues in it, or adds to a finished ``out``, which is restored on failure.
    """
    folder, is_moved = unfinished(out), False
    is_single = (folder / CONFIG_FILE).exists()
    if not resume:
        begun = next(out.glob(f"{SEED_PREFIX}*.partial"), folder)
        refuse_unfinished(begun, overwrite)
        refuse_existing(out, overwrite)
        if is_single:
            shutil.rmtree(folder)
    elif is_single:
        raise SeqRecError(f"{folder}: holds a run of one seed; resume it without --seeds")
    elif not folder.exists():
        if not any(out.glob(f"{SEED_PREFIX}*")):
            raise SeqRecError(f"--resume: {folder} does not exist; start without --resume")
        out.rename(folder)
        is_moved = True
    try:
        yield folder
    except BaseException:
        if is_moved:
            folder.rename(out)
        raise
    swap_in(folder, out)


def over_seeds(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return means and standard deviations of the validation metrics over runs, and the runs."""
    values = {key: [run["validation"][key] for run in runs] for key in runs[0]["validation"]}
    return {
        "selection_metric": runs[0]["selection_metric"],
        "protocol": runs[0]["protocol"],
        "validation": {key: statistics.fmean(of) for key, of in values.items()},
        "sd": {key: statistics.stdev(of) if len(of) > 1 else 0.0 for key, of in values.items()},
        "train_seconds": round(sum(run["costs"]["train_seconds"] for run in runs), 1),
        "runs": list(runs),
    }
