"""Reviews as files for training and for other tools, by the name of the file."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.drafts.draft import Draft
from seqrec.errors import SeqRecError
from seqrec.reviews.log import CRITERIA, Review
from seqrec.reviews.outcomes import Outcomes, gather_outcomes

Write = Callable[[Path], int]
"""Writes a file and returns the number of its records."""

FORMS = "sft.jsonl, pairs.jsonl, labels.jsonl, tags.parquet or label-studio.json"
CHOICES = {"accept": "accept", "edit": "edit", "reject": "reject"}


def choose_export(name: str, drafts: Sequence[Draft], reviews: Sequence[Review]) -> Write:
    """Return the function that writes what a file's name asks for.

    Args:
        name: begins with ``sft``, ``pairs``, ``labels``, ``tags`` or ``label-studio``.
        drafts: of the folder.
        reviews: the log.

    Raises:
        SeqRecError: another name.
    """
    outcomes = gather_outcomes(drafts, reviews)
    stem, suffix = Path(name).stem, Path(name).suffix.lower()
    lines: dict[str, Callable[[Outcomes], list[dict[str, Any]]]] = {
        "sft": list_examples,
        "pairs": list_pairs,
        "labels": list_labels,
    }
    for start, build in lines.items():
        if stem.startswith(start) and suffix in (".jsonl", ".ndjson"):
            return lambda file: _write_lines(file, build(outcomes))
    if stem.startswith("tags") and suffix == ".parquet":
        return lambda file: _write_tags(file, outcomes)
    if stem.startswith("label-studio") and suffix == ".json":
        tasks = list_tasks(drafts, reviews)
        return lambda file: _write_text(file, json.dumps(tasks, ensure_ascii=False), len(tasks))
    raise SeqRecError(f"--export {name}: its name says no form; name it {FORMS}")


def list_examples(outcomes: Outcomes) -> list[dict[str, Any]]:
    """Return accepted and edited texts as lines of ``seqrec train text-sft``."""
    return [
        {"prompt": _prompt(one.draft), "completion": _answer(one.text)} for one in outcomes.examples
    ]


def list_pairs(outcomes: Outcomes) -> list[dict[str, Any]]:
    """Return pairs as lines of ``seqrec train text-dpo``, and of TRL's preference format."""
    return [
        {
            "prompt": _prompt(one.draft),
            "chosen": _answer(one.chosen),
            "rejected": _answer(one.rejected),
            "weight": one.weight,
            "why": one.why,
        }
        for one in outcomes.pairs
    ]


def list_labels(outcomes: Outcomes) -> list[dict[str, Any]]:
    """Return single judgements as lines of ``seqrec train text-kto``."""
    return [
        {
            "prompt": _prompt(one.draft),
            "completion": _answer(one.draft.text),
            "label": one.is_accepted,
        }
        for one in outcomes.judgements
    ]


def list_tasks(drafts: Sequence[Draft], reviews: Sequence[Review]) -> list[dict[str, Any]]:
    """Return drafts as tasks of Label Studio, with the reviews that stand as annotations."""
    from seqrec.reviews.decisions import find_standing, group_verdicts

    verdicts = group_verdicts(find_standing(reviews))
    tasks = []
    for number, one in enumerate(drafts, start=1):
        data = {
            "draft_id": one.draft_id,
            "kind": one.kind,
            "item_id": one.item_id,
            "title": one.title,
            "text": one.text,
            "evidence": dict(one.evidence),
        }
        own = verdicts.get(one.draft_id, {})
        tasks.append(
            {"id": number, "data": data, "annotations": list(map(_annotate, own.values()))}
        )
    return tasks


def _annotate(review: Review) -> dict[str, Any]:
    results: list[dict[str, Any]] = [_result("verdict", "choices", [CHOICES[review.action]])]
    if review.text:
        results.append(_result("edited", "textarea", [review.text], key="text"))
    if review.reasons:
        results.append(
            _result("reasons", "choices", [one for one in CRITERIA if one in review.reasons])
        )
    return {"completed_by": {"email": review.reviewer}, "result": results}


def _result(name: str, kind: str, values: list[str], key: str | None = None) -> dict[str, Any]:
    return {"from_name": name, "to_name": "text", "type": kind, "value": {key or kind: values}}


def _prompt(draft: Draft) -> list[dict[str, str]]:
    return [dict(one) for one in draft.prompt]


def _answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _write_lines(file: Path, records: Sequence[dict[str, Any]]) -> int:
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records)
    return _write_text(file, lines, len(records))


def _write_text(file: Path, text: str, number: int) -> int:
    file.write_text(text, encoding="utf-8", errors="replace")
    return number


def _write_tags(file: Path, outcomes: Outcomes) -> int:
    """Write a row an item: its accepted tags, and where each comes from."""
    rows: dict[str, dict[str, Any]] = {}
    for draft, tag, review in outcomes.tags:
        row = rows.setdefault(
            draft.item_id, {"item_id": draft.item_id, "tags": [], "tag_sources": []}
        )
        if tag not in row["tags"]:
            row["tags"].append(tag)
            row["tag_sources"].append(f"{draft.source}; {review.action} by {review.reviewer}")
    schema = pa.schema(
        [
            ("item_id", pa.string()),
            ("tags", pa.list_(pa.string())),
            ("tag_sources", pa.list_(pa.string())),
        ]
    )
    pq.write_table(pa.Table.from_pylist(list(rows.values()), schema=schema), file)
    return len(rows)
