"""``seqrec review``: people judge drafts on a local page; reviews come and go as files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqrec.arguments import check_arguments
from seqrec.config.defaults import REVIEW
from seqrec.drafts.draft import DRAFTS_FILE, read_drafts
from seqrec.errors import SeqRecError
from seqrec.outputs import (
    locate_output,
    lock_output,
    new_file,
    refuse_existing_file,
)
from seqrec.reviews.decisions import find_standing, measure_agreement
from seqrec.reviews.desk import Desk
from seqrec.reviews.exports import choose_export
from seqrec.reviews.imports import read_reviews
from seqrec.reviews.log import LOG_FILE, ReviewLog
from seqrec.reviews.server import ReviewServer


@check_arguments
def review(
    folder: str | Path,
    *,
    port: int = REVIEW.port,
    export: str | Path | None = None,
    import_from: str | Path | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Serve the review page of a folder of drafts until Ctrl-C, or move reviews as files.

    Args:
        folder: of ``draft``; reviews are appended to ``reviews.jsonl`` in it.
        port: of the page, on this machine alone; 0: any free one.
        export: write a file in place of serving: ``sft.jsonl``, ``pairs.jsonl``, ``labels.jsonl``
            (for ``text-sft``, ``text-dpo``, ``text-kto``), ``tags.parquet`` (for
            ``prepare --items``) or ``label-studio.json``.
        import_from: append the reviews of a Label Studio export or of a file of preference pairs.
        overwrite: replace ``export``.
        say: called with the address of the page.

    Returns:
        Counts of the drafts and reviews, and what was written.

    Raises:
        SeqRecError: no drafts, a broken file, another process that reviews the same folder.
    """
    folder = Path(folder)
    drafts = read_drafts(folder / DRAFTS_FILE)
    if export is not None and import_from is not None:
        raise SeqRecError("--export and --import: one at a time")
    if export is not None:
        out = locate_output(export)
        log = ReviewLog(folder / LOG_FILE)
        write = choose_export(out.name, drafts, log.reviews)
        refuse_existing_file(out, overwrite, [folder / LOG_FILE, folder / DRAFTS_FILE])
        with new_file(out, overwrite=overwrite) as file:
            number = write(file)
        return {**_count(folder, log), "records": number, "out": str(out)}
    with lock_output(folder / LOG_FILE):
        desk = Desk(folder)
        if import_from is not None:
            imported = read_reviews(Path(import_from), drafts)
            for one in imported.reviews:
                desk.review(one)
            skipped = dict(imported.skipped)
            return {**_count(folder, desk.log), "imported": len(imported.reviews)} | {
                "skipped": skipped
            }
        with ReviewServer(desk, port) as server:
            say(f"{server.url}  ({len(drafts):,} drafts; Ctrl-C ends)")
            try:
                server.serve_forever(poll_interval=0.2)
            except KeyboardInterrupt:
                pass
        return _count(folder, desk.log)


def _count(folder: Path, log: ReviewLog) -> dict[str, Any]:
    known = {one.draft_id for one in read_drafts(folder / DRAFTS_FILE)}
    standing = find_standing(log.reviews)
    judged = [one for one in standing if one.action != "skip"]
    return {
        "drafts": len(known),
        "reviews": sum(one.draft in known for one in judged),
        "of_changed_drafts": sum(one.draft not in known for one in judged),
        "broken_lines": log.num_broken,
        "agreement": [one._asdict() for one in measure_agreement(standing)],
    }
