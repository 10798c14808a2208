"""Drafts that are written part by part beside the output, so that an interrupted run goes on."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet as pq

from seqrec.drafts.draft import DRAFTS_FILE, Draft, build_draft_table, read_drafts
from seqrec.files import read_json_object

HEADER_FILE = "drafts.json"
PART_SIZE = 25
"""Titles of a part: what an interruption loses at most."""
FIX = "remove the folder, and draft again"

T = TypeVar("T")


def part_folder(out: Path) -> Path:
    """Return the folder of the parts of an unfinished output."""
    return out.with_name(f"{out.name}.partial")


def is_resumable(folder: Path, header: Mapping[str, Any]) -> bool:
    """Test whether parts were drafted under the same settings, model and data."""
    file = folder / HEADER_FILE
    return file.is_file() and read_json_object(file, FIX) == dict(header)


def draft_parts(
    folder: Path,
    header: Mapping[str, Any],
    subjects: Sequence[T],
    draft: Callable[[T], list[Draft]],
    say: Callable[[str], None],
) -> tuple[list[Draft], int]:
    """Return the drafts of all subjects, and how many subjects an earlier run had written.

    Args:
        folder: of the parts; its header must be this one, or it is written.
        header: settings, model and data.
        subjects: in a fixed order.
        draft: drafts one subject.
        say: called with a line of progress.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not is_resumable(folder, header):
        (folder / HEADER_FILE).write_text(json.dumps(dict(header)), encoding="utf-8")
    drafts: list[Draft] = []
    resumed = 0
    for number, part in enumerate(_split(subjects)):
        file = folder / f"part-{number:06d}.parquet"
        if file.is_file():
            drafts += read_drafts(file)
            resumed += len(part)
            continue
        new = [one for subject in part for one in draft(subject)]
        aside = file.with_name(f".{file.name}.partial")
        pq.write_table(build_draft_table(new), aside)
        aside.replace(file)
        drafts += new
        say(f"{min((number + 1) * PART_SIZE, len(subjects)):,} of {len(subjects):,} titles")
    return drafts, resumed


def write_drafts(folder: Path, header: Mapping[str, Any], drafts: Sequence[Draft]) -> None:
    """Write the drafts and their header into a folder."""
    pq.write_table(build_draft_table(drafts), folder / DRAFTS_FILE)
    text = json.dumps(dict(header), ensure_ascii=False, indent=1)
    (folder / HEADER_FILE).write_text(text + "\n", encoding="utf-8")


def _split(subjects: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(subjects), PART_SIZE):
        yield subjects[start : start + PART_SIZE]
