"""Options of lists as users give them, resolved in one catalog: ids, files, conditions, rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from jaxtyping import Int

from seqrec.data.id_lists import IdLists, read_id_lists
from seqrec.data.ids import get_id_text
from seqrec.data.item_table import ItemTable
from seqrec.errors import SeqRecError
from seqrec.ranking.list_rules import Cap, ListRules
from seqrec.retrieval.allowed_items import AllowedItems

DEFAULT_K = 10

Items = Int[np.ndarray, " S"]


@dataclass(frozen=True)
class ListOptions:
    """The options of a request for lists; see ``seqrec.recommend`` for the forms of each field."""

    allow: Any = None
    exclude: Any = None
    candidates: Any = None
    where: str | None = None
    mmr: float | None = None
    max_per: Sequence[str] = ()
    pin: Sequence[Any] | Mapping[Any, int] = ()


@dataclass(frozen=True)
class Asked:
    """The histories that lists are asked for."""

    num_histories: int
    users: Sequence[str] | None
    """The user of every history; None if they have none."""


def build_rules(
    options: ListOptions, k: int | None, exclude_seen: bool, table: ItemTable, asked: Asked
) -> tuple[ListRules, list[str]]:
    """Return the rules in rows of the catalog, and notes on ids that have no effect.

    Args:
        options: the request.
        k: length of the lists; None: ten, or with candidates all of them.
        exclude_seen: exclude seen items; candidates are listed even if they are seen.
        table: the catalog.
        asked: the histories.

    Raises:
        SeqRecError: a broken file, an unknown column, a rule that cannot hold.
    """
    notes: list[str] = []
    masks, only, excluded = [], [], None
    if options.where is not None:
        masks.append(table.select_where(options.where))
    for name in ("allow", "candidates"):
        source = getattr(options, name)
        if source is not None:
            lists = _resolve(f"--{name}", source, table, asked, notes, lists_nothing=True)
            if isinstance(lists, list):
                only.append(lists)
            else:
                masks.append(np.isin(np.arange(len(table)), lists))
    if options.exclude is not None:
        lists = _resolve("--exclude", options.exclude, table, asked, notes, lists_nothing=False)
        if isinstance(lists, list):
            excluded = lists
        else:
            masks.append(~np.isin(np.arange(len(table)), lists))
    allowed = None
    if masks or only or excluded:
        shared = (
            None if not masks else masks[0] if len(masks) == 1 else np.logical_and.reduce(masks)
        )
        allowed = AllowedItems(len(table), shared, _intersect(only), excluded)
        if shared is not None and not shared.any():
            notes.append("no item of the catalog may be listed under these options")
    if k is None:
        k = DEFAULT_K if options.candidates is None else _count_largest(allowed, len(table))
    has_candidates = options.candidates is not None
    rules = ListRules(
        k,
        exclude_seen and not has_candidates,
        allowed,
        _check_trade_off(options.mmr),
        [_parse_cap(text, table) for text in options.max_per],
        _parse_pins(options.pin, table, k),
    )
    return rules, notes


def _resolve(
    option: str,
    source: Any,
    table: ItemTable,
    asked: Asked,
    notes: list[str],
    *,
    lists_nothing: bool,
) -> Items | list[Items]:
    """Return the rows of a list for all histories, or of one for each history.

    Args:
        option: the option's name.
        source: the ids.
        table: the catalog.
        asked: the histories.
        notes: unknown ids and users are added to these.
        lists_nothing: a user without a list is recommended nothing.
    """
    ids = read_id_lists(source, option)
    unknown: list[str] = []

    def find(item_ids: Sequence[str]) -> Items:
        rows, not_found = table.find(item_ids)
        unknown.extend(not_found)
        return rows

    resolved: Items | list[Items]
    if ids.shared is not None:
        resolved = find(ids.shared)
    else:
        resolved = [find(one) for one in _get_lists(ids, option, asked, notes, lists_nothing)]
    if unknown:
        distinct = list(dict.fromkeys(unknown))
        notes.append(
            f"{option}: {len(distinct):,} items are not in the catalog, {distinct[0]!r} first"
        )
    return resolved


def _get_lists(
    ids: IdLists, option: str, asked: Asked, notes: list[str], lists_nothing: bool
) -> list[list[str]]:
    """Return the ids for every history."""
    if ids.by_row is not None:
        if len(ids.by_row) != asked.num_histories:
            raise SeqRecError(
                f"{option}: {len(ids.by_row)} lists for {asked.num_histories} histories; give one "
                "each, or one for all"
            )
        return ids.by_row
    by_user = ids.by_user or {}
    if asked.users is None:
        raise SeqRecError(
            f"{option}: lists items per user, but the histories have no users; give items alone"
        )
    known = set(asked.users)
    strangers = [user for user in by_user if user not in known]
    if strangers:
        notes.append(
            f"{option}: {len(strangers):,} of its users are not recommended for, "
            f"{strangers[0]!r} first"
        )
    without = [user for user in asked.users if user not in by_user]
    if without and lists_nothing:
        notes.append(
            f"{option}: {len(without):,} users have no list of items, so nothing is recommended to "
            f"them, {without[0]!r} first"
        )
    return [by_user.get(user, []) for user in asked.users]


def _intersect(lists: Sequence[list[Items]]) -> list[Items] | None:
    """Return for every history the items that are in all of its lists; None without lists."""
    if not lists:
        return None
    first, *others = lists
    for other in others:
        first = [np.intersect1d(*pair) for pair in zip(first, other, strict=True)]
    return first


def _count_largest(allowed: AllowedItems | None, num_items: int) -> int:
    """Return the largest number of items that a list may hold, at least 1."""
    if allowed is None:
        return num_items
    counts = [num_items]
    if allowed.only is not None:
        counts = [len(np.unique(items)) for items in allowed.only]
    elif allowed.shared is not None:
        counts = [int(allowed.shared.sum())]
    return max([1, *counts])


def _check_trade_off(mmr: float | None) -> float | None:
    if mmr is not None and not 0 <= mmr <= 1:
        raise SeqRecError(f"--mmr {mmr:g}: a number from 0 (diverse) to 1 (by score alone)")
    return mmr


def _parse_cap(text: str, table: ItemTable) -> Cap:
    """Return the cap of ``COLUMN:N``."""
    column, _, number = str(text).rpartition(":")
    if not column or not number.isascii() or not number.isdigit() or int(number) < 1:
        raise SeqRecError(f"--max-per {text}: write COLUMN:N, such as genres:3")
    return Cap(int(number), table.get_groups(column, f"--max-per {text}"))


def _parse_pins(
    pins: Sequence[Any] | Mapping[Any, int], table: ItemTable, k: int
) -> list[tuple[int, int | None]]:
    """Return the pinned items and their ranks, from ids, ``ITEM:RANK`` texts or a mapping."""
    pairs: Sequence[tuple[str, int | None]]
    if isinstance(pins, Mapping):
        pairs = [(get_id_text(item_id), _check_rank(rank)) for item_id, rank in pins.items()]
    else:
        pairs = [_parse_pin(get_id_text(pin), table) for pin in pins]
    parsed = [(table.get_row(item_id, "--pin"), rank) for item_id, rank in pairs]
    ranks = [rank for _, rank in parsed if rank is not None]
    for rank in ranks:
        if not 1 <= rank <= k:
            raise SeqRecError(f"--pin: rank {rank} is not one of 1 to {k}, the length of the lists")
    for what, values in (("rank", ranks), ("item", [item for item, _ in parsed])):
        if len(set(values)) < len(values):
            raise SeqRecError(f"--pin: names one {what} twice")
    if len(parsed) > k:
        raise SeqRecError(f"--pin: {len(parsed)} items for lists of {k}; raise --k")
    return parsed


def _check_rank(rank: Any) -> int:
    if not isinstance(rank, Integral):
        raise SeqRecError(f"pin: rank {rank!r} is not a whole number")
    return int(rank)


def _parse_pin(text: str, table: ItemTable) -> tuple[str, int | None]:
    """Return the id and the rank of ``ITEM[:RANK]``; an id of the catalog may hold a colon."""
    item_id, _, rank = text.rpartition(":")
    if text in table or not (item_id and rank.isascii() and rank.isdigit()):
        return text, None
    return item_id, int(rank)
