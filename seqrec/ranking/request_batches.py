"""Requests for one list each, ranked together where their rules allow it."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from seqrec.errors import SeqRecError
from seqrec.ranking.list_options import Asked, ListOptions, build_rules
from seqrec.ranking.list_rules import ListRules
from seqrec.ranking.served import Given, Reading, Served
from seqrec.retrieval.allowed_items import AllowedItems
from seqrec.retrieval.exact import TopK
from seqrec.tokens.events.histories import join_histories
from seqrec.tokens.events.requests import Event

ONE = Asked(1, None)


@dataclass(frozen=True)
class ListRequest:
    """A request for the list of one history."""

    history: Sequence[Event]
    """Ids or events, oldest first."""
    k: int | None = None
    """Length of the list; None: the default."""
    exclude_seen: bool = True
    options: ListOptions = ListOptions()
    reading: Reading = Reading({}, plan=False)


class RankedRequest(NamedTuple):
    """A request with its list."""

    given: Given
    rules: ListRules
    notes: list[str]
    ranked: TopK
    """One row."""


class _Prepared(NamedTuple):
    """A request as the ranker reads it."""

    given: Given
    rules: ListRules
    notes: list[str]
    key: Hashable
    """Equal for requests that one search can answer."""


def rank_requests(
    served: Served, requests: Sequence[ListRequest]
) -> list[RankedRequest | SeqRecError]:
    """Return the list of every request, or the mistake in it.

    Requests with the same rules are ranked in one batch; their length, and items allowed and
    excluded for each history, may differ. Each list is that of the request alone, up to the
    rounding of products of matrices of other sizes.
    """
    prepared = [_prepare(served, request) for request in requests]
    groups: dict[Hashable, list[int]] = {}
    for number, one in enumerate(prepared):
        if isinstance(one, _Prepared):
            groups.setdefault(one.key, []).append(number)
    answers: dict[int, RankedRequest | SeqRecError] = {}
    for numbers in groups.values():
        members = [one for number in numbers if isinstance(one := prepared[number], _Prepared)]
        try:
            lists: Sequence[RankedRequest | SeqRecError] = _rank_together(served, members)
        except SeqRecError as error:  # of the rules, which all of them have
            lists = [error] * len(members)
        answers.update(zip(numbers, lists, strict=True))
    return [
        answers[number] if isinstance(one, _Prepared) else one
        for number, one in enumerate(prepared)
    ]


def _prepare(served: Served, request: ListRequest) -> _Prepared | SeqRecError:
    """Return what the ranker reads of a request, or the mistake in it."""
    try:
        given = served.read([list(request.history)], request.reading)
        rules, notes = build_rules(
            request.options, request.k, request.exclude_seen, served.table, ONE
        )
    except SeqRecError as error:
        return error
    allowed, options = rules.allowed, request.options
    key = (
        rules.exclude_seen,
        None if allowed is None else (id(allowed.shared), allowed.only is None),
        None if rules.are_plain else (rules.k, options.mmr, tuple(options.max_per)),
        tuple(rules.pins),
    )
    return _Prepared(given, rules, notes, key)


def _rank_together(served: Served, members: Sequence[_Prepared]) -> list[RankedRequest]:
    """Return the lists of requests with equal keys."""
    rules = members[0].rules
    joined = replace(
        rules,
        k=max(member.rules.k for member in members),
        allowed=_join_allowed([member.rules.allowed for member in members]),
    )
    histories = join_histories([member.given.histories for member in members])
    ranked = served.rank(histories, joined)
    return [
        RankedRequest(
            member.given,
            member.rules,
            member.notes,
            TopK(*(part[row : row + 1, : member.rules.k] for part in ranked)),
        )
        for row, member in enumerate(members)
    ]


def _join_allowed(parts: Sequence[AllowedItems | None]) -> AllowedItems | None:
    """Return the allowed items of histories with one mask for all."""
    given = [part for part in parts if part is not None]
    if not given:
        return None
    first, nothing = given[0], np.empty(0, dtype=np.int64)
    only = None if first.only is None else [one for part in given for one in part.only or ()]
    excluded = None
    if any(part.excluded is not None for part in given):
        excluded = [(part.excluded or [nothing])[0] for part in given]
    return AllowedItems(first.num_items, first.shared, only, excluded)
