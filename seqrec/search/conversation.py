"""Conversations: what a further turn changes in the reading of a request."""

from dataclasses import replace

from seqrec.search.reading import Condition, RequestReading


def refine(
    previous: RequestReading, turn: RequestReading, *, replaces_values: bool = False
) -> RequestReading:
    """Return the reading of a conversation after one more turn.

    A condition on a column replaces earlier ones with which it cannot hold together; soft text is
    replaced where the turn has some.

    Args:
        previous: the reading before.
        turn: the reading of the turn alone.
        replaces_values: its values stand instead of earlier ones of the same column.
    """
    new_columns = {condition.column for condition in turn.conditions} if replaces_values else set()
    replaced = {
        (condition.column, _get_side(condition))
        for condition in turn.conditions
        if condition.operator != "contains"
    }
    opposite = {(c.column, c.value, not c.is_excluded) for c in turn.conditions}
    kept = [
        condition
        for condition in previous.conditions
        if condition.column not in new_columns
        and (condition.column, _get_side(condition)) not in replaced
        and (condition.column, condition.value, condition.is_excluded) not in opposite
    ]
    items = dict(zip(previous.items, previous.titles, strict=False))
    items |= dict(zip(turn.items, turn.titles, strict=False))
    excluded = dict.fromkeys([*previous.excluded_items, *turn.excluded_items])
    left = {key: title for key, title in items.items() if key not in turn.excluded_items}
    return replace(
        turn,
        items=tuple(left),
        titles=tuple(left.values()),
        excluded_items=tuple(key for key in excluded if key not in turn.items),
        conditions=tuple(dict.fromkeys([*kept, *turn.conditions])),
        text=turn.text or previous.text,
    )


def _get_side(condition: Condition) -> str:
    return condition.operator.rstrip("=") or "="
