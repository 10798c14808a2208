"""``seqrec evaluate``."""

from pathlib import Path
from typing import Annotated

import typer

import seqrec
from seqrec.cli.options import Json, KeepSeen, MemoryMb, Overwrite, PreparedFolder
from seqrec.cli.output import print_result
from seqrec.cli.values import parse_numbers
from seqrec.config.defaults import EVALUATE

DEFAULT_CUT_OFFS = ",".join(map(str, EVALUATE.k))
DEFAULT_RETRIEVAL = ",".join(EVALUATE.retrieval)

Systems = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL",
        help="Run folders, model folders, or baselines (popularity, item-knn, ease:l2=100, ...).",
    ),
]
Split = Annotated[str, typer.Option(help="Part of the data with the targets: validation or test.")]
CutOffs = Annotated[str, typer.Option(help="Comma-separated cut-offs of the metrics.")]
Metric = Annotated[
    str | None,
    typer.Option(
        help="Metric of the comparisons, such as mrr@10; default: ndcg at the smallest --k."
    ),
]
Against = Annotated[
    str | None, typer.Option(help="System compared with every other; default: the first.")
]
Only = Annotated[
    str | None,
    typer.Option(
        help="cold: only targets absent from training; warm: only the others; default: all."
    ),
]
UsersSample = Annotated[
    int | None, typer.Option(metavar="N", help="Evaluate N random users only, for a quick look.")
]
ShuffleTest = Annotated[
    bool, typer.Option("--shuffle-test", help="Evaluate again with shuffled histories.")
]
Strata = Annotated[
    bool,
    typer.Option("--strata", help="Also print accuracy by target popularity and history length."),
]
Retrieval = Annotated[
    str,
    typer.Option(help="Comma-separated search methods: exact, faiss-flat, faiss-hnsw, faiss-ivf."),
]
Recommendations = Annotated[
    list[Path] | None,
    typer.Option(help="Recommendations file of another system; repeatable."),
]
TuneBaselines = Annotated[
    int,
    typer.Option(
        metavar="N", help="Tune each baseline with N trials on validation; 0: do not tune."
    ),
]
ReportFolder = Annotated[
    Path | None,
    typer.Option(help="Folder to write: metrics, per-user results and an HTML report."),
]


def evaluate(
    data: PreparedFolder,
    models: Systems = None,
    split: Split = EVALUATE.split,
    k: CutOffs = DEFAULT_CUT_OFFS,
    metric: Metric = None,
    against: Against = None,
    only: Only = None,
    users_sample: UsersSample = None,
    shuffle_test: ShuffleTest = False,
    strata: Strata = False,
    retrieval: Retrieval = DEFAULT_RETRIEVAL,
    recommendations: Recommendations = None,
    tune_baselines: TuneBaselines = EVALUATE.tune_baselines,
    keep_seen: KeepSeen = False,
    memory_mb: MemoryMb = None,
    out: ReportFolder = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare models and baselines by ranking the whole catalog."""
    from seqrec.reports.verb_lines import evaluation_lines
    from seqrec.reports.windows import window_lines

    cut_offs = parse_numbers(k, "--k")
    result = seqrec.evaluate(
        models or (),
        data=data,
        split=split,
        k=cut_offs,
        metric=metric,
        against=against,
        only=only,
        users_sample=users_sample,
        shuffle_test=shuffle_test,
        retrieval=retrieval.split(","),
        recommendations=recommendations or (),
        tune_baselines=tune_baselines,
        exclude_seen=not keep_seen,
        memory_mb=memory_mb,
        out=out,
        overwrite=overwrite,
    )
    if "windows" in result:
        lines = window_lines(result)
    else:
        lines = evaluation_lines(result, min(cut_offs), with_strata=strata)
    print_result(result, as_json, *lines)
