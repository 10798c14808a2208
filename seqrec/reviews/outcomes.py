"""Outcomes of reviews: texts to imitate, pairs of a better and a worse text, judgements."""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from seqrec.drafts.draft import Draft
from seqrec.reviews.decisions import find_standing, group_verdicts, settle
from seqrec.reviews.log import Review

MIN_DISTANCE = 0.05
"""Edits that change less of a text are no preference."""
UNFAITHFUL = "factuality"


@dataclass(frozen=True)
class Example:
    """A prompt and a text to imitate."""

    draft: Draft
    text: str


@dataclass(frozen=True)
class Pair:
    """Two texts for one prompt."""

    draft: Draft
    """Has the prompt."""
    chosen: str
    rejected: str
    weight: float
    """The edit distance of an edit; 1 for a choice between drafts."""
    why: str
    """``edit``, ``verdicts``, ``preference`` or ``unfaithful``."""


@dataclass(frozen=True)
class Judgement:
    """A text that was accepted or rejected on its own."""

    draft: Draft
    is_accepted: bool


@dataclass
class Outcomes:
    """Examples, pairs, judgements and tags that the reviews of some drafts teach."""

    examples: list[Example] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    tags: list[tuple[Draft, str, Review]] = field(default_factory=list)
    """Accepted tags: the draft, the tag as accepted or edited, and the review."""
    num_disputed: int = 0
    """Drafts on which equally many reviewers disagree; they teach nothing."""
    num_tiny_edits: int = 0
    num_changed: int = 0
    """Reviews of drafts that are not among the drafts any more."""


def gather_outcomes(drafts: Sequence[Draft], reviews: Sequence[Review]) -> Outcomes:
    """Return what reviews teach.

    An edit is an example, and a pair over its draft, weighted by their distance. A draft that was
    accepted beside a rejected one of the same prompt, and one that was preferred, is a pair. A text
    that is in no pair is a judgement of its own. One that was rejected as unfaithful is a pair
    under the template's text.
    """
    known, found = {one.draft_id: one for one in drafts}, Outcomes()
    standing = find_standing(reviews)
    found.num_changed = sum(one.draft not in known for one in standing)
    settled: dict[str, Review] = {}
    for draft_id, verdicts in group_verdicts(standing).items():
        if draft_id in known:
            verdict = settle(verdicts)
            found.num_disputed += verdict is None
            if verdict is not None:
                settled[draft_id] = verdict
    rejected = {
        (_get_prompt_key(known[draft_id]), known[draft_id].text)
        for draft_id, verdict in settled.items()
        if verdict.action == "reject"
    }
    for draft_id, verdict in settled.items():
        _add_verdict(found, known[draft_id], verdict, rejected)
    _add_preferences(found, known, standing)
    _add_rivals(found, known, settled)
    _add_judgements(found, known, settled)
    return found


def measure_distance(text: str, other: str) -> float:
    """Return the share of two texts' words that differ, from 0 to 1."""
    matcher = SequenceMatcher(None, text.split(), other.split(), autojunk=False)
    return 1 - matcher.ratio()


def _add_verdict(
    found: Outcomes, draft: Draft, verdict: Review, rejected: Set[tuple[str, str]]
) -> None:
    """Add what one draft's verdict teaches by itself; a rejected template is no better text."""
    if draft.kind == "tag":
        if verdict.action != "reject":
            found.tags.append((draft, verdict.text.strip() or draft.text, verdict))
        return
    if verdict.action == "accept":
        found.examples.append(Example(draft, draft.text))
    elif verdict.action == "edit":
        found.examples.append(Example(draft, verdict.text))
        distance = measure_distance(draft.text, verdict.text)
        if distance < MIN_DISTANCE:
            found.num_tiny_edits += 1
        else:
            found.pairs.append(Pair(draft, verdict.text, draft.text, distance, "edit"))
    elif (
        UNFAITHFUL in verdict.reasons
        and draft.fallback not in ("", draft.text)
        and (_get_prompt_key(draft), draft.fallback) not in rejected
    ):
        found.pairs.append(Pair(draft, draft.fallback, draft.text, 1.0, "unfaithful"))


def _add_preferences(
    found: Outcomes, known: Mapping[str, Draft], standing: Sequence[Review]
) -> None:
    """Add the choices between two drafts; opposite choices of reviewers cancel."""
    votes: dict[tuple[str, str], int] = defaultdict(int)
    for one in standing:
        if one.action == "prefer" and one.draft in known and one.over in known:
            votes[one.draft, one.over] += 1
    for (chosen, rejected), count in votes.items():
        against = votes.get((rejected, chosen), 0)
        if count > against:
            better, worse = known[chosen], known[rejected]
            found.pairs.append(Pair(better, better.text, worse.text, 1.0, "preference"))
        elif count == against and chosen < rejected:
            found.num_disputed += 1


def _add_rivals(found: Outcomes, known: Mapping[str, Draft], settled: Mapping[str, Review]) -> None:
    """Add pairs of an accepted and a rejected draft of one prompt."""
    prompts: dict[str, list[str]] = defaultdict(list)
    for draft_id in settled:
        draft = known[draft_id]
        if draft.kind != "tag":
            prompts[_get_prompt_key(draft)].append(draft_id)
    for ids in prompts.values():
        good = [one for one in ids if settled[one].action == "accept"]
        bad = [one for one in ids if settled[one].action == "reject"]
        for better in good:
            for worse in bad:
                draft = known[better]
                found.pairs.append(Pair(draft, draft.text, known[worse].text, 1.0, "verdicts"))


def _add_judgements(
    found: Outcomes, known: Mapping[str, Draft], settled: Mapping[str, Review]
) -> None:
    """Add accepted and rejected texts that no pair holds."""
    paired = {
        (_get_prompt_key(one.draft), text)
        for one in found.pairs
        for text in (one.chosen, one.rejected)
    }
    for draft_id, verdict in settled.items():
        draft = known[draft_id]
        is_alone = (_get_prompt_key(draft), draft.text) not in paired
        if draft.kind != "tag" and verdict.action != "edit" and is_alone:
            found.judgements.append(Judgement(draft, verdict.action == "accept"))


def _get_prompt_key(draft: Draft) -> str:
    return repr((draft.kind, draft.item_id, [sorted(one.items()) for one in draft.prompt]))
