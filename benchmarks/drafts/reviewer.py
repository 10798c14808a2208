"""A reviewer that follows stated rules, so that the circle of drafts can be tested.

It accepts a summary of 8 to 32 words in one sentence that passes the check of its facts, praises
nothing and does not repeat itself. It edits all others into its own form, as far as that passes: a
frame of year, genre and people, in turns, around the first clause of the plot. The rest it rejects.
No person judged anything: results with it must say so.
"""

import re
from collections import Counter
from collections.abc import Iterator

from seqrec.drafts.draft import Draft
from seqrec.drafts.summaries import FEWEST_WORDS, MOST_WORDS, Subject, write_summary
from seqrec.explanations.checker import Checker
from seqrec.reviews.log import Review

NAME = "simulated"
PRAISE = frozenset(
    "amazing awesome beautiful best brilliant classic epic excellent fantastic gripping great "
    "hilarious incredible iconic legendary masterpiece must-see perfect stunning superb "
    "unforgettable wonderful".split()
)
MAX_REPEATS = 2
"""Times that three words in a row may occur."""
CLAUSE_WORDS = 20
"""Most words of the plot's clause that an edit keeps."""
FEWEST_CLAUSE_WORDS = 5
SENTENCE_END = re.compile(r"(?<=[.!?])\s")
CUT = re.compile(r",|;|:| who | when | while | but | and | after | until | where ")
SMALL_FIRST = frozenset(
    "a an the in on at after when while two three four five young this during his her with "
    "following as set".split()
)
"""Words that begin a plot and lose their capital inside a sentence."""
SUBORDINATE = frozenset("after when while as since although because if upon before once".split())
"""Words that begin a clause which says nothing without the next one."""
FRAMES = (
    "In this {genre}{year}{people}, {clause}.",
    "{article} {genre}{year}{people} in which {clause}.",
    "This {genre}{year}{people} tells how {clause}.",
    "Here {clause}, in this {genre}{year}{people}.",
)


def judge(draft: Draft, subject: Subject, checker: Checker) -> Review:
    """Return the review of a draft of a title."""
    problems = checker.check(draft.text, subject.facts)
    reasons = list_faults(draft.text)
    if not problems and not reasons:
        return Review(NAME, draft.draft_id, "accept")
    text = edit(subject, checker)
    if text is not None and text != draft.text:
        return Review(NAME, draft.draft_id, "edit", text=text)
    is_untrue = any(problem.kind != "length" for problem in problems)
    reasons = ["factuality"] if is_untrue else reasons or ["clarity"]
    return Review(NAME, draft.draft_id, "reject", reasons=tuple(reasons))


def is_accepted(text: str, subject: Subject, checker: Checker) -> bool:
    """Test whether the reviewer accepts a text as it is."""
    return not checker.check(text, subject.facts) and not list_faults(text)


def list_faults(text: str) -> list[str]:
    """Return the criteria beside factuality that a text fails."""
    words = split_plain(text)
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    faults = []
    if PRAISE & set(words):
        faults.append("tone")
    if triples and max(triples.values()) > MAX_REPEATS:
        faults.append("clarity")
    if not FEWEST_WORDS <= len(words) <= MOST_WORDS:
        faults.append("precision")
    return faults


def edit(subject: Subject, checker: Checker) -> str | None:
    """Return the reviewer's own sentence about a title; None if no form passes the check."""
    for text in (*_list_edits(subject), write_summary(subject.facts), _say_little(subject)):
        if is_accepted(text, subject, checker):
            return text
    return None


def split_plain(text: str) -> list[str]:
    """Return the words of a text in small letters."""
    return re.findall(r"[\w'’-]+", text.casefold())


def _list_edits(subject: Subject) -> Iterator[str]:
    """Yield the plot's first clause in a frame, longer clauses first."""
    facts, evidence = subject.facts, subject.evidence
    number = sum(map(ord, subject.item_id))
    genre = (evidence.get("genres") or ["title"])[0]
    people = ""
    if evidence.get("director") and number % 3 != 0:
        people = f" by {evidence['director'][0]}"
    elif evidence.get("actors"):
        people = f" with {evidence['actors'][0]}"
    year = f" from {facts.year}" if facts.year else ""
    frame = FRAMES[number % len(FRAMES)]
    article = "An" if genre[0].casefold() in "aeiou" else "A"
    for clause in list_clauses(facts.about):
        yield frame.format(article=article, genre=genre, year=year, people=people, clause=clause)


def list_clauses(plot: str) -> Iterator[str]:
    """Yield the beginnings of a plot's first sentence that end where a clause does."""
    first = SENTENCE_END.split(plot.strip())[0].rstrip(".!? ")
    ends = [found.start() for found in CUT.finditer(first)]
    if ends and first.split()[0].casefold() in SUBORDINATE:
        ends = ends[1:]
    for end in sorted({len(first), *ends}, reverse=True):
        clause = first[:end].rstrip(" ,;:")
        words = clause.split()
        if FEWEST_CLAUSE_WORDS <= len(words) <= CLAUSE_WORDS:
            if words[0].casefold() in SMALL_FIRST:
                clause = clause[:1].lower() + clause[1:]
            yield clause


def _say_little(subject: Subject) -> str:
    evidence = subject.evidence
    genres = " and ".join(evidence.get("genres", [])[:2]) or "unnamed"
    year = f" from {subject.facts.year}" if subject.facts.year else ""
    title = evidence["title"]
    return f"Viewers who look for {genres} may pick {title}, a title{year} of this catalog."
