"""The order of review: uncertain drafts of titles that are often shown come first."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from seqrec.drafts.draft import Draft
from seqrec.reviews.log import Review

TWICE_SHARE = 0.1
"""Share of the drafts that two reviewers judge."""


class Task(NamedTuple):
    """One or two drafts that a reviewer is asked about next."""

    drafts: tuple[Draft, ...]
    """One draft to judge, or two of one prompt to choose between."""
    is_second_look: bool
    """Another reviewer has judged it."""


def measure_priority(draft: Draft) -> float:
    """Return the uncertainty of a draft, weighed by how often its item is shown."""
    uncertainty = 1 - abs(2 * min(max(draft.confidence, 0.0), 1.0) - 1)
    return (0.05 + uncertainty) * (1 + math.log1p(max(draft.shown, 0)))


def is_seen_twice(draft: Draft) -> bool:
    """Test whether a draft belongs to the share that two reviewers judge, by a hash of its id."""
    number = int(hashlib.sha256(draft.draft_id.encode()).hexdigest()[:8], 16)
    return number < TWICE_SHARE * 16**8


def find_task(drafts: Sequence[Draft], standing: Sequence[Review], reviewer: str) -> Task | None:
    """Return the next task of a reviewer; None if nothing is left.

    Second looks come first, so that they are not left for the end. Two drafts of one prompt that
    nobody has judged are shown side by side.

    Args:
        drafts: in the order of their priority.
        standing: reviews that stand.
        reviewer: the name.
    """
    done: dict[str, set[str]] = {}
    for one in standing:
        if one.action != "skip" or one.reviewer == reviewer:  # others still judge what one skips
            for draft in filter(None, (one.draft, one.over)):
                done.setdefault(draft, set()).add(one.reviewer)
    second = next((one for one in drafts if _needs_second_look(one, done, reviewer)), None)
    first = next((one for one in drafts if not done.get(one.draft_id)), None)
    if second is not None and (first is None or _is_due(standing, reviewer)):
        return Task((second,), is_second_look=True)
    if first is None:
        return None
    others = [one for one in _list_rivals(drafts, first) if not done.get(one.draft_id)]
    return Task((first, *others[:1]), is_second_look=False)


def _needs_second_look(draft: Draft, done: Mapping[str, set[str]], reviewer: str) -> bool:
    by = done.get(draft.draft_id, set())
    return len(by) == 1 and reviewer not in by and is_seen_twice(draft)


def _is_due(standing: Sequence[Review], reviewer: str) -> bool:
    """Test whether a reviewer's next draft is one of those that are judged twice."""
    return sum(one.reviewer == reviewer for one in standing) % 2 == 0


def _list_rivals(drafts: Sequence[Draft], draft: Draft) -> list[Draft]:
    if draft.kind == "tag":
        return []
    return [
        one
        for one in drafts
        if one is not draft
        and (one.kind, one.item_id) == (draft.kind, draft.item_id)
        and list(one.prompt) == list(draft.prompt)
    ]
