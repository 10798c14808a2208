"""Reviews from other tools: annotated tasks of Label Studio, and preference pairs of TRL."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seqrec.data.text_files import TextFiles
from seqrec.drafts.draft import Draft
from seqrec.errors import SeqRecError
from seqrec.files import read_json
from seqrec.reviews.log import Review

FIX = "name a .json export of Label Studio, or .jsonl with prompt, chosen and rejected"
DEFAULT_REVIEWER = "imported"


class Imported(NamedTuple):
    """Reviews of another tool."""

    reviews: list[Review]
    skipped: Mapping[str, int]
    """Numbers of records that became no review, by reason."""


def read_reviews(file: Path, drafts: Sequence[Draft]) -> Imported:
    """Return the reviews of a file.

    A task of Label Studio is a draft by ``data.draft_id``; its annotations have the names that
    ``seqrec review --export label-studio.json`` writes. A pair is a preference if both texts are
    drafts of its prompt, and an edit if only the rejected one is.

    Raises:
        SeqRecError: a file of another form.
    """
    skipped: Counter[str] = Counter()
    if file.suffix.lower() == ".json":
        tasks = read_json(file, FIX)
        if not isinstance(tasks, list):
            raise SeqRecError(f"{file}: holds no list of tasks; {FIX}")
        known = {one.draft_id for one in drafts}
        return Imported(list(_read_tasks(tasks, known, skipped)), skipped)
    files = TextFiles.open(file)
    pairs = ((files.name(place), record) for place, record in files.records())
    return Imported(list(_read_pairs(pairs, drafts, skipped)), skipped)


def _read_tasks(tasks: Sequence[Any], known: set[str], skipped: Counter[str]) -> Iterable[Review]:
    for task in tasks:
        data = task.get("data") if isinstance(task, dict) else None
        draft = str(data.get("draft_id", "")) if isinstance(data, dict) else ""
        annotations = task.get("annotations") if draft in known else None
        if draft not in known:
            skipped["tasks of other or changed drafts"] += 1
        elif not isinstance(annotations, list) or not annotations:
            skipped["tasks without an annotation"] += 1
            continue
        for one in annotations or ():
            review = _read_annotation(draft, one)
            if review is None:
                skipped["annotations without a verdict"] += 1
            else:
                yield review


def _read_annotation(draft: str, annotation: Any) -> Review | None:
    """Return the review of an annotation; None if it holds none."""
    found: dict[str, list[str]] = {}
    try:
        for result in annotation["result"]:
            values = next(iter(result["value"].values()))
            found[str(result["from_name"])] = [str(one) for one in values]
        by = annotation.get("completed_by") or DEFAULT_REVIEWER
        name = by.get("email") if isinstance(by, dict) else by
        (action,) = found["verdict"]
        text = found.get("edited", [""])[0] if action == "edit" else ""
        reasons = tuple(found.get("reasons", ())) if action == "reject" else ()
        return Review(str(name or DEFAULT_REVIEWER), draft, action, text, reasons)
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration, SeqRecError):
        return None


def _read_pairs(
    pairs: Iterable[tuple[str, Mapping[str, Any]]], drafts: Sequence[Draft], skipped: Counter[str]
) -> Iterable[Review]:
    by_text: dict[tuple[str, str], str] = {}
    for one in drafts:
        prompt = _read_text([dict(message) for message in one.prompt])
        by_text[prompt, one.text.strip()] = one.draft_id
    for name, record in pairs:
        missing = [key for key in ("prompt", "chosen", "rejected") if key not in record]
        if missing:
            raise SeqRecError(f"{name}: has no {missing[0]}; {FIX}")
        prompt = _read_text(record["prompt"])
        chosen, rejected = (_read_text(record[key]).strip() for key in ("chosen", "rejected"))
        worse, better = by_text.get((prompt, rejected)), by_text.get((prompt, chosen))
        if worse is None:
            skipped["pairs whose rejected text is no draft"] += 1
        elif better is not None:
            yield Review(DEFAULT_REVIEWER, better, "prefer", over=worse)
        else:
            yield Review(DEFAULT_REVIEWER, worse, "edit", text=chosen)


def _read_text(value: Any) -> str:
    """Return a text, or the contents of messages as one text."""
    if isinstance(value, list):
        return "\n".join(str(one.get("content", "")) for one in value if isinstance(one, dict))
    return str(value)
