"""A reviewer that follows stated rules, so that the circle of drafts can be tested.

It accepts a summary of 8 to 32 words in one sentence that passes the check of its facts, praises
nothing and does not repeat itself. It rejects what fails the check as unfaithful, and edits the
rest into its own form. No person judged anything: results with it must say so.
"""

import re
from collections import Counter

from seqrec.drafts.draft import Draft
from seqrec.drafts.summaries import Subject
from seqrec.explanations.checker import Checker
from seqrec.reviews.log import Review

NAME = "simulated"
FEWEST_WORDS, MOST_WORDS = 8, 32
PRAISE = frozenset(
    "amazing awesome beautiful best brilliant classic epic excellent fantastic gripping great "
    "hilarious incredible iconic legendary masterpiece must-see perfect stunning superb "
    "unforgettable wonderful".split()
)
MAX_REPEATS = 2
"""Times that three words in a row may occur."""


def judge(draft: Draft, subject: Subject, checker: Checker) -> Review:
    """Return the review of a draft of a title."""
    problems = checker.check(draft.text, subject.facts)
    if any(problem.kind != "length" for problem in problems):
        return Review(NAME, draft.draft_id, "reject", reasons=("factuality",))
    reasons = list_faults(draft.text)
    if problems or reasons:
        text = edit(subject)
        is_better = not list_faults(text) and not checker.check(text, subject.facts)
        if is_better and text != draft.text:
            return Review(NAME, draft.draft_id, "edit", text=text)
        return Review(NAME, draft.draft_id, "reject", reasons=tuple(reasons or ["clarity"]))
    return Review(NAME, draft.draft_id, "accept")


def list_faults(text: str) -> list[str]:
    """Return the criteria beside factuality that a text fails."""
    words = re.findall(r"[\w'’-]+", text.casefold())
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    faults = []
    if PRAISE & set(words):
        faults.append("tone")
    if triples and max(triples.values()) > MAX_REPEATS:
        faults.append("clarity")
    if not FEWEST_WORDS <= len(words) <= MOST_WORDS:
        faults.append("precision")
    return faults


def edit(subject: Subject) -> str:
    """Return the reviewer's own sentence about a title."""
    evidence = subject.evidence
    genres = " and ".join(evidence.get("genres", [])[:2]) or "unnamed"
    year = f" from {subject.facts.year}" if subject.facts.year else ""
    title = evidence["title"]
    return f"Viewers who look for {genres} may pick {title}, a title{year} of this catalog."
