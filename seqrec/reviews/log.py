"""The log of reviews: one JSON object a line, appended and synchronised before it counts."""

import errno
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seqrec.errors import SeqRecError
from seqrec.files import check_regular

LOG_FILE = "reviews.jsonl"
ACTIONS = ("accept", "edit", "reject", "prefer", "skip", "undo")
CRITERIA = ("tone", "clarity", "precision", "factuality")
MAX_LETTERS = 20_000
MAX_NAME_LETTERS = 60


@dataclass(frozen=True)
class Review:
    """The action of a reviewer on a draft."""

    reviewer: str
    draft: str
    """Its id; with ``undo`` the id of the draft whose last review is taken back."""
    action: str
    text: str = ""
    """With ``edit``: the reviewer's text."""
    reasons: Sequence[str] = ()
    """With ``reject``: criteria that the draft fails."""
    over: str = ""
    """With ``prefer``: the id of the draft that was not chosen. With ``reject``: of the other draft
    of its prompt, if both are rejected at once."""
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def __post_init__(self) -> None:
        name = self.reviewer.strip()
        if not name or len(name) > MAX_NAME_LETTERS or not name.isprintable():
            raise SeqRecError(f"reviewer: a name of 1 to {MAX_NAME_LETTERS} letters")
        if self.action not in ACTIONS:
            raise SeqRecError(f"action {self.action!r}: choose from {', '.join(ACTIONS)}")
        if self.action == "edit" and not self.text.strip():
            raise SeqRecError("edit: the text is empty; reject the draft instead")
        if len(self.text) > MAX_LETTERS:
            raise SeqRecError(f"edit: at most {MAX_LETTERS:,} letters")
        unknown = [one for one in self.reasons if one not in CRITERIA]
        if unknown:
            raise SeqRecError(f"reason {unknown[0]!r}: choose from {', '.join(CRITERIA)}")
        if self.action == "prefer" and not self.over:
            raise SeqRecError("prefer: names the draft that was not chosen")
        if self.over and (self.action not in ("prefer", "reject") or self.over == self.draft):
            raise SeqRecError("over: names another draft, and goes with prefer and reject alone")


class ReviewLog:
    """The reviews of a folder's drafts.

    A review counts once ``append`` returns: its line is on the disk. A line that a killed process
    left unfinished never counted; it is skipped and stays in the file.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.reviews: list[Review] = []
        self.num_broken = 0
        """Lines that are no reviews."""
        if file.exists():
            check_regular(file, "name the folder of seqrec draft")
            for line in file.read_bytes().split(b"\n"):
                self._read(line)

    def append(self, review: Review) -> None:
        """Write a review; on an error nothing of it counts.

        Raises:
            SeqRecError: the file cannot be written.
        """
        line = json.dumps(asdict(review), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            with self.file.open("a+b", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                if size:
                    file.seek(size - 1)
                    if file.read(1) != b"\n":
                        line = b"\n" + line  # a killed process left an unfinished line
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
        except OSError as error:
            raise SeqRecError(f"{self.file}: cannot be written: {error.strerror}") from error
        self.reviews.append(review)

    def _read(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            record: dict[str, Any] = json.loads(line)
            reasons = tuple(record.pop("reasons", ()))
            if not all(isinstance(value, str) for value in record.values()):
                raise TypeError("a review holds texts")
            self.reviews.append(Review(**record, reasons=reasons))
        except (ValueError, TypeError, AttributeError, RecursionError, SeqRecError):
            self.num_broken += 1
