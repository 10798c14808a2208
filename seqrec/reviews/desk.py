"""The desk of a review: drafts, the log, and what each reviewer does next."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqrec.drafts.draft import DRAFTS_FILE, Draft, read_drafts
from seqrec.errors import SeqRecError
from seqrec.reviews.decisions import find_last, find_standing, measure_agreement
from seqrec.reviews.log import LOG_FILE, Review, ReviewLog
from seqrec.reviews.queue import Task, find_task, measure_priority


class StaleDraftError(SeqRecError):
    """A review of a draft that changed meanwhile."""


class Desk:
    """Hands out drafts and takes reviews; several threads may use it."""

    def __init__(self, folder: Path) -> None:
        """Read the drafts and the reviews of a folder.

        Raises:
            SeqRecError: no drafts, or a broken file.
        """
        self.folder = folder
        self.log = ReviewLog(folder / LOG_FILE)
        self._lock = threading.Lock()
        self._state: tuple[int, int] | None = None
        self._drafts: list[Draft] = []
        self._refresh()

    @property
    def drafts(self) -> Sequence[Draft]:
        """All drafts, those to review first in front."""
        return self._drafts

    def get_state(self, reviewer: str) -> dict[str, Any]:
        """Return a reviewer's next task and the progress, as JSON holds them."""
        with self._lock:
            self._refresh()
            standing = self._standing()
            task = find_task(self._drafts, standing, reviewer)
            last = find_last(self.log.reviews, reviewer)
            return {
                "task": None if task is None else _describe(task),
                "progress": self._describe_progress(standing, reviewer),
                "can_undo": last is not None,
            }

    def review(self, review: Review) -> None:
        """Write a review.

        Raises:
            StaleDraftError: the draft is not, or no longer, among the drafts.
            SeqRecError: the log cannot be written.
        """
        with self._lock:
            self._refresh()
            known = {one.draft_id for one in self._drafts}
            for draft in filter(None, (review.draft, review.over)):
                if draft not in known:
                    raise StaleDraftError(
                        f"draft {draft}: changed meanwhile; nothing was written, review it anew"
                    )
            self.log.append(review)

    def undo(self, reviewer: str) -> Review:
        """Take back a reviewer's last review, and return it.

        Raises:
            SeqRecError: nothing is left to take back.
        """
        with self._lock:
            last = find_last(self.log.reviews, reviewer)
            if last is None:
                raise SeqRecError("undo: no review of yours is left to take back")
            self.log.append(Review(reviewer, last.draft, "undo"))
            return last

    def _standing(self) -> list[Review]:
        return find_standing(self.log.reviews)

    def _refresh(self) -> None:
        """Read the drafts again if the file was replaced."""
        file = self.folder / DRAFTS_FILE
        try:
            found = file.stat()
            state = (found.st_mtime_ns, found.st_ino)
        except OSError:
            state = None
        if state != self._state or state is None:
            self._drafts = sorted(read_drafts(file), key=lambda one: -measure_priority(one))
            self._state = state

    def _describe_progress(self, standing: Sequence[Review], reviewer: str) -> dict[str, Any]:
        known = {one.draft_id for one in self._drafts}
        judged = [one for one in standing if one.action != "skip"]
        done = {draft for one in judged for draft in (one.draft, one.over)} & known
        own = [one for one in judged if one.reviewer == reviewer and one.draft in known]
        return {
            "drafts": len(known),
            "reviewed": len(done),
            "yours": len(own),
            "of_changed_drafts": sum(one.draft not in known for one in judged),
            "agreement": [one._asdict() for one in measure_agreement(standing)],
        }


def _describe(task: Task) -> dict[str, Any]:
    first = task.drafts[0]
    return {
        "kind": first.kind,
        "item_id": first.item_id,
        "title": first.title,
        "is_second_look": task.is_second_look,
        "evidence": dict(first.evidence),
        "drafts": [
            {
                "draft": one.draft_id,
                "text": one.text,
                "confidence": one.confidence,
                "shown": one.shown,
            }
            for one in task.drafts
        ],
    }
