"""Training examples of some histories: items, weights, windows and event features."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int64

from seqrec.data.histories import Histories
from seqrec.tokens.events.coder import is_history_start
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.events.sessions import shorten_events
from seqrec.tokens.streams.windows import Windows


class Examples(NamedTuple):
    """Training examples of some histories."""

    items: Int[np.ndarray, " N"]
    """Interactions, histories one after the other."""
    label_weight: Float[np.ndarray, " N"]
    """The weight of each interaction as a target; 0 is read and not learned."""
    windows: Windows
    """Stretches of ``items``; their targets stand one index further on."""
    codes: Int[np.ndarray, "N C"] | None = None
    """The feature codes of each interaction, under an event grammar."""
    targets: Int[np.ndarray, " N"] | None = None
    """The item of each interaction as a target, where it differs: a session's first item."""
    rows: Int[np.ndarray, " N"] | None = None
    """The row of the log of every interaction; None unless requested."""
    times: Int64[np.ndarray, " N"] | None = None
    """The time of every interaction, for models with a time bias."""

    def total_weight(self, windows: Int[np.ndarray, " W"]) -> float:
        """Return the weight of all targets of some windows."""
        starts = self.windows.starts[windows] + self.windows.num_context[windows] + 1
        ends = self.windows.starts[windows] + self.windows.lengths[windows] + 1
        pairs = zip(starts.tolist(), ends.tolist(), strict=True)
        return float(sum(self.label_weight[start:end].sum() for start, end in pairs))

    def num_features(self, windows: Int[np.ndarray, " W"], events: EventTokens) -> int:
        """Return the number of learned features in some windows."""
        assert self.codes is not None
        starts = self.windows.starts[windows] + self.windows.num_context[windows]
        ends = self.windows.starts[windows] + self.windows.lengths[windows] + 1
        pairs = zip(starts.tolist(), ends.tolist(), strict=True)
        return sum(events.count_feature_labels(self.codes[start:end]) for start, end in pairs)


def is_part_start(histories: Histories) -> Bool[np.ndarray, " N"]:
    """Return True for the first interaction of every history, and of every part of it by split."""
    is_first = is_history_start(histories)
    is_first[1:] |= histories.split[1:] != histories.split[:-1]
    return is_first


def shorten_log(
    histories: Histories, codes: Int[np.ndarray, "N C"], grammar: Grammar
) -> tuple[Histories, Int[np.ndarray, "M C"], Int[np.ndarray, " M"]]:
    """Merge sessions and drop events of a log by a grammar's rules.

    As a target, a session is its first row, from which all other columns are taken.

    Returns:
        The shorter histories, the codes of their events, and the item of each as a target.
    """
    left = shorten_events(grammar, codes, is_part_start(histories))
    columns = {name: values[left.first] for name, values in histories.columns.items()}
    shorter = Histories(
        np.searchsorted(left.kept, histories.offsets).astype(np.int64),
        histories.items[left.kept],
        histories.split[left.kept],
        columns,
    )
    return shorter, left.codes, histories.items[left.first]
