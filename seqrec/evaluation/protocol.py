"""The protocol: queries, their targets, and the metrics of lists.

Seen items are all items before the target. A target that was seen before cannot be recommended
and counts as a miss.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seqrec.data.histories import Histories
from seqrec.data.prepared import PreparedData, TargetMode
from seqrec.data.splits import TEST, VALIDATION, is_time_split
from seqrec.evaluation.metrics import hit_rate, mark_hits, metric_collection, mrr, ndcg, recall
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.events.times import NO_TIME_INPUT, TIME_COLUMN

Split = Literal["validation", "test"]
SPLIT_CODES = {"validation": VALIDATION, "test": TEST}
PER_QUERY = {"recall": recall, "hit_rate": hit_rate, "ndcg": ndcg, "mrr": mrr}


@dataclass(frozen=True)
class Queries:
    """Histories, and the targets of each."""

    users: Int[np.ndarray, " Q"]
    histories: Sequence[Int[np.ndarray, " T"]]
    targets: list[Int[np.ndarray, " G"]]
    num_without_history: int
    """Targets excluded because their history is empty."""
    ends: Int[np.ndarray, " Q"] | None = None
    """The row of the log after each history; None if they are not from a log."""

    @property
    def num_seen_targets(self) -> int:
        """Targets that occur in their own history."""
        pairs = zip(self.histories, self.targets, strict=True)
        return int(sum(np.isin(target, history).sum() for history, target in pairs))

    def for_users(self, users: Int[np.ndarray, " U"]) -> "Queries":
        """Return the queries of some users."""
        return self.at(np.flatnonzero(np.isin(self.users, users)))

    def at(self, indices: Int[np.ndarray, " P"]) -> "Queries":
        """Return the queries at some indices."""
        histories: Sequence[Int[np.ndarray, " T"]] = [self.histories[index] for index in indices]
        if isinstance(self.histories, EventHistories):
            histories = self.histories.at(indices)
        targets = [self.targets[index] for index in indices]
        ends = None if self.ends is None else self.ends[indices]
        return Queries(self.users[indices], histories, targets, self.num_without_history, ends)

    def every(self, step: int, *, start: int) -> "Queries":
        """Return every ``step``-th query, from ``start`` on."""
        part = slice(start, None, step)
        ends = None if self.ends is None else self.ends[part]
        return Queries(self.users[part], self.histories[part], self.targets[part], 0, ends)

    def with_events(self, log: Histories, events: EventTokens) -> "Queries":
        """Return the queries with the event features of a grammar in their histories.

        Only the times that the grammar conditions on come from the targets' rows.
        """
        assert self.ends is not None
        codes = events.coder.codes(log)
        conditions = events.no_conditions(len(self.ends))
        if len(conditions):
            is_target_time = events.grammar.is_target_time
            conditions[:, is_target_time] = codes[self.ends][:, is_target_time]
        starts = self.ends - [len(history) for history in self.histories]
        bounds = list(zip(starts.tolist(), self.ends.tolist(), strict=True))
        times = target_times = None
        if events.grammar.times is not None:
            log_times = log.columns[TIME_COLUMN]
            times = [log_times[start:end] for start, end in bounds]
            if events.grammar.times == "target_time":
                target_times = log_times[self.ends]
        histories = EventHistories(
            list(self.histories),
            [codes[start:end] for start, end in bounds],
            conditions,
            times,
            target_times,
        )
        return replace(self, histories=histories)


def build_queries(histories: Histories, split: Split, targets: TargetMode) -> Queries:
    """Build the queries of a split.

    Args:
        histories: interactions with their parts of the split.
        split: the part with the targets.
        targets: ``together``: one query per user, with the history before the part and all of its
            interactions as targets; ``last``: one query per user, with the last interaction as
            target; ``successive``: one query per interaction.
    """
    rows = np.flatnonzero(histories.split == SPLIT_CODES[split])
    owners = np.searchsorted(histories.offsets, rows, side="right") - 1
    if targets == "together":
        users, first = np.unique(owners, return_index=True)
        query_targets = [np.unique(group) for group in np.split(histories.items[rows], first[1:])]
        rows = rows[first]
    else:
        if targets == "last":
            is_last = np.append(owners[1:] != owners[:-1], True)[: len(owners)]
            rows, owners = rows[is_last], owners[is_last]
        users = owners
        query_targets = list(histories.items[rows][:, None])
    starts = histories.offsets[users]
    has_history = rows > starts
    with_history = np.flatnonzero(has_history)
    return Queries(
        users=users[with_history],
        histories=[histories.items[starts[q] : rows[q]] for q in with_history],
        targets=[query_targets[q] for q in with_history],
        num_without_history=int((~has_history).sum()),
        ends=rows[with_history],
    )


def find_hits(
    items: Int[Tensor, "Q K"], targets: Sequence[Int[np.ndarray, " G"]]
) -> tuple[Bool[Tensor, "Q K"], Int[Tensor, " Q"]]:
    """Return where lists hold their query's targets, and the number of targets of each query."""
    num_targets = torch.tensor([len(target) for target in targets], dtype=torch.long)
    rows = torch.repeat_interleave(torch.arange(len(num_targets)), num_targets)
    flat = np.concatenate([np.empty(0, np.int64), *targets]).astype(np.int64)
    return mark_hits(items, rows, torch.from_numpy(flat)), num_targets


@dataclass(frozen=True)
class ListMetrics:
    """Metrics of ranked lists."""

    metrics: dict[str, float]
    """Means over queries, by key: ``ndcg@10``, ..."""
    per_query: dict[str, Float[np.ndarray, " Q"]]
    """The same metrics of each query; NaN where one is undefined."""


def evaluate_lists(
    items: Int[Tensor, "Q K"], queries: Queries, ks: Sequence[int], num_items: int
) -> ListMetrics:
    """Return recall, hit rate, NDCG, MRR and coverage of lists, best first, at every cut-off."""
    hits, num_targets = find_hits(items, queries.targets)
    metrics = {}
    for key, metric in metric_collection(ks, num_items).items():
        if key.startswith("coverage"):
            metric.update(items)
        else:
            metric.update(hits, num_targets)
        metrics[key] = float(metric.compute())
    per_query = {
        f"{name}@{k}": measure(hits, num_targets, k).numpy()
        for k in ks
        for name, measure in PER_QUERY.items()
    }
    return ListMetrics(metrics, per_query)


def protocol_line(
    data: PreparedData,
    split: Split,
    num_queries: int,
    exclude_seen: bool,
    time_input: str = NO_TIME_INPUT,
) -> str:
    """Return the protocol of a table in one line: split, catalog, filters and times."""
    options = data.manifest["options"]
    filters = [
        f"{option.replace('_', '-')} {options[option]:g}"
        for option, default in (("min_rating", None), ("min_user", 1), ("min_item", 1))
        if options[option] not in (None, default)
    ]
    catalog = f"full catalog of {data.num_items:,} items"
    if unwatched := data.manifest["counts"].get("unwatched_items"):
        catalog += f", {unwatched:,} of them in no interaction"
    parts = [
        f"{data.split_by} {split}"
        + (f", {data.targets} targets" if is_time_split(data.split_by) else ""),
        f"{num_queries:,} queries",
        catalog,
        f"filters: {', '.join(filters)}" if filters else "no filters",
        "seen items left out" if exclude_seen else "seen items kept",
        f"repeats: {options['repeats']}",
        f"order: {data.manifest['ordered_by']}, ties as in the log",
        time_input,
    ]
    if options["cold_share"]:
        parts.append(f"{options['cold_share']:.0%} of the items kept from training")
    return "; ".join(parts)


def evaluation_notes(data: PreparedData) -> list[str]:
    """Return notes on the limitations of the split."""
    counts = data.manifest["counts"]
    notes = []
    if data.split_by == "leave-one-out" or data.split_by.startswith("last-n"):
        leaked = counts.get("leaked_interactions")
        cause = "some training interactions are later than other users' test targets"
        if leaked is not None:
            share = leaked / max(counts["train"], 1)
            cause = (
                f"{leaked:,} training interactions ({share:.0%}) are later than the earliest "
                "test target"
            )
            if untimed := counts.get("untimed_interactions"):
                cause += f" ({untimed:,} interactions have no time and are not counted)"
        notes.append(f"{data.split_by} looks into the future: {cause}; global-time does not")
    if untimed := counts.get("without_time"):
        notes.append(f"{untimed:,} rows of the log have no time and were left out")
    for kind in ("users", "items"):
        if counts.get(f"cold_{kind}"):
            notes.append(f"{counts[f'cold_{kind}']:,} {kind} of the test have nothing in training")
    return notes
