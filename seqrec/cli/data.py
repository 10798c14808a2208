"""``seqrec datasets`` and ``seqrec prepare``."""

from pathlib import Path
from typing import Annotated

import typer

import seqrec
from seqrec.cli.options import Json, Overwrite
from seqrec.cli.output import print_result
from seqrec.config.defaults import PREPARE

Source = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Name of a known dataset (see seqrec datasets); a file, a folder of one log's files, "
        "a pattern such as 'logs/*.csv', a URL, or several of these.",
    ),
]
PreparedOut = Annotated[Path | None, typer.Option(help="Prepared folder to write.")]
SplitBy = Annotated[
    str,
    typer.Option(
        help="leave-one-out, last-n:N, global-time:Q (Q: share of interactions before the cut), "
        "date:[VALIDATION,]TEST[,END] (first times, UTC), none, or windows:START,LENGTH,COUNT "
        "(a date split each LENGTH, such as 7d)."
    ),
]
Targets = Annotated[
    str,
    typer.Option(
        help="Test targets of splits by time: last (each user's last interaction) or successive "
        "(every one after the cut, in turn)."
    ),
]
UserColumn = Annotated[
    str | None, typer.Option(help="User column of the log; default: guessed from its name.")
]
ItemColumn = Annotated[
    str | None, typer.Option(help="Item column of the log; default: guessed from its name.")
]
TimeColumn = Annotated[
    str | None,
    typer.Option(
        help="Time column of the log, or none; default: guessed from its name and values."
    ),
]
RatingColumn = Annotated[
    str | None, typer.Option(help="Rating column of the log; default: guessed from its name.")
]
OrderColumn = Annotated[
    str | None,
    typer.Option(
        help="Column that holds each user's order within equal times, or where there are no times."
    ),
]
TimeFormat = Annotated[
    str | None,
    typer.Option(
        help="day-first, month-first, spreadsheet-days, a format for strptime such as %d.%m.%y, or "
        "the unit since 1970: s, ms, us or ns; default: as the values show."
    ),
]
MissingIds = Annotated[
    str,
    typer.Option(help="Rows without a user or an item: refuse the log, or drop them."),
]
VerbatimIds = Annotated[
    bool,
    typer.Option(
        "--verbatim-ids",
        help="Keep ids as they are: spaces around them, 1000.0, and words for nothing like NULL.",
    ),
]
Explain = Annotated[
    bool,
    typer.Option(
        "--explain",
        help="Print how the log was understood and five users' histories; write nothing.",
    ),
]
Append = Annotated[
    bool,
    typer.Option("--append", help="Add the rows to the prepared folder --to, with its options."),
]
AppendTo = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Prepared folder that --append adds rows to.")
]
Format = Annotated[
    str | None,
    typer.Option(help="csv, parquet, arrow, ndjson or sequences; default: guessed from the file."),
]
Where = Annotated[
    str | None,
    typer.Option(
        help="Read only the rows for which this SQL expression is true: \"event = 'watch'\"."
    ),
]
MinRating = Annotated[float | None, typer.Option(help="Drop rows with a lower rating.")]
MinUser = Annotated[
    int, typer.Option(min=1, help="Drop users with fewer interactions (k-core, with --min-item).")
]
MinItem = Annotated[
    int, typer.Option(min=1, help="Drop items with fewer interactions (k-core, with --min-user).")
]
Repeats = Annotated[
    str,
    typer.Option(
        help="keep; drop-duplicates: drop rows equal to an earlier one in every column; or "
        "drop-consecutive: merge an item's repetitions in a row."
    ),
]
ColdShare = Annotated[
    float,
    typer.Option(
        help="Share of the items kept out of training and validation, to test cold start."
    ),
]
ItemFile = Annotated[
    Path | None,
    typer.Option(help="File with features of the items: CSV, Parquet or NDJSON."),
]
CatalogChoice = Annotated[
    str,
    typer.Option(help="watched: items with interactions; all: also the others of --items."),
]


def datasets(as_json: Json = False) -> None:
    """List the known datasets: size, licence, location."""
    from seqrec.reports.verb_lines import datasets_lines

    result = seqrec.datasets()
    print_result(result, as_json, *datasets_lines(result))


def prepare(
    source: Source,
    out: PreparedOut = None,
    split_by: SplitBy = PREPARE.split_by,
    targets: Targets = PREPARE.targets,
    user: UserColumn = None,
    item: ItemColumn = None,
    time: TimeColumn = None,
    rating: RatingColumn = None,
    order: OrderColumn = None,
    format: Format = None,
    where: Where = None,
    time_format: TimeFormat = None,
    missing_ids: MissingIds = PREPARE.missing_ids,
    verbatim_ids: VerbatimIds = False,
    min_rating: MinRating = None,
    min_user: MinUser = PREPARE.min_user,
    min_item: MinItem = PREPARE.min_item,
    repeats: Repeats = PREPARE.repeats,
    cold_share: ColdShare = PREPARE.cold_share,
    items: ItemFile = None,
    catalog: CatalogChoice = PREPARE.catalog,
    explain: Explain = False,
    append: Append = False,
    to: AppendTo = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Convert an interaction log to a prepared folder.

    The folder holds interactions, items and users as Parquet files, split into training,
    validation and test, and a manifest.
    """
    from seqrec.reports.prepared import prepare_lines
    from seqrec.reports.windows import prepared_window_lines

    result = seqrec.prepare(
        source[0] if len(source) == 1 else source,
        out=out,
        split_by=split_by,
        targets=targets,
        user=user,
        item=item,
        time=time,
        rating=rating,
        order=order,
        format=format,
        where=where,
        time_format=time_format,
        missing_ids=missing_ids,
        verbatim_ids=verbatim_ids,
        min_rating=min_rating,
        min_user=min_user,
        min_item=min_item,
        repeats=repeats,
        cold_share=cold_share,
        items=items,
        catalog=catalog,
        explain=explain,
        append=append,
        to=to,
        overwrite=overwrite,
    )
    lines = prepared_window_lines if "windows" in result else prepare_lines
    print_result(result, as_json, *lines(result))
