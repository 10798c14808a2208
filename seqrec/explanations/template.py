"""One sentence from facts by template: always grounded, and the fallback of a language model."""

from collections.abc import Sequence

from seqrec.explanations.attributes import get_role
from seqrec.explanations.facts import Cause, SentenceFacts

MIN_TIMES = 5
"""Counts below this are chance, and are not mentioned."""
MAX_RANK = 10
"""Ranks below it, such as those of filtered lists, say little and are not mentioned."""
MAX_VALUES = 2
"""Shared values that a sentence names."""


def write_sentence(facts: SentenceFacts) -> str:
    """Return one sentence that names every cause, and the strongest evidence of them."""
    if not facts.causes:
        reason = f"{facts.name} was watched {facts.num_interactions} times in training"
        if facts.wishes:
            reason = f"{facts.name} fits your request for {join_words(facts.wishes)}"
        return f"{reason}."
    names = join_words([cause.name for cause in facts.causes])
    verb = "named" if all(cause.is_asked for cause in facts.causes) else "watched"
    lead = _lead_with_people(facts, names, verb) or _lead_with_counts(facts, verb)
    lead = lead or _lead_with_values(facts, names, verb)
    if facts.wishes:
        wish = join_words(facts.wishes)
        lead = f"You asked for {wish}, for which {facts.name} is listed, and you {verb} {names}"
    lead = lead or f"Above all {names} in your history led to {facts.name}"
    if facts.rank_without <= facts.rank or facts.rank > MAX_RANK:
        return f"{lead}."
    whom = "it" if len(facts.causes) == 1 else "them"
    return f"{lead}; without {whom} the rank falls from {facts.rank} to {facts.rank_without}."


def join_words(words: Sequence[str]) -> str:
    """Return words as a list in English."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _lead_with_people(facts: SentenceFacts, names: str, verb: str) -> str | None:
    """Say who made or plays in both the item and a cause."""
    for cause in facts.causes:
        for column, people in cause.shared.items():
            role = get_role(column)
            if role is not None:
                who = join_words(people[:MAX_VALUES])
                part = f"also directed by {who}" if role == "director" else f"also with {who}"
                like = "" if len(facts.causes) == 1 else f" like {cause.name}"
                return f"Because you {verb} {names}, here is {facts.name}, {part}{like}"
    return None


def _lead_with_counts(facts: SentenceFacts, verb: str) -> str | None:
    """Say how many of those who watched a cause went on to the item."""
    counted = [one for one in facts.causes if one.counted and one.counted.times >= MIN_TIMES]
    if not counted:
        return None
    best = max(counted, key=_get_share)
    times, watched = best.counted or (0, 0)
    lead = f"{times} of {watched} who watched {best.name} went on to {facts.name}"
    others = [one.name for one in facts.causes if one is not best]
    return f"{lead}, and you {verb} {join_words([best.name, *others]) if others else 'it'}"


def _lead_with_values(facts: SentenceFacts, names: str, verb: str) -> str | None:
    """Say which genre or other value the item shares with causes."""
    for column in dict.fromkeys(column for cause in facts.causes for column in cause.shared):
        alike = [cause for cause in facts.causes if column in cause.shared]
        common = [value for value in alike[0].shared[column]]
        common = [value for value in common if all(value in one.shared[column] for one in alike)]
        values = join_words((common or list(alike[0].shared[column]))[:MAX_VALUES])
        alike = alike if common else alike[:1]
        whom = join_words([cause.name for cause in alike])
        like = "too" if len(alike) == len(facts.causes) else f"like {whom}"
        return f"You {verb} {names}, and {facts.name} is {values} {like}"
    return None


def _get_share(cause: Cause) -> float:
    return cause.counted.times / max(cause.counted.watched, 1) if cause.counted else 0.0
