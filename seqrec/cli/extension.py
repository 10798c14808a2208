"""``seqrec extend``."""

from pathlib import Path
from typing import Annotated

import typer

import seqrec
from seqrec.cli.options import Json, Model, Overwrite
from seqrec.cli.output import print_result
from seqrec.config.defaults import EXTEND

NewItems = Annotated[
    Path,
    typer.Option(
        help="File of items, as for prepare --items: CSV, Parquet, NDJSON or RecBole. Items that "
        "the model knows are left as they are."
    ),
]
ExtendedModel = Annotated[Path, typer.Option(help="Model folder to write.")]
Rows = Annotated[
    str | None,
    typer.Option(
        help="Origin of the vectors of new items: content, text (the ten items with the nearest "
        "texts), words (a language model's own words for the text), neighbours (known items, in a "
        "column of that name) or random. Default: content if the model reads it, else neighbours "
        "if the file has them, else text."
    ),
]
Encoder = Annotated[
    str,
    typer.Option(
        help="Text encoder for content and text: a folder, an installed package that contains "
        "one, or a name on a model hub."
    ),
]
Columns = Annotated[str, typer.Option(help="Columns of the items whose text is read.")]
VerbatimIds = Annotated[
    bool, typer.Option("--verbatim-ids", help="Keep ids as they are written, as in prepare.")
]

COLUMNS = ",".join(EXTEND.columns)


def extend(
    model: Model,
    items: NewItems,
    out: ExtendedModel,
    rows: Rows = None,
    encoder: Encoder = EXTEND.encoder,
    columns: Columns = COLUMNS,
    verbatim_ids: VerbatimIds = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Add the items of a file to a trained model's catalog.

    The vectors and scores of its own items do not change.
    """
    from seqrec.reports.verb_lines import extension_lines

    result = seqrec.extend(
        model,
        items=items,
        out=out,
        rows=rows,
        encoder=encoder,
        columns=columns.split(","),
        verbatim_ids=verbatim_ids,
        overwrite=overwrite,
    )
    print_result(result, as_json, *extension_lines(result))
