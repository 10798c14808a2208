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
    """What is learned from some histories."""

    items: Int[np.ndarray, " N"]
    """Interactions, histories one after the other."""
    label_weight: Float[np.ndarray, " N"]
    """How much each interaction counts as a target; 0 is read, not learned."""
    windows: Windows
    """Stretches of ``items`` whose targets stand one place further on."""
    codes: Int[np.ndarray, "N C"] | None = None
    """What is told of each interaction, under an event grammar."""
    targets: Int[np.ndarray, " N"] | None = None
    """The title that each interaction is learned as, where it is not its own: a session's first."""
    rows: Int[np.ndarray, " N"] | None = None
    """Of every interaction, its row of the log, where batches shall say it."""
    times: Int64[np.ndarray, " N"] | None = None
    """Of every interaction when it was, where a model reads that."""

    def total_weight(self, windows: Int[np.ndarray, " W"]) -> float:
        """The weight of all targets that some of the windows teach."""
        starts = self.windows.starts[windows] + self.windows.num_context[windows] + 1
        ends = self.windows.starts[windows] + self.windows.lengths[windows] + 1
        pairs = zip(starts.tolist(), ends.tolist(), strict=True)
        return float(sum(self.label_weight[start:end].sum() for start, end in pairs))

    def num_features(self, windows: Int[np.ndarray, " W"], events: EventTokens) -> int:
        """How many features some of the windows teach."""
        assert self.codes is not None
        starts = self.windows.starts[windows] + self.windows.num_context[windows]
        ends = self.windows.starts[windows] + self.windows.lengths[windows] + 1
        pairs = zip(starts.tolist(), ends.tolist(), strict=True)
        return sum(events.count_feature_labels(self.codes[start:end]) for start, end in pairs)


def is_part_start(histories: Histories) -> Bool[np.ndarray, " N"]:
    """Whether each interaction is the first of its history, or of a part of the split in it."""
    is_first = is_history_start(histories)
    is_first[1:] |= histories.split[1:] != histories.split[:-1]
    return is_first


def shorten_log(
    histories: Histories, codes: Int[np.ndarray, "N C"], grammar: Grammar
) -> tuple[Histories, Int[np.ndarray, "M C"], Int[np.ndarray, " M"]]:
    """Histories as short as a grammar makes them, their codes, and what each is learned as.

    As a target a session is its first row: the time, the weight and all other columns are that's.
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
