"""Counts of used and skipped rows, in words, with an example of each unknown id."""

from collections.abc import Iterable
from itertools import islice


def describe_counts(counts: dict[str, int], unknown: dict[str, str] | None = None) -> str:
    """Return the counts above zero as text, each with its example of an unknown id."""
    example = {key: f" (such as {item_id!r})" for key, item_id in (unknown or {}).items()}
    parts = [
        f"{key.replace('_', ' ')}: {n:,}{example.get(key, '')}" for key, n in counts.items() if n
    ]
    return ", ".join(parts)


def keep_example(unknown: dict[str, str], count: str, ids: Iterable[str]) -> None:
    """Store the first id as the example of a count, if there is one."""
    for item_id in islice(ids, 1):
        unknown[count] = item_id
