"""``seqrec draft``: tags and summaries of titles, for people to review."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from seqrec.arguments import check_arguments
from seqrec.builders.explainer import open_writer
from seqrec.builders.language_model import source_fingerprint
from seqrec.builders.subjects import build_subjects
from seqrec.builders.tagger import build_tagger
from seqrec.config.defaults import DRAFT
from seqrec.data.item_columns import ABOUT
from seqrec.data.item_table import ItemTable
from seqrec.data.prepared import PreparedData
from seqrec.drafts.draft import Draft
from seqrec.drafts.parts import draft_parts, is_resumable, part_folder, write_drafts
from seqrec.drafts.summaries import Summarizer
from seqrec.drafts.tag_vocabulary import read_tag_vocabulary
from seqrec.errors import SeqRecError
from seqrec.explanations.attributes import Attributes
from seqrec.explanations.checker import Checker
from seqrec.outputs import locate_output, new_folder, refuse_existing, reserve_output
from seqrec.search.lexicon import Lexicon

DraftKind = Literal["tags", "summary"]
NUM_EXAMPLES = 3
"""Tagged neighbours that stand beside a drafted tag."""


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@check_arguments
def draft(
    what: DraftKind,
    *,
    data: str | Path,
    out: str | Path,
    tags: str | Path | None = None,
    model: str | Path | None = None,
    encoder: str = DRAFT.encoder,
    per_item: int | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = _to_stderr,
) -> dict[str, Any]:
    """Draft tags or a summary for the titles of a prepared folder.

    Args:
        what: ``tags`` of a controlled vocabulary, or a ``summary``.
        data: prepared folder.
        out: folder to write; an interrupted run of the same settings is continued.
        tags: for tags: a file of items and the tags that people gave them.
        model: for a summary: a language model; None: by template.
        encoder: for tags: encoder of the items' texts.
        per_item: drafts of every title. For tags, None: 5; tags that people gave it are left
            out. For a summary, None: 1; 2: also the template's, to choose between.
        limit: titles, the most watched ones; None: all.
        overwrite: replace ``out``; a folder with reviews is never replaced.
        say: called with a line of progress.

    Returns:
        The folder, counts of drafts by source, and the tagger's precision by cross-validation.

    Raises:
        SeqRecError: a mistake in options, data, model or output.
    """
    if what not in get_args(DraftKind):
        raise SeqRecError(f"draft {what}: choose from {', '.join(get_args(DraftKind))}")
    if (what == "tags") != (tags is not None):
        raise SeqRecError("--tags FILE goes with seqrec draft tags, and it needs one")
    if what == "tags" and model is not None:
        raise SeqRecError("--model: goes with seqrec draft summary; tags come from the tagger")
    if per_item is None:
        per_item = DRAFT.per_item if what == "tags" else 1
    if what == "summary" and per_item > 2:
        raise SeqRecError("--per-item: at most 2 summaries, the model's and the template's")
    if per_item < 1 or (limit is not None and limit < 1):
        raise SeqRecError("--per-item and --limit: at least 1")
    target = locate_output(out)
    refuse_existing(target, overwrite, [data, tags, model])
    prepared = PreparedData.open(data)
    with reserve_output(target):
        if what == "tags":
            return _draft_tags(
                prepared, target, Path(tags or ""), encoder, per_item, limit, overwrite
            )
        return _draft_summaries(prepared, target, model, per_item, limit, overwrite, say)


def _draft_tags(
    prepared: PreparedData,
    out: Path,
    tags: Path,
    encoder: str,
    per_item: int,
    limit: int | None,
    overwrite: bool,
) -> dict[str, Any]:
    table = ItemTable.build(prepared.items())
    vocabulary = read_tag_vocabulary(tags, table)
    model = build_tagger(prepared, vocabulary, encoder)
    scores = model.tagger.scores.copy()
    scores[vocabulary.items[:, None], np.arange(len(vocabulary.tags))] = np.where(
        vocabulary.has_tag, -np.inf, scores[vocabulary.items]
    )
    given = {
        int(item): [vocabulary.tags[number] for number in np.flatnonzero(own)]
        for item, own in zip(vocabulary.items, vocabulary.has_tag, strict=True)
    }
    counts = prepared.histories().item_counts(prepared.num_items)
    drafts = []
    for row in _select(counts, limit):
        near = [int(one) for one in model.tagger.neighbours[row]]
        for number in np.argsort(-scores[row], kind="stable")[:per_item]:
            if not np.isfinite(scores[row, number]):
                continue
            tag = vocabulary.tags[number]
            alike = [table.titles[one] for one in near if tag in given.get(one, ())]
            evidence = {
                **_describe_item(table, row),
                "nearest titles with this tag": alike[:NUM_EXAMPLES],
                "tags that people gave it": given.get(row, []),
            }
            drafts.append(
                Draft(
                    kind="tag",
                    item_id=table.item_ids[row],
                    title=table.titles[row],
                    text=tag,
                    source="tagger",
                    fingerprint=model.fingerprint,
                    confidence=float(model.tagger.confidences[row, number]),
                    shown=int(counts[row]),
                    evidence={name: value for name, value in evidence.items() if value},
                )
            )
    header = _build_header(prepared, "tags", {"encoder": encoder, "columns": model.columns})
    with new_folder(out, overwrite=overwrite) as folder:
        write_drafts(folder, header, drafts)
    return {
        "drafts": len(drafts),
        "by_source": {"tagger": len(drafts)},
        "tags": len(vocabulary.tags),
        "precision@5": model.tagger.precision,
        "setting": model.tagger.setting._asdict(),
        "out": str(out),
    }


def _draft_summaries(
    prepared: PreparedData,
    out: Path,
    model: str | Path | None,
    per_item: int,
    limit: int | None,
    overwrite: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    table = ItemTable.build(prepared.items())
    counts = prepared.histories().item_counts(prepared.num_items)
    attributes = Attributes(Lexicon.build(table.items))
    summarizer = Summarizer(Checker(attributes), has_rivals=per_item > 1)
    if model is not None:
        inner = Path(model) / "model"
        named = inner if inner.is_dir() else model
        writer = open_writer(model)
        summarizer = Summarizer(
            summarizer.checker,
            writer,
            writer.name,
            str(source_fingerprint(str(named))),
            has_rivals=per_item > 1,
        )
    subjects = build_subjects(prepared, table, attributes, _select(counts, limit))
    header = _build_header(
        prepared,
        "summary",
        {"model": None if model is None else str(model), "fingerprint": summarizer.fingerprint}
        | {"limit": limit, "per_item": per_item},
    )
    parts = part_folder(out)
    if parts.exists() and not is_resumable(parts, header):
        if not overwrite:
            raise SeqRecError(
                f"{parts}: drafts of an interrupted run with other settings; run it again with "
                "these, or add --overwrite to begin anew"
            )
        shutil.rmtree(parts)
    drafts, resumed = draft_parts(parts, header, subjects, summarizer.draft, say)
    with new_folder(out, overwrite=overwrite) as folder:
        write_drafts(folder, header, drafts)
    shutil.rmtree(parts, ignore_errors=True)
    by_source: dict[str, int] = {}
    for one in drafts:
        by_source[one.source] = by_source.get(one.source, 0) + 1
    return {
        "drafts": len(drafts),
        "by_source": by_source,
        "refused": summarizer.counts.get("refused", 0),
        "resumed": resumed,
        "out": str(out),
    }


def _select(counts: np.ndarray, limit: int | None) -> list[int]:
    """Return the rows of the most watched items, most watched first."""
    return np.argsort(-counts, kind="stable")[:limit].tolist()


def _describe_item(table: ItemTable, row: int) -> dict[str, Any]:
    """Return what a reviewer reads of an item."""
    shown = ("genres", "year", "director", "actors", *ABOUT)
    cells = {name: table.items[name][row] for name in shown if name in table.items.columns}
    return {
        name: cell.to_list() if hasattr(cell, "to_list") else cell
        for name, cell in cells.items()
        if cell is not None
    }


def _build_header(prepared: PreparedData, what: str, more: dict[str, Any]) -> dict[str, Any]:
    catalog = prepared.manifest["catalog_fingerprint"]
    return {"drafts": what, "data": str(prepared.path), "catalog_fingerprint": catalog, **more}
