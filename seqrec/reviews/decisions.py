"""Decisions of reviewers: the last review of each, without those taken back, and agreement."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from seqrec.reviews.log import Review


class Agreement(NamedTuple):
    """Agreement of two reviewers on drafts that both judged."""

    reviewers: tuple[str, str]
    num_drafts: int
    observed: float
    kappa: float | None
    """None if both always gave the same one answer, so that chance would agree as well."""


def find_standing(reviews: Iterable[Review]) -> list[Review]:
    """Return reviews that stand, oldest first.

    A reviewer's last review of a draft counts; ``undo`` takes it back, and the one before counts
    again.
    """
    stacks: dict[tuple[str, str], list[tuple[int, Review]]] = {}
    for number, one in enumerate(reviews):
        stack = stacks.setdefault((one.reviewer, one.draft), [])
        if one.action != "undo":
            stack.append((number, one))
        elif stack:
            stack.pop()
    return [one for _, one in sorted(stack[-1] for stack in stacks.values() if stack)]


def find_last(reviews: Sequence[Review], reviewer: str) -> Review | None:
    """Return the reviewer's last review that stands; None if there is none."""
    order: list[str] = []
    for one in reviews:
        if one.reviewer == reviewer:
            if one.action != "undo":
                order.append(one.draft)
            elif one.draft in order:
                order.reverse()
                order.remove(one.draft)
                order.reverse()
    standing = {one.draft: one for one in find_standing(reviews) if one.reviewer == reviewer}
    return standing.get(order[-1]) if order else None


def group_verdicts(standing: Iterable[Review]) -> dict[str, dict[str, Review]]:
    """Return the newest review of every draft by reviewer; skipped drafts and preferences are
    no verdicts on one draft, and a rejection of two drafts is one on each."""
    verdicts: dict[str, dict[str, Review]] = {}
    for one in standing:
        if one.action in ("accept", "edit", "reject"):
            for draft in filter(None, (one.draft, one.over)):
                verdicts.setdefault(draft, {})[one.reviewer] = one
    return verdicts


def settle(verdicts: Mapping[str, Review]) -> Review | None:
    """Return the verdict of most reviewers, the newest of these; None if two are equally many."""
    counts = Counter(one.action for one in verdicts.values()).most_common(2)
    if len(counts) > 1 and counts[0][1] == counts[1][1]:
        return None
    return max(
        (one for one in verdicts.values() if one.action == counts[0][0]), key=lambda one: one.time
    )


def measure_agreement(standing: Sequence[Review]) -> list[Agreement]:
    """Return Cohen's kappa of every two reviewers, over accept, edit and reject.

    Source: Cohen 1960, "A coefficient of agreement for nominal scales".
    """
    verdicts = group_verdicts(standing)
    names = sorted({name for by_name in verdicts.values() for name in by_name})
    found = []
    for pair in combinations(names, 2):
        both = [
            tuple(by_name[name].action for name in pair)
            for by_name in verdicts.values()
            if all(name in by_name for name in pair)
        ]
        if not both:
            continue
        observed = sum(one == other for one, other in both) / len(both)
        counts = [Counter(actions) for actions in zip(*both, strict=True)]
        chance = sum(counts[0][name] * counts[1][name] for name in counts[0]) / len(both) ** 2
        kappa = None if chance == 1 else (observed - chance) / (1 - chance)
        found.append(Agreement((pair[0], pair[1]), len(both), observed, kappa))
    return found
