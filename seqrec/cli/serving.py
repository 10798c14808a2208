"""``seqrec recommend`` and ``seqrec export``."""

from pathlib import Path
from typing import Annotated

import typer

import seqrec
from seqrec.cli.options import Json, KeepSeen, MemoryMb, Model, Overwrite
from seqrec.cli.output import print_result
from seqrec.cli.values import parse_feature, parse_history
from seqrec.config.defaults import RECOMMEND

History = Annotated[
    str | None,
    typer.Option(
        help="One history, oldest first: comma-separated item ids, a JSON list of ids or events, "
        "or a .json file of such a list."
    ),
]
AllUsers = Annotated[
    Path | None, typer.Option(help="Prepared folder, to recommend for all of its users.")
]
HistorySplit = Annotated[
    str,
    typer.Option(
        help="With --data: validation or test (histories end before that target), or all (whole "
        "histories)."
    ),
]
ListLength = Annotated[int, typer.Option(help="Number of items to recommend.")]
Condition = Annotated[
    list[str] | None,
    typer.Option(
        "--condition",
        metavar="NAME=VALUE",
        help="Recommend items that will have this feature value, such as rating=5; repeatable.",
    ),
]
Likelihood = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=VALUE", help="Also print the probability of this feature value per item."
    ),
]
Plan = Annotated[
    bool,
    typer.Option(
        "--plan", help="Let the model first predict features of the next item, and condition on it."
    ),
]
Index = Annotated[
    Path | None,
    typer.Option(help="FAISS index of seqrec export to search; default: exact search."),
]
ListsFile = Annotated[Path | None, typer.Option(help="Parquet file to write, with --data.")]

Kind = Annotated[str, typer.Option(help="Format: parquet, numpy or faiss.")]
ExportFolder = Annotated[Path, typer.Option(help="Folder to write.")]
ExportUsers = Annotated[
    Path | None, typer.Option(help="Prepared folder, to export its users' embeddings, too.")
]


def recommend(
    model: Model,
    history: History = None,
    data: AllUsers = None,
    split: HistorySplit = RECOMMEND.split,
    k: ListLength = RECOMMEND.k,
    conditions: Condition = None,
    likelihood: Likelihood = None,
    plan: Plan = False,
    keep_seen: KeepSeen = False,
    memory_mb: MemoryMb = None,
    index: Index = None,
    out: ListsFile = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Recommend the next items, for a history or for all users."""
    from seqrec.reports.verb_lines import recommendation_lines

    result = seqrec.recommend(
        model,
        history=None if history is None else parse_history(history),
        data=data,
        split=split,
        k=k,
        conditions=dict(parse_feature(text, "--condition") for text in conditions or ()),
        likelihood=None if likelihood is None else parse_feature(likelihood, "--likelihood"),
        plan=plan,
        exclude_seen=not keep_seen,
        memory_mb=memory_mb,
        index=index,
        out=out,
        overwrite=overwrite,
    )
    print_result(result, as_json, *recommendation_lines(result, k))


def export(
    model: Model,
    to: Kind,
    out: ExportFolder,
    data: ExportUsers = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Export item embeddings, and with --data user embeddings."""
    from seqrec.reports.verb_lines import export_lines

    result = seqrec.export(model, to=to, out=out, data=data, overwrite=overwrite)
    print_result(result, as_json, *export_lines(result))
