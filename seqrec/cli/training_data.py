"""``seqrec pairs`` and ``seqrec cache``: what training reads beside a prepared folder."""

from pathlib import Path
from typing import Annotated

import typer

import seqrec
from seqrec.cli.options import Json, Overwrite, PreparedFolder
from seqrec.cli.output import print_result
from seqrec.config.defaults import PAIRS

PairsOut = Annotated[Path, typer.Option(help="Pairs file to write: .parquet, .csv or .ndjson.")]
PairSource = Annotated[
    str,
    typer.Option(
        help="Origin of the pairs: ratings, implicit (watched against recommended items; needs "
        "--model) or file (needs --file)."
    ),
]
ComparisonsFile = Annotated[
    Path | None, typer.Option(help="File of human comparisons: Parquet, NDJSON, CSV or TSV.")
]
Policy = Annotated[
    str | None,
    typer.Option(help="Run folder, model folder or baseline whose recommendations are rejected."),
]
ListLength = Annotated[int, typer.Option(help="Items recommended by --model for a history.")]
NumRejected = Annotated[
    int, typer.Option(help="Rejected items of a pair, drawn from the recommended ones.")
]
PerUser = Annotated[int, typer.Option(help="Largest number of pairs of a user.")]
Liked = Annotated[float, typer.Option(help="Smallest rating of a chosen item.")]
Disliked = Annotated[float, typer.Option(help="Largest rating of a rejected item.")]
Horizon = Annotated[
    int,
    typer.Option(help="Interactions after a history from which its rated items are drawn."),
]
MinHistory = Annotated[int, typer.Option(help="Smallest number of items in a history.")]
MaxHistory = Annotated[
    int, typer.Option(help="Largest number of items written of a history, the last ones.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the random draws.")]

Teachers = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL", help="Run or model folders; probabilities of several are averaged."
    ),
]
CacheOut = Annotated[
    Path,
    typer.Option(
        help="Folder to write, for objective.cache; with --pairs a Parquet file, for "
        "objective.reference."
    ),
]
PairsFile = Annotated[
    Path | None, typer.Option(help="Pairs file, to cache one model's log-probabilities of it.")
]
TopK = Annotated[
    int | None,
    typer.Option("--k", help="Items with logits at each position; default: 100, or the catalog."),
]
MaxLength = Annotated[
    int | None,
    typer.Option(help="Equal to data.max_length in training; default: that of the models."),
]
Windows = Annotated[
    str | None,
    typer.Option(help="all, last or prefixes, equal to data.windows in training; default: all."),
]
Stride = Annotated[int | None, typer.Option(help="Equal to data.stride in training, if set.")]


def pairs(
    data: PreparedFolder,
    out: PairsOut,
    source: PairSource,
    file: ComparisonsFile = None,
    model: Policy = None,
    k: ListLength = PAIRS.k,
    num_rejected: NumRejected = PAIRS.num_rejected,
    per_user: PerUser = PAIRS.per_user,
    liked: Liked = PAIRS.liked,
    disliked: Disliked = PAIRS.disliked,
    horizon: Horizon = PAIRS.horizon,
    min_history: MinHistory = PAIRS.min_history,
    max_history: MaxHistory = PAIRS.max_history,
    seed: Seed = PAIRS.seed,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write preference pairs: a history, a chosen and rejected items."""
    from seqrec.reports.verb_lines import pairs_lines

    result = seqrec.pairs(
        data=data,
        out=out,
        source=source,
        file=file,
        model=model,
        k=k,
        num_rejected=num_rejected,
        per_user=per_user,
        liked=liked,
        disliked=disliked,
        horizon=horizon,
        min_history=min_history,
        max_history=max_history,
        seed=seed,
        overwrite=overwrite,
    )
    print_result(result, as_json, *pairs_lines(result))


def cache(
    models: Teachers,
    data: PreparedFolder,
    out: CacheOut,
    pairs: PairsFile = None,
    k: TopK = None,
    max_length: MaxLength = None,
    windows: Windows = None,
    stride: Stride = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Cache predictions of models, to train without loading them.

    Without --pairs: the top logits at every position of the training part, for objective
    distillation. With --pairs: log-probabilities of the pairs, for objective preference.
    """
    from seqrec.reports.verb_lines import cache_lines

    result = seqrec.cache(
        models,
        data=data,
        out=out,
        pairs=pairs,
        k=k,
        max_length=max_length,
        windows=windows,  # type: ignore[arg-type]
        stride=stride,
        overwrite=overwrite,
    )
    print_result(result, as_json, *cache_lines(result))
