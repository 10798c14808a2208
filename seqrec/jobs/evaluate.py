"""``seqrec evaluate``: models and baselines side by side, over the full catalog."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from seqrec.arguments import check_arguments
from seqrec.builders.named_models import NamedModel
from seqrec.config.defaults import EVALUATE
from seqrec.data.windows import find_windows
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import (
    Split,
)
from seqrec.jobs.evaluation_options import check_options
from seqrec.jobs.folder_evaluation import Settings, evaluate_folder
from seqrec.jobs.window_evaluation import evaluate_windows
from seqrec.outputs import locate_output, refuse_existing, reserve_output


@check_arguments
def evaluate(
    models: Sequence[NamedModel] = (),
    *,
    data: str | Path,
    split: Split = EVALUATE.split,
    k: Sequence[int] = EVALUATE.k,
    metric: str | None = None,
    against: str | None = None,
    retrieval: Sequence[str] = EVALUATE.retrieval,
    recommendations: Sequence[Any] = (),
    tune_baselines: int = EVALUATE.tune_baselines,
    only: Literal["cold", "warm"] | None = None,
    users_sample: int | None = None,
    shuffle_test: bool = False,
    exclude_seen: bool = True,
    memory_mb: float | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Compare models, baselines and recommendations files on the same queries.

    Args:
        models: run folders (also of several seeds), model folders, baselines as ``NAME`` or
            ``NAME:setting=value,...``, and rankers in memory; one, or a list. A list is also
            optional for ``k``, ``retrieval`` and ``recommendations``. With windows ``{window}`` in
            a name stands for the window's number.
        data: prepared folder, or a folder of windows, each of which is evaluated.
        split: the part whose interactions are the targets.
        k: cut-offs.
        metric: metric of the comparisons; NDCG at the smallest cut-off if absent.
        against: the system that is compared with every other; the first if absent.
        retrieval: search methods of a model's lists; exact search is always included.
        recommendations: recommendations of other systems: files (Parquet, CSV, NDJSON) or frames.
        tune_baselines: number of settings of each baseline to try on validation; 0: the named
            settings.
        only: restrict the targets to items absent from training, or present in it; None: all.
        users_sample: number of random users to evaluate; None: all.
        shuffle_test: evaluate every system again on histories in random order.
        exclude_seen: exclude the items of the history from the lists.
        memory_mb: memory for scores, in MiB; None: chosen for the processor.
        out: folder for ``metrics.json``, ``per_user.parquet`` and ``report.html``.
        overwrite: replace ``out``.

    Returns:
        The protocol, notes and counts; the folder or baseline of each system; a row per system
        with means over its seeds, standard deviations and 95 % intervals; the comparisons; rows
        by stratum of targets and histories; the effect of shuffling, with ``shuffle_test``; the
        baselines' settings.

    Raises:
        SeqRecError: an invalid option, model, data or output.
    """
    ks = sorted(set(k))
    if not ks:
        raise SeqRecError("--k: name a cut-off")
    metric = metric or f"ndcg@{ks[0]}"
    check_options(models, recommendations, split, ks, retrieval, metric, against)
    if out is not None:
        out = locate_output(out)
        refuse_existing(out, overwrite, (data, models, recommendations))
    settings = Settings(
        split,
        ks,
        metric,
        retrieval,
        tune_baselines,
        only,
        users_sample,
        shuffle_test,
        exclude_seen,
        memory_mb,
    )
    folder = None if out is None else Path(out)
    with reserve_output(folder):
        if windows := find_windows(Path(data)):
            return evaluate_windows(
                partial(evaluate_folder, settings),
                models,
                windows,
                recommendations=recommendations,
                against=against,
                out=folder,
                overwrite=overwrite,
            )
        return evaluate_folder(
            settings, models, Path(data), recommendations, against, folder, overwrite
        )
